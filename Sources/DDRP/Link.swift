internal import AddressBook
internal import PeerCore

/// Who dialled a connection.
enum Direction: String, Hashable {
    /// The peer.
    case inbound
    /// We.
    case outbound
}

/// Messages and octets one way.
struct MessageCount: Hashable {
    var messages: UInt64 = 0
    var octets: UInt64 = 0
}

/// An open connection with a peer that has proved who it is.
struct Link {
    let peer: Bytes32
    let direction: Direction
    let dialect: Dialect
    /// The peer's program in its own words.
    let agent: Bytes
    /// The other end.
    let remote: SocketAddress
    /// Where the peer listens: what we dialled; or, as far as we can know, its address with the port that it told or
    /// the standard one.
    let listens: SocketAddress
    let opened: Instant
    /// Dials of its address that had failed in a row before this one.
    var failuresBefore = 0
    /// From our half of the handshake to the peer's.
    var handshakeRoundTrip: Duration = .zero
    /// Octets that are no whole envelope yet.
    var buffer = ReceiveBuffer()
    /// When its last valid envelope came.
    var heard: Instant
    var received = MessageCount()
    var sent = MessageCount()
    var rate: EnvelopeRate
    /// When we last sent PeerReq.
    var asked: Instant?
    /// Whether an answer to that is awaited.
    var awaitsPeers = false

    init(
        peer: Bytes32, direction: Direction, dialect: Dialect, agent: Bytes, remote: SocketAddress,
        listens: SocketAddress, opened: Instant
    ) {
        self.peer = peer
        self.direction = direction
        self.dialect = dialect
        // A copy, so that a link does not keep a whole received buffer.
        self.agent = Bytes(Array(agent.prefix(DDRP.maximumAgentBytes)))
        self.remote = remote
        self.listens = listens
        self.opened = opened
        heard = opened
        rate = EnvelopeRate(at: opened)
    }

    /// Whether the peer is this program, with which finer rules can be agreed on (decisions 16 and 18).
    var isPeernode: Bool { agent.starts(with: "peernode/".utf8) }

    /// The agent as text; octets that are no UTF-8 are replaced.
    var agentText: String { String(decoding: agent, as: UTF8.self) }

    /// Gives the peer longer, since we were away.
    mutating func extend(by gap: Duration, at now: Instant) {
        heard = min(now, heard + gap)
    }
}

// MARK: - Reading

extension DDRP {
    mutating func receivedOnLink(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        links[connection]?.buffer.append(bytes)
        links[connection]?.received.octets += UInt64(bytes.count)
        readEnvelopes(connection, at: now, into: &effects)
    }

    /// Takes all whole envelopes that wait, as long as the connection lives.
    mutating func readEnvelopes(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        while let link = links[connection] {
            do throws(Fault) {
                let found = try nextEnvelope(
                    in: link.buffer.waiting, link.dialect, bodyLimit: Envelope.maximumBodyBytes, at: now)
                guard let (envelope, octets) = found else { return }
                let message = try check(envelope, of: link, at: now)
                links[connection]?.buffer.consume(octets)
                links[connection]?.heard = now.instant
                links[connection]?.received.messages += 1
                let limit = configuration.maxEnvelopesPerSecond
                if links[connection]?.rate.count(at: now.instant, limit: limit) == true {
                    throw Fault(.flooding, "more than \(limit) envelopes a second for 5 s")
                }
                effects.log(
                    .debug, "message_received",
                    ["peer": .text(link.peer), "type": .string(message.name), "octets": .count(octets)])
                take(message, from: connection, link, at: now, into: &effects)
            } catch {
                violated(connection, error, at: now, into: &effects)
            }
        }
    }

    /// Time, signature, body, in this order (decision 12); magic and length were checked with the framing.
    private func check(_ envelope: Envelope, of link: Link, at now: Moment) throws(Fault) -> Message {
        try checkClock(envelope.timestamp, at: now)
        guard let key = envelope.signer(in: link.dialect), peerID(of: key) == link.peer else {
            throw Fault(.badSignature, "an envelope that is not signed by the peer")
        }
        do throws(DecodeError) {
            return try Message(decoding: envelope.body, code: envelope.code, dialect: link.dialect)
        } catch {
            throw Fault(error)
        }
    }

    /// What an open connection makes of a message. Every one was a sign of life already.
    private mutating func take(
        _ message: Message, from connection: ConnectionID, _ link: Link, at now: Moment, into effects: inout Effects
    ) {
        switch message {
        case .peerReq: answerPeers(connection, link, at: now, into: &effects)
        case .peerRes(let response): usePeers(response, of: connection, link, at: now, into: &effects)
        case .updateReq(let request) where link.dialect == .reference:
            send(.nilUpdate(NilUpdate(name: request.name)), on: connection, at: now, into: &effects)
        case .unknown(let code):
            counters.unknownMessages += 1
            effects.log(.debug, "message_unknown", ["peer": .text(link.peer), "type": .count(code)])
        case .hello, .helloAck, .ping, .update, .nilUpdate, .treeBaseReq, .treeBaseRes, .sectorReq, .sectorRes,
            .updateReq:
            break
        }
    }

    /// Sends a message that the dialect of the connection has a number for.
    mutating func send(
        _ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let dialect = links[connection]?.dialect else { return }
        let envelope = seal(message, in: dialect, at: now)
        links[connection]?.sent.messages += 1
        links[connection]?.sent.octets += UInt64(envelope.count)
        effects.send(envelope, on: connection)
        effects.log(
            .debug, "message_sent",
            [
                "connection": .text(connection), "type": .string(message.name), "octets": .count(envelope.count),
            ])
    }
}
