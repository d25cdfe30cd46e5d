public import PeerCore

/// Things that happened, for the operator.
struct Counters {
    var offersSent = 0
    var requests = 0
    var fetchesFailed = 0
    var bytesFetched: UInt64 = 0
    var bytesVerified: UInt64 = 0
    /// Messages and connections that were refused, by reason.
    var rejected: [String: Int] = [:]

    var record: Record {
        var rejects = Record()
        for (reason, count) in rejected.sorted(by: { $0.key < $1.key }) { rejects[reason] = .count(count) }
        return [
            "offersSent": .count(offersSent), "requests": .count(requests), "fetchesFailed": .count(fetchesFailed),
            "bytesFetched": .count(bytesFetched), "bytesVerified": .count(bytesVerified),
            "rejected": .record(rejects),
        ]
    }
}

extension BePeer {
    /// One record of the protocol, then one for each folder.
    public func status() -> [Record] {
        let listeners = (configuration.messageAddress == nil ? 0 : 1) + 1
        let all: Record = [
            "listen": configuration.messageAddress.map { .text($0) } ?? .null,
            "http": .text(configuration.httpAddress),
            "listening": .bool(life.listening.count == listeners), "node": .string(NodeNumber.text(node)),
            "folders": .count(shown.count), "ready": .count(folders.count { $0.isReady }),
            "peers": .count(Set(folders.flatMap(\.trusted)).count),
            "connections": .count(talks.count), "fetches": .count(lanes.values.reduce(0, +)),
            "expectsPeers": .bool(folders.contains { !$0.settings.peers.isEmpty }),
            "counts": .record(counters.record),
        ]
        return [all] + shown.map { row(of: $0) }
    }

    /// The folders that are kept equal.
    var shown: [Int] { folders.indices.filter { !folders[$0].isLeft } }

    /// The line of a folder (BePeer section 11).
    func row(of folder: Int) -> Record {
        let shared = folders[folder]
        let state =
            switch shared.phase {
            case .recalling, .opening: "opening"
            case .ready: shared.partners.values.contains { $0.intake != nil } ? "fetching" : "ready"
            case .stopped: "stopped"
            }
        var row: Record = [
            "folder": .string(shared.name), "state": .string(state), "mode": .string(shared.settings.mode.rawValue),
            "files": .count(shared.index.liveFiles), "bytes": .count(shared.index.liveBytes),
            "missing": .count(missing(shared)), "changing": .count(shared.changing),
            "peers": .count(shared.trusted.count),
            "candidates": .count(shared.partners.values.count { $0.state == .candidate }),
            "deleted": .count(shared.index.deleted), "sequence": .count(shared.sequence),
            "watched": .bool(shared.isWatched), "path": .string(shared.settings.path),
        ]
        if case .stopped(let why) = shared.phase { row["why"] = .string(why) }
        if let last = shared.lastChange { row["lastChange"] = .time(last) }
        progress(of: folder, at: clock.instant)?.tell(&row)
        return row
    }

    /// Files that others have and we have not yet. Most peers have the same ones.
    private func missing(_ shared: SharedFolder) -> Int {
        shared.partners.values.map { partner in
            (partner.intake.map { $0.files.count - $0.next + $0.running } ?? 0) + (partner.manual?.names.count ?? 0)
        }.max() ?? 0
    }

    // MARK: - Rows for the operator

    func peerRows(all: Bool, at now: Instant) -> [Record] {
        folders.indices.flatMap { peerRows($0, all: all, at: now) }
    }

    func peerRows(_ folder: Int, all: Bool, at now: Instant) -> [Record] {
        folders[folder].partners.values.filter { all || $0.state == .trusted }.sorted { $0.ip < $1.ip }
            .map { row(of: $0, folder, at: now) }
    }

    func row(of partner: Partner, _ folder: Int, at now: Instant) -> Record {
        let port = partner.messagePort ?? Self.standardPort
        var row: Record = [
            "peer": .text(partner.ip), "address": .text(SocketAddress(partner.ip, port)), "protocol": "replication",
            "folder": .string(folders[folder].name), "state": .string(partner.state.rawValue),
            "reachable": .bool(partner.isReachable), "pending": .count(partner.pending.count),
            "offered": .bool(partner.isOutstanding), "failures": .count(partner.failures),
        ]
        if let isExtended = facts(of: partner)?.isExtended { row["extension"] = .bool(isExtended) }
        if let seen = partner.lastSeen { row["lastSeenSeconds"] = .seconds(now - seen) }
        progress(Tie(folder: folder, ip: partner.ip), at: now)?.tell(&row)
        return row
    }
}
