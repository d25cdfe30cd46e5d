internal import PeerCore
internal import PeerCrypto

/// A connection that somebody else dialled, until it is open (DDRP section 8).
struct Responder {
    /// What the initiator's Hello told.
    struct Greeting {
        let dialect: Dialect
        /// The ID that its Hello is signed by.
        let peer: Bytes32
        let agent: Bytes
        /// Where it listens, by its own word (T only).
        let external: SocketAddress?
        /// Ours, which the HelloAck must carry.
        let nonce: Bytes32
        /// When our Hello went out, and its octets.
        let answered: Instant
        let sentBytes: Int
    }

    enum State {
        /// Nothing is known. Next: `awaitingAck`, or gone.
        case awaitingHello
        /// Our Hello is sent. Next: a `Link`, or gone.
        case awaitingAck(Greeting)
    }

    /// From accepting to the HelloAck.
    static let totalLimit: Duration = .seconds(5)

    let local: SocketAddress
    let remote: SocketAddress
    var state = State.awaitingHello
    var deadline: Instant
    var buffer = ReceiveBuffer()
    /// Octets that the peer has sent.
    var receivedBytes = 0

    init(local: SocketAddress, remote: SocketAddress, at now: Instant) {
        self.local = local
        self.remote = remote
        deadline = now + Self.totalLimit
    }

    var step: String {
        if case .awaitingHello = state { "hello" } else { "hello_ack" }
    }

    var greeting: Greeting? {
        if case .awaitingAck(let greeting) = state { greeting } else { nil }
    }
}

extension DDRP {
    /// A connection came in: refused at once, without an octet, or the Hello is awaited.
    mutating func accepted(
        _ connection: ConnectionID, local: SocketAddress, remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard !life.isStopping else { return effects.append(.abort(connection, .shutdown)) }
        guard !own.contains(remote) else {
            return refuseAtOnce(connection, Fault(.selfConnection, "this is ourselves"), remote, into: &effects)
        }
        guard inboundCount < configuration.maxInbound else {
            reportLimit("maxInbound", configuration.maxInbound, at: now, into: &effects)
            let fault = Fault(.limit, "there is no room for further peers")
            return refuseAtOnce(connection, fault, remote, into: &effects)
        }
        let responder = Responder(local: local, remote: remote, at: now.instant)
        responders[connection] = responder
        timers.set(.handshake(connection), at: responder.deadline)
        let room = PendingInbound.Room(configuration)
        for (oldest, setting, value) in pendingInbound.add(connection, from: remote.ip, room) {
            reportLimit(setting, value, at: now, into: &effects)
            refuse(oldest, Fault(.limit, "a newer handshake took its place"), into: &effects)
        }
    }

    /// Refuses a connection without an octet (DDRP section 8).
    private func refuseAtOnce(
        _ connection: ConnectionID, _ fault: Fault, _ remote: SocketAddress, into effects: inout Effects
    ) {
        effects.append(.abort(connection, fault.reason))
        logRefusal(role: "responder", step: "accept", fault, address: remote, dialect: nil, into: &effects)
    }

    mutating func receivedAsResponder(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        responders[connection]?.buffer.append(bytes)
        responders[connection]?.receivedBytes += bytes.count
        do throws(Fault) {
            // A Hello may be followed by a HelloAck at once, and that by more.
            while let responder = responders[connection] {
                switch responder.state {
                case .awaitingHello:
                    guard try answerHello(responder, connection, at: now, into: &effects) else { return }
                case .awaitingAck(let greeting):
                    guard try takeAck(responder, greeting, connection, at: now, into: &effects) else { return }
                }
            }
        } catch {
            refuse(connection, error, into: &effects)
        }
    }

