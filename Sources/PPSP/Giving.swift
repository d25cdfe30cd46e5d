internal import PeerCore

// Chunks that go to others: those that they ask for, and those that are pushed (PPSP sections 8 and 9.2).

extension PPSP {
    /// Octets of files that are with the host for one connection: enough to keep it busy (PPSP section 9.5).
    private static let handedOctets = 1 << 20
    /// Chunks below this size are worth a read of their own no more than a system call each.
    private static let mostQueued = 4096

    /// A request was answered with a transport: chunks may be asked for by it.
    mutating func beginGiving(_ id: UInt64, _ answer: TransportOffer, _ tie: Tie, at now: Moment) {
        guard let function = swarms[tie.swarm]?.metadata.hashFunction else { return }
        if let old = partners[tie]?.give { end(old, tie) }
        let rules = ChunkRules(.transfer, answer.addressing, function)
        partners[tie]?.give = Partner.Give(id: id, rules: rules, usedAt: now.instant)
        if case .list(let entries) = answer { partners[tie]?.give?.isChosen = entries.count == 1 }
        links[tie.connection]?.gives[id] = tie.swarm
    }

    /// Whoever takes part in a transfer hears of its end later.
    mutating func end(_ give: Partner.Give, _ tie: Tie) {
        links[tie.connection]?.end(EndedTransfer(id: give.id, swarm: tie.swarm, rules: give.rules))
    }

    /// Chunks are asked for.
    mutating func wanted(_ range: ChunkRange, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let give = partners[tie]?.give, let swarm = swarms[tie.swarm] else { return }
        // What is not here is not answered; what is queued already need not be twice.
        guard give.queue.count < Self.mostQueued, let last = swarm.chunkCount.map({ $0 - 1 }),
            let inside = range.intersection(ChunkRange(0, last))
        else { return }
        partners[tie]?.give?.usedAt = now.instant
        guard takesSlot(tie, at: now, into: &effects) else { return }
        partners[tie]?.give?.queue.append(inside)
        toPump.insert(tie.swarm)
    }

    /// These chunks need not be sent.
    mutating func skip(_ range: ChunkRange, _ tie: Tie) {
        guard let queue = partners[tie]?.give?.queue else { return }
        partners[tie]?.give?.queue = queue.flatMap { queued -> [ChunkRange] in
            guard queued.intersection(range) != nil else { return [queued] }
            var rest: [ChunkRange] = []
            if queued.first < range.first { rest.append(ChunkRange(queued.first, range.first - 1)) }
            if queued.last > range.last { rest.append(ChunkRange(range.last + 1, queued.last)) }
            return rest
        }
    }

    /// Sends what is queued, as far as the connection takes it.
    mutating func giveMore(_ partner: Partner, at now: Moment, into effects: inout Effects) {
        guard let give = partner.give, !give.queue.isEmpty, !give.isChoked else { return }
        let tie = partner.tie
        while let link = links[tie.connection], !link.isStalled, !link.isLeaving, link.handing < Self.handedOctets,
            let chunk = next(tie)
        {
            self.give(chunk, tie, at: now, into: &effects)
        }
    }

    /// The next chunk of the queue that is here.
    private mutating func next(_ tie: Tie) -> UInt64? {
        guard let give = partners[tie]?.give, !give.isPush || hasWindow(give, tie), let swarm = swarms[tie.swarm]
        else { return nil }
        while let range = give.queue.first {
            let chunk = range.first
            if range.isSingle {
                give.queue.removeFirst()
            } else {
                give.queue[0] = ChunkRange(chunk + 1, range.last)
            }
            if swarm.have.contains(chunk) { return chunk }
        }
        return nil
    }

    /// Whether one more chunk may be pushed.
    private func hasWindow(_ give: Partner.Give, _ tie: Tie) -> Bool {
        let size = Int(swarms[tie.swarm]?.chunkSize ?? 0)
        return give.unconfirmed.isEmpty || (Int(give.unconfirmed.count) + 1) * size <= give.window
    }

    /// A chunk, with the hashes that the other side misses to prove it (PPSP section 9.3).
    private mutating func give(_ chunk: UInt64, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = partners[tie], let give = partner.give, let swarm = swarms[tie.swarm], let tree = swarm.tree
        else { return }
        // The peaks go with the first chunk of each transfer: they prove the number of chunks to whoever doubts it.
        let nodes =
            (give.hasPeaks ? [] : tree.peaks)
            + tree.uncles(of: chunk) { give.sent.intersects($0) || partner.has.intersects($0) }
        let messages = nodes.compactMap { node in
            tree.hash(of: node).map { ChunkMessage.integrity(node, hash: $0) }
        }
        let octets = swarm.octets(of: chunk)
        let time = UInt64(max(0, now.wallClock.milliseconds)) * 1000
        let head = TransferFrame.head(
            messages, chunk: chunk, time: time, payloadBytes: octets, transferID: give.id, give.rules)
        effects.send(head, on: tie.connection)
        effects.append(
            .sendFile(
                swarm.content, offset: chunk * swarm.chunkSize, count: UInt64(octets), on: tie.connection))
        give.hasPeaks = true
        give.sent.insert(chunk)
        if give.isPush { give.unconfirmed.insert(chunk) }
        give.octets &+= UInt64(octets)
        links[tie.connection]?.handing += octets
        links[tie.connection]?.saidAt = now.instant
        counters.bytesSent &+= UInt64(octets)
    }

