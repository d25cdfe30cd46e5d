internal import PeerCore

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
