internal import PeerCore

// Which chunk is asked of whom (PPSP section 9.4): the first one first, then the rarest, at the end of two.

extension PPSP {
    /// Octets of neighbouring chunks that are asked for at once: their hashes are fewer, and disks like runs.
    private static let runOctets = 512 << 10
    /// Octets for which it is worth asking a peer that has something to do.
    private static let leastOctets = 256 << 10
    /// Places that are looked at for a rare chunk.
    private static let looks = 8
    /// Whoever gives this part of what another one gives is about as fast.
    private static let comparable = 0.25
    /// Chunks that are left when two peers are asked for each: 16, or this part of all (PPSP section 9.4).
    private static let (endgameChunks, endgamePart) = (UInt64(16), UInt64(50))
    /// How long a chunk may be on its way before another peer is asked for it, too: the time that news may take (PPSP
    /// section 8). Sooner most of the last chunks would come twice.
    private static let endgameTime = Duration.milliseconds(250)
    /// How long a chunk may be on its way at any time before somebody who has nothing to do is asked for it, too; and
    /// how often that is looked at.
    private static let (slowTime, slowPause) = (Duration.seconds(2), Duration.milliseconds(500))

    /// Asks every peer of a swarm that has room; last those who have all, so that they are asked for what is left.
    mutating func askForMore(_ number: Int, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number], swarm.phase == .fetching else { return }
        var last: [Partner] = []
        for partner in swarm.peers {
            guard let take = partner.take, take.mayBeAsked(at: now.instant) else { continue }
            if partner.has.isComplete {
                last.append(partner)
            } else {
                askForMore(partner, take, swarm, at: now, into: &effects)
            }
        }
        for partner in last {
            guard let take = partner.take else { continue }
            askForMore(partner, take, swarm, at: now, into: &effects)
        }
    }

    /// Asks a peer that has more than it had.
    mutating func askForMore(of tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[tie.swarm], swarm.phase == .fetching, let partner = partners[tie],
            let take = partner.take, take.mayBeAsked(at: now.instant)
        else { return }
        askForMore(partner, take, swarm, at: now, into: &effects)
    }

    private mutating func askForMore(
        _ partner: Partner, _ take: Partner.Take, _ swarm: Swarm, at now: Moment, into effects: inout Effects
    ) {
        let tie = partner.tie
        guard room(take, swarm) != nil, links[tie.connection]?.isStalled == false else { return }
        var messages: [ChunkMessage] = []
        var left = rangesLeft(take, swarm.number)
        while left > 0, let run = pick(partner, take, at: now.instant) {
            left -= 1
            for chunk in run.first...run.last { take.asked[chunk] = now.instant }
            swarm.ask(run)
            messages.append(.request(run))
        }
        guard !messages.isEmpty else {
            // Those who are to give what it has too may not do so.
            guard take.asked.isEmpty, !timers.isSet(.chunks(tie)), partner.has.first(notIn: swarm.taken) != nil else {
                return
            }
            return timers.set(.chunks(tie), at: now.instant + Self.newsTime)
        }
        send(messages, take, tie, into: &effects)
        if !timers.isSet(.chunks(tie)) { timers.set(.chunks(tie), at: now.instant + patience(with: tie)) }
    }

    /// Octets that a peer may be asked for now; nil: it has enough to do.
    private func room(_ take: Partner.Take, _ swarm: Swarm) -> Int? {
        let asked = take.asked.count * Int(swarm.chunkSize)
        // Two chunks keep a peer busy, however large they are.
        let wanted = take.web == nil ? take.pace.outstanding : take.pace.ofRanges
        let window = max(min(take.window, wanted), 2 * Int(swarm.chunkSize))
        // Little by little would cost both sides a message for each chunk.
        guard asked == 0 || window - asked >= min(window / 4, Self.leastOctets) else { return nil }
        return window - asked
    }

    /// Chunks that a peer is to be asked for next.
    private mutating func pick(_ partner: Partner, _ take: Partner.Take, at now: Instant) -> ChunkRange? {
        let tie = partner.tie
        guard let swarm = swarms[tie.swarm], swarm.chunkSize > 0, let own = room(take, swarm) else { return nil }
        let pending = swarms.values.reduce(0) { $0 + $1.pendingOctets }
        let room = min(own, configuration.maxPendingBytes - pending)
        // One at least is always asked for.
        guard room >= min(own, Self.leastOctets) || take.asked.isEmpty && swarm.pendingOctets == 0 else { return nil }
        let most = min(max(1, UInt64(max(0, min(room, Self.runOctets))) / swarm.chunkSize), chunksLeft(take, swarm))
        guard let room = place(of: swarm, tie, partner, at: now) else {
            return pickTwice(swarm, tie, partner, at: now) ?? pickSlow(swarm, partner, take, most, at: now)
        }
        let spared = swarm.isOrdered || !partner.has.isComplete ? [] : elsewhere(swarm, partner)
        var last = room.first
        while last < room.last, last - room.first + 1 < most, partner.has.contains(last + 1),
            !swarm.taken.contains(last + 1), !spared.contains(where: { $0.has.contains(last + 1) })
        {
            last += 1
        }
        return ChunkRange(room.first, last)
    }

    /// Where the next run begins, and ends at most.
    private mutating func place(
        of swarm: Swarm, _ tie: Tie, _ partner: Partner, at now: Instant
    ) -> ChunkRange? {
        guard let first = partner.has.first(notIn: swarm.taken) else { return nil }
        let all = ChunkRange(first, ChunkRange.highest)
        guard !swarm.isOrdered else { return all }
        guard let count = swarm.chunkCount, swarm.have.count > 0 else {
            // The first chunk tells how many there are; meanwhile others are asked for, not the same by all.
            guard !swarm.taken.isEmpty else { return ChunkRange(first) }
            let place = partner.has.first(notIn: swarm.taken, from: ownPlace(among: partner.has.count))
            return ChunkRange(place ?? first, ChunkRange.highest)
        }
        switch share(of: swarm, tie, partner, at: now) {
        case .own(let range): return range
        case .nothing: return nil
        case .anything: break
        }
        return rarest(swarm, partner, first, count).map { ChunkRange($0, ChunkRange.highest) }
    }

    /// A chunk that few have.
    private mutating func rarest(_ swarm: Swarm, _ partner: Partner, _ first: UInt64, _ count: UInt64) -> UInt64? {
        var best = first
        var least = Int.max
        for _ in 0..<Self.looks {
            let place = UInt64.random(in: 0..<count, using: &random)
            let chunk = partner.has.first(notIn: swarm.taken, from: place) ?? first
            let owners = swarm.peers.count { $0.has.contains(chunk) }
            if owners < least { (best, least) = (chunk, owners) }
        }
        let isSpared = partner.has.isComplete && least > 1
        return isSpared && elsewhere(swarm, partner).contains { $0.has.contains(best) } ? nil : best
    }

    /// Those who are not complete and give about as fast, or were not tried: who has all is spared for what only it
    /// has, so that a seed need not send everything to everybody.
    func elsewhere(_ swarm: Swarm, _ partner: Partner) -> [Partner] {
        let enough = (partner.take?.pace.rate ?? 0) * Self.comparable
        return swarm.peers.filter { other in
            guard !other.has.isComplete, let take = other.take else { return false }
            return !take.isChoked && take.restsUntil == nil && (take.pace.rate >= enough || take.octets == 0)
        }
    }

    /// At the end, what one peer was asked for another one is asked for too.
    private mutating func pickTwice(
        _ swarm: Swarm, _ tie: Tie, _ partner: Partner, at now: Instant
    ) -> ChunkRange? {
        guard let count = swarm.chunkCount else { return nil }
        let missing = count - swarm.have.count
        guard missing <= max(Self.endgameChunks, count / Self.endgamePart) else { return nil }
        var next: Instant?
        for range in swarm.have.missingRanges() {
            for chunk in range.first...range.last where partner.has.contains(chunk) {
                let askers = swarm.peers.compactMap { $0.take?.asked[chunk] }
                guard askers.count < 2, partner.take?.asked[chunk] == nil, !swarm.inHand.contains(chunk) else {
                    continue
                }
                let due = (askers.min() ?? now) + Self.endgameTime
                if due <= now || askers.isEmpty { return ChunkRange(chunk) }
                next = min(next ?? due, due)
            }
        }
        if let next, !timers.isSet(.chunks(tie)) || partner.take?.asked.isEmpty ?? true {
            timers.set(.chunks(tie), at: next)
        }
        return nil
    }

    /// What others were asked for long ago, somebody who has nothing to do is asked for too.
    private mutating func pickSlow(
        _ swarm: Swarm, _ partner: Partner, _ take: Partner.Take, _ most: UInt64, at now: Instant
    ) -> ChunkRange? {
        guard take.asked.isEmpty, take.looksAgainAt.map({ $0 <= now }) ?? true else { return nil }
        func isSlow(_ chunk: UInt64, since asked: Instant?) -> Bool {
            guard let asked, now - asked >= Self.slowTime, partner.has.contains(chunk) else { return false }
            return !swarm.inHand.contains(chunk) && swarm.peers.count { $0.take?.asked[chunk] != nil } < 2
        }
        var oldest: (asked: Instant, chunk: UInt64, take: Partner.Take)?
        for other in swarm.peers where other !== partner {
            guard let busy = other.take else { continue }
            for (chunk, asked) in busy.asked where (asked, chunk) < oldest.map({ ($0.asked, $0.chunk) }) ?? (now, 0) {
                if isSlow(chunk, since: asked) { oldest = (asked, chunk, busy) }
            }
        }
        guard let oldest else {
            take.looksAgainAt = now + Self.slowPause
            if !timers.isSet(.chunks(partner.tie)) { timers.set(.chunks(partner.tie), at: now + Self.slowPause) }
            return nil
        }
        var last = oldest.chunk
        while last - oldest.chunk + 1 < most, isSlow(last + 1, since: oldest.take.asked[last + 1]) { last += 1 }
        return ChunkRange(oldest.chunk, last)
    }
}
