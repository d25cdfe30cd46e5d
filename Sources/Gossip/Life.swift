internal import Bootstrap
internal import PeerCore

/// How far the protocol is between its start and its end, and what a turn notes for later.
struct Life {
    /// Peers can reach us.
    var isListening = false
    var isStopping = false
    /// Something has changed that `settle` has to act on.
    var needsSettling = false
    var isVoteTimerSet = false
    /// What a look at the seen items has found, so that it is not left out.
    var touched: UInt64 = 0
    /// Where the input at hand begins in its buffer, and octets of it on which a vote was begun.
    var inputStart = 0
    var voted = 0
    /// When votes end by silence that begin in this turn.
    var voteEnd = Instant(nanoseconds: 0)
    /// Neighbours that want to be told of large items.
    var haveIt = LinkSet()
    /// Neighbours that hold local programs up.
    var blocking = LinkSet()
    /// So much waits for all together that nothing more is taken for those that do not keep up.
    var isCrowded = false
    /// When a neighbour may be dropped again for a newcomer.
    var nextRoom = Instant(nanoseconds: .min)
    /// Configured peers whose names are being looked up.
    var lookups: [RequestID: UInt16] = [:]
}

/// Where we are ourselves.
struct OwnAddresses {
    /// Where peers reach us.
    var listener: SocketAddress?
    var interfaces: [IPAddress] = []
    /// Where we have met ourselves.
    var met: Set<SocketAddress> = []

    /// Whether somebody who dials `address` meets us.
    func contains(_ address: SocketAddress) -> Bool {
        met.contains(address) || isListener(address)
    }

    func isListener(_ address: SocketAddress) -> Bool {
        guard let listener, address.port == listener.port else { return false }
        if !listener.ip.isUnspecified { return address.ip == listener.ip }
        return address.ip.isLoopback || interfaces.contains(address.ip)
    }
}

/// How well we do ourselves: who is late cannot judge others by the clock (after Lifeguard, DSN 2018, section IV.A).
struct Health {
    /// 0: well. Each point makes every patience longer by its whole.
    private(set) var trouble = 0
    /// The most by which patience grows (Lifeguard: 8).
    private static let worst = 8

    func stretch(_ duration: Duration) -> Duration { duration * (1 + trouble) }

    mutating func worsen() { trouble = min(Self.worst, trouble + 1) }

    mutating func improve() { trouble = max(0, trouble - 1) }
}

// MARK: - Start and end

extension Gossip {
    /// A fraction of the times after which things are outdated (gossip sections 4.2 and 5.7).
    private static let upkeepInterval: Duration = .seconds(60)

    mutating func start(at now: Moment, into effects: inout Effects) {
        effects.append(.listen(Listener.api, on: .ip(configuration.apiAddress), .stream))
        effects.append(.listen(Listener.peers, on: .ip(configuration.p2pAddress), .stream))
        timers.set(.overlay, at: now.instant + Self.overlayInterval)
        timers.set(.upkeep, at: now.instant + Self.upkeepInterval)
        timers.set(.report, at: now.instant + Self.firstReportDelay)
        for case .address(let address) in configuration.peers {
            candidates.add(address, id: nil, .configured, at: now.instant)
        }
        resolvePeers(into: &effects)
    }

    /// Looks the configured names up, now and once a minute: they may come to mean others.
    private mutating func resolvePeers(into effects: inout Effects) {
        for case .name(let name, let port) in configuration.peers { life.lookups[effects.resolve(name)] = port }
    }

    mutating func listening(
        _ listener: ListenerID, _ address: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        effects.log(.info, "listening", ["listener": .text(listener), "address": .text(address)])
        switch listener {
        case Listener.peers:
            own.listener = address
            // One port number for both (gossip section 5.1).
            effects.append(.listen(Listener.datagrams, on: .ip(address), .datagram))
        case Listener.datagrams:
            life.isListening = true
            life.needsSettling = true
            if configuration.isAuthors2017 {
                authors.start(configuration.bootstrap, at: now.instant)
            } else {
                bootstrap.start(at: now, into: &effects)
            }
        default: break
        }
    }

    mutating func cannotListen(_ listener: ListenerID, _ error: SystemError, into effects: inout Effects) {
        let isAPI = listener == Listener.api
        effects.log(
            .error, "listen_failed",
            [
                "listener": .text(listener), "error": .text(error),
                "address": .text(isAPI ? configuration.apiAddress : own.listener ?? configuration.p2pAddress),
            ], isAPI ? "no local program can reach this node" : "no peer can reach this node")
    }

    mutating func resolved(
        _ request: RequestID, _ addresses: [IPAddress], at now: Moment, into effects: inout Effects
    ) {
        if bootstrap.resolved(request, addresses, at: now, into: &effects) { return }
        if authors.resolved(request, addresses) { return askAuthorsServers(at: now, into: &effects) }
        guard let port = life.lookups.removeValue(forKey: request) else { return }
        for ip in addresses { candidates.add(SocketAddress(ip, port), id: nil, .configured, at: now.instant) }
        life.needsSettling = true
    }

    /// Goodbye to neighbours and servers; programs get what waits for them and then the end.
    mutating func stop(at now: Moment, into effects: inout Effects) {
        guard !life.isStopping else { return }
        life.isStopping = true
        effects.append(.unlisten(Listener.api))
        effects.append(.unlisten(Listener.peers))
        for connection in pending.keys.sorted() { end(connection, .shutdown, at: now, into: &effects) }
        for place in open.places { close(place, .shutdown, at: now, into: &effects) }
        for place in clientPlaces.values.sorted() { close(client: place, .shutdown, at: now, into: &effects) }
        bootstrap.stop(into: &effects)
        authors.stop()
        timers = Deadlines()
    }

    /// An absence after which all that we knew of failures is outdated.
    private static let absence: Duration = .seconds(10)

    /// We were late: others get that much longer.
    mutating func resumed(after gap: Duration, at now: Moment, into effects: inout Effects) {
        guard gap > .zero else { return }
        health.worsen()
        for place in open.places {
            links[place]?.heard += gap
            setSilence(of: place)
        }
        for connection in pending.keys.sorted() {
            timers.set(.pending(connection), at: now.instant + health.stretch(Pending.limit))
        }
        guard gap >= Self.absence else { return }
        candidates.forgetFailures(at: now.instant)
        bootstrap.resumed(at: now, into: &effects)
        life.needsSettling = true
    }

    mutating func keepUp(at now: Moment, into effects: inout Effects) {
        resolvePeers(into: &effects)
        for place in open.places where now.instant - (links[place]?.opened ?? now.instant) > Self.upkeepInterval * 10 {
            links[place]?.taken = 0
        }
        timers.set(.upkeep, at: now.instant + Self.upkeepInterval)
        seen.expire(at: now.instant)
        named.expire(at: now.instant)
        repetitions.expire(configuration.seenTTL, at: now.instant)
        candidates.expire(at: now.instant)
    }
}
