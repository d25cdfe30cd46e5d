internal import PeerCore
internal import PeerCrypto

// REQUESTs of ours, and what is said to them (PPSP section 8.1).

extension PPSP {
    /// Pauses before an overloaded peer is asked again (PPSP section 8.1).
    private static let overloadPause: ClosedRange<Int64> = 5_000...30_000
    /// Peers that are wanted with one answer.
    private static let peersWanted: UInt16 = 25

    /// Asks a peer for a swarm: what it has, what it is, whom it knows, how chunks travel.
    mutating func ask(
        _ tie: Tie, isAgain: Bool = false, at now: Moment, into effects: inout Effects
    ) {
        guard let link = links[tie.connection], link.isOpen, !link.isLeaving, let swarm = swarms[tie.swarm],
            swarm.phase == .fetching
        else { return }
        guard !link.questions.values.contains(where: { $0.swarm == tie.swarm }) else { return }
        let isGreeting = !configuration.allow.isEmpty && !link.isProved
        var methods = Methods()
        methods.properties = properties(for: tie.connection, swarm.id)
        methods.asksProperties = true
        if !isGreeting {
            if swarm.chunkCount != nil { methods.availability = maps(swarm).first }
            methods.asksAvailability = true
            methods.peerQuery = PeerListQuery(maximumPeers: Self.peersWanted)
            methods.transport = offer(swarm, on: tie.connection)
        }
        let question = Question(swarm: tie.swarm, isAgain: isAgain, isGreeting: isGreeting)
        send(question, .request, methods, on: tie.connection, at: now, into: &effects)
        guard !isGreeting else { return }
        for map in maps(swarm).dropFirst() {
            tell(map, tie, at: now, into: &effects)
        }
    }

    /// Sends a message that wants an answer.
    mutating func send(
        _ question: Question, _ kind: Message.Kind, _ methods: Methods, on connection: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) {
        guard let swarm = swarms[question.swarm] else { return }
        let id: UInt64 = random.next()
        links[connection]?.questions[id] = question
        timers.set(.question(connection, id), at: now.instant + configuration.requestTime)
        let message = Message(kind, transactionID: id, peerID: peerID, swarmID: swarm.id, methods: methods)
        say(message, on: connection, at: now, into: &effects)
    }

    /// The transports that we offer; whoever knows nothing of the swarm asks for the other side's.
    func offer(_ swarm: Swarm, on connection: ConnectionID) -> TransportOffer {
        swarm.metadata.chunkSize == nil ? .ask : .list(transports(on: connection).list(for: swarm.metadata))
    }

    /// What is spoken here with whoever is at the other end of a connection: datagrams first, since they leave room for
    /// others; HTTP last, since it cannot push.
    func transports(on connection: ConnectionID) -> Transports {
        Transports([datagramEntry(on: connection), tcpEntry, webEntry(on: connection)].compactMap(\.self))
    }

    /// Pushes go over TCP.
    var pushTransports: Transports { Transports([tcpEntry]) }

    private var tcpEntry: TransportEntry {
        var tcp = TransportEntry(TransportID.tcp)
        tcp.requestWindow = UInt32(clamping: configuration.requestWindow)
        return tcp
    }

    /// Where datagrams are taken; nil: they are not, or do not come through.
    private func datagramEntry(on connection: ConnectionID) -> TransportEntry? {
        guard speaksDatagrams, let address = configuration.udpAddress, let port = channels.port,
            let link = links[connection], !link.avoidsDatagrams,
            let ip = address.ip.isUnspecified ? link.local?.ip : address.ip
        else { return nil }
        var entry = TransportEntry(TransportID.datagrams)
        entry.endpoint = Endpoint(.datagrams, SocketAddress(ip, port))
        return entry
    }

    /// Everything we have of a swarm; nothing can be said of it while the number of its chunks is not known.
    func maps(_ swarm: Swarm) -> [Availability] {
        guard swarm.chunkCount != nil else { return [] }
        return Availability.map(of: swarm.have, chunkSize: swarm.metadata.chunkSize)
    }

    /// More of a map, or a change of it.
    mutating func tell(_ map: Availability, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[tie.swarm] else { return }
        var methods = Methods()
        methods.availability = map
        let message = Message(
            .advertise, transactionID: random.next(), peerID: peerID, swarmID: swarm.id, methods: methods)
        say(message, on: tie.connection, at: now, into: &effects)
    }

