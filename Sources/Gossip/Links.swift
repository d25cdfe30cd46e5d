internal import Bootstrap
internal import PeerCore
internal import PeerCrypto

// MARK: - Messages on a link (gossip section 5)

extension Gossip {
    mutating func receivedOnLink(_ bytes: Bytes, _ place: Int, at now: Moment, into effects: inout Effects) {
        links[place]!.receivedOctets += bytes.count
        links[place]!.buffer.append(bytes)
        let waiting = links[place]!.buffer.waiting
        let connection = links[place]!.connection
        (life.inputStart, life.voted) = (waiting.range.lowerBound, 0)
        var (begin, offset) = (0, 0)
        do throws(DecodeError) {
            while true {
                begin = offset
                guard let frame = try Frame.next(in: waiting, at: offset, allowedOnLink) else { break }
                links[place]!.heard = now.instant
                if frame.type == MessageType.announce {
                    offset = receivedItems(in: waiting, at: offset, from: place, at: now, into: &effects)
                } else {
                    offset += frame.message.count
                    try receivedOther(frame, from: place, at: now, into: &effects)
                    guard linkPlaces[connection] != nil else { return }
                }
            }
        } catch {
            effects.log(
                .warn, "peer_refused",
                [
                    "peer": .string(links[place]!.name), "address": .text(links[place]!.remote),
                    "reason": .string("malformed"), "error": .text(error),
                    "header": .string(hexadecimal(waiting.dropping(begin).prefix(Frame.headerBytes))),
                ])
            effects.append(.finish(connection))
            return takeOut(place, .malformed, at: now, into: &effects)
        }
        links[place]!.buffer.consume(offset)
    }

    /// Takes in the items that follow each other from `offset` on, some at a time; gives where they end.
    private mutating func receivedItems(
        in waiting: Bytes, at offset: Int, from place: Int, at now: Moment, into effects: inout Effects
    ) -> Int {
        var intake = Intake()
        let end = intake.gather(in: waiting, at: offset) { fingerprint($0) }
        // One after the other, each search would wait for memory.
        life.touched = intake.touch(seen)
        for index in 0..<intake.count where isWithinRate(place, at: now) {
            let (message, key) = intake[index, in: waiting]
            receivedItem(Announce(checked: message), key, from: place, at: now, into: &effects)
        }
        return end
    }

    /// What may come on a link, judged by its header.
    private var allowedOnLink: (UInt16, Int) -> Bool {
        configuration.isAuthors2017 ? { Self.isOfAuthors($0, $1) } : { Self.isOfLink($0, $1) }
    }

    private static func isOfLink(_ type: UInt16, _ size: Int) -> Bool {
        switch type {
        case MessageType.announce, MessageType.neighbors: size >= Announce.headBytes
        case MessageType.disconnect: size == Greeting.octets
        default: MessageType.extensions.contains(type)
        }
    }

    private mutating func receivedOther(
        _ frame: Frame, from place: Int, at now: Moment, into effects: inout Effects
    ) throws(DecodeError) {
        switch frame.type {
        case MessageType.neighbors:
            let message = try Neighbors(decoding: frame.message)
            guard message.id == links[place]!.peerID else { throw .invalid(field: "id, which has changed") }
            learn(message, from: place, at: now)
        case MessageType.disconnect:
            // The last message of a link; whoever receives it just closes.
            effects.append(.finish(links[place]!.connection))
            takeOut(place, .closedByPeer, at: now, into: &effects)
        case MessageType.extensions:
            // From a peer that has not told that it speaks them they may be anything.
            guard !links[place]!.capabilities.isEmpty else { return }
            if let message = try ExtensionMessage(decoding: frame) {
                receivedExtension(message, from: place, at: now, into: &effects)
            }
        default: try receivedOfAuthors(frame, from: place, at: now)
        }
    }

    /// Whether an item of a neighbour is one too many in this second (gossip section 5.7).
    @inline(__always)
    private mutating func isWithinRate(_ place: Int, at now: Moment) -> Bool {
        guard configuration.itemRate > 0 else { return true }
        let second = now.instant.nanoseconds / 1_000_000_000
        if links[place]!.second != second {
            links[place]!.second = second
            links[place]!.inSecond = 0
        }
        links[place]!.inSecond += 1
        guard links[place]!.inSecond > configuration.itemRate else { return true }
        drop(.rate)
        return false
    }

    /// Takes over whom a neighbour knows.
    mutating func learn(_ message: Neighbors, from place: Int, at now: Moment) {
        links[place]!.neighbours = message.others.count
        for entry in message.others where isWorthKnowing(entry) {
            // Those that are known are renewed, whoever tells of them.
            guard candidates.table[entry.address] != nil || links[place]!.taken < Candidates.takenFromOne,
                candidates.add(entry.address, id: entry.id, .neighbour, at: now.instant)
            else { continue }
            links[place]!.taken += 1
            life.needsSettling = true
        }
    }

