internal import PeerCore

/// The server's time: it stands still while the node does, so that nobody expires for our being late.
struct ServerClock: Sendable {
    /// Nanoseconds in a second.
    private static let second: Int64 = 1_000_000_000

    /// A point of that time.
    struct Reading: Sendable {
        /// Monotonic, without the gaps.
        let instant: Instant
        /// Nanoseconds since the start, without the gaps.
        fileprivate let elapsed: Int64

        /// Whole seconds since the start.
        var second: Int { Int(elapsed / ServerClock.second) }

        /// The first whole second that is at least `seconds` away.
        func second(after seconds: Int) -> UInt32 {
            UInt32(clamping: (elapsed + ServerClock.second - 1) / ServerClock.second + Int64(seconds))
        }
    }

    private var origin: Int64?
    private var gaps: Int64 = 0

    mutating func start(at now: Moment) {
        if origin == nil { origin = now.instant.nanoseconds }
    }

    mutating func wasStopped(for gap: Duration) {
        gaps += gap.nanoseconds
    }

    func reading(_ now: Moment) -> Reading {
        let nanoseconds = now.instant.nanoseconds - gaps
        return Reading(
            instant: Instant(nanoseconds: nanoseconds), elapsed: max(0, nanoseconds - (origin ?? nanoseconds)))
    }

    /// The instant of the world for one of this time.
    func instant(of instant: Instant) -> Instant { Instant(nanoseconds: instant.nanoseconds + gaps) }

    /// The instant of the world at which that many seconds have passed.
    func instant(ofSecond second: Int) -> Instant {
        Instant(nanoseconds: (origin ?? 0) + Int64(second) * Self.second + gaps)
    }
}
