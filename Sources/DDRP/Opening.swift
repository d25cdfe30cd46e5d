internal import AddressBook
internal import PeerCore
internal import PeerCrypto

// MARK: - A handshake has ended well

extension DDRP {
    /// Two connections of a pair of peers that open within this time were dialled at once (decision 16).
    private static let simultaneity: Duration = .seconds(5)

    /// The peer has proved who it is: compares it with ourselves, the one expected, the ones connected (DDRP
    /// section 8), and keeps the connection or not.
    mutating func open(_ connection: ConnectionID, _ link: Link, at now: Moment, into effects: inout Effects) {
        let initiator = takeInitiator(connection)
        dropResponder(connection)
        life.needsSettling = true
        if link.peer == identity.peerID {
            metOurselves(connection, link, initiator, at: now, into: &effects)
        } else if let expected = initiator?.expected, expected != link.peer {
            wrongPeer(connection, link, initiator, at: now, into: &effects)
        } else if let rival = peers[link.peer] {
            settleDuplicate(connection, link, initiator, rival: rival, at: now, into: &effects)
        } else if link.direction == .inbound, inboundCount >= configuration.maxInbound {
            reportLimit("maxInbound", configuration.maxInbound, at: now, into: &effects)
            effects.append(.abort(connection, .limit))
            logRefusal(
                role: "responder", step: "identity", Fault(.limit, "there is no room for further peers"),
                address: link.remote, dialect: link.dialect, peer: link.peer, into: &effects)
        } else {
            admit(connection, link, initiator, at: now, into: &effects)
        }
    }

    /// The connection is a link from here on.
    private mutating func admit(
        _ connection: ConnectionID, _ link: Link, _ initiator: Initiator?, at now: Moment,
        into effects: inout Effects
    ) {
        let counts = countsForTarget(link)
        putIn(connection, link, counts: counts, at: now)
        if !counts, link.isPeernode, isBelowTarget { substitutes.insert(connection) }
        enterIntoBook(link, at: now)
        effects.log(
            .info, "peer_up",
            [
                "peer": .text(link.peer), "address": .text(link.remote), "direction": .string(link.direction.rawValue),
                "protocol": "ddrp", "agent": .string(link.agentText), "dialect": .string(link.dialect.rawValue),
            ])
        answerCommands(of: initiator, connection, at: now, into: &effects)
        if let purpose = initiator?.purpose { makeRoom(for: connection, purpose, at: now, into: &effects) }
        askAtOpening(connection, at: now, into: &effects)
        readEnvelopes(connection, at: now, into: &effects)
    }

    /// Decision 18. An inbound connection must leave room for the dials under way, so that the target is not passed.
    private func countsForTarget(_ link: Link) -> Bool {
        link.direction == .outbound || link.isPeernode && missing > 0
    }

    /// Takes substitutes for dials that have failed, in the order of their opening. At the target none is needed.
    mutating func countSubstitutes() {
        guard isBelowTarget else { return substitutes = [] }
        while missing > 0, let first = substitutes.min() {
            substitutes.remove(first)
            counted.insert(first)
        }
    }

    /// Puts a link into all tables.
    private mutating func putIn(_ connection: ConnectionID, _ link: Link, counts: Bool, at now: Moment) {
        links[connection] = link
        peers[link.peer] = connection
        if counts { counted.insert(connection) }
        if link.direction == .inbound { inboundCount += 1 }
        occupied[link.listens, default: 0] += 1
        setLivenessTimers(of: connection, at: now.instant)
    }

    private mutating func enterIntoBook(_ link: Link, at now: Moment) {
        if link.direction == .outbound {
            count(outcome: "connected")
            retries.succeeded(link.listens)
            book.succeeded(link.listens, identity: link.peer, note: link.dialect.rawValue, at: now)
            probing.found(link.listens)
        } else {
            _ = book.add(link.listens, identity: link.peer, from: .inbound, at: now)
        }
    }
}

// MARK: - Who it is

extension DDRP {
    private mutating func metOurselves(
        _ connection: ConnectionID, _ link: Link, _ initiator: Initiator?, at now: Moment,
        into effects: inout Effects
    ) {
        let fault = Fault(.selfConnection, "this is ourselves")
        effects.append(.abort(connection, fault.reason))
        logRefusal(
            role: link.direction == .outbound ? "initiator" : "responder", step: "identity", fault,
            address: link.remote, dialect: link.dialect, peer: link.peer, into: &effects)
        guard let initiator else { return }
        rememberOwn(link.listens, into: &effects)
        count(outcome: fault.reason.rawValue)
        refuseCommands(of: initiator, "\(link.remote) is this node itself", into: &effects)
    }

    /// Another peer answered than the one that a seed or the operator named.
    private mutating func wrongPeer(
        _ connection: ConnectionID, _ link: Link, _ initiator: Initiator?, at now: Moment,
        into effects: inout Effects
    ) {
        guard let initiator else { return }
        let fault = Fault(.wrongIdentity, "another peer answered than the one asked for")
        effects.append(.abort(connection, fault.reason))
        logRefusal(
            role: "initiator", step: "identity", fault, address: link.remote, dialect: link.dialect, peer: link.peer,
            into: &effects)
        failed(initiator, fault, at: now, into: &effects)
    }