    /// Whether somebody can be reached there from here (gossip section 5.4).
    func isWorthKnowing(_ entry: PeerAddress) -> Bool {
        let ip = entry.address.ip
        guard entry.isUsable, !own.contains(entry.address) else { return false }
        return !ip.isLoopback || configuration.p2pAddress.ip.isLoopback
    }
}

// MARK: - Life of a link (gossip section 5.7)

extension Gossip {
    /// Opens a link on a place that is free.
    mutating func openLink(_ link: Link, at now: Moment, into effects: inout Effects) -> Int? {
        guard let place = open.firstFree else { return nil }
        links[place] = link
        open.insert(place)
        linkPlaces[link.connection] = place
        if link.capabilities.contains(.haveIt) { life.haveIt.insert(place) }
        let eager = open.subtracting(topics.lazy).places.count { links[$0]?.capabilities.contains(.lazyPush) == true }
        topics.opened(place, isLazy: link.capabilities.contains(.lazyPush) && eager > configuration.eagerLinks)
        setHeartbeat(of: place, at: now.instant)
        setSilence(of: place)
        neighboursChanged(at: now)
        if let endpoint = link.endpoint { candidates.succeeded(endpoint, id: link.peerID, at: now.instant) }
        effects.log(
            .info, "peer_up",
            [
                "peer": .string(link.name), "address": .text(link.remote),
                "direction": .string(link.isDialled ? "outbound" : "inbound"), "protocol": "gossip",
                "agent": .string(agent(of: link)), "neighbours": .count(open.count),
            ])
        return place
    }

    /// What it speaks.
    func agent(of link: Link) -> String {
        if configuration.isAuthors2017 { return "authors-2017" }
        return link.isPlain ? "plain" : "peernode"
    }

    /// Ends a link: DISCONNECT is its last message.
    mutating func close(_ place: Int, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        guard let link = links[place] else { return }
        if !configuration.isAuthors2017 {
            effects.send(Greeting.bytes(MessageType.disconnect, id: link.ourID), on: link.connection)
        }
        effects.append(.finish(link.connection))
        takeOut(place, reason, at: now, into: &effects)
    }

    /// A link is no more.
    mutating func takeOut(_ place: Int, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        guard let link = links[place] else { return }
        links[place] = nil
        open.remove(place)
        listedLinks.remove(place)
        life.haveIt.remove(place)
        life.blocking.remove(place)
        linkPlaces[link.connection] = nil
        for timer in [Timer.heartbeat(place), .silence(place), .patience(place), .pace(place)] { timers.cancel(timer) }
        topics.closed(place)
        lazyPush.closed(place)
        votes.closed(place)
        mendTrees()
        releasePrograms(into: &effects)
        neighboursChanged(at: now)
        if let endpoint = link.endpoint { candidates.lost(endpoint, reason, id: link.peerID, at: now.instant) }
        effects.log(
            .info, "peer_down",
            [
                "peer": .string(link.name), "address": .text(link.remote), "reason": .string(reason.rawValue),
                "seconds": .seconds(now.instant - link.opened), "received": .count(link.receivedOctets),
                "sent": .count(link.sentOctets), "lost": .count(link.lost), "neighbours": .count(open.count),
            ])
    }

    private mutating func neighboursChanged(at now: Moment) {
        life.needsSettling = true
        guard !life.isStopping, !timers.isSet(.change), !configuration.isAuthors2017 else { return }
        timers.set(.change, at: now.instant + Self.changeDelay)
    }

    /// A change is told at most once in this time (gossip section 5.7).
    private static let changeDelay: Duration = .seconds(1)
}

// MARK: - Heartbeats

extension Gossip {
    /// Our own entry and our neighbours, at most 64 of them, without the receiver (gossip section 5.5).
    mutating func neighbors(for endpoint: SocketAddress?, id: UInt16, isFirst: Bool) -> Bytes {
        var entries = open.places.compactMap { links[$0] }.compactMap { link in
            link.isEndpointTold ? link.endpoint.map { PeerAddress(id: link.peerID, address: $0) } : nil
        }
        entries.removeAll { $0.address == endpoint }
        if entries.count > Neighbors.maximumEntries {
            entries.shuffle(using: &random)
            entries.removeLast(entries.count - Neighbors.maximumEntries)
        }
        if isFirst {
            // As you see me.
            let port = own.listener?.port ?? configuration.p2pAddress.port
            entries.insert(PeerAddress(id: id, address: SocketAddress(.anyV6, port)), at: 0)
        }
        return Neighbors(id: id, capabilities: capabilities, entries: entries).bytes
    }

    /// What we can do, and are willing to.
    var capabilities: Capabilities {
        var capabilities: Capabilities = []
        if configuration.lazyPush { capabilities.insert(.lazyPush) }
        if configuration.haveItBytes > 0 { capabilities.insert(.haveIt) }
        return capabilities
    }

