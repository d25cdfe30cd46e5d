internal import AddressBook
internal import Bootstrap
public import PeerCore
public import PeerCrypto

/// The DDRP peer protocol (seed 003, PIP-5; handshake of PIP-2): finds peers, proves who they are, keeps in touch.
///
/// One connection goes through these values, each a state machine of its own:
///
///     dial    → Initiator ┐
///                         ├→ Link → gone
///     accept  → Responder ┘
///
/// After each input that changes who is connected or known, `settle` acts at once: it dials, asks, reports, saves.
/// The timers of the text are the fallback (decision 16).
///
/// Left out: the contents of blobs (DDRP section 17). Their messages are read, so that a mal-formed one ends the
/// connection, and ignored, but for UpdateReq, which is answered "nothing newer".
public struct DDRP: PeerProtocol {
    /// Our listening sockets.
    enum Listener {
        static let peers = ListenerID("ddrp")
        static let bootstrap = ListenerID("ddrp.udp")
    }

    /// Longest user agent that is kept and shown, in octets (DDRP section 6).
    static let maximumAgentBytes = 1024

    var configuration: Configuration
    let identity: Identity
    let userAgent: Bytes
    var random: SeededRandom
    var sealer: Sealer
    var timers = Deadlines<Timer>()
    /// The moment of the input at hand, for `status`.
    var clock = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(milliseconds: 0))
    var life = Life()

    // Connections.
    /// Those that we dial, until they are open.
    var initiators: [ConnectionID: Initiator] = [:]
    /// Those that others dialled, until they are open.
    var responders: [ConnectionID: Responder] = [:]
    /// In which order those have to make room.
    var pendingInbound = PendingInbound()
    /// The open ones.
    var links: [ConnectionID: Link] = [:]
    /// The open connection of each peer.
    var peers: [Bytes32: ConnectionID] = [:]
    /// The open connections that count for `targetOutbound`: those that we dialled and, between two peernodes, those
    /// that either dialled while both were below their target (decision 18).
    var counted: Set<ConnectionID> = []
    /// Connections between two peernodes that others dialled while we were below the target: they count when a dial
    /// that was under way then comes to nothing.
    var substitutes: Set<ConnectionID> = []
    /// How many of the open connections others dialled.
    var inboundCount = 0

    // Addresses.
    var book: AddressBook
    var bootstrap: BootstrapClient?
    /// Our own addresses: where we listen, and where we met ourselves.
    var own = OwnAddresses()
    /// How many connections and dials there are to each address.
    var occupied: [SocketAddress: Int] = [:]
    var retries = Retries()
    var denials = Denials()
    var probing = Probing()
    var names = NameSeeds()

    // Watching over peers.
    var replay = Replay()
    var violations = Violations()
    var exchange = Exchange()
    var reports = Reports()
    var lateness = Lateness()
    var counters = Counters()

    /// The protocol for `identity`; `agent` is what we tell peers we are (`peernode/` and the version).
    public init(_ configuration: Configuration, identity: Identity, agent: String, seed: Bytes32) {
        self.configuration = configuration
        self.identity = identity
        userAgent = Bytes(Array(agent.utf8.prefix(Self.maximumAgentBytes)))
        random = SeededRandom(seed: seed)
        sealer = Sealer(key: identity.key)
        book = AddressBook(AddressPolicy(configuration), capacity: configuration.bookCapacity)
        guard !configuration.bootstrapServers.isEmpty else { return }
        bootstrap = BootstrapClient(
            servers: configuration.bootstrapServers, listener: Listener.bootstrap,
            degree: Self.bootstrapDegree(for: configuration), seed: random.nextBytes32())
    }

    /// Takes over new settings; gives the keys of those that only a restart applies.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let change = configuration.change(to: new)
        let seeds = configuration.seeds
        let names = configuration.dnsSeeds
        let old = configuration
        configuration = change.applied
        if old.pingInterval != configuration.pingInterval || old.peerTimeout != configuration.peerTimeout {
            for connection in links.keys.sorted() { setLivenessTimers(of: connection, at: now.instant) }
        }
        if timers.isSet(.exchange) { timers.set(.exchange, at: now.instant + exchangeInterval) }
        if configuration.seeds != seeds { addSeeds(at: now) }
        if configuration.dnsSeeds != names { resolveNames(at: now, into: &effects) }
        life.needsSettling = true
        settle(at: now, into: &effects)
        return change.needed
    }

    /// Something happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        clock = now
        switch input {
        case .start, .stop, .deadline, .resumed, .interfaces, .listening, .refused, .recalled, .resolved:
            handleLife(input, at: now, into: &effects)
        case .accepted, .connected, .received, .ended, .closed:
            handleConnection(input, at: now, into: &effects)
        case .datagram(let bytes, Listener.bootstrap, let source):
            receivedDatagram(bytes, from: source, at: now, into: &effects)
        case .command(let id, let command):
            carryOut(command, id, at: now, into: &effects)
        case .cancelled(let id):
            forgetCommand(id)
        case .datagram, .stalled, .drained, .measured, .stored, .changed, .transferred, .answered,
            .requested, .requestClosed, .fetching, .fetched:
            break
        }
        settle(at: now, into: &effects)
    }

    /// The earliest timer, of the protocol or of its bootstrap client.
    public var nextDeadline: Instant? {
        guard let other = bootstrap?.nextDeadline else { return timers.next }
        return timers.next.map { min($0, other) } ?? other
    }
}

