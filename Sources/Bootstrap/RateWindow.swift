internal import PeerCore

/// A limit for every second of whatever alignment, not for the average of many: what was let through lately is kept in
/// parts of a thirty-second.
struct RateWindow: Sendable {
    /// More parts of a second are more exact and cost more.
    private static let partNanoseconds: Int64 = 1_000_000_000 / 32

    /// The most that passes in all parts together.
    private let limit: Double
    /// The part that is being filled and those before it, in a ring.
    private var amounts: [Double]
    /// Number of the part that is being filled, counted from the start of time.
    private var part: Int64 = 0
    private var sum = 0.0

    /// `parts` beside the one that is being filled are counted; 31 let those through who come once in a second, and 3
    /// make it a limit for an eighth of a second.
    init(_ limit: Double, parts: Int = 32) {
        self.limit = limit
        amounts = Array(repeating: 0, count: parts + 1)
    }

    /// Lets `amount` through when it fits, and `reserve` (0 to 1) of the limit stays for others.
    mutating func take(_ amount: Double, reserve: Double = 0, at now: Instant) -> Bool {
        move(to: now)
        // However low the limit is, one at a time may pass.
        guard sum + amount <= limit * (1 - reserve) || sum == 0 else { return false }
        amounts[Int(part % Int64(amounts.count))] += amount
        sum += amount
        return true
    }

    private mutating func move(to now: Instant) {
        let current = max(0, now.nanoseconds / Self.partNanoseconds)
        guard current > part else { return }
        for passed in (max(part, current - Int64(amounts.count)) + 1)...current {
            amounts[Int(passed % Int64(amounts.count))] = 0
        }
        part = current
        sum = amounts.reduce(0, +)
    }
}
