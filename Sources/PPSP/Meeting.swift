internal import PeerCore

/// Somebody who may have a content.
struct Candidate {
    var connection: ConnectionID?
    var failures = 0
    /// Not before.
    var next = Instant(nanoseconds: 0)
    /// By the configuration or the operator, not by the word of a peer.
    var isGiven: Bool

    /// Failures in a row after which an address that was only told of is forgotten.
    private static let mostFailures = 3

    var isUseless: Bool { !isGiven && failures > Self.mostFailures }
}

// MARK: - Whom to dial

extension PPSP {
    /// Strangers' addresses that are kept for one swarm, and for one /24 or /48 of it (PPSP section 10.1).
    private static let (mostCandidates, mostOfPrefix) = (200, 2)
    /// Addresses that are taken from one list (PPSP section 10.1).
    static let mostOfList = 25
    /// From a failed dial to the next, doubled up to the longest (PPSP section 8).
    static let (firstPause, longestPause) = (Duration.seconds(1), Duration.seconds(60))

    /// Takes an address that may have the content of a swarm.
    mutating func addCandidate(
        _ destination: Destination, _ swarm: Int, isGiven: Bool, at now: Moment, into effects: inout Effects
    ) {
        guard swarms[swarm] != nil else { return }
        if swarms[swarm]?.candidates[destination] != nil {
            if isGiven { swarms[swarm]?.candidates[destination]?.isGiven = true }
        } else {
            guard isGiven || hasRoom(for: destination, swarm) else { return }
            swarms[swarm]?.candidates[destination] = Candidate(isGiven: isGiven)
        }
        timers.set(.meet(swarm), at: now.instant)
    }

    private func hasRoom(for destination: Destination, _ swarm: Int) -> Bool {
        guard let candidates = swarms[swarm]?.candidates, case .address(let address) = destination,
            address != configuration.listen
        else { return false }
        let strangers = candidates.filter { !$0.value.isGiven }.keys.compactMap { other in
            if case .address(let address) = other { address } else { nil }
        }
        return hasRoom(for: address, among: strangers)
    }

    /// Whether one more address is kept that peers have told, beside those of the same kind.
    func hasRoom(for address: SocketAddress, among strangers: [SocketAddress]) -> Bool {
        guard strangers.count < Self.mostCandidates else { return false }
        guard !address.ip.isLoopback, !address.ip.isPrivate else { return true }
        let prefix = IPPrefix(address.ip, length: address.ip.v4 == nil ? 48 : 24)
        return strangers.count { prefix.contains($0.ip) } < Self.mostOfPrefix
    }

    mutating func addConfigured(_ swarm: Int, at now: Moment, into effects: inout Effects) {
        for peer in configuration.peers { addCandidate(peer, swarm, isGiven: true, at: now, into: &effects) }
        for peer in configuration.udpPeers { addCallee(peer, swarm, at: now) }
    }

    /// Dials for a content that is not complete, and sees to it that whoever is connected is asked for it.
    mutating func meet(_ swarm: Int, at now: Moment, into effects: inout Effects) {
        guard let own = swarms[swarm], own.phase == .fetching, !life.isStopping else { return }
        var room = configuration.maxPeers - own.peers.count - own.candidates.values.count { $0.connection != nil }
        var next: Instant?
        // Strangers have half of the room at most (PPSP section 10.1).
        let ordered = own.candidates.filter { $0.value.connection == nil }.sorted {
            ($0.value.isGiven ? 0 : 1, $0.key) < ($1.value.isGiven ? 0 : 1, $1.key)
        }
        let reached = ordered.isEmpty ? [:] : connections
        for (destination, candidate) in ordered {
            if let connection = reached[destination] {
                want(swarm, on: connection, at: now, into: &effects)
            } else if room > 0, candidate.next <= now.instant {
                dial(destination, swarm, at: now, into: &effects)
                room -= 1
            } else if candidate.next > now.instant {
                next = min(next ?? candidate.next, candidate.next)
            }
        }
        if let calls = call(swarm, at: now, into: &effects) { next = min(next ?? calls, calls) }
        if let next { timers.set(.meet(swarm), at: next) }
    }

