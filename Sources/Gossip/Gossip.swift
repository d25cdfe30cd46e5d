internal import Bootstrap
public import PeerCore
internal import PeerCrypto

/// Gossip (seed 004): local programs announce and subscribe, and the node spreads what they find well-formed through
/// its neighbours, so that every subscriber in the network gets every item once.
///
///     program → Client ─ announce ─┐                    ┌→ neighbours (all, or along a tree)
///                                  ├→ Seen → Vote ──────┤
///     peer → Pending → Link ─ item ┘   ↑ verdicts ↓     └→ Cache, for neighbours that ask
///                                     programs
///
/// What a turn has to say to a connection is joined in its `Outbox` and handed over at the end of the turn.
public struct Gossip: PeerProtocol {
    /// Our listening sockets.
    enum Listener {
        static let api = ListenerID("gossip.api")
        static let peers = ListenerID("gossip")
        static let datagrams = ListenerID("gossip.udp")
    }

    var configuration: Configuration
    var random: SeededRandom
    let fingerprint: Fingerprinter
    var timers = Deadlines<Timer>()
    /// The moment of the input at hand, for `status`.
    var clock = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(milliseconds: 0))
    var life = Life()

    // Local programs, by their places; a place is used again.
    var clients: [Client] = []
    var clientPlaces: [ConnectionID: Int] = [:]
    /// Those that are to be sent something at the end of the turn.
    var listedClients: [Int] = []
    /// Those that are not read, since a neighbour does not keep up with them.
    var heldClients: Set<Int> = []

    // Items.
    var topics = Topics()
    var votes = Votes()
    var seen: Seen
    /// The same items by their seen keys, as far as neighbours are told of them.
    var named: Seen
    var cache: Cache
    var repetitions = Repetitions()
    var lazyPush = LazyPush()
    var dice = Dice()

    // Neighbours, by their places; a place is used again.
    var links: [Link?] = Array(repeating: nil, count: LinkSet.capacity)
    var linkPlaces: [ConnectionID: Int] = [:]
    /// The places that are taken.
    var open = LinkSet()
    var listedLinks = LinkSet()
    /// Connections that are no links yet.
    var pending: [ConnectionID: Pending] = [:]
    /// Whom we have sent CONNECT.
    var calls: [SocketAddress: Call] = [:]
    var candidates: Candidates
    var callers = Callers()
    var bootstrap: BootstrapClient
    var authors = AuthorsServers()
    var own = OwnAddresses()
    var health = Health()
    var counters = Counters()
    var reports = Reports()

    /// The protocol with an empty table of candidates.
    public init(_ configuration: Configuration, seed: Bytes32) {
        self.configuration = configuration
        random = SeededRandom(seed: seed)
        fingerprint = Fingerprinter(key: random.nextBytes32())
        seen = Seen(capacity: configuration.maxSeenKeys, window: configuration.seenTTL)
        named = Seen(capacity: configuration.maxSeenKeys, window: configuration.seenTTL)
        cache = Cache(capacity: configuration.cacheSize)
        candidates = Candidates(capacity: configuration.maxCandidates)
        bootstrap = BootstrapClient(
            servers: configuration.isAuthors2017 ? [] : configuration.bootstrap, listener: Listener.datagrams,
            degree: UInt16(configuration.degree), seed: random.nextBytes32())
    }

    /// Takes over new settings; gives the keys of those that only a restart applies.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let change = configuration.change(to: new)
        let isOtherPace = change.applied.heartbeatInterval != configuration.heartbeatInterval
        configuration = change.applied
        if isOtherPace {
            for place in open.places {
                setHeartbeat(of: place, at: now.instant)
                setSilence(of: place)
            }
        }
        for place in open.places.dropFirst(configuration.degree).reversed() {
            close(place, .limit, at: now, into: &effects)
        }
        life.needsSettling = true
        settle(at: now, into: &effects)
        flush(at: now, into: &effects)
        return change.needed
    }

    /// Something happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        clock = now
        switch input {
        case .received(let bytes, let connection):
            life.voteEnd = now.instant + configuration.validationTimeout
            received(bytes, on: connection, at: now, into: &effects)
        case .datagram(let bytes, _, let source):
            receivedDatagram(bytes, from: source, at: now, into: &effects)
        case .accepted, .connected, .stalled, .drained, .ended, .closed:
            handleConnection(input, at: now, into: &effects)
        case .command(let id, let command):
            carryOut(command, id, at: now, into: &effects)
        case .cancelled(let id):
            forgetCommand(id)
        default:
            handleLife(input, at: now, into: &effects)
        }
        settle(at: now, into: &effects)
        flush(at: now, into: &effects)
    }

    /// The earliest timer, of the protocol or of its bootstrap client.
    public var nextDeadline: Instant? {
        [timers.next, bootstrap.nextDeadline, authors.nextAsk].lazy.compactMap { $0 }.min()
    }
}

