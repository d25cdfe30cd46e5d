internal import PeerCore

// Channels are opened and closed (RFC 7574 digest, sections 2, 3 and 9).

extension PPSP {
    /// The socket of RFC 7574.
    static let datagrams = ListenerID("datagrams")
    /// From one handshake to the next, and from the last to giving up (PPSP section 9.6).
    private static let tries: [Duration] = [.seconds(1), .seconds(2), .seconds(4)]
    /// Handshakes that tell the chunk size, before it is left out for those who do not know the option (digest 9).
    private static let triesWithSize = 2
    /// The chunk size where nobody tells (digest section 8).
    static let usualChunkSize: UInt32 = 1024
    /// The largest chunks for which a datagram has room.
    static let mostDatagramChunk: UInt32 = 32_768
    /// Octets of HAVE beside a handshake; larger maps come when the way back is proved (digest section 2).
    private static let haveBytes = 40

    /// Whether contents may go by datagrams: a closed node cannot tell by them who asks.
    var speaksDatagrams: Bool { channels.port != nil && configuration.allow.isEmpty && !life.isStopping }

    /// Opens a channel to somebody who may have a content.
    mutating func openChannel(
        _ number: Int, to remote: SocketAddress, _ addressing: ChunkAddressing, by signalling: Tie?, at now: Moment,
        into effects: inout Effects
    ) {
        guard speaksDatagrams, let swarm = swarms[number], swarm.phase == .fetching,
            let function = swarm.metadata.hashFunction ?? HashFunction(datagramsWith: swarm.id), function.isStandard
        else { return }
        if let old = channels.number(at: Channels.Place(remote: remote, swarm: number, isOurs: true)) {
            removeChannel(old, at: now, into: &effects)
        }
        let rules = ChunkRules(
            .datagram, addressing, function, chunkSize: swarm.metadata.chunkSize ?? Self.usualChunkSize)
        let channel = Channel(
            number: channels.free(using: &random), connection: effects.nextConnectionID(), swarm: number,
            remote: remote, isOurs: true, signalling: signalling, theirs: nil, rules: rules,
            out: Outflow(rules, to: remote), heardAt: now.instant, saidAt: now.instant)
        enter(channel, peerID: signalling.flatMap { links[$0.connection]?.peerID }, at: now)
        tryHandshake(channel.number, at: now, into: &effects)
    }

    /// A peer over TCP has told where its datagrams come: chunks are asked for there (PPSP section 9.6). It may name no
    /// other host than its own, since nobody is to send others our handshakes.
    mutating func beginTakingByDatagrams(
        _ agreed: AgreedTransport, from endpoint: Endpoint, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        guard let link = links[tie.connection], endpoint.address.ip == link.remote.ip,
            adopt(agreed.swarm, tie.swarm)
        else {
            links[tie.connection]?.avoidsDatagrams = true
            timers.set(.askAgain(tie), at: now.instant)
            return
        }
        retire(tie)
        guard !takesByDatagrams(tie) else { return }
        openChannel(tie.swarm, to: endpoint.address, agreed.addressing, by: tie, at: now, into: &effects)
    }

    /// Whether chunks come, or will come, by a channel that a peer has told of, over this connection or another one.
    func takesByDatagrams(_ tie: Tie) -> Bool {
        channels.table.values.contains { channel in
            guard channel.swarm == tie.swarm, let signalling = channel.signalling else { return false }
            guard signalling != tie else { return true }
            guard let culprit = links[tie.connection]?.culprit else { return false }
            return links[signalling.connection]?.culprit == culprit
        }
    }

    /// A transfer over TCP has an end; what still comes by it is no mistake.
    private mutating func retire(_ tie: Tie) {
        guard let take = partners[tie]?.take else { return }
        abandon(take, tie)
        links[tie.connection]?.takes[take.id] = tie.swarm
    }

