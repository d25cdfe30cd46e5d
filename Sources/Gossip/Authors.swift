internal import PeerCore

// The dialect `authors-2017` (gossip section 9): the wire of the protocol's authors' own last program. Peers are IPv4
// addresses on one common port; there are no IDs, no CONNECT, no goodbye.

/// The bootstrap servers of that dialect: HELLO by UDP is answered by a PEER LIST.
struct AuthorsServers {
    private var servers: [(destination: Destination, request: RequestID?, address: SocketAddress?)] = []
    private(set) var nextAsk: Instant?
    private var tries = 0
    private var lastAnswer: Int?

    /// Between two HELLO, after the pauses of the beginning: 60 s as in section 5.2.
    private static let longestPause = 60

    mutating func start(_ destinations: [Destination], at now: Instant) {
        servers = destinations.map { destination in
            if case .address(let address) = destination { return (destination, nil, address) }
            return (destination, nil, nil)
        }
        nextAsk = servers.isEmpty ? nil : now
    }

    mutating func stop() {
        nextAsk = nil
    }

    /// The addresses to ask now; names that are not known yet are looked up.
    mutating func due(at now: Instant, into effects: inout Effects) -> [SocketAddress] {
        guard let next = nextAsk, next <= now else { return [] }
        nextAsk = now + .seconds(min(Self.longestPause, 1 << min(tries, 6)))
        tries += 1
        for index in servers.indices {
            guard case .name(let name, _) = servers[index].destination else { continue }
            servers[index].request = effects.resolve(name)
        }
        return servers.compactMap(\.address)
    }

    /// A name was looked up. Gives whether this was asked here.
    mutating func resolved(_ request: RequestID, _ addresses: [IPAddress]) -> Bool {
        guard let index = servers.firstIndex(where: { $0.request == request }) else { return false }
        servers[index].request = nil
        guard case .name(_, let port) = servers[index].destination, let ip = addresses.first(where: { $0.v4 != nil })
        else { return true }
        if servers[index].address == nil { nextAsk = Instant(nanoseconds: .min) }
        servers[index].address = SocketAddress(ip, port)
        return true
    }

    /// Whether a datagram from there is an answer.
    mutating func isServer(_ source: SocketAddress, entries: Int) -> Bool {
        guard servers.contains(where: { $0.address == source }) else { return false }
        lastAnswer = entries
        return true
    }

    func status() -> [Record] {
        servers.map { server in
            [
                "server": .text(server.destination), "dialect": "authors-2017",
                "entries": lastAnswer.map { .count($0) } ?? .null,
            ]
        }
    }
}

extension Gossip {
    /// That program reads one message at a time and spins when two come together; 20 a second pass (measured).
    private static let pace: Duration = .milliseconds(50)
    /// What waits for the pace; more is dropped, oldest first.
    private static let maximumPaced = 512
    /// With more than this waiting, programs that announce have to wait.
    private static let pacedAtEase = 64
    /// Its TTL is a signed octet, its size a signed 16-bit number.
    private static let maximumTTL: UInt8 = 127
    private static let maximumBytes = 32_767

    static func isOfAuthors(_ type: UInt16, _ size: Int) -> Bool {
        switch type {
        case MessageType.announce, MessageType.hello: size >= Announce.headBytes
        case MessageType.peerList: size >= 6
        default: false
        }
    }

    private var ownAddress: IPAddress { own.listener?.ip ?? configuration.p2pAddress.ip }

    // MARK: Servers

    mutating func askAuthorsServers(at now: Moment, into effects: inout Effects) {
        guard authors.nextAsk != nil, !life.isStopping else { return }
        for address in authors.due(at: now.instant, into: &effects) {
            effects.append(
                .sendDatagram(AuthorsMessage.hello(ownAddress).bytes, from: Listener.datagrams, to: address))
        }
    }

    mutating func receivedDatagramOfAuthors(_ bytes: Bytes, from source: SocketAddress, at now: Moment) {
        guard case .peerList(let peers)? = try? AuthorsMessage(decoding: bytes),
            authors.isServer(source, entries: peers.count)
        else { return }
        learn(peers, at: now)
    }

    private mutating func learn(_ peers: [IPAddress], at now: Moment) {
        let port = own.listener?.port ?? configuration.p2pAddress.port
        for ip in peers where !ip.isUnspecified && !ip.isMulticast && !ip.isBroadcast {
            let address = SocketAddress(ip, port)
            guard !own.contains(address), ip != ownAddress else { continue }
            if candidates.add(address, id: nil, .neighbour, at: now.instant) { life.needsSettling = true }
        }
    }

    // MARK: Links

