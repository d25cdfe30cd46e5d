import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// The cases of one group, which are an error when there are none.
func vectors(_ group: String) throws -> [Vector] {
    let found = try Vector.cases("ppsp", "vectors").filter { try $0.text("group") == group }
    guard !found.isEmpty else { throw VectorError("no vectors of group \(group)") }
    return found
}

extension Vector {
    /// Octets in hexadecimal, which may be none.
    func hex(_ key: String) throws -> Bytes {
        try text(key).isEmpty ? Bytes() : octets(key)
    }

    func uint64(_ key: String) throws -> UInt64 { try #require(UInt64(exactly: try number(key)), "\(self)") }

    func uint32(_ key: String) throws -> UInt32 { try #require(UInt32(exactly: try number(key)), "\(self)") }

    func uint16(_ key: String) throws -> UInt16 { try #require(UInt16(exactly: try number(key)), "\(self)") }

    func uint8(_ key: String) throws -> UInt8 { try #require(UInt8(exactly: try number(key)), "\(self)") }

    /// The code of a hash function, of which we have each that vectors name.
    func function(_ key: String) throws -> HashFunction {
        try #require(HashFunction(rawValue: try uint8(key)), "\(self)")
    }

    /// `start` and `end`.
    func range() throws -> ChunkRange { ChunkRange(try uint64("start"), try uint64("end")) }

    /// `start` and `end` of a whole subtree.
    func subtree() throws -> Subtree { try #require(Subtree(try range()), "\(self)") }

    /// Octets by a rule such as `byte i = (7*i + 13*(i>>8)) mod 256`.
    func content() throws -> Bytes {
        let rule = try text("content")
        let match = try #require(
            rule.wholeMatch(of: #/byte i = \((\d+)\*i \+ (\d+)\*\(i>>(\d+)\)\) mod 256/#), "\(self)")
        let (a, b, shift) = try (
            #require(Int(match.1)), #require(Int(match.2)), #require(Int(match.3))
        )
        return Bytes((0..<(try number("size"))).map { UInt8(truncatingIfNeeded: a * $0 + b * ($0 >> shift)) })
    }
}

extension Bytes {
    /// The chunks of a content.
    func chunks(of size: Int) -> [Bytes] {
        stride(from: 0, to: count, by: size).map { slice($0..<Swift.min($0 + size, count)) }
    }
}

extension SeededRandom {
    /// A stream that a number names.
    init(_ number: UInt64) {
        var writer = ByteWriter()
        for word in [number, 0, 0, 0] { writer.write(word) }
        self.init(seed: Bytes32(writer.array))
    }

    /// So many random octets.
    mutating func bytes(_ count: Int) -> Bytes {
        Bytes((0..<count).map { _ in UInt8(truncatingIfNeeded: next()) })
    }
}

extension SwarmID {
    /// A name of equal octets.
    init(repeating octet: UInt8, count: Int) {
        guard let id = SwarmID(Bytes([UInt8](repeating: octet, count: count))) else {
            preconditionFailure("\(count) octets")
        }
        self = id
    }
}