    /// Whether that is a channel that we have opened.
    func isOurChannel(_ connection: ConnectionID) -> Bool {
        channels.number(of: connection).map { channels[$0]?.isOurs ?? false } ?? false
    }

    /// A channel is among the connections from now on.
    private mutating func enter(_ channel: Channel, peerID: Bytes32?, at now: Moment) {
        let link = Link(channel.remote, dialled: nil, contentLimit: configuration.maxMessageBytes, at: now.instant)
        link.isOpen = !channel.isOurs
        link.peerID = peerID
        link.isChannel = true
        links[channel.connection] = link
        channels.insert(channel)
        channels.touched.insert(channel.number)
    }

    /// The handshake, once more.
    mutating func tryHandshake(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let channel = channels[number], channel.theirs == nil, let swarm = swarms[channel.swarm] else { return }
        guard channel.tries < Self.tries.count else {
            return channelFailed(number, .timeout, at: now, into: &effects)
        }
        var handshake = options(channel.rules, at: number)
        handshake.lowestVersion = Handshake.currentVersion
        handshake.swarmID = swarm.id
        let tellsSize = !configuration.omitChunkSizeOption && channel.tries < Self.triesWithSize
        if !tellsSize { handshake.chunkSize = nil }
        let datagram = Datagram(channel: 0, [.handshake(handshake)] + firstHaves(swarm))
        effects.append(.sendDatagram(datagram.bytes(channel.rules), from: Self.datagrams, to: channel.remote))
        channels[number]?.triesAgainAt = now.instant + Self.tries[channel.tries]
        channels[number]?.tries += 1
        channels.touched.insert(number)
    }

    /// What both sides say of themselves.
    private func options(_ rules: ChunkRules, at number: UInt32) -> Handshake {
        var handshake = Handshake(channel: number)
        handshake.version = Handshake.currentVersion
        handshake.integrityMethod = SwarmMetadata.merkleTree
        handshake.hashFunction = (rules.hashBytes == HashFunction.sha1.octets ? HashFunction.sha1 : .sha256).rawValue
        handshake.addressing = rules.addressing.rawValue
        handshake.chunkSize = rules.chunkSize
        return handshake
    }

    /// Some of what is here: as much as may stand beside a handshake.
    private func firstHaves(_ swarm: Swarm) -> [ChunkMessage] {
        // Nine octets each with the usual addressing.
        swarm.chunkCount == nil ? [] : swarm.have.ranges().prefix(Self.haveBytes / 9).map { .have($0) }
    }

    // MARK: - The other side opens

    /// A datagram for no channel: it opens one, or says that ours is refused.
    mutating func heardOpening(
        _ octets: Bytes, from remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard case .datagram(let datagram) = DatagramReading(octets, .opening),
            case .handshake(let handshake)? = datagram.messages.first
        else { return ignore("opening") }
        guard !handshake.isClose else { return refusedOpening(remote, at: now, into: &effects) }
        guard speaksDatagrams, handshake.isSpoken, let id = handshake.swarmID, let number = numbers[id],
            let swarm = swarms[number], swarm.isServed, let function = swarm.metadata.hashFunction,
            !isBanned(Culprit(ip: remote.ip, peerID: .zero), at: now.instant)
        else { return ignore("opening") }
        // One that comes again, or in the place of an older one, needs no more room.
        let place = Channels.Place(remote: remote, swarm: number, isOurs: false)
        guard channels.number(at: place) != nil || hasRoom(for: remote) else {
            reject(remote, "limit", into: &effects)
            return refuse(handshake.channel, to: remote, into: &effects)
        }
        guard let rules = handshake.rules(for: swarm.metadata, function) else {
            return refuse(handshake.channel, to: remote, into: &effects)
        }
        // Nothing is kept of it but this, in a table that does not grow (digest section 2).
        let waiting = Channels.Waiting(
            remote: remote, theirs: handshake.channel, swarm: number, rules: rules,
            tellsChunkSize: handshake.chunkSize != nil,
            first: octets.count <= Channels.keptBytes ? Bytes(octets.array) : Bytes())
        let own = channels.answer(waiting)
        var answer = options(rules, at: own)
        if !waiting.tellsChunkSize { answer.chunkSize = nil }
        let said = Datagram(channel: handshake.channel, [.handshake(answer)] + firstHaves(swarm))
        effects.append(.sendDatagram(said.bytes(rules), from: Self.datagrams, to: remote))
    }

