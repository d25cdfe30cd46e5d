internal import PeerCore

// Chunks that go to a peer that has not asked for them (PPSP section 8.2).

extension PPSP {
    /// Offers a swarm to a peer.
    mutating func offerPush(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[tie.swarm], partners[tie]?.give == nil, partners[tie]?.refusesPush != true else {
            return
        }
        var methods = Methods()
        methods.availability = maps(swarm).first
        methods.properties = properties(for: tie.connection, swarm.id)
        methods.peers = []
        methods.transport = .list(pushTransports.list(for: swarm.metadata))
        send(
            Question(swarm: tie.swarm, isOffer: true), .advertise, methods, on: tie.connection, at: now, into: &effects)
        for map in maps(swarm).dropFirst() { tell(map, tie, at: now, into: &effects) }
    }

    /// It takes them: everything it is not known to have goes there, in order.
    mutating func offerAnswered(_ message: Message, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[tie.swarm], let transport = message.methods.transport else { return }
        join(tie, at: now)
        beginGiving(message.transactionID, transport, tie, at: now)
        partners[tie]?.give?.isPush = true
        partners[tie]?.give?.isChosen = true
        partners[tie]?.give?.window = Int(transport.requestWindow)
        pushNews(swarm.have, tie)
        toPump.insert(tie.swarm)
        effects.log(
            .info, "push_begins", ["swarm": .string(name(of: tie.swarm)), "peer": .string(message.peerID.hex)])
    }

    mutating func pushNews(_ chunks: ChunkSet, _ tie: Tie) {
        guard let partner = partners[tie] else { return }
        var missing = chunks
        missing.subtract(partner.has)
        partners[tie]?.give?.queue += missing.ranges()
        toPump.insert(tie.swarm)
    }

    /// A content of which nobody has heard here, where such are welcome.
    mutating func takeNewContent(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard configuration.acceptPush, configuration.acceptNewContent, let swarmID = message.swarmID,
            let (place, name) = standardPlace(of: swarmID)
        else { return }
        _ = add(swarmID, at: place, name, into: &effects)
        if let number = numbers[swarmID] { begin(number, at: now, into: &effects) }
    }
}
