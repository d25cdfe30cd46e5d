internal import PeerCore

/// A limit for each second: a bucket that fills at a steady rate and is emptied by what is let through.
struct TokenBucket: Sendable {
    private let perSecond: Double
    private let capacity: Double
    private var level: Double
    private var updated: Instant?

    /// A full bucket. `capacity` is how much may pass at once.
    init(perSecond: Double, capacity: Double) {
        self.perSecond = perSecond
        self.capacity = capacity
        level = capacity
    }

    /// Takes `amount` when so much is there, and the part `reserve` (0 to 1) of the capacity stays for others.
    mutating func take(_ amount: Double, reserve: Double = 0, at now: Instant) -> Bool {
        fill(at: now)
        // However small the bucket is, when it is full somebody may pass.
        guard level >= min(amount + reserve * capacity, capacity) else { return false }
        level -= amount
        return true
    }

    /// Takes `amount` in any case; the debt is at most one capacity.
    mutating func charge(_ amount: Double, at now: Instant) {
        fill(at: now)
        level = max(level - amount, -capacity)
    }

    private mutating func fill(at now: Instant) {
        if let updated, now > updated {
            level = min(capacity, level + Double(now.nanoseconds - updated.nanoseconds) * 1e-9 * perSecond)
        }
        updated = now
    }
}
