internal import Foundation
public import PeerCore

/// A value of a vector file, with its place. What a test asks for and does not find is an error, so that a vector that
/// changed its form fails the test and is not passed over.
public struct Vector: Sendable, CustomStringConvertible {
    fileprivate enum Value: Sendable {
        case null
        case flag(Bool)
        case number(Int64)
        case fraction(Double)
        case text(String)
        case list([Value])
        case object([String: Value])
    }

    fileprivate let value: Value
    /// File, group, number and name of the case: what a failure says.
    public let description: String

    fileprivate init(_ value: Value, _ place: String) {
        self.value = value
        guard case .object(let fields) = value, case .text(let name)? = fields["name"] else {
            description = place
            return
        }
        description = "\(place) \(name)"
    }
}

/// What a vector does not have, or a file that is none.
public struct VectorError: Error, CustomStringConvertible {
    /// Where, and what was expected.
    public let description: String

    /// An error that says this.
    public init(_ description: String) {
        self.description = description
    }
}

// MARK: - Files

extension Vector {
    /// The vector files called `name`.json: the one in `Vectors` beside the test, and the one in the folder that
    /// PEERNODE_VECTORS names, if it has one; same form, other values.
    public static func files(_ name: String, besides test: String = #filePath) throws -> [Vector] {
        let own = URL(fileURLWithPath: test).deletingLastPathComponent().appendingPathComponent("Vectors/\(name).json")
        guard let path = ProcessInfo.processInfo.environment["PEERNODE_VECTORS"] else { return [try file(own)] }
        let folder = URL(fileURLWithPath: path, isDirectory: true)
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw VectorError("PEERNODE_VECTORS names \(path), which is no folder")
        }
        let other = folder.appendingPathComponent("\(name).json")
        guard FileManager.default.fileExists(atPath: other.path) else { return [try file(own)] }
        return [try file(own), try file(other)]
    }

    /// The cases of `group` in all files called `name`.json; a file without any is an error.
    public static func cases(_ name: String, _ group: String, besides test: String = #filePath) throws -> [Vector] {
        try files(name, besides: test).flatMap { try $0.cases(group) }
    }

    private static func file(_ url: URL) throws -> Vector {
        Vector(try JSONDecoder().decode(Value.self, from: try Data(contentsOf: url)), url.lastPathComponent)
    }
}

extension Vector.Value: Decodable {
    fileprivate init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            self = .text(text)
        } else if let number = try? container.decode(Int64.self) {
            self = .number(number)
        } else if let fraction = try? container.decode(Double.self) {
            self = .fraction(fraction)
        } else if let flag = try? container.decode(Bool.self) {
            self = .flag(flag)
        } else if container.decodeNil() {
            self = .null
        } else if let list = try? container.decode([Self].self) {
            self = .list(list)
        } else {
            self = .object(try container.decode([String: Self].self))
        }
    }
}

// MARK: - Values

extension Vector {
    private func expected(_ what: String) -> VectorError {
        VectorError("\(description): \(what) expected")
    }

    private var fields: [String: Value]? {
        if case .object(let fields) = value { fields } else { nil }
    }

    /// Whether there is a value called `key` that is not null.
    public func has(_ key: String) -> Bool {
        switch fields?[key] {
        case nil, .null: false
        default: true
        }
    }

    /// The value called `key`; of any kind.
    public func value(_ key: String) throws -> Vector {
        guard let value = fields?[key] else { throw expected("a value \(key)") }
        return Vector(value, "\(description) .\(key)")
    }

    /// The values of an object, in order of their names.
    public func values() throws -> [(key: String, value: Vector)] {
        guard let fields else { throw expected("an object") }
        return fields.sorted { $0.key < $1.key }.map { ($0.key, Vector($0.value, "\(description) .\($0.key)")) }
    }

    /// The elements of a list, which may be empty.
    public func elements() throws -> [Vector] {
        guard case .list(let elements) = value else { throw expected("a list") }
        return elements.enumerated().map { Vector($1, "\(description)[\($0)]") }
    }

    /// Whether it is the null of JSON.
    public var isNull: Bool { if case .null = value { true } else { false } }

    /// This text.
    public func text() throws -> String {
        guard case .text(let text) = value else { throw expected("a text") }
        return text
    }

    /// This whole number.
    public func number() throws -> Int {
        guard case .number(let number) = value else { throw expected("a whole number") }
        return Int(number)
    }

    /// This number, whole or not.
    public func fraction() throws -> Double {
        switch value {
        case .number(let number): return Double(number)
        case .fraction(let fraction): return fraction
        default: throw expected("a number")
        }
    }

    /// This truth value.
    public func flag() throws -> Bool {
        guard case .flag(let flag) = value else { throw expected("true or false") }
        return flag
    }

    /// The octets that this text writes in hexadecimal.
    public func octets() throws -> Bytes {
        guard let octets = Bytes(hex: try text()) else { throw expected("hexadecimal digits") }
        return octets
    }

    /// The 32 octets that this text writes in hexadecimal.
    public func octets32() throws -> Bytes32 {
        guard let octets = Bytes32(hex: try text()) else { throw expected("64 hexadecimal digits") }
        return octets
    }
}

extension Vector {
    /// The text called `key`.
    public func text(_ key: String) throws -> String { try value(key).text() }

    /// The whole number called `key`.
    public func number(_ key: String) throws -> Int { try value(key).number() }

    /// The number called `key`, whole or not.
    public func fraction(_ key: String) throws -> Double { try value(key).fraction() }

    /// The truth value called `key`.
    public func flag(_ key: String) throws -> Bool { try value(key).flag() }

    /// The octets called `key`, in hexadecimal.
    public func octets(_ key: String) throws -> Bytes { try value(key).octets() }

    /// The 32 octets called `key`, in hexadecimal.
    public func octets32(_ key: String) throws -> Bytes32 { try value(key).octets32() }

    /// The list called `key`, which may be empty.
    public func elements(_ key: String) throws -> [Vector] { try value(key).elements() }

    /// The list called `key`, which is an error when it is empty: a test over nothing would pass.
    public func cases(_ key: String) throws -> [Vector] {
        let cases = try elements(key)
        guard !cases.isEmpty else { throw expected("at least one case in \(key)") }
        return cases
    }
}
