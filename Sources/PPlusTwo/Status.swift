public import PeerCore

extension PPlusTwo {
    /// One record of the protocol.
    public func status() -> [Record] {
        let callers = { (service: Service) in self.callers.values.count { $0.service == service } }
        var record: Record = [
            "listen": configuration.listen.map { .text($0) } ?? .null,
            "listening": .bool(configuration.listen == nil || life.listening.count == Service.allCases.count),
            "peers": .count(peers.count(.live)), "candidates": .count(peers.count(.candidate)),
            "failed": .count(peers.count(.failed)), "tombstones": .count(peers.tombstones.count),
            "known": .count(peers.all.count), "bookRecalled": .bool(life.isRecalled),
            "expectsPeers": .bool(!configuration.initialPeers.isEmpty),
            "sharedFiles": .count(share.names.count), "sharedBytes": .count(share.names.totalOctets),
            "indexed": .bool(share.isKnown), "watched": .bool(share.isWatched), "digests": .count(hashes.count),
        ]
        record["listCallers"] = .count(callers(.list))
        record["queryCallers"] = .count(callers(.query))
        record["downloadCallers"] = .count(callers(.download))
        record["uploads"] = .count(uploads.running.count)
        record["uploadsWaiting"] = .count(uploads.waiting.count)
        record["searches"] = .count(searches.count)
        record["downloads"] = .count(downloads.count)
        if let last = lastExchange { record["lastExchangeSeconds"] = .seconds(clock.instant - last) }
        record["counts"] = .record(counters.record)
        return [record]
    }

    // MARK: - Rows for the operator

    /// The live peers in the order of the list, and with `all` every other one that is known.
    func peerRows(all: Bool, at now: Instant) -> [Record] {
        let list = peers.list.filter { all || $0.state == .live }
        let failed = all ? peers.all.filter { $0.state == .failed } : []
        return (list + failed).map { row(of: $0, at: now) }
    }

    func row(of entry: KnownPeers.Entry, at now: Instant) -> Record {
        var row: Record = [
            "peer": .text(entry.identity), "address": .text(entry.identity), "protocol": "files",
            "state": .string(entry.state.rawValue), "shared": .bool(entry.isShared), "initial": .bool(entry.isInitial),
        ]
        if let met = entry.lastMeeting { row["lastMetSeconds"] = .seconds(now - met) }
        if entry.state == .failed {
            row["failures"] = .count(entry.failures)
            row["nextTrySeconds"] = .seconds(max(.zero, entry.nextTry - now))
        }
        if let isExtended = entry.isExtended { row["extension"] = .bool(isExtended) }
        return row
    }

    /// Shared files whose names contain `text`, `limit` at most.
    func sharedRows(_ text: String, limit: Int) -> [Record] {
        share.names.indices(containing: Bytes(utf8: text)).prefix(limit).map { index in
            [
                "name": .string(String(decoding: share.names.name(index), as: UTF8.self)),
                "size": .count(share.names.sizes[index]), "modified": .time(share.names.times[index]),
            ]
        }
    }
}
