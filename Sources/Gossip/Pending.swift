internal import Bootstrap
internal import PeerCore

/// A TCP connection between peers that is no link yet (gossip sections 5.5 and 5.6).
///
///     we were sent CONNECT → dialling back ─────────────────────────┐
///     nobody dialled back  → dialling directly: CONNECT, NEIGHBORS ─┤ first NEIGHBORS of the other side → Link
///     somebody dialled     → inbound: (CONNECT,) ───────────────────┘
struct Pending {
    enum Role: Hashable {
        /// We dial the sender of a CONNECT, whose ID it must tell.
        case dialBack(id: UInt16)
        /// We dial somebody who did not dial back.
        case direct
        /// Somebody dials us.
        case inbound
    }

    let role: Role
    /// Whom we dial; for an inbound connection its remote end.
    let address: SocketAddress
    /// Who waits for it.
    var commands: [CommandID] = []
    /// The ID that it told in a CONNECT on this connection.
    var connectID: UInt16?
    /// By which it knows us.
    var ourID: UInt16
    var isConnected = false
    var remote: SocketAddress
    var buffer = ReceiveBuffer()
    var receivedOctets = 0
    var sentOctets = 0

    /// Connections that others may have opened without being links yet.
    static let maximumInbound = 64
    /// TCP connect, and then the first NEIGHBORS, must come within this time (gossip section 5.7).
    static let limit: Duration = .seconds(5)
}

// MARK: - Beginning

extension Gossip {
    mutating func acceptedPeer(
        _ connection: ConnectionID, local: SocketAddress, remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard !life.isStopping else { return effects.append(.abort(connection, .shutdown)) }
        let inbound = pending.keys.filter { pending[$0]?.role == .inbound }
        if inbound.count >= Pending.maximumInbound, let oldest = inbound.min() {
            // Who says nothing makes room for who comes.
            end(oldest, .limit, at: now, into: &effects)
        }
        if configuration.isAuthors2017 {
            return acceptedAuthor(connection, local, remote, at: now, into: &effects)
        }
        pending[connection] = Pending(
            role: .inbound, address: remote, ourID: bootstrap.id, isConnected: true, remote: remote)
        timers.set(.pending(connection), at: now.instant + health.stretch(Pending.limit))
    }

    /// Dials `address` in a role other than `inbound`.
    mutating func dial(
        _ address: SocketAddress, _ role: Pending.Role, commands: [CommandID] = [], at now: Moment,
        into effects: inout Effects
    ) {
        let limit = health.stretch(Pending.limit)
        let listen = configuration.p2pAddress.ip
        let connection = effects.connect(
            to: .address(address), from: listen.isLoopback && address.ip.isLoopback ? listen : nil, timeout: limit)
        pending[connection] = Pending(
            role: role, address: address, commands: commands, ourID: bootstrap.id, remote: address)
    }

    /// A dial succeeded. We speak first: NEIGHBORS, after CONNECT when nobody has told us to dial.
    mutating func connected(
        _ connection: ConnectionID, local: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard let dialled = pending[connection] else { return }
        guard !own.contains(dialled.address) else {
            own.met.insert(dialled.address)
            return end(connection, .selfConnection, at: now, into: &effects)
        }
        pending[connection]?.isConnected = true
        let limit = health.stretch(Pending.limit)
        timers.set(.pending(connection), at: now.instant + limit)
        if configuration.isAuthors2017 { return connectedAuthor(connection, local, at: now, into: &effects) }
        if dialled.role == .direct {
            greet(connection, Greeting.bytes(MessageType.connect, id: dialled.ourID), into: &effects)
        }
        greet(connection, neighbors(for: dialled.address, id: dialled.ourID, isFirst: true), into: &effects)
    }

    /// Sends one of the messages that come before a connection is a link.
    private mutating func greet(_ connection: ConnectionID, _ message: Bytes, into effects: inout Effects) {
        pending[connection]?.sentOctets += message.count
        effects.send(message, on: connection)
    }
}

// MARK: - The first messages

