internal import PeerCore

// Chunks that come in datagrams (RFC 7574 digest, sections 4 and 5).

extension Partner.Take {
    /// What was told of a hash. It may be needed for a chunk of a later datagram; the oldest goes when there are many.
    func keep(_ node: Subtree, _ hash: Bytes) {
        if told.count >= UnverifiedHashes.capacity { told.removeFirst() }
        told.append((node, Bytes(Array(hash))))
    }

    /// A chunk came: when it was asked for, nil when it was not.
    fileprivate func came(_ chunk: UInt64, _ count: Int, at now: Instant) -> Instant? {
        let askedAt = asked.removeValue(forKey: chunk)
        octets &+= UInt64(count)
        isSilent = false
        pace.add(count, askedAt: askedAt, at: now)
        return askedAt
    }

    /// The hashes that came before a chunk.
    fileprivate func takeHashes() -> [(node: Subtree, hash: Bytes)] {
        guard !told.isEmpty else { return [] }
        defer { told = [] }
        return told
    }
}

extension PPSP {
    mutating func dataCame(
        _ chunk: UInt64, _ time: UInt64, _ payload: Bytes, _ tie: Tie, _ number: UInt32, at now: Moment,
        into effects: inout Effects
    ) {
        let delay = channels.time(now) &- time
        counters.bytesReceived &+= UInt64(payload.count)
        guard let phase = swarms[tie.swarm]?.phase, let limit = swarms[tie.swarm]?.chunkSize else { return }
        if swarms[tie.swarm]?.have.contains(chunk) ?? false {
            // Its acknowledgement was lost.
            counters.bytesTwice &+= UInt64(payload.count)
            if partners[tie]?.take?.asked.removeValue(forKey: chunk) != nil { release([chunk], tie.swarm) }
            return channels.say([.ack(ChunkRange(chunk), delay: delay)], on: number)
        }
        guard phase == .fetching, partners[tie]?.take != nil else { return }
        let askedAt = partners[tie]?.take?.came(chunk, payload.count, at: now.instant)
        guard let hashes = partners[tie]?.take?.takeHashes() else { return }
        if let askedAt { channels[number]?.askTime.measure(now.instant - askedAt) }
        channels[number]?.unanswered = 0
        let wasAsked = askedAt != nil || partners[tie]?.take?.withdrawn.contains(chunk) ?? false
        let isInHand = swarms[tie.swarm]?.inHand.contains(chunk) ?? true
        guard wasAsked, !isInHand, payload.count <= limit, swarms[tie.swarm]?.chunkCount.map({ chunk < $0 }) ?? true
        else {
            // It was asked for twice, or never: its hashes may be good for others.
            for (node, hash) in hashes { partners[tie]?.take?.unverified.insert(node, hash) }
            if askedAt != nil { release([chunk], tie.swarm) }
            if !wasAsked || isInHand { counters.bytesTwice &+= UInt64(payload.count) }
            if wasAsked, payload.count > limit { blame(tie, "chunk_size", into: &effects) }
            return
        }
        if askedAt == nil { swarms[tie.swarm]?.ask(ChunkRange(chunk)) }
        swarms[tie.swarm]?.arrive(Arrival(tie: tie, chunk: chunk, payload: payload, hashes: hashes, delay: delay))
        if swarms[tie.swarm]?.peers.count ?? 0 > 1 { withdraw(chunk, except: tie, into: &effects) }
        // While some are checked, the next ones gather; the end of that check looks for them.
        if swarms[tie.swarm]?.hasBatch ?? false { toPump.insert(tie.swarm) }
    }

    /// A chunk that came on a channel holds: now it is acknowledged (digest section 4).
    mutating func acknowledge(_ arrival: Arrival) {
        guard let delay = arrival.delay, let number = channels.number(of: arrival.tie.connection) else { return }
        channels[number]?.missingSince = nil
        channels.say([.ack(ChunkRange(arrival.chunk), delay: delay)], on: number)
    }

    /// How long a channel may give chunks that nothing proves, before it is the fault of who sends them.
    private static let missingTime = Duration.seconds(10)

    /// A chunk came without the hashes that prove it: they may be lost, and are sent again with it (digest section 5).
    /// False: it did not come on a channel.
    mutating func missesHashes(
        _ arrival: Arrival, _ number: UInt32, into effects: inout Effects
    ) {
        swarms[arrival.tie.swarm]?.inHand.remove(arrival.chunk)
        let since = channels[number]?.missingSince ?? clock.instant
        channels[number]?.missingSince = since
        guard clock.instant - since < Self.missingTime else {
            release([arrival.chunk], arrival.tie.swarm)
            blame(arrival.tie, "hashes_missing", into: &effects)
            return channelFailed(number, .silent, at: clock, into: &effects)
        }
        // Still asked for.
        guard partners[arrival.tie]?.take != nil else { return release([arrival.chunk], arrival.tie.swarm) }
        partners[arrival.tie]?.take?.asked[arrival.chunk] = clock.instant
        if !timers.isSet(.chunks(arrival.tie)) {
            timers.set(.chunks(arrival.tie), at: clock.instant + patience(with: arrival.tie))
        }
    }