    /// Somebody who opens a channel hears that there will be none.
    private func refuse(_ channel: UInt32, to remote: SocketAddress, into effects: inout Effects) {
        let close = Datagram(channel: channel, [.handshake(.close)])
        effects.append(.sendDatagram(close.bytes(.opening), from: Self.datagrams, to: remote))
    }

    /// Something came on a number that was the answer to a handshake, from where that came: now it is a channel.
    mutating func proveChannel(
        _ number: UInt32, from remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let waiting = channels.takeWaiting(number, from: remote), let swarm = swarms[waiting.swarm],
            swarm.isServed, speaksDatagrams
        else { return false }
        if let old = channels.number(at: Channels.Place(remote: remote, swarm: waiting.swarm, isOurs: false)) {
            removeChannel(old, at: now, into: &effects)
        }
        guard hasRoom(for: remote) else {
            reject(remote, "limit", into: &effects)
            refuse(waiting.theirs, to: remote, into: &effects)
            return false
        }
        let channel = Channel(
            number: number, connection: effects.nextConnectionID(), swarm: waiting.swarm, remote: remote, isOurs: false,
            signalling: nil, theirs: waiting.theirs, rules: waiting.rules,
            out: Outflow(waiting.rules, to: remote), heardAt: now.instant, saidAt: now.instant)
        enter(channel, peerID: nil, at: now)
        joinByChannel(channel, at: now, into: &effects)
        if case .datagram(let datagram) = DatagramReading(waiting.first, .opening) {
            hear(datagram.messages.dropFirst(), on: number, at: now, into: &effects)
        }
        return true
    }

    // MARK: - Our handshake is answered

    /// Whether both want the same; then the channel is open.
    mutating func handshakeAnswered(
        _ handshake: Handshake, _ number: UInt32, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let channel = channels[number], let swarm = swarms[channel.swarm], swarm.phase == .fetching,
            let function = swarm.metadata.hashFunction ?? HashFunction(datagramsWith: swarm.id)
        else { return false }
        channels[number]?.theirs = handshake.channel
        var metadata = swarm.metadata
        metadata.hashFunction = function
        if metadata.chunkSize == nil { metadata.chunkSize = handshake.chunkSize ?? Self.usualChunkSize }
        guard handshake.isSpoken, let rules = handshake.rules(for: metadata, function),
            rules.addressing == channel.rules.addressing, adopt(metadata, channel.swarm)
        else { return false }
        channels[number]?.rules = rules
        channels[number]?.out = Outflow(rules, to: channel.remote)
        channels[number]?.triesAgainAt = nil
        // It waits for the proof that we get its datagrams.
        channels.speak(on: number)
        links[channel.connection]?.isOpen = true
        swarms[channel.swarm]?.callees[channel.remote]?.failures = 0
        if let tie = channel.signalling { retire(tie) }
        if let channel = channels[number] { joinByChannel(channel, at: now, into: &effects) }
        return true
    }