    /// Answers the Hello with ours; false: it is not complete.
    private mutating func answerHello(
        _ responder: Responder, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) throws(Fault) -> Bool {
        let waiting = responder.buffer.waiting
        let sniffed = configuration.dialect ?? sniffDialect(waiting)
        // Until the dialect shows, only the magic can be wrong, and both dialects have the same.
        let found = try nextHandshakeEnvelope(in: waiting, sniffed ?? .reference, at: now)
        guard let dialect = sniffed, let (envelope, octets) = found else { return false }
        let hello = try checkedHello(envelope, dialect, at: now)
        let nonce = random.nextBytes32()
        let answer = Hello(
            localNonce: nonce, remoteNonce: hello.localNonce, publicKey: identity.key.publicKey,
            external: own.external(seenAs: responder.local.ip), userAgent: userAgent)
        let sealed = seal(.hello(answer), in: dialect, at: now)
        let greeting = Responder.Greeting(
            dialect: dialect, peer: peerID(of: hello.publicKey), agent: hello.userAgent, external: hello.external,
            nonce: nonce, answered: now.instant, sentBytes: sealed.count)
        responders[connection]?.buffer.consume(octets)
        responders[connection]?.state = .awaitingAck(greeting)
        effects.send(sealed, on: connection)
        return true
    }

    /// Opens the connection with the HelloAck; false: it is not complete.
    private mutating func takeAck(
        _ responder: Responder, _ greeting: Responder.Greeting, _ connection: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) throws(Fault) -> Bool {
        let found = try nextHandshakeEnvelope(in: responder.buffer.waiting, greeting.dialect, at: now)
        guard let (envelope, octets) = found else { return false }
        try check(ack: envelope, of: greeting.peer, nonce: greeting.nonce, greeting.dialect, at: now)
        let window = Replay.Window(now.wallClock, skew: configuration.maxClockSkewSeconds)
        guard replay.accept(greeting.peer, envelope.timestamp, from: responder.remote.ip, window) else {
            throw Fault(.protocolViolation, "the HelloAck was used from another address before")
        }
        let port = greeting.external?.port ?? configuration.standardPort
        var link = Link(
            peer: greeting.peer, direction: .inbound, dialect: greeting.dialect, agent: greeting.agent,
            remote: responder.remote, listens: SocketAddress(responder.remote.ip, port), opened: now.instant)
        link.handshakeRoundTrip = now.instant - greeting.answered
        link.received.octets = UInt64(responder.receivedBytes)
        link.sent.octets = UInt64(greeting.sentBytes)
        responders[connection]?.buffer.consume(octets)
        link.buffer = responders[connection]?.buffer ?? ReceiveBuffer()
        open(connection, link, at: now, into: &effects)
        return true
    }

    private mutating func refuse(_ connection: ConnectionID, _ fault: Fault, into effects: inout Effects) {
        guard let responder = responders[connection] else { return }
        effects.append(.abort(connection, fault.reason))
        logEnd(of: responder, fault, into: &effects)
        dropResponder(connection)
    }

    mutating func responderTimedOut(_ connection: ConnectionID, into effects: inout Effects) {
        guard let responder = responders[connection] else { return }
        let missing = responder.greeting == nil ? "Hello" : "HelloAck"
        refuse(connection, Fault(.timeout, "no \(missing) came"), into: &effects)
    }

    /// The other side ended the connection before it was open.
    mutating func responderEnded(_ connection: ConnectionID, _ reason: CloseReason, into effects: inout Effects) {
        guard let responder = responders[connection] else { return }
        logEnd(of: responder, Fault(reason), into: &effects)
        dropResponder(connection)
    }

    /// A connection without an octet that ends in order is how a bootstrap server looks whether we are there
    /// (decision 22).
    private func logEnd(of responder: Responder, _ fault: Fault, into effects: inout Effects) {
        let isProbe = responder.receivedBytes == 0 && fault.reason != .timeout && fault.reason != .limit
        logRefusal(
            level: isProbe ? .debug : .info, role: "responder", step: responder.step, fault,
            address: responder.remote, dialect: responder.greeting?.dialect, peer: responder.greeting?.peer,
            into: &effects)
    }

    /// Forgets a responder, open or not.
    mutating func dropResponder(_ connection: ConnectionID) {
        guard let responder = responders.removeValue(forKey: connection) else { return }
        pendingInbound.remove(connection, from: responder.remote.ip)
        timers.cancel(.handshake(connection))
    }
}