    // MARK: - What does not come

    /// Times that nothing came of what was asked for, until others are asked.
    private static let mostUnanswered = 4

    /// How long a chunk may take that is asked for.
    func patience(with tie: Tie) -> Duration {
        channels.number(of: tie.connection).flatMap { channels[$0]?.askTime.timeout } ?? configuration.chunkTime
    }

    /// Chunks that were asked for on a channel do not come: the request or they are lost.
    mutating func datagramsDue(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let channel = channels[number], let take = partners[channel.tie]?.take else { return }
        let tie = channel.tie
        let timeout = channel.askTime.timeout
        let isLate = { (asked: Instant) in now.instant - asked >= timeout }
        if take.isChoked {
            partners[tie]?.take?.isChoked = false
            toPump.insert(tie.swarm)
        } else if let rests = take.restsUntil, rests <= now.instant {
            take.restsUntil = nil
            toPump.insert(tie.swarm)
        } else if take.asked.values.contains(where: isLate) {
            guard channel.unanswered < Self.mostUnanswered else {
                return givesNothing(number, take, at: now, into: &effects)
            }
            if channel.unanswered > 0 { leaveOne(take, tie, number) }
            channels[number]?.unanswered += 1
            channels[number]?.askTime.double()
            askAgain(number, isLate: isLate, at: now)
        }
        guard let first = partners[tie]?.take?.asked.values.min() else {
            // There may be something to ask for now, also of one that was silent: somebody else has given its chunk.
            take.isSilent = false
            toPump.insert(tie.swarm)
            return
        }
        timers.set(.chunks(tie), at: max(first, now.instant - timeout) + patience(with: tie))
    }

    /// Nothing has come twice in a row: one chunk is enough to see whether it gives any, others may give the rest.
    private mutating func leaveOne(_ take: Partner.Take, _ tie: Tie, _ number: UInt32) {
        take.isSilent = true
        let rest = Array(take.asked.keys.sorted().dropFirst())
        guard !rest.isEmpty else { return }
        for chunk in rest {
            take.asked[chunk] = nil
            take.withdrawn.insert(chunk)
        }
        channels.say(Self.runs(rest).map { .cancel($0) }, on: number)
        release(rest, tie.swarm)
    }

    /// Requests that may be lost are made again.
    mutating func askAgain(_ number: UInt32, isLate: (Instant) -> Bool, at now: Moment) {
        guard let channel = channels[number], let take = partners[channel.tie]?.take else { return }
        let late = take.asked.filter { isLate($0.value) }.keys.sorted()
        for chunk in late { partners[channel.tie]?.take?.asked[chunk] = now.instant }
        channels.say(Self.runs(late).map { .request($0) }, on: number)
    }

    /// Chunks in order, as runs.
    private static func runs(_ chunks: [UInt64]) -> [ChunkRange] {
        var runs: [ChunkRange] = []
        for chunk in chunks {
            if let last = runs.last, last.last + 1 == chunk {
                runs[runs.count - 1] = ChunkRange(last.first, chunk)
            } else {
                runs.append(ChunkRange(chunk))
            }
        }
        return runs
    }

    /// A channel gives nothing of what it is asked for: others are asked.
    private mutating func givesNothing(
        _ number: UInt32, _ take: Partner.Take, at now: Moment, into effects: inout Effects
    ) {
        guard let channel = channels[number] else { return }
        effects.log(
            .info, "chunks_late",
            [
                "swarm": .string(name(of: channel.swarm)), "address": .text(channel.remote),
                "chunks": .count(take.asked.count),
            ])
        guard channel.signalling == nil else { return channelFailed(number, .silent, at: now, into: &effects) }
        let late = take.asked.keys.sorted()
        partners[channel.tie]?.take?.asked = [:]
        for chunk in late { partners[channel.tie]?.take?.withdrawn.insert(chunk) }
        release(late, channel.swarm)
        channels[number]?.unanswered = 0
        take.isSilent = false
        let rest = now.instant + configuration.chunkTime
        partners[channel.tie]?.take?.restsUntil = rest
        timers.set(.chunks(channel.tie), at: rest)
    }
}

extension Swarm {
    /// Whether a batch of hashes can begin.
    fileprivate var hasBatch: Bool { checks.isEmpty || arrivedOctets >= PPSP.fullOctets }
}
