public import PeerCore

/// Where the parts of a JSON text are.
///
/// The toolchain's decoder gives no places on Linux, takes a comma before a closing bracket, and keeps the first of
/// two equal keys. So the text is first held against the grammar of RFC 8259 here, which costs one pass; what it means
/// is the decoder's business.
public struct JSONOutline: Sendable {
    /// A value by its name in the value that holds it. (Whole pointers would take space that is quadratic in depth.)
    private struct Child: Hashable {
        let parent: Int
        let name: String
    }

    private struct Place {
        /// The value's number, in the order of the text.
        let number: Int
        /// Octets before its key.
        let key: Int?
        /// Octets before the value.
        let value: Int
    }

    private let text: Bytes
    private let rootOffset: Int
    private var offset: Int
    private var depth = 0
    private var places: [Child: Place] = [:]

    /// The root's number; it has no name in another value.
    private static let root = 0

    /// Checks that `text` is one JSON value and notes where its parts are.
    public init(_ text: Bytes) throws(JSONError) {
        if let position = JSONPosition(ofFirstInvalidOctetIn: text) { throw .notUTF8(position) }
        self.text = text
        rootOffset = text.prefix { $0.isSpace }.count
        offset = rootOffset
        try scanValue(number: Self.root)
        skipSpace()
        guard offset == text.count else { throw unexpected("the end of the text") }
    }

    /// Where the value begins; nil when the text has none there.
    public func position(of pointer: JSONPointer) -> JSONPosition? {
        guard !pointer.components.isEmpty else { return JSONPosition(of: rootOffset, in: text) }
        return place(of: pointer).map { JSONPosition(of: $0.value, in: text) }
    }

    /// Where the value's key begins; nil when the text has none there, or no key for it.
    public func position(ofKeyOf pointer: JSONPointer) -> JSONPosition? {
        place(of: pointer)?.key.map { JSONPosition(of: $0, in: text) }
    }

    /// `value`, which the text describes, with the fields of its records in the order of the text.
    func ordered(_ value: Record.Value) -> Record.Value { ordered(value, number: Self.root) }

    private func ordered(_ value: Record.Value, number: Int) -> Record.Value {
        func child(_ name: String) -> Int { places[Child(parent: number, name: name)]?.number ?? .max }
        switch value {
        case .record(let record):
            let fields = record.fields.map { (number: child($0.name), field: $0) }.sorted { $0.number < $1.number }
            return .record(Record(fields.map { ($0.field.name, ordered($0.field.value, number: $0.number)) }))
        case .list(let values):
            return .list(values.enumerated().map { ordered($1, number: child("\($0)")) })
        default: return value
        }
    }

    private func place(of pointer: JSONPointer) -> Place? {
        var place: Place?
        for component in pointer.components {
            place = places[Child(parent: place?.number ?? Self.root, name: component)]
            guard place != nil else { return nil }
        }
        return place
    }
}

// The grammar.
extension JSONOutline {
    private mutating func scanValue(number: Int) throws(JSONError) {
        switch peek {
        case UInt8(ascii: "{"):
            try scanContainer(until: UInt8(ascii: "}")) { (outline, _) throws(JSONError) in
                try outline.scanMember(of: number)
            }
        case UInt8(ascii: "["):
            try scanContainer(until: UInt8(ascii: "]")) { (outline, index) throws(JSONError) in
                try outline.scanChild(String(index), key: nil, of: number)
            }
        case UInt8(ascii: "\""): try scanString()
        default: try scanWord()
        }
    }

    /// An object or a list: elements, which are counted from 0, with commas between them.
    private mutating func scanContainer(
        until end: UInt8, element: (inout Self, _ index: Int) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard depth < JSON.maximumDepth else { throw .tooDeep(position, limit: JSON.maximumDepth) }
        depth += 1
        offset += 1
        skipSpace()
        if peek != end {
            var index = 0
            repeat {
                skipSpace()
                try element(&self, index)
                index += 1
                skipSpace()
            } while take(UInt8(ascii: ","))
        }
        guard take(end) else { throw unexpected("\",\" or \"\(Character(Unicode.Scalar(end)))\"") }
        depth -= 1
    }

    private mutating func scanMember(of object: Int) throws(JSONError) {
        let start = offset
        guard peek == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        try scanString()
        let key = try name(text.slice(start..<offset), at: start)
        skipSpace()
        guard take(UInt8(ascii: ":")) else { throw unexpected("\":\"") }
        skipSpace()
        try scanChild(key, key: start, of: object)
    }

