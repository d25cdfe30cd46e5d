/// A point of monotonic time: nanoseconds since an arbitrary start. All deadlines are of this kind.
public struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since the start.
    public let nanoseconds: Int64

    /// The point `nanoseconds` after the start.
    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// Later than everything.
    public static let never = Instant(nanoseconds: .max)

    /// Earlier is less.
    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The point `duration` later; stays at the last point that can be named. A part of a nanosecond counts as a whole
    /// one: at that point `duration` has passed, so that a timer that is set for it need not be set again.
    public static func + (instant: Instant, duration: Duration) -> Instant {
        let whole = duration.nanoseconds
        let part: Int64 = whole < .max && duration.components.attoseconds % 1_000_000_000 > 0 ? 1 : 0
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(whole + part)
        return Instant(nanoseconds: overflow ? (duration < .zero ? .min : .max) : sum)
    }

    /// The point `duration` earlier.
    public static func - (instant: Instant, duration: Duration) -> Instant { instant + (.zero - duration) }

    /// Time from `earlier` to `later`.
    public static func - (later: Instant, earlier: Instant) -> Duration {
        let (difference, overflow) = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return .nanoseconds(overflow ? .max : difference)
    }

    /// Moves the point.
    public static func += (instant: inout Instant, duration: Duration) { instant = instant + duration }
}

/// A reading of the wall clock: milliseconds since 1970-01-01 UTC. For timestamps on the wire and in records only,
/// never for a decision about liveness.
public struct WallClock: Hashable, Comparable, Sendable {
    /// Milliseconds since 1970-01-01 UTC.
    public let milliseconds: Int64

    /// The reading `milliseconds` after 1970-01-01 UTC.
    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// The reading `seconds` after 1970-01-01 UTC.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        self.init(milliseconds: overflow ? (seconds < 0 ? .min : .max) : product)
    }

    /// Whole seconds since 1970-01-01 UTC.
    public var seconds: Int64 { milliseconds / 1000 }

    /// Earlier is less.
    public static func < (a: WallClock, b: WallClock) -> Bool { a.milliseconds < b.milliseconds }

    /// The reading `duration` later.
    public static func + (clock: WallClock, duration: Duration) -> WallClock {
        WallClock(milliseconds: clock.milliseconds &+ duration.nanoseconds / 1_000_000)
    }

    /// Time from `earlier` to `later`, negative when the clock was set back.
    public static func - (later: WallClock, earlier: WallClock) -> Duration {
        .milliseconds(later.milliseconds &- earlier.milliseconds)
    }
}

/// When something happens, on both clocks.
public struct Moment: Hashable, Sendable {
    /// Monotonic, for deadlines.
    public let instant: Instant
    /// Wall clock, for the wire and for records.
    public let wallClock: WallClock

    /// Both readings.
    public init(instant: Instant, wallClock: WallClock) {
        self.instant = instant
        self.wallClock = wallClock
    }
}

extension Duration {
    /// Whole nanoseconds; a duration of more than 292 years is cut to that.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : whole &+ attoseconds / 1_000_000_000
    }

    /// Seconds as a fraction, for records.
    public var fractionalSeconds: Double { Double(nanoseconds) / 1e9 }
}
