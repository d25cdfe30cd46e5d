internal import PeerCore

/// Connection attempts that show whether somebody listens at an endpoint (gossip section 6.2). Nothing is sent on them.
struct Prober: Sendable {
    /// The limits of the configuration.
    struct Limits: Hashable, Sendable {
        var perSecond: Int
        var addressInterval: Duration
        /// An endpoint that refused is not asked again for so long, unless it is listed.
        var refusalMemory: Duration
    }

    /// What a connection attempt is for.
    struct Probe: Sendable {
        let id: UInt16
        let address: SocketAddress
    }

    /// The part of the rate that stays for listed peers: newcomers, who may be spoofed, must not use up all of it.
    private static let reserve = 0.2

    private var limits: Limits
    private var rate: RateWindow
    private var running: [ConnectionID: Probe] = [:]
    private var recent = RecentSet<IPAddress>()
    private var refused = RecentSet<SocketAddress>()

    init(_ limits: Limits) {
        self.limits = limits
        rate = RateWindow(Double(limits.perSecond), parts: 31)
    }

    /// Takes over other limits.
    mutating func setLimits(_ limits: Limits) {
        self.limits = limits
        rate = RateWindow(Double(limits.perSecond), parts: 31)
    }

    /// Number of attempts under way.
    var count: Int { running.count }

    /// The attempts under way, oldest first.
    var connections: [ConnectionID] { running.keys.sorted() }

    /// Whether an endpoint may be probed now; if so, it counts.
    mutating func mayBegin(_ address: SocketAddress, isListed: Bool, at now: Instant) -> Bool {
        guard !recent.contains(address.ip, at: now), isListed || !refused.contains(address, at: now),
            rate.take(1, reserve: isListed ? 0 : Self.reserve, at: now)
        else { return false }
        recent.insert(address.ip, until: now + limits.addressInterval, at: now)
        return true
    }

    mutating func begin(_ connection: ConnectionID, _ probe: Probe) {
        running[connection] = probe
    }

    /// An attempt ended. Gives what it was for; nil when it was none of these.
    mutating func end(_ connection: ConnectionID, isOpen: Bool, at now: Instant) -> Probe? {
        guard let probe = running.removeValue(forKey: connection) else { return nil }
        if !isOpen { refused.insert(probe.address, until: now + limits.refusalMemory, at: now) }
        return probe
    }
}

/// Keys that are remembered for some time, those of one set for the same time; at most so many, the oldest leave first.
struct RecentSet<Key: Hashable & Sendable>: Sendable {
    /// At 50 probes in a second, those of the last 80 s.
    private static var capacity: Int { 4096 }

    private var until: [Key: Instant] = [:]
    private var queue: [(key: Key, until: Instant)] = []
    private var head = 0

    func contains(_ key: Key, at now: Instant) -> Bool {
        until[key].map { now < $0 } ?? false
    }

    mutating func insert(_ key: Key, until end: Instant, at now: Instant) {
        until[key] = end
        queue.append((key, end))
        while head < queue.count, queue[head].until <= now || queue.count - head > Self.capacity {
            // A key that was inserted again since has a later end of its own.
            if until[queue[head].key] == queue[head].until { until[queue[head].key] = nil }
            head += 1
        }
        if head > Self.capacity {
            queue.removeFirst(head)
            head = 0
        }
    }
}