    /// Both sides send HELLO at once; who has enough peers closes instead.
    mutating func acceptedAuthor(
        _ connection: ConnectionID, _ local: SocketAddress, _ remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard open.count < configuration.degree else { return effects.append(.finish(connection)) }
        pending[connection] = Pending(role: .inbound, address: remote, ourID: 0, isConnected: true, remote: remote)
        timers.set(.pending(connection), at: now.instant + Pending.limit)
        connectedAuthor(connection, local, at: now, into: &effects)
    }

    mutating func connectedAuthor(
        _ connection: ConnectionID, _ local: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        effects.send(AuthorsMessage.hello(ownAddress.isUnspecified ? local.ip : ownAddress).bytes, on: connection)
    }

    /// The other side's HELLO makes it a neighbour. It is where its connection comes from, whatever it says.
    mutating func receivedFirstOfAuthors(
        _ frame: Frame, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) throws(DecodeError) {
        guard case .hello = try AuthorsMessage(decoding: frame.message), let state = pending[connection] else {
            throw .invalid(field: "type, before HELLO")
        }
        let endpoint = SocketAddress(state.remote.ip, own.listener?.port ?? configuration.p2pAddress.port)
        let twin = open.places.first { links[$0]?.endpoint == endpoint }
        // Of two links that both sides have dialled at once, both keep that of the lower address.
        if let twin, let other = links[twin], other.isDialled != (state.role != .inbound),
            (state.role != .inbound) == (ownAddress < state.remote.ip)
        {
            close(twin, .duplicate, at: now, into: &effects)
        }
        let isKnown = open.places.contains { links[$0]?.endpoint == endpoint }
        guard !isKnown, open.count < configuration.degree else {
            return end(connection, isKnown ? .duplicate : .limit, at: now, into: &effects)
        }
        pending[connection] = nil
        timers.cancel(.pending(connection))
        var link = Link(
            connection: connection, peerID: 0, ourID: 0, remote: state.remote, endpoint: endpoint,
            isEndpointTold: true, isDialled: state.role != .inbound, capabilities: [], isPlain: true,
            opened: now.instant, heard: now.instant)
        link.isPaced = true
        guard let place = openLink(link, at: now, into: &effects) else { return }
        for command in state.commands { effects.reply(command, [row(of: place, at: now.instant)]) }
        // Our HELLO has just gone.
        timers.set(.pace(place), at: now.instant + Self.pace)
        if state.buffer.count > 0 { receivedOnLink(state.buffer.waiting, place, at: now, into: &effects) }
    }

    /// A message on a link other than an item.
    mutating func receivedOfAuthors(_ frame: Frame, from place: Int, at now: Moment) throws(DecodeError) {
        guard case .peerList(let peers) = try AuthorsMessage(decoding: frame.message) else { return }
        links[place]?.neighbours = peers.count
        learn(peers, at: now)
    }

    // MARK: Sending, one message at a time

    /// Neighbours and all that we know, the receiver included.
    mutating func sendPeerList(to place: Int, at now: Moment) {
        var peers = open.places.compactMap { links[$0]?.remote.ip }
        peers += candidates.table.keys.map(\.ip).sorted()
        var known: Set<IPAddress> = []
        let list = peers.filter { $0.v4 != nil && known.insert($0).inserted }.prefix(Neighbors.maximumEntries)
        enqueuePaced(AuthorsMessage.peerList(Array(list)).bytes, to: place, at: now)
    }

    mutating func paceItem(_ message: Bytes, _ ttl: UInt8, to place: Int) {
        guard message.count <= Self.maximumBytes else {
            links[place]!.lost += 1
            counters.unsentDrops += 1
            return
        }
        var octets = message.array
        octets[4] = min(ttl, Self.maximumTTL)
        octets[5] = 0
        enqueuePaced(Bytes(octets), to: place, at: clock)
        links[place]!.sent += 1
        counters.forwarded += 1
        guard links[place]!.paced.count > Self.pacedAtEase, !life.blocking.contains(place) else { return }
        life.blocking.insert(place)
        beginPatience(with: place, at: clock)
    }

    private mutating func enqueuePaced(_ message: Bytes, to place: Int, at now: Moment) {
        if links[place]!.paced.count >= Self.maximumPaced {
            links[place]!.paced.removeFirst()
            links[place]!.lost += 1
            counters.unsentDrops += 1
        }
        links[place]!.paced.append(message)
        if !timers.isSet(.pace(place)) { timers.set(.pace(place), at: now.instant) }
    }

    mutating func sendPaced(to place: Int, at now: Moment, into effects: inout Effects) {
        guard let next = links[place]?.paced.first else { return }
        timers.set(.pace(place), at: now.instant + Self.pace)
        guard !links[place]!.outbox.isStalled else { return }
        links[place]!.paced.removeFirst()
        links[place]!.outbox.write(control: next)
        listedLinks.insert(place)
    }
}
