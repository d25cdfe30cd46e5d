internal import PeerCore

/// Our own call of a peer's port p: we say who we are, it says whom it knows (P+2 sections 4.1 to 4.3).
struct ListExchange {
    let connection: ConnectionID
    let peer: PeerIdentity
    let began: Instant
    /// Our end of the connection, once it is open.
    var local: SocketAddress?
    var lines: AnswerLines
    var told: [PeerIdentity] = []
    var got = 0
}

extension PPlusTwo {
    /// Calls whose turn it is, when it is time: one dial in ten seconds, never two at once (P+2 section 4.3).
    mutating func exchangeLists(at now: Moment, into effects: inout Effects) {
        guard isReady, exchange == nil else { return }
        if let last = lastExchange, now.instant < last + configuration.peerListInterval {
            return timers.set(.tick, at: last + configuration.peerListInterval)
        }
        guard let peer = peers.next(at: now.instant) else {
            if let next = peers.nextTry { timers.set(.tick, at: next) }
            return
        }
        peers.attempted(peer, at: now.instant)
        lastExchange = now.instant
        counters.listsAsked += 1
        let connection = effects.connect(
            to: .address(peer.address(of: .list)), from: sourceAddress,
            timeout: configuration.limits(of: .list).connectTimeout)
        exchange = ListExchange(
            connection: connection, peer: peer, began: now.instant, lines: AnswerLines(configuration.acceptedList))
    }

    /// From where we dial: on loopback from where we listen, so that peers see who we are.
    var sourceAddress: IPAddress? {
        configuration.listen.flatMap { $0.ip.isLoopback && !$0.ip.isUnspecified ? $0.ip : nil }
    }

    mutating func exchangeConnected(local: SocketAddress, at now: Moment, into effects: inout Effects) {
        guard let exchange else { return }
        self.exchange?.local = local
        guard !callers.values.contains(where: { $0.service == .list && $0.remote == local }) else {
            return isOurselves(at: now, into: &effects)
        }
        met(exchange.peer, at: now, into: &effects)
        effects.send(own.told(at: local.ip)?.line ?? Bytes(utf8: "\n"), on: exchange.connection)
        timers.set(.answer(exchange.connection), at: now.instant + configuration.answerTimeout)
    }

    /// Somebody has called port p: perhaps it was us (P+2 section 4.6).
    mutating func metOurselves(from remote: SocketAddress, at now: Moment, into effects: inout Effects) {
        if exchange?.local == remote { isOurselves(at: now, into: &effects) }
    }

    private mutating func isOurselves(at now: Moment, into effects: inout Effects) {
        guard let exchange else { return }
        own.met(exchange.peer)
        peers.remove(exchange.peer)
        effects.append(.abort(exchange.connection, .selfConnection))
        endExchange(exchange)
    }

    mutating func listCame(_ bytes: Bytes, at now: Moment, into effects: inout Effects) {
        guard var exchange else { return }
        for line in exchange.lines.take(bytes) {
            exchange.got += 1
            if let identity = PeerIdentity(line: line) { exchange.told.append(identity) }
        }
        self.exchange = exchange
        guard exchange.lines.isFull else { return }
        exchangeEnded(nil, at: now, into: &effects)
    }

    /// The answer is over: the other side ended it (or we have enough), or the connection broke for `reason`.
    mutating func exchangeEnded(_ reason: CloseReason?, at now: Moment, into effects: inout Effects) {
        guard let exchange else { return }
        endExchange(exchange)
        guard exchange.local != nil else {
            return failed(exchange.peer, reason ?? .systemError, at: now, into: &effects)
        }
        var added = 0
        if reason == nil {
            effects.append(exchange.lines.isFull ? .abort(exchange.connection, .limit) : .finish(exchange.connection))
            added = takeIn(exchange.told, from: exchange.peer, at: now)
        }
        var fields: Record = [
            "target": .text(exchange.peer), "got": .count(exchange.got), "added": .count(added),
            "ms": .milliseconds(now.instant - exchange.began),
        ]
        if let reason { fields["reason"] = .string(reason.rawValue) }
        effects.log(.info, "list_out", fields)
    }

    private mutating func endExchange(_ ended: ListExchange) {
        timers.cancel(.answer(ended.connection))
        exchange = nil
        life.needsSettling = true
    }

    /// Takes the new ones of an answer in; how many (P+2 section 4.2).
    mutating func takeIn(_ told: [PeerIdentity], from peer: PeerIdentity, at now: Moment) -> Int {
        var added = 0
        for identity in told where added < configuration.maxNewPeersPerAnswer && !own.contains(identity) {
            let belief = Belief(identity, .hearsay(from: peer.ip), configuration.access)
            guard belief != .refuse else { continue }
            let outcome = peers.learn(identity, isShared: belief == .share, isDirect: false, at: now.instant)
            if outcome == .added { added += 1 }
        }
        return added
    }
}

// MARK: - Peers come and go (P+2 section 4.4)

extension PPlusTwo {
    /// A connection to one of a peer's ports is open.
    mutating func met(_ peer: PeerIdentity, at now: Moment, into effects: inout Effects) {
        life.needsSettling = true
        guard peers.met(peer, at: now.instant) else { return }
        effects.log(.info, "peer_live", ["peer": .text(peer), "known": .count(peers.count(.live))])
    }

    /// A peer could not be reached.
    mutating func failed(
        _ peer: PeerIdentity, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        life.needsSettling = true
        // A limit of ours, or our end, is not the peer's fault.
        guard reason != .limit, reason != .shutdown, reason != .operatorRequest else { return }
        switch peers.failed(peer, at: now.instant) {
        case .retry(let pause):
            effects.log(
                .info, "peer_failed",
                ["peer": .text(peer), "reason": .string(reason.rawValue), "nextTrySeconds": .seconds(pause)])
        case .forgotten:
            effects.log(.info, "peer_forgotten", ["peer": .text(peer), "reason": .string(reason.rawValue)])
        case nil: break
        }
    }

    /// A peer's answer takes too long.
    mutating func answerTimedOut(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        effects.append(.abort(connection, .timeout))
        if exchange?.connection == connection {
            exchangeEnded(.timeout, at: now, into: &effects)
        } else {
            questionEnded(connection, .timeout, at: now, into: &effects)
        }
    }
}
