internal import PeerCore

/// Peers that could become neighbours (gossip section 5.7).
struct Candidates {
    enum Source: String {
        case configured
        case bootstrap
        case neighbour
        case `operator`
    }

    struct Candidate {
        /// The ID that it should have; nil: not known.
        var id: UInt16?
        let source: Source
        /// When it is forgotten; never when it is configured.
        var end: Instant
        var failures = 0
        var nextTry: Instant
    }

    /// Taken from one neighbour at most.
    static let takenFromOne = 64
    private static let life: Duration = .seconds(600)
    /// After a failure, doubling.
    private static let pause: Duration = .seconds(60)
    /// The same for configured ones, and for all while there is no neighbour at all: then nothing is more urgent.
    private static let urgentPause: Duration = .seconds(1)
    private static let longestPause: Duration = .seconds(3600)
    private static let longestUrgentPause: Duration = .seconds(60)
    /// A neighbour that was lost may be starting again.
    private static let returnPause: Duration = .seconds(1)

    private(set) var table: [SocketAddress: Candidate] = [:]
    private let capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
    }

    var count: Int { table.count }

    func id(of address: SocketAddress) -> UInt16? { table[address]?.id }

    /// Enters or renews an address; gives whether it was new.
    @discardableResult
    mutating func add(_ address: SocketAddress, id: UInt16?, _ source: Source, at now: Instant) -> Bool {
        let end = source == .configured ? Instant.never : now + Self.life
        if let known = table[address] {
            if known.end != .never { table[address]?.end = end }
            if source == .bootstrap || known.id == nil { table[address]?.id = id }
            return false
        }
        if table.count >= capacity { makeRoom(at: now) }
        guard table.count < capacity else { return false }
        table[address] = Candidate(id: id, source: source, end: end, nextTry: now)
        return true
    }

    /// Those that may be tried now, in the order of their addresses.
    func due(at now: Instant) -> [SocketAddress] {
        table.lazy.filter { $0.value.nextTry <= now && $0.value.end > now }.map(\.key).sorted()
    }

    mutating func tried(_ address: SocketAddress, at now: Instant) {
        table[address]?.nextTry = now + Self.pause
    }

    /// Nobody became our neighbour there; gives the pause before the next attempt.
    mutating func failed(_ address: SocketAddress, isLonely: Bool, at now: Instant) -> Duration? {
        guard let candidate = table[address] else { return nil }
        // The ID may be another one by now.
        table[address]?.id = nil
        table[address]?.failures += 1
        let isUrgent = isLonely || candidate.source == .configured
        var pause = isUrgent ? Self.urgentPause : Self.pause
        let longest = isUrgent ? Self.longestUrgentPause : Self.longestPause
        for _ in 0..<candidate.failures where pause < longest { pause = pause * 2 }
        pause = min(pause, longest)
        table[address]?.nextTry = now + pause
        return pause
    }

    mutating func succeeded(_ address: SocketAddress, id: UInt16, at now: Instant) {
        add(address, id: id, .neighbour, at: now)
        table[address]?.id = id
        table[address]?.failures = 0
    }

    /// A neighbour is gone; when that was not our own wish, it may be back soon.
    mutating func lost(_ address: SocketAddress, _ reason: CloseReason, id: UInt16, at now: Instant) {
        guard reason != .duplicate else { return }
        add(address, id: id, .neighbour, at: now)
        let isOurs = [.replaced, .operatorRequest, .banned, .limit, .malformed].contains(reason)
        let isConfigured = table[address]?.source == .configured
        table[address]?.nextTry = now + (isOurs && !isConfigured ? Self.pause : Self.returnPause)
    }

    /// After a long absence all that failed before is outdated.
    mutating func forgetFailures(at now: Instant) {
        for address in table.keys {
            table[address]?.failures = 0
            table[address]?.nextTry = now
        }
    }

    mutating func expire(at now: Instant) {
        table = table.filter { $0.value.end > now }
    }

    /// Takes one out.
    mutating func remove(_ address: SocketAddress) {
        table[address] = nil
    }

    /// The one that has failed most often, or was heard of longest ago, leaves.
    private mutating func makeRoom(at now: Instant) {
        expire(at: now)
        guard table.count >= capacity else { return }
        let worst = table.lazy.filter { $0.value.end != .never }.max { a, b in
            (a.value.failures, b.value.end, a.key) < (b.value.failures, a.value.end, b.key)
        }
        if let worst { table[worst.key] = nil }
    }
}
