internal import PeerCore

/// Amounts for people.
enum Amount {
    private static let units = ["kB", "MB", "GB", "TB", "PB", "EB"]

    /// `812 B`, `4.2 kB`, `1.1 GB`: powers of 1000, as file managers show them.
    static func octets(_ count: UInt64) -> String {
        guard count >= 1000 else { return "\(count) B" }
        var (value, unit) = (Double(count) / 1000, 0)
        // What would be rounded to 1000 belongs to the next unit.
        while value >= 999.95, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// `0:04`, `12:30`, `1:02:03`.
    static func time(_ seconds: Int64) -> String {
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60)
        return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
    }

    /// `1 file`, `3 files`.
    static func number(_ count: Int64, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

/// Texts by the columns that a terminal gives them.
enum Columns {
    /// How many columns `text` takes: characters of East Asia and pictures take two.
    static func count(_ text: some StringProtocol) -> Int { text.reduce(0) { $0 + width($1) } }

    private static func width(_ character: Character) -> Int {
        switch character.unicodeScalars.first?.value ?? 0 {
        case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60,
            0x1f300...0x1faff, 0x20000...0x3fffd:
            2
        default: 1
        }
    }

    /// The text in exactly so many columns: padded, or cut with an ellipsis.
    static func fit(_ text: String, _ columns: Int) -> String {
        let cut = cut(text, columns)
        return cut + String(repeating: " ", count: max(0, columns - count(cut)))
    }

    /// The text in so many columns at most; what does not fit is an ellipsis.
    static func cut(_ text: String, _ columns: Int) -> String {
        guard count(text) > columns else { return text }
        var (kept, used) = ("", 1)
        for character in text {
            used += width(character)
            guard used <= columns else { break }
            kept.append(character)
        }
        return columns > 0 ? kept + "…" : ""
    }
}
