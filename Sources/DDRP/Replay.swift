internal import PeerCore

/// The handshakes that were accepted lately, so that a recorded one is of no use from elsewhere (DDRP section 8,
/// "known weakness": in R neither nonce nor body is signed).
struct Replay {
    /// The timestamps that pass the clock check.
    struct Window {
        let earliest: UInt32

        init(_ clock: WallClock, skew: Int) {
            earliest = UInt32(clamping: clock.seconds - Int64(skew))
        }
    }

    /// Handshakes that are kept; above, the oldest second is forgotten. About 8 MB.
    static let capacity = 65_536

    /// Who said HelloAck in each second, and from where.
    private var seconds: [UInt32: [Bytes32: IPAddress]] = [:]
    private var count = 0
    private var earliest: UInt32 = 0

    /// Whether this HelloAck may open a connection: not, when one of the same peer and second came from another
    /// address.
    mutating func accept(_ peer: Bytes32, _ timestamp: UInt32, from ip: IPAddress, _ window: Window) -> Bool {
        forget(before: window.earliest)
        if let known = seconds[timestamp]?[peer] { return known == ip }
        if count >= Self.capacity, let oldest = seconds.keys.min() { drop(oldest) }
        seconds[timestamp, default: [:]][peer] = ip
        count += 1
        return true
    }

    private mutating func forget(before limit: UInt32) {
        guard limit > earliest else { return }
        earliest = limit
        for second in seconds.keys where second < limit { drop(second) }
    }

    private mutating func drop(_ second: UInt32) {
        count -= seconds.removeValue(forKey: second)?.count ?? 0
    }
}
