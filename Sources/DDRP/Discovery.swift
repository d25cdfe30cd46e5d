internal import AddressBook
internal import PeerCore
internal import PeerCrypto

/// How we ask for addresses.
struct Exchange {
    /// An answer that comes later was not asked for (DDRP section 11).
    static let answerLimit: Duration = .seconds(10)
    /// Peers that are asked in a round (PIP-5: "a random subset").
    static let peersAtOnce = 3
    /// The first round after the first connection has opened. Peers answer once in 10 s, and at its opening it was
    /// asked.
    static let firstRound: Duration = .seconds(11)

    /// Peers of which it is known when they were last answered, whatever their connections.
    private static let capacity = 4096

    /// When we may look for somebody to ask again, outside of the rounds.
    var nextSearch = Instant(nanoseconds: .min)
    private var answered: [Bytes32: Instant] = [:]

    /// Whether a PeerReq of `peer` is answered: not within `pause` of the last answer.
    mutating func takeAnswer(for peer: Bytes32, pause: Duration, at now: Instant) -> Bool {
        if let last = answered[peer], now - last < pause { return false }
        if answered.count >= Self.capacity { answered = answered.filter { now - $0.value < pause } }
        guard answered.count < Self.capacity else { return false }
        answered[peer] = now
        return true
    }
}

// MARK: - Asking (PIP-5, DDRP section 11)

extension DDRP {
    /// Whether a further connection is wanted, those on the way counted.
    var missing: Int { configuration.targetOutbound - counted.count - fillsUnderWay }

    /// Whether the target is not reached.
    var isBelowTarget: Bool { counted.count < configuration.targetOutbound }

    /// A peer is asked as soon as it is there, below the target (decision 16); the first one always.
    mutating func askAtOpening(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard isBelowTarget || links.count == 1 else { return }
        ask(connection, at: now, into: &effects)
        if !timers.isSet(.exchange) { timers.set(.exchange, at: now.instant + Exchange.firstRound) }
    }

    private mutating func ask(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        links[connection]?.asked = now.instant
        links[connection]?.awaitsPeers = true
        send(.peerReq, on: connection, at: now, into: &effects)
    }

    var exchangeInterval: Duration {
        isBelowTarget ? configuration.peerExchangeInterval : configuration.peerExchangeIdleInterval
    }

    /// The round of the text: a random subset of up to 3 peers.
    mutating func exchangePeers(at now: Moment, into effects: inout Effects) {
        timers.set(.exchange, at: now.instant + exchangeInterval)
        var others = links.keys.filter { canAsk($0, after: Exchange.answerLimit, at: now.instant) }.sorted()
        others.shuffle(using: &random)
        for connection in others.prefix(Exchange.peersAtOnce) { ask(connection, at: now, into: &effects) }
    }

    /// Below the target, with nobody to dial and no answer awaited: the next peer is asked at once (decision 16).
    mutating func seekAddresses(at now: Moment, into effects: inout Effects) {
        guard missing > 0, initiators.isEmpty else { return }
        guard now.instant >= exchange.nextSearch else { return timers.set(.seek, at: exchange.nextSearch) }
        // The search looks at all links; more than once a second it has nothing new to find, unless an answer came.
        exchange.nextSearch = now.instant + .seconds(1)
        let ends = links.values.compactMap { $0.awaitsPeers ? $0.asked.map { $0 + Exchange.answerLimit } : nil }
        if let last = ends.max(), now.instant < last { return timers.set(.seek, at: last) }
        let others = links.keys.filter { canAsk($0, after: configuration.peerExchangeInterval, at: now.instant) }
        guard let next = others.sorted().randomElement(using: &random) else { return }
        ask(next, at: now, into: &effects)
        timers.set(.seek, at: now.instant + Exchange.answerLimit)
    }

    private func canAsk(_ connection: ConnectionID, after pause: Duration, at now: Instant) -> Bool {
        guard let asked = links[connection]?.asked else { return true }
        return now - asked >= pause
    }
}

// MARK: - Answers

extension DDRP {
    /// Tells a peer that asks the addresses of others, once in 10 s.
    mutating func answerPeers(
        _ connection: ConnectionID, _ link: Link, at now: Moment, into effects: inout Effects
    ) {
        guard exchange.takeAnswer(for: link.peer, pause: configuration.peerResponseInterval, at: now.instant) else {
            counters.ignoredPeerReqs += 1
            return
        }
        let port = configuration.standardPort
        let (asker, ourselves, denials) = (link.peer, identity.peerID, denials)
        let entries = book.sample(
            configuration.maxSentPeers,
            excluding: { entry in
                guard let peer = entry.identity else { return true }
                return peer == asker || peer == ourselves || entry.address.port != port
                    || denials.contains(entry.address.ip, at: now.instant)
            }, using: &random)
        let peers = entries.compactMap { entry in
            entry.identity.map { PeerEntry(ip: entry.address.ip, port: port, peerID: $0) }
        }
        send(.peerRes(PeerRes(peers: peers)), on: connection, at: now, into: &effects)
    }

    /// Takes over what a peer tells that we have asked, once, and in time.
    mutating func usePeers(
        _ response: PeerRes, of connection: ConnectionID, _ link: Link, at now: Moment, into effects: inout Effects
    ) {
        guard link.awaitsPeers, let asked = link.asked, now.instant - asked <= Exchange.answerLimit else {
            counters.unsolicitedPeerRes += 1
            effects.log(
                .debug, "peers_unsolicited", ["peer": .text(link.peer), "received": .count(response.peers.count)])
            return
        }
        links[connection]?.awaitsPeers = false
        exchange.nextSearch = now.instant
        var new = 0
        for entry in response.peers where enterIntoBook(entry, from: link.peer, at: now) { new += 1 }
        effects.log(
            .info, "peer_exchange",
            [
                "peer": .text(link.peer), "received": .count(response.peers.count), "new": .count(new),
                "known": .count(book.count), "seconds": .seconds(now.instant - asked),
            ])
        life.needsSettling = true
    }

    /// Whether an entry of a PeerRes was new to us. The book refuses what nobody should dial.
    private mutating func enterIntoBook(_ entry: PeerEntry, from peer: Bytes32, at now: Moment) -> Bool {
        let port = configuration.standardPort
        guard entry.port ?? port == port, entry.peerID != identity.peerID, peers[entry.peerID] == nil,
            !denials.contains(entry.ip, at: now.instant)
        else { return false }
        let address = SocketAddress(entry.ip, port)
        if case .added = book.add(address, identity: entry.peerID, from: .peer(peer), at: now) { return true }
        return false
    }
}