    /// What we are (PPSP section 5), with the proof of it where it is wanted (PPSP section 10.2).
    mutating func properties(for connection: ConnectionID, _ swarm: SwarmID) -> Properties {
        var properties = Properties()
        properties.softwareName = software
        properties[.sumBytes] = counters.bytesStored
        if let listen = listenAddress(on: connection) { properties.listenAddress = Endpoint(.control, listen) }
        guard !configuration.allow.isEmpty || links[connection]?.theirNonce != nil else { return properties }
        if links[connection]?.nonce == nil { links[connection]?.nonce = random.nextBytes32() }
        properties.nonce = links[connection]?.nonce
        if let verifier = links[connection]?.peerID, let nonce = links[connection]?.theirNonce {
            properties.certificate = Certificate(seed: key, verifier: verifier, nonce: nonce, swarmID: swarm).bytes
        }
        return properties
    }

    /// Where the other side of a connection may tell others that we are.
    private func listenAddress(on connection: ConnectionID) -> SocketAddress? {
        guard let listen = configuration.listen, let port = life.port else { return nil }
        let ip = listen.ip.isUnspecified ? links[connection]?.local?.ip : listen.ip
        return ip.map { SocketAddress($0, port) }
    }

    /// A peer did not answer (PPSP section 8: one retry, then it counts as slow).
    mutating func questionDue(_ connection: ConnectionID, _ id: UInt64, at now: Moment, into effects: inout Effects) {
        if let heard = links[connection]?.heardAt, now.instant - heard < configuration.requestTime {
            // The answer may stand behind chunks that are still coming.
            return timers.set(.question(connection, id), at: heard + configuration.requestTime)
        }
        guard let question = links[connection]?.questions.removeValue(forKey: id), !question.isOffer else { return }
        guard question.isAgain else {
            return ask(Tie(connection: connection, swarm: question.swarm), isAgain: true, at: now, into: &effects)
        }
        drop(connection, .tooSlow, into: &effects)
    }

    // MARK: - Answers

    mutating func answered(
        _ message: Message, _ code: ResponseCode, on connection: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) {
        guard let question = links[connection]?.questions.removeValue(forKey: message.transactionID) else {
            counters.rejected["no_question", default: 0] += 1
            return
        }
        timers.cancel(.question(connection, message.transactionID))
        let tie = Tie(connection: connection, swarm: question.swarm)
        guard let swarm = swarms[question.swarm] else { return }
        switch code {
        case .successful:
            guard message.swarmID == swarm.id else {
                return offend(connection, .protocolViolation, "swarm", into: &effects)
            }
            guard proves(message, connection, at: now, into: &effects) else { return }
            if question.isGreeting {
                greeted(tie, at: now, into: &effects)
            } else if question.isOffer {
                offerAnswered(message, tie, at: now, into: &effects)
            } else {
                took(message, tie, at: now, into: &effects)
            }
        case .temporarilyOverloaded:
            let pause = Int64.random(in: Self.overloadPause, using: &random)
            if partners[tie] == nil { join(tie, at: now) }
            timers.set(.askAgain(tie), at: now.instant + .milliseconds(pause))
        case .authenticationRequired: authenticate(tie, question, at: now, into: &effects)
        case .objectNotFound, .messageForbidden:
            guard question.isOffer else { return watch(tie, code, at: now, into: &effects) }
            // It may still pull.
            join(tie, at: now)
            partners[tie]?.refusesPush = true
            effects.log(
                .info, "push_refused",
                [
                    "swarm": .string(name(of: tie.swarm)), "peer": .string(message.peerID.hex),
                    "code": .string("\(code)"),
                ])
        case .invalidSyntax, .versionNotSupported, .messageNotSupported, .internalError:
            effects.log(
                .info, "refused",
                [
                    "swarm": .string(name(of: tie.swarm)), "peer": .string(message.peerID.hex),
                    "code": .string("\(code)"),
                ])
            drop(connection, .protocolViolation, into: &effects)
        }
    }

