internal import AddressBook
internal import PeerCore
internal import PeerCrypto

/// Why a dial is made.
enum DialPurpose: Hashable {
    /// To reach the target.
    case fill
    /// To see whether a peer that was good is there again; kept in place of the youngest (decision 19).
    case probe
    /// The operator asks.
    case request
}

/// A connection that we dial, until it is open (DDRP section 8).
struct Initiator {
    enum State {
        /// The dial is under way. Next: `awaitingHello`, or gone.
        case dialling
        /// Our Hello is sent. Next: a `Link`, or gone.
        case awaitingHello(nonce: Bytes32, sent: Instant)
    }

    /// Connecting may take so long.
    static let connectLimit: Duration = .seconds(2)
    /// The responder's Hello may take so long.
    static let helloLimit: Duration = .seconds(2)
    /// All together may take so long.
    static let totalLimit: Duration = .seconds(15)

    /// What was dialled.
    let destination: Destination
    /// The peer that must answer; nil: anybody.
    var expected: Bytes32?
    /// What we speak; the initiator decides.
    let dialect: Dialect
    let purpose: DialPurpose
    let started: Instant
    /// The commands that wait for the end of this.
    var commands: [CommandID] = []
    var state = State.dialling
    var deadline: Instant
    /// The address behind the destination, once it is known.
    var address: SocketAddress?
    var buffer = ReceiveBuffer()
    /// Octets both ways.
    var receivedBytes = 0
    var sentBytes = 0
    /// Whether this is the second try, in the text dialect.
    var isSecondTry = false
    /// Whether the first try ended without an answer or an end.
    var wasSilent = false

    init(
        to locator: PeerLocator, dialect: Dialect, purpose: DialPurpose, commands: [CommandID] = [], at now: Instant
    ) {
        destination = locator.destination
        expected = locator.identity
        address = locator.address
        self.dialect = dialect
        self.purpose = purpose
        self.commands = commands
        started = now
        deadline = now + Self.totalLimit
    }

    /// What was dialled, again.
    var locator: PeerLocator { PeerLocator(identity: expected, destination: destination) }
}

extension DDRP {
    /// The dial succeeded: our Hello goes out, the responder's is awaited.
    mutating func connected(
        _ connection: ConnectionID, local: SocketAddress, remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard var initiator = initiators[connection] else { return }
        let nonce = random.nextBytes32()
        let hello = Hello(
            localNonce: nonce, publicKey: identity.key.publicKey, external: own.external(seenAs: local.ip),
            userAgent: userAgent)
        initiator.state = .awaitingHello(nonce: nonce, sent: now.instant)
        initiator.address = remote
        initiator.deadline = min(initiator.started + Initiator.totalLimit, now.instant + Initiator.helloLimit)
        let envelope = seal(.hello(hello), in: initiator.dialect, at: now)
        initiator.sentBytes = envelope.count
        initiators[connection] = initiator
        timers.set(.handshake(connection), at: initiator.deadline)
        effects.send(envelope, on: connection)
    }

    mutating func receivedAsInitiator(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        initiators[connection]?.buffer.append(bytes)
        initiators[connection]?.receivedBytes += bytes.count
        guard let initiator = initiators[connection], case .awaitingHello(let nonce, let sent) = initiator.state,
            let address = initiator.address
        else { return }
        do throws(Fault) {
            let waiting = initiator.buffer.waiting
            guard let (envelope, octets) = try nextHandshakeEnvelope(in: waiting, initiator.dialect, at: now) else {
                return
            }
            let hello = try checkedHello(envelope, initiator.dialect, at: now)
            guard hello.remoteNonce == nonce else {
                throw Fault(.protocolViolation, "the Hello does not carry our nonce")
            }
            initiators[connection]?.buffer.consume(octets)
            let ack = seal(.helloAck(HelloAck(nonce: hello.localNonce)), in: initiator.dialect, at: now)
            effects.send(ack, on: connection)
            var link = Link(
                peer: peerID(of: hello.publicKey), direction: .outbound, dialect: initiator.dialect,
                agent: hello.userAgent, remote: address, listens: address, opened: now.instant)
            link.failuresBefore = book[address]?.failures ?? 0
            link.handshakeRoundTrip = now.instant - sent
            link.received.octets = UInt64(initiator.receivedBytes)
            link.sent.octets = UInt64(initiator.sentBytes + ack.count)
            link.buffer = initiators[connection]?.buffer ?? ReceiveBuffer()
            open(connection, link, at: now, into: &effects)
        } catch {
            refuse(connection, error, at: now, into: &effects)
        }
    }

    /// We end a handshake that we began.
    private mutating func refuse(
        _ connection: ConnectionID, _ fault: Fault, at now: Moment, into effects: inout Effects
    ) {
        guard let initiator = initiators[connection] else { return }
        logRefusal(
            role: "initiator", step: "hello", fault, address: initiator.address, dialect: initiator.dialect,
            into: &effects)
        effects.append(.abort(connection, fault.reason))
        dialFailed(connection, fault, at: now, into: &effects)
    }

    /// A limit of `Initiator` or of `Responder` has passed.
    mutating func handshakeTimedOut(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if let initiator = initiators[connection] {
            switch initiator.state {
            case .dialling:
                effects.append(.abort(connection, .timeout))
                dialEnded(connection, .timeout, at: now, into: &effects)
            case .awaitingHello:
                if tryText(insteadOf: connection, .timeout, at: now, into: &effects) {
                    return effects.append(.abort(connection, .timeout))
                }
                refuse(connection, Fault(.timeout, "no Hello came"), at: now, into: &effects)
            }
        } else if responders[connection] != nil {
            responderTimedOut(connection, into: &effects)
        }
    }

    /// The dial failed, or the other side ended the connection before its Hello was good.
    mutating func dialEnded(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        if tryText(insteadOf: connection, reason, at: now, into: &effects) { return }
        dialFailed(connection, Fault(reason), at: now, into: &effects)
    }
}
