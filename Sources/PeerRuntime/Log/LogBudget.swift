internal import PeerCore

/// Keeps one peer from filling the log with one event: a bucket of lines for each pair of event and peer.
struct LogBudget {
    private struct Key: Hashable {
        let event: String
        let peer: String
    }

    private struct Bucket {
        var lines: Double
        var filled: WallClock
        var leftOut = 0
    }

    private var buckets: [Key: Bucket] = [:]

    /// Lines of one event from one peer in a burst, and each second afterwards.
    private static let burst = 20.0
    private static let perSecond = 2.0
    /// Pairs that are remembered; above that the memory starts anew.
    private static let capacity = 4096

    /// nil: leave this line out. Otherwise the number of lines that were left out before it.
    mutating func take(_ record: LogRecord, at clock: WallClock) -> Int? {
        guard let peer = record.fields.string("peer") ?? record.fields.string("address") else { return 0 }
        // The port of an address changes with every connection of the same peer.
        let host = SocketAddress(peer).map { $0.ip.description } ?? peer
        let key = Key(event: record.event, peer: host)
        if buckets.count >= Self.capacity, buckets[key] == nil { buckets = [:] }
        var bucket = buckets[key] ?? Bucket(lines: Self.burst, filled: clock)
        let elapsed = max(0, (clock - bucket.filled).fractionalSeconds)
        bucket.lines = min(Self.burst, bucket.lines + elapsed * Self.perSecond)
        bucket.filled = clock
        defer { buckets[key] = bucket }
        guard bucket.lines >= 1 else {
            bucket.leftOut += 1
            return nil
        }
        bucket.lines -= 1
        defer { bucket.leftOut = 0 }
        return bucket.leftOut
    }
}
