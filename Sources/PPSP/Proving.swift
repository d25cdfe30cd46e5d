internal import PeerCore
internal import PeerCrypto

// Who a peer is, by its signature (PPSP section 10.2).

extension PPSP {
    /// Whether a message may be taken: it proves who sent it, has proved it before, or need not.
    mutating func proves(
        _ message: Message, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) -> Bool {
        if let nonce = message.methods.properties?.nonce { links[connection]?.theirNonce = nonce }
        guard let octets = message.methods.properties?.certificate, let nonce = links[connection]?.nonce,
            let swarm = message.swarmID
        else { return true }
        let certificate = try? Certificate(decoding: octets)
        guard certificate?.proves(message.peerID, to: peerID, nonce: nonce, swarmID: swarm) ?? false
        else {
            offend(connection, .badSignature, "certificate", into: &effects)
            return false
        }
        links[connection]?.isProved = true
        if links[connection]?.webPass == nil { links[connection]?.webPass = random.nextBytes32() }
        return true
    }

    /// Whether a peer is served: anybody, or who has proved an ID of the list.
    func admits(_ connection: ConnectionID) -> Bool {
        guard !configuration.allow.isEmpty else { return true }
        guard let link = links[connection], link.isProved, let peerID = link.peerID else { return false }
        return configuration.allow.contains(peerID)
    }

    /// The other side wants to know who we are before it answers.
    mutating func authenticate(
        _ tie: Tie, _ question: Question, at now: Moment, into effects: inout Effects
    ) {
        guard let swarm = swarms[tie.swarm], !question.isGreeting, !question.isAgain else {
            effects.log(
                .warn, "not_admitted",
                [
                    "swarm": .string(name(of: tie.swarm)),
                    "peer": .string(links[tie.connection]?.peerID?.hex ?? ""), "own": .string(peerID.hex),
                ], "the peer does not serve this node; its operator can allow the ID under own")
            return effects.append(.finish(tie.connection))
        }
        // Its nonce comes with the answer; after that the request is made again.
        if links[tie.connection]?.nonce == nil { links[tie.connection]?.nonce = random.nextBytes32() }
        var methods = Methods()
        var properties = Properties()
        properties.nonce = links[tie.connection]?.nonce
        methods.properties = properties
        methods.asksProperties = true
        let greeting = Question(swarm: swarm.number, isAgain: true, isGreeting: true)
        send(greeting, .request, methods, on: tie.connection, at: now, into: &effects)
    }

    /// The other side has given its nonce, and has proved itself where that is wanted: now the request itself.
    mutating func greeted(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard admits(tie.connection) else { return drop(tie.connection, .wrongIdentity, into: &effects) }
        ask(tie, isAgain: true, at: now, into: &effects)
    }
}