extension Gossip {
    mutating func receivedOnPending(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        pending[connection]?.buffer.append(bytes)
        pending[connection]?.receivedOctets += bytes.count
        guard let state = pending[connection] else { return }
        let waiting = state.buffer.waiting
        do throws(DecodeError) {
            let isAuthors = configuration.isAuthors2017
            guard let frame = try Frame.next(in: waiting, at: 0, isAuthors ? Self.isOfAuthors : Self.isOpening) else {
                return
            }
            pending[connection]?.buffer.consume(frame.message.count)
            switch frame.type {
            case MessageType.hello, MessageType.peerList:
                try receivedFirstOfAuthors(frame, connection, at: now, into: &effects)
            case MessageType.neighbors:
                identify(connection, try Neighbors(decoding: frame.message), at: now, into: &effects)
            case MessageType.connect where state.role == .inbound && state.connectID == nil:
                pending[connection]?.connectID = try Greeting.id(decoding: frame.message)
            case MessageType.disconnect:
                _ = try Greeting.id(decoding: frame.message)
                return end(connection, .refused, at: now, into: &effects)
            default: throw .invalid(field: "type, before NEIGHBORS")
            }
        } catch {
            effects.log(
                .info, "handshake_refused",
                [
                    "address": .text(state.remote), "reason": .string("malformed"), "error": .text(error),
                    "header": .string(hexadecimal(waiting.prefix(Frame.headerBytes))),
                ])
            return end(connection, .malformed, at: now, into: &effects)
        }
        goOn(connection, at: now, into: &effects)
    }

    /// What waits behind the message that was read belongs to the link, or to what the connection is still to become.
    private mutating func goOn(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if let rest = pending[connection]?.buffer.waiting, rest.count > 0 {
            pending[connection]?.buffer = ReceiveBuffer()
            pending[connection]?.receivedOctets -= rest.count
            receivedOnPending(rest, connection, at: now, into: &effects)
        }
    }

    /// What may come before a link is one.
    private static func isOpening(_ type: UInt16, _ size: Int) -> Bool {
        switch type {
        case MessageType.connect, MessageType.disconnect: size == Greeting.octets
        case MessageType.neighbors: size >= Neighbors.headBytes
        default: false
        }
    }

    /// The first NEIGHBORS of the other side has come: it says who it is.
    private mutating func identify(
        _ connection: ConnectionID, _ message: Neighbors, at now: Moment, into effects: inout Effects
    ) {
        guard let state = pending[connection] else { return }
        let told = message.ownEndpoint(seenAt: state.remote.ip)
        let isExpected =
            told.flatMap { calls[$0] }.map { $0.id ?? message.id == message.id } ?? isExpected(state, message)
        switch state.role {
        case .dialBack(let id):
            guard message.id == id else { return end(connection, .wrongIdentity, at: now, into: &effects) }
        case .inbound:
            if let id = state.connectID {
                guard message.id == id else { return end(connection, .wrongIdentity, at: now, into: &effects) }
            } else if !isExpected {
                return end(connection, .protocolViolation, at: now, into: &effects)
            }
        case .direct: break
        }
        let endpoint = told ?? (state.role == .inbound ? nil : state.address)
        if message.id == state.ourID, let endpoint, own.isListener(endpoint) {
            own.met.insert(endpoint)
            return end(connection, .selfConnection, at: now, into: &effects)
        }
        let link = Link(
            connection: connection, peerID: message.id, ourID: state.ourID, remote: state.remote,
            endpoint: endpoint, isEndpointTold: told != nil,
            isDialled: state.role != .inbound,
            capabilities: message.capabilities.intersection(capabilities),
            isPlain: message.capabilities.isEmpty, opened: now.instant, heard: now.instant)
        adopt(link, message, endpoint, at: now, into: &effects)
    }

    /// Whether an inbound connection answers a CONNECT: one went to its address, and its ID is the one that is expected
    /// there, if any is (gossip section 5.5, step 3).
    private func isExpected(_ state: Pending, _ message: Neighbors) -> Bool {
        calls.contains { $0.key.ip == state.remote.ip && ($0.value.id ?? message.id) == message.id }
    }