// MARK: - Inputs

extension DDRP {
    private mutating func handleLife(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: start(at: now, into: &effects)
        case .stop: stop(at: now, into: &effects)
        case .deadline: fire(at: now, into: &effects)
        case .resumed(let gap): resumed(after: gap, at: now, into: &effects)
        case .interfaces(let addresses): interfacesAre(addresses, at: now, into: &effects)
        case .listening(let listener, .ip(let address)):
            listening(listener, address, at: now, into: &effects)
        case .refused(let listener, let error): cannotListen(listener, error, into: &effects)
        case .recalled(let table, let rows, let more):
            recalled(rows, of: table, more: more, at: now, into: &effects)
        case .resolved(let request, let addresses):
            resolved(request, addresses, at: now, into: &effects)
        default: break
        }
    }

    private mutating func handleConnection(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .accepted(let connection, _, let local, let remote):
            accepted(connection, local: local, remote: remote, at: now, into: &effects)
        case .connected(let connection, let local, let remote):
            connected(connection, local: local, remote: remote, at: now, into: &effects)
        case .received(let bytes, let connection):
            received(bytes, on: connection, at: now, into: &effects)
        case .ended(let connection):
            ended(connection, at: now, into: &effects)
        case .closed(let connection, let reason, _):
            closed(connection, reason, at: now, into: &effects)
        default: break
        }
    }

    private mutating func received(
        _ bytes: Bytes, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        if links[connection] != nil {
            receivedOnLink(bytes, connection, at: now, into: &effects)
        } else if initiators[connection] != nil {
            receivedAsInitiator(bytes, connection, at: now, into: &effects)
        } else if responders[connection] != nil {
            receivedAsResponder(bytes, connection, at: now, into: &effects)
        }
    }

    /// The other side sends no more, so this connection is of no use.
    private mutating func ended(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        effects.append(.finish(connection))
        closed(connection, .closedByPeer, at: now, into: &effects)
    }

    private mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        if links[connection] != nil {
            takeOut(connection, Fault(reason), at: now, into: &effects)
        } else if initiators[connection] != nil {
            dialEnded(connection, reason, at: now, into: &effects)
        } else if responders[connection] != nil {
            responderEnded(connection, reason, into: &effects)
        }
    }
}

// MARK: - The whole

extension DDRP {
    /// Acts on what the input at hand has changed: dials, asks, reports, has the book saved.
    mutating func settle(at now: Moment, into effects: inout Effects) {
        guard life.needsSettling, !life.isStopping else { return }
        life.needsSettling = false
        if life.canDial {
            countSubstitutes()
            dialCandidates(at: now, into: &effects)
            seekAddresses(at: now, into: &effects)
        }
        reportPeers(at: now, into: &effects)
        if !timers.isSet(.save) { timers.set(.save, at: now.instant + Self.saveDelay) }
    }
}
