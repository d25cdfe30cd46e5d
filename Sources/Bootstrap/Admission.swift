internal import PeerCore

/// Who is heard when more ask than may (gossip section 6.3): five INITs in ten seconds for each source address, and a
/// rate for all together.
///
/// While all together ask too often, the rate goes first to sources that have proven their address, then to those that
/// were turned away a moment ago and ask again (an honest newcomer does, a spoofed source hardly), then to new ones,
/// and last to those that were answered and did not echo.
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
    }

    private enum Memory: UInt8 {
        case none
        case turnedAway
        case answered

        /// The part of the bucket that a newcomer with this memory leaves to the ones before it.
        var reserve: Double {
            switch self {
            case .turnedAway: 1.0 / 16
            case .none: 1.0 / 8
            case .answered: 1.0 / 4
            }
        }
    }

    /// Sources remembered at once: at 2,000 in a second, 16 s; at a flood of 10,000, 3 s, longer than a client's pause.
    private static let places = 1 << 15
    /// Places in which one source may stand; the one that was quiet longest makes room.
    private static let ways = 4

    private var sources = [Source](repeating: Source(), count: places)
    private var all: TokenBucket
    private var interval: Int64
    private var tolerance: Int64
    private let hash: KeyedHash

    init(_ limits: Limits, hash: KeyedHash) {
        self.hash = hash
        all = TokenBucket(perSecond: Double(limits.perSecond), capacity: Double(limits.perSecond))
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
        guard paid - now.nanoseconds <= tolerance else { return .sourceRate }
        sources[place].paid = paid + interval
        let isHeard = all.take(1, reserve: isProven ? 0 : sources[place].memory.reserve, at: now)
        if !isProven { sources[place].memory = isHeard ? .answered : .turnedAway }
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
