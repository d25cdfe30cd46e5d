internal import PeerCore

// What others say on a connection: frames, requests, and what they advertise (PPSP sections 3, 7 and 8).

extension PPSP {
    mutating func received(
        _ bytes: Bytes, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard links[connection]?.isLeaving == false else { return }
        links[connection]?.heardAt = now.instant
        links[connection]?.reader.append(bytes)
        while links[connection]?.isLeaving == false, let frame = links[connection]?.reader.next() {
            switch frame {
            case .message(let message): heard(message, on: connection, at: now, into: &effects)
            case .transfer(let frame): heard(frame, on: connection, at: now, into: &effects)
            case .refused(let refusal): refused(refusal, on: connection, at: now, into: &effects)
            }
        }
        let isInside = links[connection]?.reader.isInside ?? false
        if isInside != links[connection]?.wasInside {
            links[connection]?.wasInside = isInside
            if links[connection]?.peerID != nil { linkDue(connection, at: now, into: &effects) }
        }
    }

    /// Something that cannot be read (PPSP section 7).
    private mutating func refused(
        _ refusal: Refusal, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let link = links[connection] else { return }
        counters.rejected["syntax", default: 0] += 1
        effects.log(
            .info, "reject",
            [
                "address": .text(link.remote), "reason": .string("\(refusal.reason)"),
                "code": .string("\(refusal.code)"),
            ])
        if let answer = refusal.answer(from: peerID) { say(answer, on: connection, at: now, into: &effects) }
        guard refusal.endsConnection else { return }
        links[connection]?.isLeaving = true
        if refusal.isAnswered {
            effects.append(.finish(connection))
        } else {
            effects.append(.abort(connection, .malformed))
        }
    }

    private mutating func heard(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard identifies(message, on: connection, at: now, into: &effects) else { return }
        switch message.kind {
        case .request: requested(message, on: connection, at: now, into: &effects)
        case .response(let code): answered(message, code, on: connection, at: now, into: &effects)
        case .advertise:
            if !message.isKeepAlive { advertised(message, on: connection, at: now, into: &effects) }
        }
    }

    /// Who it is; the same from the first message to the last, and never ourselves (PPSP section 3).
    private mutating func identifies(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) -> Bool {
        if let known = links[connection]?.peerID {
            guard known == message.peerID else {
                offend(connection, .wrongIdentity, "peer_id", into: &effects)
                return false
            }
            return true
        }
        guard message.peerID != peerID else {
            drop(connection, .selfConnection, into: &effects)
            return false
        }
        links[connection]?.peerID = message.peerID
        if let culprit = links[connection]?.culprit, isBanned(culprit, at: now.instant) {
            drop(connection, .banned, into: &effects)
            return false
        }
        enter(connection)
        timers.set(.link(connection), at: now.instant + configuration.keepAlive)
        return true
    }

    // MARK: - Requests

    private mutating func requested(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let swarmID = message.swarmID else { return }
        func refuse(_ code: ResponseCode, _ core: inout PPSP, _ effects: inout Effects) {
            core.counters.rejected["\(code)", default: 0] += 1
            let answer = Message(
                .response(code), transactionID: message.transactionID, peerID: core.peerID, swarmID: swarmID)
            core.say(answer, on: connection, at: now, into: &effects)
        }
        guard links[connection]?.takesRequest(at: now.instant) ?? false else {
            return refuse(.temporarilyOverloaded, &self, &effects)
        }
        guard proves(message, connection, at: now, into: &effects) else { return }
        guard admits(connection) else {
            guard isGreeting(message.methods) else { return refuse(.authenticationRequired, &self, &effects) }
            return greet(message, swarmID, on: connection, at: now, into: &effects)
        }
        guard let number = numbers[swarmID], let swarm = swarms[number], swarm.isServed else {
            return refuse(.objectNotFound, &self, &effects)
        }
        answer(message, Tie(connection: connection, swarm: number), swarm, at: now, into: &effects) {
            refuse($0, &$1, &$2)
        }
    }

    /// Whether a request only asks who we are.
    private func isGreeting(_ methods: Methods) -> Bool {
        methods.list.allSatisfy { $0 == .propertyProvision || $0 == .propertyQuery }
    }

    private mutating func greet(
        _ message: Message, _ swarm: SwarmID, on connection: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) {
        var methods = Methods()
        if message.methods.asksProperties { methods.properties = properties(for: connection, swarm) }
        let answer = Message(
            .response(.successful), transactionID: message.transactionID, peerID: peerID, swarmID: swarm,
            methods: methods)
        say(answer, on: connection, at: now, into: &effects)
    }