    private mutating func scanChild(_ name: String, key: Int?, of parent: Int) throws(JSONError) {
        let number = places.count + 1
        let place = Place(number: number, key: key, value: offset)
        guard places.updateValue(place, forKey: Child(parent: parent, name: name)) == nil else {
            throw .duplicateKey(name, JSONPosition(of: key ?? offset, in: text))
        }
        try scanValue(number: number)
    }

    private mutating func scanString() throws(JSONError) {
        offset += 1
        while let octet = peek, octet != UInt8(ascii: "\"") {
            guard octet >= 0x20 else { throw unexpected("a closing quote or an escape such as \\n") }
            if octet == UInt8(ascii: "\\") { try scanEscape() } else { offset += 1 }
        }
        guard take(UInt8(ascii: "\"")) else { throw unexpected("a closing quote") }
    }

    private mutating func scanEscape() throws(JSONError) {
        let rest = text.dropping(offset + 1)
        let isUnicode = rest.first == UInt8(ascii: "u") && rest.count >= 5 && rest[1..<5].allSatisfy(\.isHexadecimal)
        guard isUnicode || rest.first.map("\"\\/bfnrt".utf8.contains) == true else {
            throw unexpected(#"an escape: \" \\ \/ \b \f \n \r \t or \u and four hexadecimal digits"#)
        }
        offset += isUnicode ? 6 : 2
    }

    /// true, false, null, or a number.
    private mutating func scanWord() throws(JSONError) {
        let word = text.dropping(offset).prefix { $0.isInWord }
        guard [Array("true".utf8), Array("false".utf8), Array("null".utf8)].contains(Array(word)) || isNumber(word)
        else {
            throw unexpected(
                word.first?.isDigitOrSign == true ? "a number such as 0, 12, -1.5 or 1e3" : "a value")
        }
        offset += word.count
    }

    /// `-`? (0 | 1-9 digit*) (`.` digit+)? (`e` sign? digit+)?
    private func isNumber(_ word: Bytes.SubSequence) -> Bool {
        var rest = word
        func digits() -> Int {
            let count = rest.prefix { (48...57).contains($0) }.count
            rest = rest.dropFirst(count)
            return count
        }
        func take(_ choices: String) -> Bool {
            guard let first = rest.first, choices.utf8.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        _ = take("-")
        guard take("0") || digits() > 0 else { return false }
        if take("."), digits() == 0 { return false }
        if take("eE") {
            _ = take("+-")
            guard digits() > 0 else { return false }
        }
        return rest.isEmpty
    }
}

// The text.
extension JSONOutline {
    private var peek: UInt8? { offset < text.count ? text[offset] : nil }

    private var position: JSONPosition { JSONPosition(of: offset, in: text) }

    private mutating func take(_ octet: UInt8) -> Bool {
        guard peek == octet else { return false }
        offset += 1
        return true
    }

    private mutating func skipSpace() {
        while peek?.isSpace == true { offset += 1 }
    }

    /// The key written as `quoted`.
    private func name(_ quoted: Bytes, at start: Int) throws(JSONError) -> String {
        if !quoted.contains(UInt8(ascii: "\\")) {
            return String(decoding: quoted.slice(1..<quoted.count - 1), as: UTF8.self)
        }
        do {
            return try decode(quoted).plain
        } catch {
            throw .unrepresentable(error.reason, JSONPosition(of: start, in: text))
        }
    }

    private func unexpected(_ expected: String) -> JSONError {
        .unexpected(found: found, expected: expected, position)
    }

    /// What is there instead: a word, or one character.
    private var found: String {
        let rest = text.dropping(offset)
        guard let first = rest.first else { return "the end of the text" }
        if first == UInt8(ascii: "\n") || first == UInt8(ascii: "\r") { return "the end of the line" }
        if first == UInt8(ascii: "/") { return "\"/\" (JSON has no comments)" }
        let word = rest.prefix { $0.isInWord }.prefix(20)
        // A character has four octets at most.
        let character = String(decoding: rest.prefix(4), as: UTF8.self).prefix(1)
        let shown = word.isEmpty ? String(character) : String(decoding: word, as: UTF8.self)
        return Record.Value.string(shown).json
    }
}

extension UInt8 {
    fileprivate var isSpace: Bool { self == 0x20 || self == 0x09 || self == 0x0a || self == 0x0d }
    fileprivate var isHexadecimal: Bool { (48...57).contains(self) || (97...102).contains(self | 32) }
    fileprivate var isDigitOrSign: Bool { (48...57).contains(self) || self == 43 || self == 45 || self == 46 }
    fileprivate var isInWord: Bool { isDigitOrSign || (97...122).contains(self | 32) || self == 95 }
}
