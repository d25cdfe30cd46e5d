internal import PeerCore

/// A question to the local programs: is this item sound? (gossip sections 3.6 and 4.3)
struct Vote {
    /// Where an item came from.
    enum Source: Int16 {
        /// A local program: the verdict does not decide about spreading.
        case program = -1
        /// A neighbour that has left.
        case gone = -2
    }

    /// The item as it came; no octets when a local program announced it.
    var message: Bytes
    /// Its number among the seen items.
    let seen: UInt64
    /// When silence counts as no.
    let end: Instant
    /// Neighbours that have sent a copy meanwhile, or said that they have it.
    var copies: LinkSet
    /// Programs that have not answered.
    var waiting: Int32
    /// The neighbour from which it came, or a `Source`.
    var source: Int16
    /// One program has said that it is well-formed.
    var isApproved = false
    fileprivate(set) var isOpen = true

    var isOfProgram: Bool { source == Source.program.rawValue }

    /// Closes it and takes the item out, which is not counted anew for that.
    @inline(__always)
    fileprivate mutating func taken() -> Vote {
        isOpen = false
        return Vote(
            message: exchange(&message, with: Bytes()), seen: seen, end: end, copies: copies, waiting: waiting,
            source: source, isApproved: isApproved, isOpen: false)
    }
}

/// The open votes in the order in which they began. Those that end out of order leave when their turn comes.
struct Votes {
    private var ring: [Vote] = []
    private(set) var oldest: UInt64 = 0
    private(set) var next: UInt64 = 0
    /// Votes that are open.
    private(set) var open = 0

    /// The first size of the ring.
    private static let smallest = 64

    /// Places that are taken, open or not.
    var count: Int { Int(next - oldest) }

    /// The number of a vote that is over, for questions whose answer decides nothing.
    var over: UInt64 { oldest &- 1 }

    @inline(__always)
    private func slot(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (ring.count - 1) }

    @inline(__always)
    func isOpen(_ number: UInt64) -> Bool {
        number >= oldest && number < next && ring[slot(number)].isOpen
    }

    subscript(number: UInt64) -> Vote? { isOpen(number) ? ring[slot(number)] : nil }

    @inline(__always)
    mutating func begin(_ vote: consuming Vote) -> UInt64 {
        if count == ring.count {
            grow(vote)
        } else {
            ring[slot(next)] = vote
        }
        open += 1
        next += 1
        return next - 1
    }

    /// Changes an open vote in place.
    @inline(__always)
    mutating func update(_ number: UInt64, _ change: (inout Vote) -> Void) {
        guard isOpen(number) else { return }
        change(&ring[slot(number)])
    }

    /// Ends an open vote and gives it back.
    @inline(__always)
    mutating func end(_ number: UInt64) -> Vote {
        let index = slot(number)
        precondition(number >= oldest && number < next && ring[index].isOpen, "vote \(number) is over")
        let vote = ring[index].taken()
        open -= 1
        while oldest < next, !ring[slot(oldest)].isOpen { oldest += 1 }
        return vote
    }

    /// What an answer leads to.
    enum Outcome {
        /// More answers are awaited, or the vote was over.
        case none
        /// The item may be spread: `end` the vote.
        case accepted
        /// It may not: `end` the vote.
        case dropped
    }

    /// A program has answered. One no is enough (gossip section 3.6); `isFirst`: so is one yes.
    @inline(__always)
    mutating func answer(_ number: UInt64, isValid: Bool, isFirst: Bool) -> Outcome {
        guard isOpen(number) else { return .none }
        guard isValid else { return .dropped }
        let index = slot(number)
        ring[index].isApproved = true
        ring[index].waiting -= 1
        return isFirst || ring[index].waiting == 0 ? .accepted : .none
    }

    /// A program that was asked is gone: it has no say.
    mutating func leave(_ number: UInt64) -> Outcome {
        guard isOpen(number) else { return .none }
        ring[slot(number)].waiting -= 1
        return ring[slot(number)].waiting == 0 ? silence(number) : .none
    }

    /// The time is up: those that have answered decide, silence is not consent.
    func silence(_ number: UInt64) -> Outcome {
        guard isOpen(number) else { return .none }
        return ring[slot(number)].isApproved ? .accepted : .dropped
    }

    /// The messages on which is voted, and their numbers among the seen items.
    var items: [(message: Bytes, seen: UInt64)] {
        (oldest..<next).compactMap { self[$0] }.filter { !$0.isOfProgram }.map { ($0.message, $0.seen) }
    }

    /// A neighbour is gone, and its place may be another's.
    mutating func closed(_ place: Int) {
        for number in oldest..<next where isOpen(number) {
            let index = slot(number)
            ring[index].copies.remove(place)
            if ring[index].source == place { ring[index].source = Vote.Source.gone.rawValue }
        }
    }

    /// When the oldest open vote ends by silence.
    var nextEnd: Instant? { isOpen(oldest) ? ring[slot(oldest)].end : nil }

    /// Makes room for `vote`, and for others after it.
    @inline(never)
    private mutating func grow(_ vote: Vote) {
        let old = ring
        ring = Array(repeating: vote, count: max(Self.smallest, old.count * 2))
        for index in ring.indices { ring[index].message = Bytes() }
        for number in oldest..<next { ring[slot(number)] = old[Int(truncatingIfNeeded: number) & (old.count - 1)] }
        ring[slot(next)] = vote
    }
}