    mutating func sendHeartbeat(to place: Int, at now: Moment, into effects: inout Effects) {
        guard let link = links[place] else { return }
        if configuration.isAuthors2017 {
            sendPeerList(to: place, at: now)
        } else {
            let message = neighbors(for: link.endpoint, id: link.ourID, isFirst: false)
            links[place]!.outbox.write(heartbeat: message)
            listedLinks.insert(place)
        }
        setHeartbeat(of: place, at: now.instant)
    }

    /// The neighbours have changed.
    mutating func tellNeighbours(at now: Moment, into effects: inout Effects) {
        for place in open.places { sendHeartbeat(to: place, at: now, into: &effects) }
    }

    /// ± 10 %, so that heartbeats do not fall together.
    mutating func setHeartbeat(of place: Int, at now: Instant) {
        let interval = configuration.heartbeatInterval
        timers.set(.heartbeat(place), at: now + random.duration(in: interval * 9 / 10...interval * 11 / 10))
    }

    /// 3.5 heartbeats (gossip section 5.7), longer when we are late ourselves.
    private var patience: Duration { health.stretch(configuration.heartbeatInterval * 7 / 2) }

    mutating func setSilence(of place: Int) {
        guard let heard = links[place]?.heard else { return }
        timers.set(.silence(place), at: heard + patience)
    }

    mutating func checkSilence(of place: Int, at now: Moment, into effects: inout Effects) {
        guard let link = links[place] else { return }
        guard now.instant - link.heard >= patience else { return setSilence(of: place) }
        close(place, .silent, at: now, into: &effects)
    }
}

// MARK: - Programs that outrun a neighbour (decision 25)

extension Gossip {
    /// After a flush: which neighbours have so much waiting that local programs must wait for them.
    mutating func watchBlockages(at now: Moment, into effects: inout Effects) {
        var left = open
        while let place = left.popFirst() {
            guard !links[place]!.isPaced else {
                if links[place]!.paced.count < Self.fewPaced { life.blocking.remove(place) }
                continue
            }
            let waiting = links[place]!.outbox.octets
            if waiting > configuration.maxQueueBytes / 2, !links[place]!.isLagging, !life.blocking.contains(place) {
                life.blocking.insert(place)
                beginPatience(with: place, at: now)
            } else if waiting < configuration.maxQueueBytes / 4, life.blocking.contains(place) {
                life.blocking.remove(place)
                timers.cancel(.patience(place))
            }
        }
        releasePrograms(into: &effects)
    }

    /// With fewer messages waiting for the pace of a neighbour (gossip section 9), programs go on.
    private static let fewPaced = 16

    mutating func beginPatience(with place: Int, at now: Moment) {
        links[place]!.sentAtPatience = links[place]!.outbox.sent
        timers.set(.patience(place), at: now.instant + Self.programPatience)
    }

    /// A neighbour that takes nothing for so long does not hold programs up any more.
    private static let programPatience: Duration = .seconds(1)

    mutating func losePatience(with place: Int, at now: Moment, into effects: inout Effects) {
        guard let link = links[place], life.blocking.contains(place) else { return }
        if link.outbox.sent > link.sentAtPatience {
            links[place]!.sentAtPatience = link.outbox.sent
            return timers.set(.patience(place), at: now.instant + Self.programPatience)
        }
        links[place]!.isLagging = true
        life.blocking.remove(place)
        effects.log(
            .warn, "peer_lagging",
            ["peer": .string(link.name), "address": .text(link.remote), "waiting": .count(link.outbox.octets)],
            "it takes nothing; the oldest items for it will be dropped")
        releasePrograms(into: &effects)
    }

    /// A program that announces while a neighbour is blocked is not read.
    @inline(__always)
    mutating func holdIfBlocked(_ place: Int, at now: Moment, into effects: inout Effects) {
        guard !life.blocking.isEmpty, heldClients.insert(place).inserted else { return }
        effects.append(.hold(clients[place].connection))
        if !timers.isSet(.breathe) { timers.set(.breathe, at: now.instant + configuration.validationTimeout / 4) }
    }

    /// Looks ten times a second at how much waits, while anybody does not keep up.
    mutating func watchCrowd(at now: Moment) {
        let waiting = queuedBytes
        life.isCrowded = waiting > configuration.maxQueuedBytes
        if waiting > 0 { timers.set(.crowd, at: now.instant + .milliseconds(100)) }
    }

    /// What a held program has to say of other items would come too late: those that subscribe are read for a moment,
    /// until they announce again.
    mutating func letProgramsBreathe(at now: Moment, into effects: inout Effects) {
        for place in heldClients.sorted() where !clients[place].types.isEmpty {
            heldClients.remove(place)
            effects.append(.release(clients[place].connection))
        }
        if !heldClients.isEmpty { timers.set(.breathe, at: now.instant + configuration.validationTimeout / 4) }
    }

    mutating func releasePrograms(into effects: inout Effects) {
        guard life.blocking.isEmpty, !heldClients.isEmpty else { return }
        for place in heldClients.sorted() { effects.append(.release(clients[place].connection)) }
        heldClients = []
    }
}
