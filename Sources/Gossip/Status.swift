internal import Bootstrap
public import PeerCore

extension Gossip {
    /// One record of the protocol, one for each registered data type, and those of the bootstrap client.
    public func status() -> [Record] {
        let now = clock.instant
        let inbound = open.places.count { links[$0]?.isDialled == false }
        var record: Record = [
            "id": .count(bootstrap.id), "listen": .text(own.listener ?? configuration.p2pAddress),
            "api": .text(configuration.apiAddress), "listening": .bool(life.isListening),
            "peers": .count(open.count), "inbound": .count(inbound), "outbound": .count(open.count - inbound),
            "have": .count(open.count), "want": .count(configuration.degree), "expectsPeers": .bool(expectsNeighbours),
            "known": .count(candidates.count),
            "dialling": .count(calls.count), "handshaking": .count(pending.count),
            "connectsRefused": .count(counters.connectsRefused),
            "clients": .count(clientPlaces.count),
        ]
        if let heard = open.places.compactMap({ links[$0]?.heard }).max() {
            record["lastMessageSeconds"] = .seconds(now - heard)
        }
        record["openVotes"] = .count(votes.open)
        record["seen"] = .count(seen.count)
        record["kept"] = .count(cache.count)
        record["queuedBytes"] = .count(queuedBytes)
        record["items"] = .record(items)
        let subscriptions = topics.subscriptions.map {
            Record.Value.record(["type": .count($0.dataType), "clients": .count($0.count)])
        }
        record["subscriptions"] = .list(subscriptions)
        return [record] + bootstrap.status() + authors.status()
    }

    /// Octets that wait for neighbours and programs.
    var queuedBytes: Int {
        open.places.reduce(0) { $0 + (links[$1]?.outbox.octets ?? 0) }
            + clientPlaces.values.reduce(0) { $0 + clients[$1].outbox.octets }
    }

    /// Items by outcome.
    private var items: Record {
        var record: Record = [
            "announced": .count(counters.announced), "received": .count(counters.received),
            "duplicates": .count(counters.duplicates), "delivered": .count(counters.delivered),
            "valid": .count(counters.valid), "invalid": .count(counters.invalid),
            "timedOut": .count(counters.timedOut), "forwarded": .count(counters.forwarded),
            "told": .count(counters.told), "wanted": .count(counters.wanted),
            "unanswered": .count(counters.unanswered),
            "unknownVerdicts": .count(counters.unknownVerdicts), "unread": .count(counters.unreadDrops),
            "unsent": .count(counters.unsentDrops),
        ]
        var drops = Record()
        for reason in Drop.allCases { drops[reason.rawValue] = .count(counters.drops[reason] ?? 0) }
        record["dropped"] = .record(drops)
        return record
    }

    // MARK: - Rows for the operator

    func row(of place: Int, at now: Instant) -> Record {
        guard let link = links[place] else { return [:] }
        return [
            "peer": .string(link.name), "address": .text(link.remote),
            "direction": .string(link.isDialled ? "outbound" : "inbound"), "agent": .string(agent(of: link)),
            "seconds": .seconds(now - link.opened), "received": .count(link.receivedOctets),
            "sent": .count(link.sentOctets), "lastMessageSeconds": .seconds(now - link.heard),
            "protocol": "gossip", "neighbours": .count(link.neighbours), "firsts": .count(link.firsts),
            "duplicates": .count(link.duplicates), "invalid": .count(link.invalid), "items": .count(link.sent),
            "lost": .count(link.lost), "waiting": .count(link.outbox.octets), "score": .count(link.score),
        ]
    }

    /// The neighbours, and with `all` the other addresses that are known.
    func peerRows(all: Bool, at now: Instant) -> [Record] {
        let rows = open.places.map { row(of: $0, at: now) }
        guard all else { return rows }
        let connected = Set(open.places.compactMap { links[$0]?.endpoint })
        return rows
            + candidates.table.filter { !connected.contains($0.key) }.sorted { $0.key < $1.key }.map { address, entry in
                [
                    "peer": entry.id.map { .string("\($0)@\(address)") } ?? .null, "address": .text(address),
                    "state": "known", "source": .string(entry.source.rawValue), "failures": .count(entry.failures),
                    "nextTrySeconds": .seconds(max(.zero, entry.nextTry - now)),
                ]
            }
    }

    func clientRows(at now: Instant) -> [Record] {
        clientPlaces.sorted { $0.key < $1.key }.map { _, place in
            let client = clients[place]
            return [
                "client": .text(client.remote), "seconds": .seconds(now - client.opened),
                "types": .list(client.types.sorted().map { .count($0) }), "announced": .count(client.announced),
                "notified": .count(client.notified), "dropped": .count(client.dropped),
                "verdicts": .count(client.verdicts), "waiting": .count(client.outbox.octets),
                "held": .bool(heldClients.contains(place)),
            ]
        }
    }
}
