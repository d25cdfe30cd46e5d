internal import PeerCore

/// Things that happened, for the operator (gossip section 7).
struct Counters {
    /// Items of local programs.
    var announced = 0
    /// Items of neighbours, copies included.
    var received = 0
    var duplicates = 0
    /// Notifications to local programs.
    var delivered = 0
    var valid = 0
    var invalid = 0
    var timedOut = 0
    /// Copies to neighbours.
    var forwarded = 0
    /// Names of items, told to neighbours instead of copies.
    var told = 0
    /// Items that neighbours were asked for.
    var wanted = 0
    /// IWANT that found nothing here.
    var unanswered = 0
    /// Verdicts on questions that are not open.
    var unknownVerdicts = 0
    /// Notifications that a program did not take.
    var unreadDrops = 0
    /// Items that a neighbour did not take.
    var unsentDrops = 0
    /// CONNECT above the limits.
    var connectsRefused = 0
    var drops: [Drop: Int] = [:]
}

/// What the log has been told.
struct Reports {
    enum Standing {
        /// Nothing was said yet.
        case unknown
        /// `peers_low` was said.
        case low
        /// `peers_ok` was said.
        case ok
    }

    var standing = Standing.unknown
    var limits: [String: Instant] = [:]
    /// A limit that acts is told once in this time.
    static let limitPause: Duration = .seconds(60)
}

extension Gossip {
    /// A node that has just started is given this time before it complains.
    static let firstReportDelay: Duration = .seconds(5)
    private static let reportInterval: Duration = .seconds(60)

    /// Whether somebody is expected to be there.
    var expectsNeighbours: Bool { !configuration.bootstrap.isEmpty || !configuration.peers.isEmpty }

    private var standing: Record {
        ["have": .count(open.count), "want": .count(configuration.degree), "known": .count(candidates.count)]
    }

    /// Says when the node has neighbours, or lost the last one, each once.
    mutating func reportNeighbours(at now: Moment, into effects: inout Effects) {
        switch reports.standing {
        case .unknown, .low:
            guard !open.isEmpty else { return }
            reports.standing = .ok
            timers.cancel(.report)
            effects.log(.info, "peers_ok", standing)
        case .ok:
            guard open.isEmpty, expectsNeighbours else { return }
            remindOfNeighbours(at: now, into: &effects)
        }
    }

    mutating func remindOfNeighbours(at now: Moment, into effects: inout Effects) {
        guard open.isEmpty, expectsNeighbours, !life.isStopping else { return }
        reports.standing = .low
        timers.set(.report, at: now.instant + Self.reportInterval)
        var fields = standing
        fields["calling"] = .count(calls.count + pending.count)
        effects.log(.warn, "peers_low", fields, "what local programs announce reaches nobody else")
    }

    /// Tells that a setting of ours keeps somebody out.
    mutating func reportLimit(
        _ setting: String, _ value: Int, _ message: String, at now: Moment, into effects: inout Effects
    ) {
        if let last = reports.limits[setting], now.instant - last < Reports.limitPause { return }
        reports.limits[setting] = now.instant
        effects.log(
            .warn, "limit_hit", ["setting": .string("/gossip/\(setting)"), "value": .count(value)], message)
    }
}