    /// Octets of a file are with the system, or cannot be.
    mutating func handedOver(
        _ connection: ConnectionID, _ result: TransferResult, at now: Moment, into effects: inout Effects
    ) {
        switch result {
        case .sent(let octets): links[connection]?.handing -= Int(octets)
        case .received: break
        case .failed(let error, _):
            // What has begun cannot be ended in order.
            effects.log(.warn, "content_unreadable", ["connection": .text(connection), "error": .text(error)])
            drop(connection, .systemError, into: &effects)
        }
        guard let link = links[connection] else { return }
        // Nothing else has become possible.
        for swarm in Set(link.gives.values).sorted() {
            if let partner = partners[Tie(connection: connection, swarm: swarm)] {
                giveMore(partner, at: now, into: &effects)
            }
        }
    }

    mutating func drained(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        links[connection]?.isStalled = false
        guard let link = links[connection] else { return }
        for swarm in Set(link.gives.values).union(link.takes.values) { toPump.insert(swarm) }
    }

    // MARK: - News

    /// New chunks that make it worth telling others at once (PPSP section 8).
    private static let newsChunks: UInt64 = 64
    /// The part of a small content that makes it worth as much.
    private static let newsPart: UInt64 = 64
    /// How long others may not hear of a new chunk (PPSP section 8).
    static let newsTime = Duration.milliseconds(250)

    mutating func spread(_ number: Int, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        // Who pushes waits for word of what has come.
        let isPushed = swarm.peers.contains { $0.take?.isPush ?? false }
        let enough = min(Self.newsChunks, max(1, (swarm.chunkCount ?? 1) / Self.newsPart))
        if swarm.news.count >= enough || swarm.have.isComplete || isPushed {
            tellNews(number, at: now, into: &effects)
        } else if !timers.isSet(.news(number)) {
            timers.set(.news(number), at: now.instant + Self.newsTime)
        }
    }

    /// Those who miss something and ask us for it, who pushes and waits for word of what has come, and at the end those
    /// who have given. A peer that has opened a channel to us asks there alone.
    private func audience(_ swarm: Swarm) -> [Partner] {
        let opened = Set(channels.table.values.lazy.filter { $0.swarm == swarm.number && !$0.isOurs }.map(\.remote))
        return swarm.peers.filter { partner in
            guard !partner.has.isComplete else {
                // Whoever has given learns that no more is wanted.
                return partner.take.map { $0.isPush || swarm.have.isComplete && $0.octets > 0 } ?? false
            }
            guard !opened.isEmpty, let link = links[partner.tie.connection] else { return true }
            guard link.isChannel else {
                // Its channel may be dead without our knowing.
                return partner.give?.isChosen ?? false || link.listens.map { !opened.contains($0) } ?? true
            }
            return !opened.contains(link.remote) || !isOurChannel(partner.tie.connection)
        }
    }

    /// Those who miss something hear what is new: by a transfer where there is one, else by an ADVERTISE.
    mutating func tellNews(_ number: Int, at now: Moment, into effects: inout Effects) {
        timers.cancel(.news(number))
        guard let swarm = swarms[number], !swarm.news.isEmpty else { return }
        let news = swarm.news
        swarm.news.removeAll()
        // All of it is one run.
        let told = swarm.have.isComplete ? swarm.have : news
        let messages = told.ranges().map { ChunkMessage.have($0) }
        for partner in audience(swarm) {
            let tie = partner.tie
            if let give = partner.give, give.isChosen {
                send(messages, give.id, give.rules, on: tie.connection, into: &effects)
            } else if let take = partner.take, take.web == nil {
                send(messages, take.id, take.rules, on: tie.connection, into: &effects)
            } else {
                for map in Availability.map(.add, of: told, chunkSize: swarm.metadata.chunkSize) {
                    tell(map, tie, at: now, into: &effects)
                }
            }
            links[tie.connection]?.saidAt = now.instant
            if partner.give?.isPush ?? false { pushNews(news, tie) }
        }
    }

    /// Chunk messages by a transfer.
    mutating func send(
        _ messages: [ChunkMessage], _ id: UInt64, _ rules: ChunkRules, on connection: ConnectionID,
        into effects: inout Effects
    ) {
        if let channel = channels.number(of: connection) { return channels.say(messages, on: channel) }
        for part in TransferFrame.parts(messages, transferID: id, rules) { effects.send(part, on: connection) }
    }
}

extension TransportOffer {
    /// What it says of PPSP-TCP.
    private var tcp: TransportEntry? {
        switch self {
        case .ask: nil
        case .mandatory(let entry): entry
        case .list(let entries): entries.first { $0.id == TransportID.tcp }
        }
    }

    /// How chunks are named by PPSP-TCP.
    fileprivate var addressing: ChunkAddressing {
        tcp?.addressing.flatMap { ChunkAddressing(rawValue: $0) } ?? .chunks64
    }

    /// Octets that its sender lets the other side have outstanding by PPSP-TCP.
    var requestWindow: UInt32 { tcp?.requestWindow ?? AgreedTransport.defaultRequestWindow }
}
