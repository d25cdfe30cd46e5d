internal import AddressBook
internal import PeerCore

/// What the log has been told.
struct Reports {
    /// Whether there are enough peers, as the log knows it.
    enum Standing {
        /// Nothing was said yet.
        case unknown
        /// `peers_low` was said.
        case low
        /// `peers_ok` was said, with so many.
        case ok(have: Int)
    }

    /// A limit that acts is told once in this time.
    static let limitPause: Duration = .seconds(60)

    var standing = Standing.unknown
    /// How dials ended since there were enough peers.
    var outcomes: [String: Int] = [:]
    var limits: [String: Instant] = [:]
}

/// Things that happened, for the operator.
struct Counters {
    var unknownMessages = 0
    var ignoredPeerReqs = 0
    var unsolicitedPeerRes = 0
    var violations = 0
}

extension DDRP {
    /// A node that has just started is given this time before it complains.
    static let firstReportDelay: Duration = .seconds(5)
    /// It complains again after this time.
    private static let reportInterval: Duration = .seconds(60)

    mutating func count(outcome: String) {
        reports.outcomes[outcome, default: 0] += 1
    }

    /// Whether an address is left that is not connected and has not failed.
    func hasUntried(at now: Instant) -> Bool {
        let taken = taken(at: now)
        return book.hasCandidates { $0.failures > 0 || taken.contains($0) }
    }

    /// Says when there are enough peers, or too few, each once. As many as there can be are enough (decision 18).
    mutating func reportPeers(at now: Moment, into effects: inout Effects) {
        let have = counted.count
        switch reports.standing {
        case .ok(let before) where have >= before || !isBelowTarget:
            if before < configuration.targetOutbound, !isBelowTarget { reportEnough(into: &effects) }
        case .ok, .low, .unknown:
            if !isBelowTarget || have > 0 && initiators.isEmpty && !hasUntried(at: now.instant) {
                reportEnough(into: &effects)
            } else if case .ok = reports.standing {
                // The next round of questions may be an hour away.
                timers.set(.exchange, at: now.instant + configuration.peerExchangeInterval)
                reportTooFew(at: now, into: &effects)
            }
        }
    }

    private mutating func reportEnough(into effects: inout Effects) {
        reports.standing = .ok(have: counted.count)
        reports.outcomes = [:]
        timers.cancel(.report)
        var fields: Record = ["have": .count(counted.count), "want": .count(configuration.targetOutbound)]
        if isBelowTarget { fields["candidates"] = 0 }
        fields["inbound"] = .count(inboundCount)
        effects.log(.info, "peers_ok", fields, isBelowTarget ? "no other peer is known" : "")
    }

    private mutating func reportTooFew(at now: Moment, into effects: inout Effects) {
        reports.standing = .low
        timers.set(.report, at: now.instant + Self.reportInterval)
        var attempts = Record()
        for (outcome, number) in reports.outcomes.sorted(by: { $0.key < $1.key }) { attempts[outcome] = .count(number) }
        effects.log(
            .warn, "peers_low",
            [
                "have": .count(counted.count), "want": .count(configuration.targetOutbound),
                "inbound": .count(inboundCount), "known": .count(book.count), "dialling": .count(initiators.count),
                "attempts": .record(attempts),
            ])
    }

    /// Below the target for a while: says so, again.
    mutating func remindOfPeers(at now: Moment, into effects: inout Effects) {
        if isBelowTarget { reportTooFew(at: now, into: &effects) }
    }

    /// Tells that a setting of ours keeps somebody out.
    mutating func reportLimit(_ setting: String, _ value: Int, at now: Moment, into effects: inout Effects) {
        if let last = reports.limits[setting], now.instant - last < Reports.limitPause { return }
        reports.limits[setting] = now.instant
        effects.log(
            .warn, "limit_hit", ["setting": .string("/ddrp/\(setting)"), "value": .count(value)],
            "a connection was refused to protect this node")
    }
}