    /// It has not what we want: it is listened to as long as it has another swarm in common with us.
    private mutating func watch(_ tie: Tie, _ code: ResponseCode, at now: Moment, into effects: inout Effects) {
        effects.log(
            .debug, "refused",
            [
                "swarm": .string(name(of: tie.swarm)), "peer": .string(links[tie.connection]?.peerID?.hex ?? ""),
                "code": .string("\(code)"),
            ])
        part(tie, at: now, into: &effects)
        guard let link = links[tie.connection] else { return }
        let isUseful = !link.questions.isEmpty || partners.keys.contains { $0.connection == tie.connection }
        if !isUseful, link.dialled != nil { effects.append(.finish(tie.connection)) }
    }

    /// What a peer has, whom it knows, and how chunks travel.
    private mutating func took(_ message: Message, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        let methods = message.methods
        join(tie, at: now)
        learn(methods, tie, at: now, into: &effects)
        if let transport = methods.transport {
            beginTaking(transport, message.transactionID, tie, at: now, into: &effects)
        }
        effects.log(
            .debug, "peer_ready",
            [
                "swarm": .string(name(of: tie.swarm)), "peer": .string(message.peerID.hex),
                "chunks": .count(partners[tie]?.has.count ?? 0),
            ])
        if !timers.isSet(.askPeers(tie)) { timers.set(.askPeers(tie), at: now.instant + Self.peersPause.lowerBound) }
        toPump.insert(tie.swarm)
    }

    /// From the first answer to the next question for peers, when those who came together know each other; four times
    /// as long each time, up to the longest.
    private static let peersPause = Duration.milliseconds(250)...Duration.seconds(16)

    /// Whom else does a peer know by now?
    mutating func askPeers(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[tie.swarm], swarm.phase == .fetching, let partner = partners[tie] else { return }
        let pause = min((partner.peersPause ?? Self.peersPause.lowerBound) * 4, Self.peersPause.upperBound)
        partners[tie]?.peersPause = pause
        timers.set(.askPeers(tie), at: now.instant + pause)
        let isAsked = links[tie.connection]?.questions.values.contains { $0.swarm == tie.swarm } ?? true
        guard !isAsked, swarm.peers.count < configuration.maxPeers else { return }
        var methods = Methods()
        methods.peerQuery = PeerListQuery(maximumPeers: Self.peersWanted)
        send(Question(swarm: tie.swarm), .request, methods, on: tie.connection, at: now, into: &effects)
    }

    /// A peer is in a swarm from now on.
    mutating func join(_ tie: Tie, at now: Moment) {
        guard partners[tie] == nil, let peerID = links[tie.connection]?.peerID else { return }
        let partner = Partner(tie, peerID: peerID)
        if let count = swarms[tie.swarm]?.chunkCount { partner.has = ChunkSet(limit: count) }
        partners[tie] = partner
        swarms[tie.swarm]?.peers.append(partner)
    }

    /// What any message may say of a peer, and of others.
    mutating func learn(_ methods: Methods, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        if let properties = methods.properties { learn(properties, on: tie.connection) }
        if let availability = methods.availability {
            if let size = availability.chunkSize, let own = swarms[tie.swarm]?.metadata.chunkSize, size != own {
                return offend(tie.connection, .protocolViolation, "chunk_size", into: &effects)
            }
            partners[tie]?.has.apply(availability)
            partners[tie]?.isKnown = true
            toPump.insert(tie.swarm)
        }
        for peer in (methods.peers ?? []).prefix(Self.mostOfList) where peer.peerID != peerID {
            for endpoint in peer.endpoints where endpoint.kind == .control {
                addCandidate(.address(endpoint.address), tie.swarm, isGiven: false, at: now, into: &effects)
            }
        }
    }

    /// What a peer says of itself; where it listens counts only at the address from which it calls.
    mutating func learn(_ properties: Properties, on connection: ConnectionID) {
        if let nonce = properties.nonce { links[connection]?.theirNonce = nonce }
        guard let link = links[connection], link.dialled == nil, let endpoint = properties.listenAddress,
            endpoint.kind == .control, endpoint.address.ip == link.remote.ip || link.remote.ip.isLoopback
        else { return }
        links[connection]?.listens = endpoint.address
        enter(connection)
    }

    /// Peers whose addresses are remembered.
    private static let mostKnown = 1000

    /// Writes down where a peer is, by its ID.
    mutating func enter(_ connection: ConnectionID) {
        guard let peer = links[connection]?.peerID, let address = links[connection]?.listens else { return }
        if book.count >= Self.mostKnown, book[peer] == nil, let other = book.keys.min() { book[other] = nil }
        book[peer] = address
    }
}
