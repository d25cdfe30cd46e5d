public import PeerCore

/// JSON texts (RFC 8259) as values: the configuration file, and the lines of the operator's interface.
public enum JSON {
    /// How deep objects and lists may lie in each other. Ours need six levels; each costs stack.
    public static let maximumDepth = 16

    /// The value that `text` describes, of at most `limit` octets.
    ///
    /// Objects become records with their fields in the order of the text. A number that is whole and fits 64 bits is an
    /// `.int` however it is written (1, 1.0, 1e0, as JSON Schema has it); every other one is a `.double`. Texts are
    /// UTF-8 without byte order mark. A key that occurs twice in one object is an error, as are comments and commas
    /// before a closing bracket.
    public static func parse(_ text: Bytes, limit: Int) throws(JSONError) -> Record.Value {
        try JSONDocument(text, limit: limit).value
    }
}

/// A JSON text with its value and the places of all its parts.
public struct JSONDocument: Sendable {
    /// What the text describes, as `JSON.parse` gives it.
    public let value: Record.Value
    /// Where its parts are.
    public let outline: JSONOutline

    /// Reads `text`, of at most `limit` octets.
    public init(_ text: Bytes, limit: Int) throws(JSONError) {
        guard text.count <= limit else { throw .tooLong(octets: text.count, limit: limit) }
        var reader = JSONReader(text)
        value = try reader.read()
        outline = reader.outline
    }
}

/// A place in a text, as editors count it.
public struct JSONPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let line: Int
    /// Counted from 1, in Unicode scalars.
    public let column: Int

    /// A place.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The place of the octet at `offset`.
    init(of offset: Int, in text: Bytes) {
        let before = text.slice(0..<min(offset, text.count))
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        // Every octet but the second to fourth of a scalar begins one.
        self.init(
            line: 1 + before.count { $0 == UInt8(ascii: "\n") },
            column: 1 + before.dropping(lineStart).count { $0 & 0xc0 != 0x80 })
    }

    /// The place of the first octet that is not UTF-8; nil when there is none.
    init?(ofFirstInvalidOctetIn text: Bytes) {
        do {
            _ = try UTF8Span(validating: text.array.span)
            return nil
        } catch {
            self.init(of: error.byteOffsets.lowerBound, in: text)
        }
    }

    /// Line first.
    public static func < (a: JSONPosition, b: JSONPosition) -> Bool { (a.line, a.column) < (b.line, b.column) }

    /// `line 3, column 14`
    public var description: String { "line \(line), column \(column)" }
}

/// Names one value inside another: the keys, and the numbers of list elements, on the way to it (RFC 6901).
public struct JSONPointer: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Keys and numbers, outermost first; none for the whole.
    public let components: [String]

    /// The value reached by `components`.
    public init(_ components: [String] = []) {
        self.components = components
    }

    /// This value, the one that holds it, and so on to the whole.
    public var andAbove: [JSONPointer] {
        (0...components.count).reversed().map { JSONPointer(Array(components.prefix($0))) }
    }

    /// The value called `component` inside this one.
    public func appending(_ component: some CustomStringConvertible) -> JSONPointer {
        JSONPointer(components + [component.description])
    }

    /// Whether this value is `other` or lies inside it.
    public func isWithin(_ other: JSONPointer) -> Bool { components.starts(with: other.components) }

    /// Component by component.
    public static func < (a: JSONPointer, b: JSONPointer) -> Bool {
        a.components.lexicographicallyPrecedes(b.components)
    }

    /// `/log/level`; empty for the whole.
    public var description: String {
        components.reduce(into: "") { text, component in
            text += "/"
            for character in component.unicodeScalars {
                switch character {
                case "~": text += "~0"
                case "/": text += "~1"
                default: text.unicodeScalars.append(character)
                }
            }
        }
    }
}
