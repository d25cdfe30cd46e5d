internal import PeerCore

// Several that fetch the same from one who has all: each asks it for a share of its own first, and gets the rest from
// the others, so that a seed need not send everything to everybody.
extension PPSP {
    /// What is asked of a peer that has all.
    enum Share {
        /// Whatever is rarest: nobody else is there, or it is time to help.
        case anything
        /// From this chunk on, up to that one.
        case own(ChunkRange)
        /// Nothing for now: others may tell in a moment that they have it.
        case nothing
    }

    /// Where this node begins among so many chunks when nothing is known of others: its ID tells, so that not all begin
    /// at the same place.
    func ownPlace(among count: UInt64) -> UInt64 {
        let place = peerID.array.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return count.multipliedFullWidth(by: place).high
    }

    /// What a peer that has all is asked for next.
    mutating func share(of swarm: Swarm, _ tie: Tie, _ partner: Partner, at now: Instant) -> Share {
        guard partner.has.isComplete, let count = swarm.chunkCount, !swarm.isOrdered else { return .anything }
        var others: Set<Bytes32> = []
        for other in swarm.peers where other.isKnown && !other.has.isComplete { others.insert(other.peerID) }
        guard !others.isEmpty else { return .anything }
        let all = UInt64(others.count + 1)
        let rank = UInt64(others.count { $0 < peerID })
        // At most 2^24 chunks and some hundred peers.
        let own = count * rank / all..<count * (rank + 1) / all
        let elsewhere = elsewhere(swarm, partner)
        for next in stride(from: own.lowerBound, to: own.upperBound, by: UInt64.bitWidth) {
            let others = elsewhere.reduce(swarm.taken.word(from: next)) { $0 | $1.has.word(from: next) }
            let chunk = next + UInt64((~others).leadingZeroBitCount)
            if others != .max, own.contains(chunk) { return .own(ChunkRange(chunk, own.upperBound - 1)) }
        }
        let helps = swarm.helpsFrom ?? now + Self.newsTime
        if swarm.helpsFrom == nil {
            swarms[tie.swarm]?.helpsFrom = helps
            timers.set(.chunks(tie), at: helps)
        }
        return now < helps ? .nothing : .anything
    }
}
