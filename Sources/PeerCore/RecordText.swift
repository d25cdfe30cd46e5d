/// Records as compact JSON text, and times as RFC 3339 text. (Reading JSON is `PeerJSON`'s work.)
extension Record {
    /// One JSON object without spaces; every control character, and what a terminal could take for one, is escaped.
    public var json: String {
        var text: [UInt8] = []
        write(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the JSON object to `text`.
    public func write(to text: inout [UInt8]) {
        text.append(UInt8(ascii: "{"))
        for (index, field) in fields.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            writeString(field.name, to: &text)
            text.append(UInt8(ascii: ":"))
            field.value.write(to: &text)
        }
        text.append(UInt8(ascii: "}"))
    }
}

extension Record.Value {
    /// The value as compact JSON text.
    public var json: String {
        var text: [UInt8] = []
        write(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The value for a person: a text as it is, everything else as JSON.
    public var plain: String {
        if case .string(let text) = self { text } else { json }
    }

    func write(to text: inout [UInt8]) {
        switch self {
        case .null: text.append(contentsOf: "null".utf8)
        case .bool(let value): text.append(contentsOf: (value ? "true" : "false").utf8)
        case .int(let value): text.append(contentsOf: String(value).utf8)
        case .double(let value): text.append(contentsOf: (value.isFinite ? "\(value)" : "null").utf8)
        case .string(let value): writeString(value, to: &text)
        case .record(let value): value.write(to: &text)
        case .list(let values):
            text.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                value.write(to: &text)
            }
            text.append(UInt8(ascii: "]"))
        }
    }
}

private func writeString(_ string: String, to text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    defer { text.append(UInt8(ascii: "\"")) }
    // Nearly every text is of this kind.
    if string.utf8.allSatisfy(\.isPlainInJSON) { return text.append(contentsOf: string.utf8) }
    for scalar in string.unicodeScalars {
        switch scalar {
        case "\"": text.append(contentsOf: "\\\"".utf8)
        case "\\": text.append(contentsOf: "\\\\".utf8)
        case "\n": text.append(contentsOf: "\\n".utf8)
        case "\r": text.append(contentsOf: "\\r".utf8)
        case "\t": text.append(contentsOf: "\\t".utf8)
        case _ where scalar.isDangerousOnTerminal:
            let digits = String(scalar.value, radix: 16)
            text.append(contentsOf: ("\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits).utf8)
        default: text.append(contentsOf: UTF8.encode(scalar)!)
        }
    }
}

extension UInt8 {
    /// A character of ASCII that stands for itself in JSON and on a terminal.
    fileprivate var isPlainInJSON: Bool {
        switch self {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): false
        case 0x20..<0x7f: true
        default: false
        }
    }
}

extension Unicode.Scalar {
    /// Control characters, and the marks that turn the direction of text around. All are below U+10000.
    var isDangerousOnTerminal: Bool {
        switch value {
        case 0..<0x20, 0x7f..<0xa0, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true
        default: false
        }
    }
}

extension String {
    /// The text with every dangerous character shown as `\u{…}`: for names from the network on a terminal.
    public var escapedForTerminal: String {
        guard unicodeScalars.contains(where: \.isDangerousOnTerminal) else { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            text += scalar.isDangerousOnTerminal ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }
    }
}

extension WallClock {
    /// RFC 3339, UTC, milliseconds: `2026-11-21T10:00:00.000Z`.
    public var timestamp: String {
        var (days, rest) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        if rest < 0 { (days, rest) = (days - 1, rest + 86_400_000) }
        let (year, month, day) = Self.date(ofDay: days)
        var text: [UInt8] = []
        func write(_ value: Int64, _ width: Int, then end: Unicode.Scalar) {
            let digits = String(value).utf8
            text.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: max(0, width - digits.count)))
            text.append(contentsOf: digits)
            text.append(UInt8(ascii: end))
        }
        write(year, 4, then: "-")
        write(month, 2, then: "-")
        write(day, 2, then: "T")
        write(rest / 3_600_000, 2, then: ":")
        write(rest / 60_000 % 60, 2, then: ":")
        write(rest / 1000 % 60, 2, then: ".")
        write(rest % 1000, 3, then: "Z")
        return String(decoding: text, as: UTF8.self)
    }

    /// The date of a day counted from 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin in March.
    private static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
        return (year, month < 10 ? month + 3 : month - 9, dayOfYear - (153 * month + 2) / 5 + 1)
    }
}
