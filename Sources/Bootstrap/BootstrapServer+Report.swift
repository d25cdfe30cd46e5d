public import PeerCore

/// What a bootstrap server counts.
struct BootstrapCounters: Sendable {
    /// At most one report of refusals in 10 s, and a second to gather the first ones.
    private static let reportPause = Duration.seconds(10)
    private static let gathering = Duration.seconds(1)

    var inits: UInt64 = 0
    var answers: UInt64 = 0
    var validatedByEcho: UInt64 = 0
    var validatedByProbe: UInt64 = 0
    /// Listed entries that were not renewed, or failed their probes.
    var expired: UInt64 = 0
    /// Provisional entries that were not validated in time.
    var lapsed: UInt64 = 0
    var disconnected: UInt64 = 0
    private var refused = [UInt64](repeating: 0, count: InitRefusal.allCases.count)
    private var reported = [UInt64](repeating: 0, count: InitRefusal.allCases.count)
    private var lastReport: Instant?
    /// When refusals are to be told.
    private(set) var reportAt: Instant?

    mutating func refused(_ reason: InitRefusal, at now: Instant) {
        refused[reason.rawValue] += 1
        guard reportAt == nil else { return }
        reportAt = max(now + Self.gathering, lastReport.map { $0 + Self.reportPause } ?? now)
    }

    /// Refusals since the last report by reason, when they are to be told.
    mutating func report(at now: Instant) -> Record? {
        guard let due = reportAt, due <= now else { return nil }
        var record = Record()
        for reason in InitRefusal.allCases {
            let number = refused[reason.rawValue] - reported[reason.rawValue]
            if number > 0 { record[reason.name] = .count(number) }
        }
        record["seconds"] = .seconds(lastReport.map { now - $0 } ?? Self.gathering)
        reported = refused
        lastReport = now
        reportAt = nil
        return record
    }

    var refusals: Record {
        InitRefusal.allCases.reduce(into: Record()) { $0[$1.name] = .count(refused[$1.rawValue]) }
    }
}

extension BootstrapServer {
    /// Entries of one answer record of `entries`.
    private static let rowsAtOnce = 512

    /// One record: entries by state, what was asked and answered, and what was refused by reason.
    public func status() -> [Record] {
        [
            [
                "listen": .text(address ?? configuration.listen), "listening": .bool(address != nil),
                "provisional": .count(table.provisionalCount), "listed": .count(table.listedCount),
                "probing": .count(prober.count), "freeIDs": .count(table.freeCount),
                "inits": .count(counters.inits), "answers": .count(counters.answers),
                "validatedByEcho": .count(counters.validatedByEcho),
                "validatedByProbe": .count(counters.validatedByProbe), "expired": .count(counters.expired),
                "lapsed": .count(counters.lapsed), "disconnected": .count(counters.disconnected),
                "refused": .record(counters.refusals),
            ]
        ]
    }

    /// `status`, and `entries`: a row for each peer, in order of the IDs.
    func carryOut(_ command: Command, _ id: CommandID, into effects: inout Effects) {
        switch command.name {
        case "status": effects.reply(id, status())
        case "entries":
            var rows: [Record] = []
            for peer in UInt16(1)..<UInt16.max where table[peer].state.isListed || table[peer].state.isProvisional {
                if rows.count == Self.rowsAtOnce {
                    effects.reply(id, rows, .more)
                    rows = []
                }
                rows.append(row(peer))
            }
            effects.reply(id, rows)
        default: effects.reply(id, [], .refused("the bootstrap server has no command `\(command.name)`"))
        }
    }

    private func row(_ id: UInt16) -> Record {
        let state: String =
            switch table[id].state {
            case .free: "free"
            case .resting: "resting"
            case .provisional, .claimed: "provisional"
            case .probed: "probed"
            case .echoed: "echoed"
            }
        return ["id": .count(id), "address": .text(table[id].address), "state": .string(state)]
    }
}