    /// The connections on which somebody is, or will be, reached; the oldest of those to one destination.
    private var connections: [Destination: ConnectionID] {
        var connections: [Destination: ConnectionID] = [:]
        for (connection, link) in links {
            for destination in [link.dialled, link.listens.map(Destination.address)].compactMap(\.self) {
                connections[destination] = min(connection, connections[destination] ?? connection)
            }
        }
        return connections
    }

    private mutating func dial(
        _ destination: Destination, _ swarm: Int, at now: Moment, into effects: inout Effects
    ) {
        let connection = effects.connect(to: destination, from: source, timeout: configuration.connectTimeout)
        let remote = if case .address(let address) = destination { address } else { SocketAddress(.loopback, 0) }
        let link = Link(
            remote, dialled: destination, contentLimit: configuration.maxMessageBytes, at: now.instant)
        link.wanted = [swarm]
        links[connection] = link
        swarms[swarm]?.candidates[destination]?.connection = connection
    }

    /// A peer that is connected is asked for a swarm, once.
    private mutating func want(
        _ swarm: Int, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        let tie = Tie(connection: connection, swarm: swarm)
        guard let link = links[connection], partners[tie] == nil, !link.wanted.contains(swarm) else { return }
        guard link.isOpen else { return links[connection]!.wanted.append(swarm) }
        ask(tie, at: now, into: &effects)
    }

    /// The address from which we call: our own on loopback, where peers are told apart by it.
    var source: IPAddress? {
        guard let ip = configuration.listen?.ip, ip.isLoopback else { return nil }
        return ip
    }
}

// MARK: - Connections

extension PPSP {
    mutating func accepted(
        _ connection: ConnectionID, local: SocketAddress, from remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard hasRoom(for: remote), !life.isStopping else {
            reject(remote, "limit", into: &effects)
            return effects.append(.abort(connection, .limit))
        }
        let link = Link(remote, dialled: nil, contentLimit: configuration.maxMessageBytes, at: now.instant)
        link.local = local
        links[connection] = link
        timers.set(.link(connection), at: now.instant + configuration.firstMessageTime)
    }

    mutating func connected(
        _ connection: ConnectionID, local: SocketAddress, to remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard let link = links[connection], let dialled = link.dialled else { return }
        link.isOpen = true
        link.local = local
        link.heardAt = now.instant
        link.saidAt = now.instant
        link.listens = remote
        let wanted = link.wanted
        link.wanted = []
        timers.set(.link(connection), at: now.instant + configuration.keepAlive)
        for swarm in link.pushes {
            offerPush(Tie(connection: connection, swarm: swarm), at: now, into: &effects)
        }
        for swarm in wanted {
            swarms[swarm]?.candidates[dialled]?.failures = 0
            ask(Tie(connection: connection, swarm: swarm), at: now, into: &effects)
        }
    }

    /// Whether one more connection, or channel, may come from there (PPSP section 10.1).
    func hasRoom(for remote: SocketAddress) -> Bool {
        guard links.count < configuration.maxConnections else { return false }
        guard !remote.ip.isLoopback else { return true }
        let fromThere = links.values.count { $0.dialled == nil && $0.remote.ip == remote.ip }
        return fromThere < configuration.maxConnectionsPerAddress
    }

    mutating func ended(_ connection: ConnectionID, into effects: inout Effects) {
        guard links[connection] != nil else { return }
        effects.append(.finish(connection))
    }

    mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        guard let link = links.removeValue(forKey: connection) else { return }
        timers.cancel(.link(connection))
        for id in link.questions.keys { timers.cancel(.question(connection, id)) }
        for tie in partners.keys.filter({ $0.connection == connection }).sorted() {
            part(tie, at: now, into: &effects)
        }
        if link.isOpen, let peerID = link.peerID {
            effects.log(
                .debug, "peer_gone",
                ["peer": .string(peerID.hex), "address": .text(link.remote), "reason": .string(reason.rawValue)])
        }
        guard let dialled = link.dialled else { return }
        for swarm in swarms.keys.sorted() where swarms[swarm]?.candidates[dialled]?.connection == connection {
            dialEnded(dialled, swarm, reason, wasOpen: link.isOpen, at: now, into: &effects)
        }
    }

    /// A candidate may be dialled again later; one that was only told of and does not answer is forgotten.
    private mutating func dialEnded(
        _ destination: Destination, _ swarm: Int, _ reason: CloseReason, wasOpen: Bool, at now: Moment,
        into effects: inout Effects
    ) {
        guard var candidate = swarms[swarm]?.candidates[destination] else { return }
        candidate.connection = nil
        candidate.failures = wasOpen ? max(1, candidate.failures) : candidate.failures + 1
        guard !candidate.isUseless, ![.selfConnection, .banned].contains(reason) else {
            swarms[swarm]?.candidates[destination] = nil
            return
        }
        // Half of it to all of it: those who lost the same peer do not come back at the same time.
        let pause = min(Self.longestPause, Self.firstPause * (1 << min(candidate.failures - 1, 6)))
        candidate.next = now.instant + pause / 2 + (pause / 2) * Double.random(in: 0...1, using: &random)
        swarms[swarm]?.candidates[destination] = candidate
        timers.set(.meet(swarm), at: candidate.next)
        guard !wasOpen, candidate.isGiven else { return }
        effects.log(
            candidate.failures == 1 ? .warn : .debug, "dial_failed",
            [
                "swarm": .string(name(of: swarm)), "address": .text(destination),
                "reason": .string(reason.rawValue), "nextTrySeconds": .seconds(pause),
            ])
        refusedWatchers(swarm, destination, reason, into: &effects)
    }

    /// A peer is not in a swarm any more; what it was asked for others may give.
    mutating func part(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = partners.removeValue(forKey: tie) else { return }
        timers.cancel(.chunks(tie))
        timers.cancel(.askAgain(tie))
        timers.cancel(.askPeers(tie))
        swarms[tie.swarm]?.peers.removeAll { $0 === partner }
        release(partner.take?.asked.keys.sorted() ?? [], tie.swarm)
        if partner.give?.hasSlot ?? false { fillSlots(at: now, into: &effects) }
        toPump.insert(tie.swarm)
        if swarms[tie.swarm]?.phase == .fetching { timers.set(.meet(tie.swarm), at: now.instant) }
    }

    /// Says goodbye because of what the other side did.
    mutating func drop(_ connection: ConnectionID, _ reason: CloseReason, into effects: inout Effects) {
        guard links[connection]?.isLeaving == false else { return }
        links[connection]?.isLeaving = true
        if let channel = channels.number(of: connection) {
            return channelFailed(channel, reason, at: clock, into: &effects)
        }
        effects.append(.abort(connection, reason))
    }

    /// Ends a connection that has nothing more to say.
    mutating func leave(_ connection: ConnectionID, into effects: inout Effects) {
        if let channel = channels.number(of: connection) {
            return removeChannel(channel, at: clock, into: &effects)
        }
        effects.append(.finish(connection))
    }

    mutating func reject(_ remote: SocketAddress, _ reason: String, into effects: inout Effects) {
        counters.rejected[reason, default: 0] += 1
        effects.log(.debug, "reject", ["address": .text(remote), "reason": .string(reason)])
    }

    /// Whatever time has to say of a connection.
    mutating func linkDue(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let link = links[connection], link.isOpen else { return }
        let silence = now.instant - link.heardAt
        if link.peerID == nil, link.dialled == nil {
            reject(link.remote, "timeout", into: &effects)
            return drop(connection, .timeout, into: &effects)
        }
        if link.reader.isInside, silence >= configuration.messageTime {
            reject(link.remote, "slow", into: &effects)
            return drop(connection, .tooSlow, into: &effects)
        }
        guard silence < configuration.silence else { return drop(connection, .silent, into: &effects) }
        if now.instant - link.saidAt >= configuration.keepAlive {
            say(.keepAlive(from: peerID), on: connection, at: now, into: &effects)
        }
        let silent = link.heardAt + (link.reader.isInside ? configuration.messageTime : configuration.silence)
        let saidAt = links[connection]?.saidAt ?? now.instant
        timers.set(.link(connection), at: min(silent, saidAt + configuration.keepAlive))
    }

    /// Sends a control message.
    mutating func say(_ message: Message, on connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        links[connection]?.saidAt = now.instant
        effects.send(message.bytes, on: connection)
    }
}