// MARK: - Inputs

extension Gossip {
    private mutating func handleLife(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: start(at: now, into: &effects)
        case .stop: stop(at: now, into: &effects)
        case .deadline: fire(at: now, into: &effects)
        case .resumed(let gap): resumed(after: gap, at: now, into: &effects)
        case .interfaces(let addresses): own.interfaces = addresses
        case .listening(let listener, .ip(let address)): listening(listener, address, at: now, into: &effects)
        case .refused(let listener, let error): cannotListen(listener, error, into: &effects)
        case .resolved(let request, let addresses): resolved(request, addresses, at: now, into: &effects)
        default: break
        }
    }

    private mutating func handleConnection(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .accepted(let connection, Listener.api, _, let remote):
            acceptedClient(connection, remote: remote, at: now, into: &effects)
        case .accepted(let connection, _, let local, let remote):
            acceptedPeer(connection, local: local, remote: remote, at: now, into: &effects)
        case .connected(let connection, let local, _):
            connected(connection, local: local, at: now, into: &effects)
        case .stalled(let connection): stalled(connection, at: now, into: &effects)
        case .drained(let connection): drained(connection, at: now, into: &effects)
        case .ended(let connection): ended(connection, at: now, into: &effects)
        case .closed(let connection, let reason, _): closed(connection, reason, at: now, into: &effects)
        default: break
        }
    }

    private mutating func received(
        _ bytes: Bytes, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        if let place = clientPlaces[connection] {
            receivedFromClient(bytes, place, at: now, into: &effects)
        } else if let place = linkPlaces[connection] {
            receivedOnLink(bytes, place, at: now, into: &effects)
        } else if pending[connection] != nil {
            receivedOnPending(bytes, connection, at: now, into: &effects)
        }
    }

    /// The other side sends no more.
    private mutating func ended(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if let place = clientPlaces[connection] {
            clientEnded(place, at: now, into: &effects)
        } else {
            effects.append(.finish(connection))
            closed(connection, .closedByPeer, at: now, into: &effects)
        }
    }

    private mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        if let place = clientPlaces[connection] {
            removeClient(place, reason, at: now, into: &effects)
        } else if let place = linkPlaces[connection] {
            takeOut(place, reason, at: now, into: &effects)
        } else if pending[connection] != nil {
            pendingEnded(connection, reason, at: now, into: &effects)
        }
    }

    private mutating func stalled(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if !timers.isSet(.crowd) { timers.set(.crowd, at: now.instant) }
        if let place = clientPlaces[connection] {
            clients[place].outbox.stall()
            timers.set(.unread(connection), at: now.instant + Client.unreadLimit)
        } else if let place = linkPlaces[connection] {
            links[place]?.outbox.stall()
        }
    }

    private mutating func drained(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if let place = clientPlaces[connection] {
            clients[place].outbox.drain()
            timers.cancel(.unread(connection))
            list(client: place)
        } else if let place = linkPlaces[connection] {
            links[place]?.outbox.drain()
            links[place]?.isLagging = false
            if life.blocking.contains(place) { beginPatience(with: place, at: now) }
            listedLinks.insert(place)
        }
    }
}

// MARK: - The end of a turn

extension Gossip {
    /// Acts on what the input at hand has changed.
    private mutating func settle(at now: Moment, into effects: inout Effects) {
        guard life.needsSettling else { return }
        life.needsSettling = false
        guard life.isListening, !life.isStopping else { return }
        callCandidates(at: now, into: &effects)
        reportNeighbours(at: now, into: &effects)
    }

    mutating func list(client place: Int) {
        guard !clients[place].outbox.isListed else { return }
        clients[place].outbox.isListed = true
        listedClients.append(place)
    }

    /// Hands over what the turn has to say.
    private mutating func flush(at now: Moment, into effects: inout Effects) {
        var more = false
        if !listedClients.isEmpty {
            for place in listedClients where clients[place].isOpen {
                clients[place].outbox.isListed = false
                more = clients[place].outbox.flush(on: clients[place].connection, into: &effects) || more
            }
            listedClients.removeAll(keepingCapacity: true)
        }
        if !listedLinks.isEmpty {
            var left = listedLinks
            listedLinks = LinkSet()
            while let place = left.popFirst() {
                guard let connection = links[place]?.connection else { continue }
                guard links[place]!.outbox.flush(on: connection, into: &effects) else { continue }
                more = true
            }
            watchBlockages(at: now, into: &effects)
        }
        if more { timers.set(.pump, at: now.instant) }
    }

    /// Those that have room go on.
    mutating func pump(at now: Moment, into effects: inout Effects) {
        for place in clientPlaces.values.sorted() where !clients[place].outbox.isEmpty { list(client: place) }
        for place in open.places where links[place]?.outbox.isEmpty == false { listedLinks.insert(place) }
    }
}
