internal import PeerCore

/// How many octets may be under way on a channel: LEDBAT, which takes what others leave (RFC 6817; RFC 7574 digest,
/// section 7).
///
/// The other side tells how late each chunk came by its own clock. The least of the last minutes is what the way itself
/// takes; what the last chunks took longer is a queue of ours. The window grows while that queue is shorter than the
/// target, and shrinks while it is longer, so that those who fill queues go first.
struct Ledbat {
    /// The queue that is aimed at: RFC 6817 allows 100 ms at most; 25 ms is what libswift has, and lets others be
    /// noticed where queues are short.
    static let target = Duration.milliseconds(25)
    /// The same within a machine, where data wait for programs to get their turn and not for others: the most that RFC
    /// 6817 allows.
    static let localTarget = Duration.milliseconds(100)
    /// Growth for an empty queue, in segments for each window: 1 at most (RFC 6817 section 2.4.2).
    private static let gain = 1.0
    /// Segments by which the window may be larger than what was under way (RFC 6817 section 2.4.2).
    private static let allowedIncrease = 1.0
    /// The part of a window that a round trip with too long a queue costs at most. RFC 6817 takes segments, which those
    /// who do not fill queues themselves (BBR) never feel; a part is what LEDBAT++ takes
    /// (draft-irtf-iccrg-ledbat-plus-plus, section 4.2).
    private static let mostDecrease = 0.5
    /// Segments of the first window, and of the smallest but after silence (RFC 6817 section 2.4.2).
    private static let leastSegments = 2.0
    /// The largest window: what a channel may hold in memory, as large as the request window is by default.
    static let most = 4.0 * 1024 * 1024
    /// Minutes whose least delays are kept (RFC 6817 section 2.4.2: BASE_HISTORY).
    private static let history = 10
    private static let period = Duration.seconds(60)
    /// Delays of which the least counts as the present one (RFC 6817: CURRENT_FILTER, 4 or more).
    private static let filter = 8
    /// The share of the target at which the first, quick growth ends.
    private static let slowStartShare = 0.75

    /// Octets of a datagram with a whole chunk.
    let segment: Double
    /// The queue that is aimed at, in microseconds.
    private let target: Double
    /// Octets that may be under way.
    private(set) var window: Double
    /// The window doubles in each round trip until the first queue or loss (RFC 7574 digest, section 7).
    private(set) var isSlowStart = true
    /// Microseconds, with whatever the two clocks differ by.
    private var base: [Double] = []
    private var baseSince: Instant?
    private var current: [Double] = []
    private var lastLoss: Instant?

    init(segment: Int, target: Duration = Self.target) {
        self.segment = Double(max(1, segment))
        self.target = Double(target.nanoseconds) / 1000
        window = Self.leastSegments * self.segment
    }

    /// How long our data wait on the way, in microseconds; nil while nothing was told.
    var queueing: Double? {
        guard let least = base.min(), let now = current.min() else { return nil }
        return max(0, now - least)
    }

    /// A chunk was so many microseconds late.
    mutating func sample(_ delay: UInt64, at now: Instant) {
        // The clocks may differ in either direction.
        let delay = Double(Int64(bitPattern: delay))
        if let since = baseSince, now - since < Self.period, !base.isEmpty {
            base[base.count - 1] = min(base[base.count - 1], delay)
        } else {
            base.append(delay)
            if base.count > Self.history { base.removeFirst() }
            baseSince = now
        }
        current.append(delay)
        if current.count > Self.filter { current.removeFirst() }
    }

    /// So many octets have arrived, of `flight` that were under way.
    mutating func acknowledge(_ octets: Int, of flight: Int) {
        let (octets, flight) = (Double(octets), Double(flight))
        let queueing = queueing ?? 0
        if isSlowStart, queueing > target * Self.slowStartShare { isSlowStart = false }
        if isSlowStart {
            // As long as it was used.
            window = max(window, min(window + octets, flight + octets))
        } else {
            let off = (target - queueing) / target
            if off > 0 {
                let grown = window + Self.gain * off * octets * segment / window
                window = max(window, min(grown, flight + Self.allowedIncrease * segment))
            } else {
                window -= min(Self.mostDecrease, -off) * min(octets, window)
            }
        }
        window = min(max(window, Self.leastSegments * segment), Self.most)
    }

    /// A chunk was lost: half of the window, at most once in a round trip.
    mutating func lose(at now: Instant, roundTrip: Duration) {
        if let lastLoss, now - lastLoss < roundTrip { return }
        lastLoss = now
        isSlowStart = false
        window = max(window / 2, Self.leastSegments * segment)
    }

    /// Nothing was heard for too long: one segment.
    mutating func silence(at now: Instant) {
        lastLoss = now
        window = segment
    }
}

/// How long the other side takes to answer, and how long it may (RFC 6298, as RFC 6817 wants it).
struct RoundTrip {
    /// Before anything was measured (RFC 6298 section 2), the least, since chunks are checked before they are
    /// acknowledged, and the longest (RFC 6298 section 2.5).
    private static let (first, least, longest) = (
        Duration.seconds(1), Duration.milliseconds(300), Duration.seconds(60)
    )
    /// Weights of a new measure in the mean and in its deviation, and how often that is added (RFC 6298 section 2.3).
    private static let (weight, deviationWeight, deviations) = (0.125, 0.25, 4.0)

    /// Seconds; nil while nothing was measured.
    private(set) var mean: Double?
    private var deviation = 0.0
    private var backOff = 1.0

    mutating func measure(_ time: Duration) {
        let seconds = time.fractionalSeconds
        backOff = 1
        guard let mean else {
            (self.mean, deviation) = (seconds, seconds / 2)
            return
        }
        deviation += (abs(seconds - mean) - deviation) * Self.deviationWeight
        self.mean = mean + (seconds - mean) * Self.weight
    }

    /// Nothing came in time: twice as long from now on.
    mutating func double() { backOff = min(backOff * 2, 64) }

    /// How long nothing may be heard of a chunk.
    var timeout: Duration {
        guard let mean else { return min(Self.longest, Self.first * backOff) }
        let time = Duration.nanoseconds(Int64((mean + Self.deviations * deviation) * 1e9))
        return min(Self.longest, max(Self.least, time) * backOff)
    }

    /// The mean, for decisions that need one.
    var duration: Duration { mean.map { .nanoseconds(Int64($0 * 1e9)) } ?? Self.first }
}
