internal import PeerCore

// Which chunk is asked of whom (PPSP section 9.4): the first one first, then the rarest, at the end of two.

extension PPSP {
    /// Octets of neighbouring chunks that are asked for at once: their hashes are fewer, and disks like runs.
    private static let runOctets = 512 << 10
    /// Places that are looked at for a rare chunk.
    private static let looks = 8
    /// Whoever gives this part of what another one gives is about as fast.
    private static let comparable = 0.25
    /// Chunks that are left when two peers are asked for each: 16, or this part of all (PPSP section 9.4).
    private static let (endgameChunks, endgamePart) = (UInt64(16), UInt64(50))

    /// Asks every peer of a swarm that has room.
    mutating func askForMore(_ number: Int, at now: Moment, into effects: inout Effects) {
        guard swarms[number]?.phase == .fetching else { return }
        for tie in ties(of: number) {
            guard let take = partners[tie]?.take, !take.isChoked, !take.isPush,
                links[tie.connection]?.isStalled == false,
                take.restsUntil.map({ $0 <= now.instant }) ?? true
            else { continue }
            var messages: [ChunkMessage] = []
            var left = rangesLeft(take, number)
            while left > 0, let run = pick(tie) {
                left -= 1
                for chunk in run.first...run.last { partners[tie]?.take?.asked[chunk] = now.instant }
                swarms[number]?.ask(run)
                messages.append(.request(run))
            }
            guard !messages.isEmpty else { continue }
            send(messages, take, tie, into: &effects)
            if !timers.isSet(.chunks(tie)) { timers.set(.chunks(tie), at: now.instant + patience(with: tie)) }
        }
    }

    /// Chunks that a peer is to be asked for next.
    private mutating func pick(_ tie: Tie) -> ChunkRange? {
        guard let swarm = swarms[tie.swarm], let partner = partners[tie], let take = partner.take, swarm.chunkSize > 0
        else { return nil }
        let asked = take.asked.count * Int(swarm.chunkSize)
        let pending = swarms.values.reduce(0) { $0 + $1.pendingOctets }
        // Two chunks keep a peer busy, however large they are.
        let window = max(min(take.window, take.pace.outstanding), 2 * Int(swarm.chunkSize))
        let room = min(window - asked, configuration.maxPendingBytes - pending)
        // One at least is always asked for.
        guard room >= swarm.chunkSize || asked == 0 && swarm.pendingOctets == 0 else { return nil }
        let most = min(max(1, UInt64(max(0, min(room, Self.runOctets))) / swarm.chunkSize), chunksLeft(take, swarm))
        guard let first = start(of: swarm, partner) else { return pickTwice(swarm, tie, partner) }
        var last = first
        while last - first + 1 < most, partner.has.contains(last + 1), !swarm.taken.contains(last + 1) { last += 1 }
        return ChunkRange(first, last)
    }

    /// Where the next run begins.
    private mutating func start(of swarm: Swarm, _ partner: Partner) -> UInt64? {
        guard let first = partner.has.first(notIn: swarm.taken) else { return nil }
        // While nothing is proved, one chunk tells how many there are.
        guard !swarm.isOrdered, let count = swarm.chunkCount, swarm.have.count > 0 else { return first }
        var best = first
        var least = Int.max
        for _ in 0..<Self.looks {
            let place = UInt64.random(in: 0..<count, using: &random)
            let chunk = partner.has.first(notIn: swarm.taken, from: place) ?? first
            let owners = swarm.ties.count { partners[$0]?.has.contains(chunk) ?? false }
            if owners < least { (best, least) = (chunk, owners) }
        }
        if partner.has.isComplete, least > 1, isElsewhere(best, swarm, partner) { return nil }
        return best
    }

    /// Whether somebody else who is not complete gives a chunk about as fast: who has all is spared for what only it
    /// has, so that a seed need not send everything to everybody.
    private func isElsewhere(_ chunk: UInt64, _ swarm: Swarm, _ partner: Partner) -> Bool {
        let enough = (partner.take?.pace.rate ?? 0) * Self.comparable
        return swarm.ties.contains { tie in
            guard let other = partners[tie], !other.has.isComplete, other.has.contains(chunk), let take = other.take
            else { return false }
            return !take.isChoked && take.restsUntil == nil && take.pace.rate >= enough
        }
    }

    /// At the end, what one peer was asked for another one is asked for too.
    private func pickTwice(_ swarm: Swarm, _ tie: Tie, _ partner: Partner) -> ChunkRange? {
        guard let count = swarm.chunkCount else { return nil }
        let missing = count - swarm.have.count
        guard missing <= max(Self.endgameChunks, count / Self.endgamePart) else { return nil }
        for range in swarm.have.missingRanges() {
            for chunk in range.first...range.last where partner.has.contains(chunk) {
                let askers = swarm.ties.count { partners[$0]?.take?.asked[chunk] != nil }
                guard askers < 2, partner.take?.asked[chunk] == nil, !swarm.inHand.contains(chunk) else { continue }
                return ChunkRange(chunk)
            }
        }
        return nil
    }
}