    /// Makes a neighbour of a peer that has told who it is, if there is room and it is none already.
    private mutating func adopt(
        _ link: Link, _ message: Neighbors, _ called: SocketAddress?, at now: Moment, into effects: inout Effects
    ) {
        guard let state = pending[link.connection] else { return }
        if let twin = twin(of: link) {
            guard replaces(link, twin, at: now) else {
                return end(link.connection, .duplicate, at: now, into: &effects)
            }
            close(twin, .duplicate, at: now, into: &effects)
        }
        if open.count >= configuration.degree, !makeRoom(for: message, at: now, into: &effects) {
            return end(link.connection, .limit, at: now, into: &effects)
        }
        if state.role == .inbound {
            greet(
                link.connection, neighbors(for: link.endpoint, id: link.ourID, isFirst: true), into: &effects)
        }
        let greetingOctets = pending[link.connection]?.sentOctets ?? 0
        pending[link.connection] = nil
        timers.cancel(.pending(link.connection))
        if let called { calls[called]?.isAnswered = true }
        guard let place = openLink(link, at: now, into: &effects) else { return }
        learn(message, from: place, at: now)
        for command in state.commands { effects.reply(command, [row(of: place, at: now.instant)]) }
        let rest = state.buffer.waiting
        links[place]?.greetingOctets = greetingOctets
        links[place]?.receivedOctets = state.receivedOctets - rest.count
        if rest.count > 0 { receivedOnLink(rest, place, at: now, into: &effects) }
    }

    /// The link that we have to the same peer: ID and endpoint agree (gossip section 5.7).
    private func twin(of link: Link) -> Int? {
        open.places.first { place in
            guard let other = links[place], other.peerID == link.peerID else { return false }
            guard let mine = link.endpoint, let theirs = other.endpoint else {
                return other.remote.ip == link.remote.ip
            }
            return mine == theirs
        }
    }

    /// Of two links to one peer both sides keep that which the lower ID has dialled (gossip section 5.5). Of two that
    /// the same side has dialled the older one stays, unless it is silent: then its peer has begun anew.
    private func replaces(_ link: Link, _ twin: Int, at now: Moment) -> Bool {
        guard let other = links[twin] else { return true }
        guard link.isDialled != other.isDialled else {
            return now.instant - other.heard > configuration.heartbeatInterval * 3 / 2
        }
        let weAreLower =
            if link.ourID != link.peerID { link.ourID < link.peerID } else {
                (own.listener ?? configuration.p2pAddress) < (link.endpoint ?? link.remote)
            }
        return link.isDialled == weAreLower
    }

    /// A full node that is asked by a peer without neighbours drops its best-connected one (gossip section 5.7).
    private mutating func makeRoom(
        for message: Neighbors, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard message.others.isEmpty, now.instant >= life.nextRoom else { return false }
        guard let place = open.places.max(by: { (links[$0]?.neighbours ?? 0) < (links[$1]?.neighbours ?? 0) }),
            links[place]?.neighbours ?? 0 > 0
        else { return false }
        life.nextRoom = now.instant + Self.roomInterval
        close(place, .replaced, at: now, into: &effects)
        return true
    }

    /// Newcomers must not be able to take a node's neighbours away one after the other.
    private static let roomInterval: Duration = .seconds(1)
}

// MARK: - The end

extension Gossip {
    /// Ends a connection that is to be no link.
    mutating func end(_ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        guard let state = pending[connection] else { return }
        if state.isConnected {
            if [.limit, .duplicate, .shutdown, .replaced].contains(reason), !configuration.isAuthors2017 {
                effects.send(Greeting.bytes(MessageType.disconnect, id: state.ourID), on: connection)
            }
            effects.append(.finish(connection))
        } else {
            effects.append(.abort(connection, reason))
        }
        pendingEnded(connection, reason, at: now, into: &effects)
    }

    mutating func pendingTimedOut(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        end(connection, .timeout, at: now, into: &effects)
    }

    /// A connection ended before it was a link, or a dial failed.
    mutating func pendingEnded(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        guard let state = pending.removeValue(forKey: connection) else { return }
        timers.cancel(.pending(connection))
        life.needsSettling = true
        for command in state.commands { effects.reply(command, [], .refused("\(state.address): \(reason.rawValue)")) }
        guard reason != .duplicate else { return }
        if state.role == .inbound {
            return effects.log(
                .debug, "handshake_refused",
                ["address": .text(state.remote), "reason": .string(reason.rawValue), "step": "neighbors"])
        }
        // What was called may still dial back.
        let next = candidates.failed(state.address, isLonely: open.isEmpty, at: now.instant)
        effects.log(
            .info, "dial_failed",
            [
                "address": .text(state.address), "reason": .string(reason.rawValue),
                "nextTrySeconds": next.map { .seconds($0) } ?? .null,
            ])
    }
}

extension Pending.Role {
    var isDialBack: Bool {
        if case .dialBack = self { true } else { false }
    }
}
