internal import AddressBook
internal import Bootstrap
public import PeerCore
internal import PeerCrypto

extension DDRP {
    /// One record of the protocol, and those of the bootstrap client. Ages are those at the last input.
    public func status() -> [Record] {
        let now = clock.instant
        var record: Record = [
            "peer": .text(identity.peerID), "listen": .text(own.listener ?? configuration.listen),
            "listening": .bool(own.listener != nil),
            "peers": .count(links.count), "inbound": .count(inboundCount),
            "outbound": .count(links.count - inboundCount), "have": .count(counted.count),
            "want": .count(configuration.targetOutbound), "dialling": .count(initiators.count),
            "handshaking": .count(responders.count), "known": .count(book.count),
            "bookRecalled": .bool(life.isBookRecalled),
        ]
        if let heard = links.values.map(\.heard).max() { record["lastMessageSeconds"] = .seconds(now - heard) }
        record["unknownMessages"] = .count(counters.unknownMessages)
        record["unsolicitedPeerRes"] = .count(counters.unsolicitedPeerRes)
        record["ignoredPeerReq"] = .count(counters.ignoredPeerReqs)
        record["violations"] = .count(counters.violations)
        var attempts = Record()
        for (outcome, number) in reports.outcomes.sorted(by: { $0.key < $1.key }) { attempts[outcome] = .count(number) }
        record["attempts"] = .record(attempts)
        return [record] + (bootstrap?.status() ?? [])
    }

    // MARK: - Rows for the operator

    /// The connected peers in the order of their connections, and with `all` the addresses that are not connected.
    func peerRows(all: Bool, at now: Instant) -> [Record] {
        let rows = links.keys.sorted().map { row(of: $0, at: now) }
        let taken = taken(at: now)
        return all ? rows + book.entries.filter { !taken.contains($0) }.map { bookRow($0, at: now) } : rows
    }

    func row(of connection: ConnectionID, at now: Instant) -> Record {
        guard let link = links[connection] else { return [:] }
        return [
            "peer": .text(link.peer), "address": .text(link.remote), "direction": .string(link.direction.rawValue),
            "dialect": .string(link.dialect.rawValue), "agent": .string(link.agentText),
            "seconds": .seconds(now - link.opened),
            "received": .count(link.received.octets), "sent": .count(link.sent.octets),
            "messagesReceived": .count(link.received.messages), "messagesSent": .count(link.sent.messages),
            "lastEnvelopeSeconds": .seconds(now - link.heard),
            "handshakeSeconds": .seconds(link.handshakeRoundTrip),
            "protocol": "ddrp", "listens": .text(link.listens), "counted": .bool(counted.contains(connection)),
        ]
    }

    /// DDRP's Pings are not answered, so this is what is known of the way to a peer (decision 21).
    func pingRow(_ connection: ConnectionID, at now: Instant) -> Record {
        guard let link = links[connection] else { return [:] }
        return [
            "peer": .text(link.peer), "address": .text(link.remote),
            "lastEnvelopeSeconds": .seconds(now - link.heard),
            "handshakeSeconds": .seconds(link.handshakeRoundTrip),
        ]
    }

    func bookRow(_ entry: AddressBook.Entry, at now: Instant) -> Record {
        let isTaken = taken(at: now).contains(entry)
        var record: Record = [
            "peer": entry.identity.map { .text($0) } ?? .null, "address": .text(entry.address),
            "state": .string(isTaken ? "connected" : "known"), "source": .text(entry.source),
            "verified": .bool(entry.isVerified), "successes": .count(entry.successes),
            "failures": .count(entry.failures),
        ]
        if !isTaken { record["nextTrySeconds"] = .seconds(max(.zero, entry.nextTry - now)) }
        if let dialect = Dialect(rawValue: entry.note) { record["dialect"] = .string(dialect.rawValue) }
        if let seen = entry.lastSeen { record["lastSeen"] = .time(seen) }
        if let success = entry.lastSuccess { record["lastSuccess"] = .time(success) }
        return record
    }
}