    /// The other side is a peer of the swarm.
    private mutating func joinByChannel(_ channel: Channel, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[channel.swarm] else { return }
        let tie = channel.tie
        let partner = Partner(tie, peerID: links[channel.connection]?.peerID ?? .zero)
        if let count = swarm.chunkCount { partner.has = ChunkSet(limit: count) }
        let id = UInt64(channel.number)
        partner.give = Partner.Give(id: id, rules: channel.rules, usedAt: now.instant)
        // Whoever is known over TCP is asked as agreed there.
        let isKnown = swarm.peers.contains { links[$0.tie.connection]?.remote.ip == channel.remote.ip }
        if swarm.phase == .fetching, channel.isOurs || !isKnown {
            partner.take = Partner.Take(id: id, rules: channel.rules, window: configuration.requestWindow)
        }
        partners[tie] = partner
        swarms[channel.swarm]?.peers.append(partner)
        if swarm.chunkCount != nil {
            channels.say(swarm.have.ranges().prefix(Self.mostHaves).map { .have($0) }, on: channel.number)
        }
        effects.log(
            .debug, "channel_open",
            [
                "swarm": .string(name(of: channel.swarm)), "address": .text(channel.remote),
                "direction": channel.isOurs ? "out" : "in",
            ])
        toPump.insert(channel.swarm)
    }

    /// Runs of a map that are told; more are told as they change.
    private static let mostHaves = 1000

    // MARK: - The end

    /// Somebody who was asked for a channel does not want it (digest section 9, rule 2).
    private mutating func refusedOpening(_ remote: SocketAddress, at now: Moment, into effects: inout Effects) {
        let refused = channels.table.values.filter { $0.remote == remote && $0.theirs == nil }.map(\.number).sorted()
        for number in refused { channelFailed(number, .refused, at: now, into: &effects) }
    }

    /// A channel that we have opened serves for nothing: back to TCP (PPSP section 9.6), or later once more.
    mutating func channelFailed(
        _ number: UInt32, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        guard let channel = channels[number] else { return }
        effects.log(
            .debug, "channel_failed",
            [
                "swarm": .string(name(of: channel.swarm)), "address": .text(channel.remote),
                "reason": .string(reason.rawValue),
            ])
        removeChannel(number, at: now, into: &effects)
        if let tie = channel.signalling {
            links[tie.connection]?.avoidsDatagrams = true
            timers.set(.askAgain(tie), at: now.instant)
        } else if channel.isOurs {
            callFailed(channel, reason, at: now, into: &effects)
        }
    }

    /// A channel is no more; the other side is told.
    mutating func removeChannel(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let channel = channels.remove(number) else { return }
        timers.cancel(.channel(number))
        if let theirs = channel.theirs {
            let close = Datagram(channel: theirs, [.handshake(.close)])
            effects.append(.sendDatagram(close.bytes(channel.rules), from: Self.datagrams, to: channel.remote))
        }
        links[channel.connection] = nil
        part(channel.tie, at: now, into: &effects)
    }

    /// Something that nobody answers.
    mutating func ignore(_ what: String) { counters.rejected[what, default: 0] += 1 }
}

extension Handshake {
    /// Whether its sender speaks RFC 7574 with a Merkle tree.
    fileprivate var isSpoken: Bool {
        (version ?? 0) >= Self.currentVersion && lowestVersion ?? Self.currentVersion <= Self.currentVersion
            && integrityMethod ?? SwarmMetadata.merkleTree == SwarmMetadata.merkleTree
    }

    /// How a channel is read that it opens or answers; nil: it wants another content than this (digest section 3).
    fileprivate func rules(for swarm: SwarmMetadata, _ function: HashFunction) -> ChunkRules? {
        guard function.isStandard, hashFunction ?? HashFunction.sha256.rawValue == function.rawValue,
            let size = swarm.chunkSize, chunkSize ?? size == size, size <= PPSP.mostDatagramChunk,
            let addressing = ChunkAddressing(rawValue: addressing ?? ChunkAddressing.chunks32.rawValue)
        else { return nil }
        return ChunkRules(.datagram, addressing, function, chunkSize: size)
    }
}

extension HashFunction {
    /// The function of a swarm by datagrams of which only the name is known.
    init?(datagramsWith id: SwarmID) {
        switch id.octets.count {
        case Self.sha1.octets: self = .sha1
        case Self.sha256.octets: self = .sha256
        default: return nil
        }
    }
}
