internal import PeerCore

/// Reads one JSON text, front to back: its value, and the places of its parts.
///
/// The toolchain's decoder gives no places on Linux, takes a comma before a closing bracket, and keeps the first of
/// two equal keys; so this holds the text against the grammar of RFC 8259 itself.
struct JSONReader {
    private let text: Bytes
    private var offset: Int
    private var depth = 0
    private(set) var outline: JSONOutline

    /// What may stand behind a backslash, `u` excepted.
    private static let escapes: [UInt8: UInt8] = [
        UInt8(ascii: "\""): 0x22, UInt8(ascii: "\\"): 0x5c, UInt8(ascii: "/"): 0x2f, UInt8(ascii: "b"): 0x08,
        UInt8(ascii: "f"): 0x0c, UInt8(ascii: "n"): 0x0a, UInt8(ascii: "r"): 0x0d, UInt8(ascii: "t"): 0x09,
    ]

    init(_ text: Bytes) {
        self.text = text
        offset = text.prefix { $0.isSpace }.count
        outline = JSONOutline(of: text, rootOffset: offset)
    }

    /// The value that the whole text describes.
    mutating func read() throws(JSONError) -> Record.Value {
        if let position = JSONPosition(ofFirstInvalidOctetIn: text) { throw .notUTF8(position) }
        let value = try readValue(number: JSONOutline.root)
        skipSpace()
        guard offset == text.count else { throw unexpected("the end of the text") }
        return value
    }
}

// The grammar.
extension JSONReader {
    private mutating func readValue(number: Int) throws(JSONError) -> Record.Value {
        switch peek {
        case UInt8(ascii: "{"):
            var fields: [(String, Record.Value)] = []
            try readContainer(until: UInt8(ascii: "}")) { (reader, _) throws(JSONError) in
                fields.append(try reader.readMember(of: number))
            }
            return .record(Record(fields))
        case UInt8(ascii: "["):
            var values: [Record.Value] = []
            try readContainer(until: UInt8(ascii: "]")) { (reader, index) throws(JSONError) in
                values.append(try reader.readChild(String(index), key: nil, of: number))
            }
            return .list(values)
        case UInt8(ascii: "\""): return .string(try readString())
        default: return try readWord()
        }
    }

    /// An object or a list: elements, which are counted from 0, with commas between them.
    private mutating func readContainer(
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

    private mutating func readMember(of object: Int) throws(JSONError) -> (String, Record.Value) {
        let start = offset
        guard peek == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        let key = try readString()
        skipSpace()
        guard take(UInt8(ascii: ":")) else { throw unexpected("\":\"") }
        skipSpace()
        return (key, try readChild(key, key: start, of: object))
    }

    private mutating func readChild(_ name: String, key: Int?, of parent: Int) throws(JSONError) -> Record.Value {
        guard let number = outline.note(name, key: key, value: offset, in: parent) else {
            throw .duplicateKey(name, JSONPosition(of: key ?? offset, in: text))
        }
        return try readValue(number: number)
    }

    private mutating func readString() throws(JSONError) -> String {
        let start = offset
        offset += 1
        var octets: [UInt8] = []
        while let octet = peek, octet != UInt8(ascii: "\"") {
            guard octet >= 0x20 else { throw unexpected("a closing quote or an escape such as \\n") }
            if octet == UInt8(ascii: "\\") {
                octets += try readEscape(ofStringAt: start)
            } else {
                octets.append(octet)
                offset += 1
            }
        }
        guard take(UInt8(ascii: "\"")) else { throw unexpected("a closing quote") }
        return String(decoding: octets, as: UTF8.self)
    }

    /// The octets for which an escape stands.
    private mutating func readEscape(ofStringAt start: Int) throws(JSONError) -> [UInt8] {
        if let unit = codeUnit {
            offset += 6
            return try readCharacter(unit, ofStringAt: start)
        }
        guard let letter = text.dropping(offset + 1).first, let octet = Self.escapes[letter] else {
            throw unexpected(#"an escape: \" \\ \/ \b \f \n \r \t or \u and four hexadecimal digits"#)
        }
        offset += 2
        return [octet]
    }

    /// The character that begins with `unit`, which was read; a second unit is, when it needs one.
    private mutating func readCharacter(_ unit: UInt16, ofStringAt start: Int) throws(JSONError) -> [UInt8] {
        var units = [unit]
        if UTF16.isLeadSurrogate(unit), let second = codeUnit {
            units.append(second)
            offset += 6
        }
        guard let text = String(validating: units, as: UTF16.self) else {
            throw .unrepresentable("half a surrogate pair is no character", JSONPosition(of: start, in: text))
        }
        return Array(text.utf8)
    }

    /// What `\u` and four hexadecimal digits say, if that is what stands here.
    private var codeUnit: UInt16? {
        let rest = text.dropping(offset)
        guard rest.count >= 6, rest.prefix(2).elementsEqual("\\u".utf8), rest[2..<6].allSatisfy(\.isHexadecimal) else {
            return nil
        }
        return UInt16(String(decoding: rest.slice(2..<6), as: UTF8.self), radix: 16)
    }

    /// true, false, null, or a number.
    private mutating func readWord() throws(JSONError) -> Record.Value {
        let word = text.dropping(offset).prefix { $0.isInWord }
        let value: Record.Value
        switch String(decoding: word, as: UTF8.self) {
        case "true": value = .bool(true)
        case "false": value = .bool(false)
        case "null": value = .null
        case let number where isNumber(word):
            guard let kept = Self.value(of: number) else {
                throw .unrepresentable("a number of this size cannot be kept", position)
            }
            value = kept
        default:
            throw unexpected(
                word.first?.isDigitOrSign == true ? "a number such as 0, 12, -1.5 or 1e3" : "a value")
        }
        offset += word.count
        return value
    }

    private static func value(of number: String) -> Record.Value? {
        if let whole = Int64(number) { return .int(whole) }
        guard let value = Double(number), value.isFinite else { return nil }
        return Int64(exactly: value).map(Record.Value.int) ?? .double(value)
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
extension JSONReader {
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
