/// When IDs are to be looked at: a wheel of seconds, each the head of a chain of IDs.
///
/// An ID stands in it at most once and is never moved: who is looked at too early is put in again. So a renewal costs
/// nothing here, and an ID costs two octets.
struct DueWheel: Sendable {
    /// Seconds in a turn, a power of two; later ones are looked at once in a turn.
    private static let size = 1 << 10

    private var heads = [UInt16](repeating: 0, count: size)
    private var next = [UInt16](repeating: 0, count: 1 << 16)
    /// The last second that was taken out.
    private var second = 0
    /// The next second with IDs.
    private(set) var nextSecond: Int?

    /// Puts `id` in for that second, or the next one when that is past.
    mutating func add(_ id: UInt16, at wanted: Int) {
        let at = min(max(wanted, second + 1), second + Self.size - 1)
        next[Int(id)] = heads[at % Self.size]
        heads[at % Self.size] = id
        nextSecond = min(nextSecond ?? at, at)
    }

    /// Takes out all IDs of the seconds up to `now`.
    mutating func take(upTo now: Int) -> [UInt16] {
        var taken: [UInt16] = []
        while let at = nextSecond, at <= now {
            var id = heads[at % Self.size]
            heads[at % Self.size] = 0
            while id != 0 {
                taken.append(id)
                id = next[Int(id)]
            }
            second = at
            nextSecond = (at + 1..<at + Self.size).first { heads[$0 % Self.size] != 0 }
        }
        second = max(second, now)
        return taken
    }
}