    /// One connection for each pair: the later one is closed, the first stays (DDRP section 12), unless
    ///
    /// * both were dialled at once by two peernodes: then the one dialled by the lower peer ID stays (decision 16);
    /// * the first has been silent for two Pings: then its peer has come back before we missed it.
    private mutating func settleDuplicate(
        _ connection: ConnectionID, _ link: Link, _ initiator: Initiator?, rival: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) {
        guard let first = links[rival] else { return }
        if now.instant - first.heard > configuration.pingInterval * 2 {
            close(rival, Fault(.replaced, "the peer came back"), at: now, into: &effects)
            admit(connection, link, initiator, at: now, into: &effects)
            return
        }
        let counts = initiator?.purpose == .fill || counted.contains(rival)
        let keepsFirst = !isBetter(link, than: first)
        let kept = keepsFirst ? first : link
        effects.append(.finish(keepsFirst ? connection : rival))
        effects.log(
            .info, "duplicate",
            [
                "peer": .text(link.peer), "address": .text(kept.remote),
                "direction": .string(kept.direction.rawValue), "kept": .string(keepsFirst ? "first" : "second"),
            ], "connected twice; one connection is kept")
        if !keepsFirst {
            takeFromTables(rival, first)
            putIn(connection, link, counts: counts, at: now)
        } else if counts {
            counted.insert(rival)
        }
        if link.direction == .outbound { enterIntoBook(link, at: now) }
        if keepsFirst {
            refuseCommands(of: initiator, "\(link.peer) is connected already, at \(first.remote)", into: &effects)
        } else {
            answerCommands(of: initiator, connection, at: now, into: &effects)
            askAtOpening(connection, at: now, into: &effects)
            readEnvelopes(connection, at: now, into: &effects)
        }
    }

    /// Decision 16: of two connections dialled at once by two peernodes the one that the lower ID dialled is kept.
    private func isBetter(_ second: Link, than first: Link) -> Bool {
        guard second.isPeernode, first.direction != second.direction,
            second.opened - first.opened <= Self.simultaneity
        else { return false }
        let dialler = identity.peerID < second.peer ? Direction.outbound : .inbound
        return second.direction == dialler
    }
}

// MARK: - The end of a link

extension DDRP {
    /// A connection that was lost within this time after opening was one too many for the other side (DDRP
    /// section 12, "simultaneous dialling").
    private static let shortLife: Duration = .seconds(5)

    /// We end a link. A peer that broke the protocol gets a reset, any other an end in order.
    mutating func close(_ connection: ConnectionID, _ fault: Fault, at now: Moment, into effects: inout Effects) {
        guard links[connection] != nil else { return }
        switch fault.reason {
        case .shutdown, .replaced, .operatorRequest: effects.append(.finish(connection))
        default: effects.append(.abort(connection, fault.reason))
        }
        takeOut(connection, fault, at: now, into: &effects)
    }

    /// A link is no more: one line, and its place is free.
    mutating func takeOut(_ connection: ConnectionID, _ fault: Fault, at now: Moment, into effects: inout Effects) {
        guard let link = links[connection] else { return }
        takeFromTables(connection, link)
        life.needsSettling = true
        book.seen(link.listens, at: now)
        if !life.isStopping { considerReturn(of: link, fault.reason, at: now) }
        guard effects.logLevel <= .info else { return }
        var fields: Record = ["peer": .text(link.peer), "address": .text(link.remote)]
        fields = fields.appending(fault.fields).appending([
            "seconds": .seconds(now.instant - link.opened), "received": .count(link.received.octets),
            "sent": .count(link.sent.octets),
        ])
        effects.log(.info, "peer_down", fields, fault.detail)
    }

    private mutating func takeFromTables(_ connection: ConnectionID, _ link: Link) {
        links[connection] = nil
        if peers[link.peer] == connection { peers[link.peer] = nil }
        counted.remove(connection)
        substitutes.remove(connection)
        if link.direction == .inbound { inboundCount -= 1 }
        vacate(link.listens)
        timers.cancel(.ping(connection))
        timers.cancel(.silence(connection))
    }

    /// When a lost peer is dialled again: soon after a short life, every 30 s after a long one. That a handshake
    /// succeeded is no merit by itself: a peer that we dialled and that was of no use rests like one that failed.
    private mutating func considerReturn(of link: Link, _ reason: CloseReason, at now: Moment) {
        let life = now.instant - link.opened
        let wasGood = life > Probing.goodLife
        switch reason {
        case .replaced, .shutdown, .duplicate: break
        case .operatorRequest: book.postpone(link.listens, until: now.instant + Self.operatorPause)
        case .closedByPeer, .reset, .silent, .timeout, .unreachable:
            if wasGood {
                let isSilent = reason != .closedByPeer && reason != .reset
                probing.lost(link.listens, isSilent: isSilent, at: now.instant)
            } else if link.direction == .outbound, reason == .closedByPeer || reason == .reset {
                returnAfterShortLife(link, isVeryShort: life < Self.shortLife, at: now)
            } else {
                restAfterFailure(link, at: now)
            }
        default: restAfterFailure(link, at: now)
        }
    }

    private mutating func restAfterFailure(_ link: Link, at now: Moment) {
        guard link.direction == .outbound else { return }
        book.failed(link.listens, at: now, before: link.failuresBefore, using: &random)
    }
}
