internal import PeerCore

/// Who is heard when more ask than may (gossip section 6.3): five INITs in ten seconds for each source address, and a
/// rate for all together.
///
/// While all together ask too often, the rate goes first to sources that have proven their address, then to those that
/// were turned away a moment ago and ask again (an honest newcomer does, a spoofed source hardly), then to new ones,
/// and last to those that were answered and did not echo. It is then spread over the second: who asks again after one
/// or two must not meet the same closed door each time.
struct Admission: Sendable {
    /// The limits of the configuration.
    struct Limits: Hashable, Sendable {
        var perSource: Int
        var window: Duration
        var perSecond: Int
    }

    private struct Source: Sendable {
        /// When the source would have used up nothing, if it asked at the allowed pace only (GCRA).
        var paid = Int64.min
        /// Half of the hash; 0: a free place.
        var tag: UInt32 = 0
        var memory = Memory.none
        /// When it was turned away, in ticks.
        var tick: UInt16 = 0
    }

    private enum Memory: UInt8 {
        case none
        case turnedAway
        case answered

        /// The part of the rate that a newcomer with this memory leaves to the ones before it.
        var reserve: Double {
            switch self {
            case .turnedAway: 1.0 / 32
            case .none: 1.0 / 16
            case .answered: 1.0 / 4
            }
        }
    }

    /// Sources remembered at once: at a flood of 10,000 in a second, 13 s.
    private static let places = 1 << 17
    /// Places in which one source may stand; the one that was quiet longest makes room.
    private static let ways = 4
    /// A sixteenth of a second.
    private static let tickNanoseconds: Int64 = 62_500_000
    /// Who was turned away and asks again within 2.5 s goes first: a client's first pauses are 1 and 2 s.
    private static let patienceTicks: UInt16 = 40
    /// Parts of the second over which the rate is spread.
    private static let spread = 8.0

    private var sources = [Source](repeating: Source(), count: places)
    private var all: RateWindow
    /// What sources that have proven nothing may use of an eighth of a second, within a second after one was refused.
    private var eighth: RateWindow
    private var lastRefusal: Instant?
    private var interval: Int64
    private var tolerance: Int64
    private let hash: KeyedHash

    init(_ limits: Limits, hash: KeyedHash) {
        self.hash = hash
        all = RateWindow(Double(limits.perSecond))
        eighth = RateWindow(Double(limits.perSecond) / Self.spread, parts: 3)
        interval = limits.window.nanoseconds / Int64(limits.perSource)
        tolerance = limits.window.nanoseconds - interval
    }

    /// Takes over other limits and keeps what it remembers.
    mutating func setLimits(_ limits: Limits) {
        let sources = sources
        self = Admission(limits, hash: hash)
        self.sources = sources
    }

    /// Why an INIT from `ip` is not heard; nil: it is. `isProven`: the source has proven its address.
    mutating func refusal(of ip: IPAddress, isProven: Bool, at now: Instant) -> InitRefusal? {
        let hashed = hash.ofHost(ip)
        let place = self.place(
            tag: UInt32(truncatingIfNeeded: hashed >> 32) | 1, set: Int(hashed % UInt64(Self.places)))
        let paid = max(sources[place].paid, now.nanoseconds)
        guard paid - now.nanoseconds <= tolerance else {
            sources[place].memory = .answered
            return .sourceRate
        }
        sources[place].paid = paid + interval
        guard !isProven else { return all.take(1, at: now) ? nil : .totalRate }
        let tick = UInt16(truncatingIfNeeded: now.nanoseconds / Self.tickNanoseconds)
        var memory = sources[place].memory
        if memory == .turnedAway, tick &- sources[place].tick > Self.patienceTicks { memory = .none }
        let isCrowded = lastRefusal.map { now - $0 < .seconds(1) } ?? false
        let isHeard =
            (!isCrowded || eighth.take(1, reserve: memory.reserve, at: now))
            && all.take(1, reserve: memory.reserve, at: now)
        if !isHeard { lastRefusal = now }
        sources[place].memory = isHeard || memory == .answered ? .answered : .turnedAway
        sources[place].tick = tick
        return isHeard ? nil : .totalRate
    }

    /// Where the source stands, after making room for it when it is new.
    private mutating func place(tag: UInt32, set: Int) -> Int {
        let start = set & ~(Self.ways - 1)
        var oldest = start
        for place in start..<start + Self.ways {
            if sources[place].tag == tag { return place }
            if sources[place].paid < sources[oldest].paid { oldest = place }
        }
        sources[oldest] = Source(tag: tag)
        return oldest
    }
}

/// Why an INIT got no answer, or no ID.
enum InitRefusal: Int, CaseIterable {
    /// Bytes that are no message, or none for a server.
    case malformed
    /// Its source address asked too often.
    case sourceRate
    /// All together asked too often.
    case totalRate
    /// Its address has as many IDs as it may.
    case addressQuota
    /// Its /24 or /48 has as many IDs as it may.
    case prefixQuota
    /// No ID is left.
    case noID

    /// The word in log and status.
    var name: String {
        switch self {
        case .malformed: "malformed"
        case .sourceRate: "sourceRate"
        case .totalRate: "totalRate"
        case .addressQuota: "addressQuota"
        case .prefixQuota: "prefixQuota"
        case .noID: "noID"
        }
    }
}