    /// One provision for each query, in the same transaction (PPSP section 8.1).
    private mutating func answer(
        _ message: Message, _ tie: Tie, _ swarm: Swarm, at now: Moment, into effects: inout Effects,
        refuse: (ResponseCode, inout PPSP, inout Effects) -> Void
    ) {
        let asked = message.methods
        join(tie, at: now)
        learn(asked, tie, at: now, into: &effects)
        guard links[tie.connection]?.isLeaving == false else { return }
        var methods = Methods()
        if let offer = asked.transport {
            guard case .transports(let answer) = transports(on: tie.connection).answer(to: offer, about: swarm.metadata)
            else {
                return refuse(.objectNotFound, &self, &effects)
            }
            methods.transport = answer
            beginGiving(message.transactionID, answer, tie, at: now)
        }
        let maps = asked.asksAvailability ? maps(swarm) : []
        if asked.asksAvailability {
            methods.availability = maps.first ?? Availability.map(of: ChunkSet(limit: 1), chunkSize: nil)[0]
        }
        if asked.asksProperties { methods.properties = properties(for: tie.connection, swarm.id) }
        if let query = asked.peerQuery { methods.peers = peers(for: query, tie, at: now.instant) }
        say(
            Message(
                .response(.successful), transactionID: message.transactionID, peerID: peerID, swarmID: swarm.id,
                methods: methods), on: tie.connection, at: now, into: &effects)
        for map in maps.dropFirst() { tell(map, tie, at: now, into: &effects) }
        // Who has chunks that we miss is asked on the same connection, unless it has been.
        guard swarm.phase == .fetching, partners[tie]?.take == nil, !takesByDatagrams(tie) else { return }
        ask(tie, at: now, into: &effects)
    }

    /// Peers of a swarm, for another one (PPSP section 5): heard within a minute, never the asker.
    private func peers(for query: PeerListQuery, _ asker: Tie, at now: Instant) -> [PeerListEntry] {
        let most = query.maximumPeers == 0 ? Self.mostOfList : min(Int(query.maximumPeers), Self.mostOfList)
        var entries: [PeerListEntry] = []
        for tie in ties(of: asker.swarm) where entries.count < most {
            guard let partner = partners[tie], let link = links[tie.connection], let address = link.listens,
                partner.peerID != partners[asker]?.peerID, now - link.heardAt <= Self.freshness,
                !entries.contains(where: { $0.peerID == partner.peerID }),
                query.families.isEmpty || query.families.contains(address.ip.v4 == nil ? .v6 : .v4)
            else { continue }
            let isComplete = partner.has.count > 0 && partner.has.count == swarms[asker.swarm]?.chunkCount
            let last = query.lowestChunk
            guard isComplete || !query.onlyComplete, last == 0 || partner.has.first(from: last) != nil else { continue }
            entries.append(
                PeerListEntry(
                    peerID: partner.peerID, flags: isComplete ? [.complete] : [],
                    age: UInt16(clamping: Int((now - link.heardAt).fractionalSeconds)),
                    endpoints: [Endpoint(.control, address)]))
        }
        return entries
    }

    /// A peer that was not heard for longer is not told to others (PPSP section 5).
    static let freshness = Duration.seconds(60)

    // MARK: - Advertisements

    private mutating func advertised(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard proves(message, connection, at: now, into: &effects), let swarmID = message.swarmID else { return }
        let offer = message.methods.transport
        func answer(_ code: ResponseCode, _ methods: Methods, _ core: inout PPSP, _ effects: inout Effects) {
            guard offer != nil else { return }
            let answer = Message(
                .response(code), transactionID: message.transactionID, peerID: core.peerID, swarmID: swarmID,
                methods: methods)
            core.say(answer, on: connection, at: now, into: &effects)
        }
        guard admits(connection) else { return answer(.authenticationRequired, Methods(), &self, &effects) }
        if offer != nil, numbers[swarmID] == nil {
            takeNewContent(message, on: connection, at: now, into: &effects)
        }
        guard let number = numbers[swarmID], let swarm = swarms[number], swarm.isServed || swarm.phase == .fetching
        else {
            return answer(.objectNotFound, Methods(), &self, &effects)
        }
        let tie = Tie(connection: connection, swarm: number)
        join(tie, at: now)
        learn(message.methods, tie, at: now, into: &effects)
        guard let offer, links[connection]?.isLeaving == false else { return }
        guard configuration.acceptPush, swarms[number]?.phase == .fetching,
            let chosen = acceptPush(offer, message.transactionID, tie, at: now, into: &effects)
        else { return answer(.messageForbidden, Methods(), &self, &effects) }
        var methods = Methods()
        methods.transport = chosen
        answer(.successful, methods, &self, &effects)
    }
}
