internal import PeerCore

/// What a client asks of a file beyond its name (RFC 9110 sections 13 and 14, BePeer section 5.2).
public enum Conditions {
    /// The part of a file that is sent.
    public enum Part: Hashable, Sendable {
        /// All of it: 200.
        case whole
        /// This part: 206.
        case range(Range<UInt64>)
        /// Nothing of it is there: 416.
        case unsatisfiable
    }

    /// What a `Range` field means for a file of `size` octets. One range is understood; several, another unit and
    /// nonsense are as if the field were not there.
    public static func part(_ field: String?, size: UInt64) -> Part {
        guard let field, field.utf8.starts(with: "bytes=".utf8) else { return .whole }
        let ends = field.utf8.dropFirst(6).split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard ends.count == 2 else { return .whole }
        switch (number(ends[0]), number(ends[1]), ends[0].isEmpty, ends[1].isEmpty) {
        case (let first?, nil, _, true):
            return first < size ? .range(first..<size) : .unsatisfiable
        case (let first?, let last?, _, _):
            guard first <= last else { return .whole }
            return first < size ? .range(first..<(last < size ? last + 1 : size)) : .unsatisfiable
        case (nil, let count?, true, _):
            return count > 0 && size > 0 ? .range(size - min(count, size)..<size) : .unsatisfiable
        default: return .whole
        }
    }

    /// A decimal number; one that does not fit is as large as can be.
    private static func number(_ digits: Substring.UTF8View) -> UInt64? {
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt64(String(Substring(digits))) ?? .max
    }

    /// Whether `If-Range` allows a part: it names the strong tag that the file has, or its exact time.
    static func allowsPart(_ field: String?, tag: String, modified: String) -> Bool {
        guard let field else { return true }
        return field == tag || field == modified
    }

    /// Whether `If-None-Match` names what the client has already (weak comparison): 304.
    static func isKnown(_ field: String?, tag: String) -> Bool {
        guard let field else { return false }
        return field.split(separator: ",").contains { part in
            var name = part.drop { $0 == " " }
            while name.last == " " { name.removeLast() }
            if name.hasPrefix("W/") { name = name.dropFirst(2) }
            return name == "*" || name == tag
        }
    }

    /// The first octet and the size that a `Content-Range` tells: `bytes 400-999/1000`.
    static func contentRange(_ field: String?) -> (first: UInt64, size: UInt64)? {
        guard let field, field.utf8.starts(with: "bytes ".utf8) else { return nil }
        let parts = field.utf8.dropFirst(6).split(separator: UInt8(ascii: "/"))
        guard parts.count == 2, let size = number(parts[1]),
            let dash = parts[0].firstIndex(of: UInt8(ascii: "-")), let first = number(parts[0][..<dash])
        else { return nil }
        return (first, size)
    }

    /// The size that a `Content-Range` tells when nothing of a range is there: `bytes */1000`.
    static func wholeSize(_ field: String?) -> UInt64? {
        guard let field, field.utf8.starts(with: "bytes */".utf8) else { return nil }
        return number(field.utf8.dropFirst(8))
    }
}

extension WallClock {
    /// The time as HTTP writes it (RFC 9110 section 5.6.7): `Fri, 20 Nov 2026 10:00:00 GMT`.
    var httpDate: String {
        // `2026-11-20T10:00:00.000Z`; a year above 9999 or before 0 is nothing that HTTP can say.
        let text = Array(timestamp.utf8)
        guard text.count == 24 else { return "Thu, 01 Jan 1970 00:00:00 GMT" }
        let month = Int(text[5] &- 48) * 10 + Int(text[6] &- 48)
        var days = milliseconds / 86_400_000
        if milliseconds % 86_400_000 < 0 { days -= 1 }
        // The first of January 1970 was a Thursday.
        let weekday = Int(((days + 4) % 7 + 7) % 7)
        var date = Array(Self.weekdays[weekday].utf8) + Array(", ".utf8) + text[8..<10] + [32]
        date += Array(Self.months[month - 1].utf8) + [32]
        date += text[0..<4] + [32] + text[11..<19] + Array(" GMT".utf8)
        return String(decoding: date, as: UTF8.self)
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// The time that an HTTP date says, to the second; nil for anything else.
    init?(httpDate: String) {
        let parts = httpDate.split(separator: " ")
        guard parts.count == 6, parts[5] == "GMT", let day = Int64(parts[1]), (1...31).contains(day),
            let month = Self.months.firstIndex(where: { $0 == parts[2] }), let year = Int64(parts[3]),
            (1...9999).contains(year)
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        let days = Self.days(year: year, month: Int64(month + 1), day: day)
        self.init(seconds: days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2])
    }

    /// Days since 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin in March.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
