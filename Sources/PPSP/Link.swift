internal import PeerCore

/// One peer in one swarm, over one connection.
struct Tie: Hashable, Comparable {
    let connection: ConnectionID
    let swarm: Int

    static func < (a: Tie, b: Tie) -> Bool {
        (a.connection, a.swarm) < (b.connection, b.swarm)
    }
}

/// One connection, which carries any number of swarms (PPSP section 3). A class for the same reason as `Swarm`.
final class Link {
    let remote: SocketAddress
    /// Whom we have dialled; nil: it has dialled us.
    let dialled: Destination?
    /// Our address on it.
    var local: SocketAddress?
    var isOpen: Bool
    /// There is no connection: it is a channel of datagrams.
    var isChannel = false
    /// Datagrams do not get there: it is not asked to send any.
    var avoidsDatagrams = false
    /// Nothing more is read from it: it was told to go.
    var isLeaving = false
    var reader: FrameReader
    /// Who it is, by its own word; proved only by section 10.2.
    var peerID: Bytes32?
    /// It has proved who it is.
    var isProved = false
    /// What it must sign for us, and what we must sign for it.
    var nonce: Bytes32?
    var theirNonce: Bytes32?
    /// Where it accepts connections.
    var listens: SocketAddress?
    /// Swarms that are to be asked for when it is open.
    var wanted: [Int] = []
    /// Swarms that are to be pushed when it is open.
    var pushes: [Int] = []
    /// What it must say to be given chunks over HTTP in a closed swarm.
    var webPass: Bytes32?
    /// Whether its HTTP server is of no use.
    var avoidsWeb = false
    /// Our requests that are not answered.
    var questions: [UInt64: Question] = [:]
    /// Transfers by which it gives to us, and by which it takes from us, with their swarms.
    var takes: [UInt64: Int] = [:]
    var gives: [UInt64: Int] = [:]
    /// Those that are over, the latest last.
    var over: [EndedTransfer] = []
    var heardAt: Instant
    var saidAt: Instant
    /// Whether a frame had begun when something came last.
    var wasInside = false
    /// More waits to be sent than the host likes.
    var isStalled = false
    /// Octets of files that are with the host and not with the system.
    var handing = 0
    /// Requests that it may still make, in thousandths (PPSP section 10.1).
    var allowance = Link.burst
    var allowanceAt: Instant

    /// 20 control requests a second, 40 at once (PPSP section 10.1), in thousandths.
    static let burst = 40_000
    /// Thousandths of a request in a millisecond.
    static let allowancePerMillisecond = 20

    init(_ remote: SocketAddress, dialled: Destination?, contentLimit: Int, at now: Instant) {
        self.remote = remote
        self.dialled = dialled
        isOpen = dialled == nil
        reader = FrameReader(contentLimit: contentLimit)
        (heardAt, saidAt, allowanceAt) = (now, now, now)
    }

    /// Who answers for what comes over it; by datagrams alone it is whoever is at that address.
    var culprit: Culprit? { (peerID ?? (isChannel ? .zero : nil)).map { Culprit(ip: remote.ip, peerID: $0) } }

    /// A transfer is over.
    func end(_ transfer: EndedTransfer) {
        (takes[transfer.id], gives[transfer.id]) = (nil, nil)
        over.removeAll { $0.id == transfer.id }
        if over.count == EndedTransfer.most { over.removeFirst() }
        over.append(transfer)
    }

    /// Whether one more control request is within its rate.
    func takesRequest(at now: Instant) -> Bool {
        let milliseconds = Int((now - allowanceAt).nanoseconds / 1_000_000)
        allowance = min(Self.burst, allowance + min(milliseconds, Self.burst) * Self.allowancePerMillisecond)
        allowanceAt = now
        // One request.
        guard allowance >= 1000 else { return false }
        allowance -= 1000
        return true
    }
}

/// A transfer that is over here. What the other side has said by it before it could know of that may still come, and is
/// no offence.
struct EndedTransfer {
    let id: UInt64
    let swarm: Int
    let rules: ChunkRules
    /// Octets of chunks that may be on their way.
    var octets = 0

    /// How many of one connection are remembered: more than it has contents as a rule.
    static let most = 64
}

/// What a request of ours was for.
struct Question {
    let swarm: Int
    /// The second try.
    var isAgain = false
    /// It only proves who we are (PPSP section 10.2).
    var isGreeting = false
    /// An ADVERTISE that offers to push.
    var isOffer = false
}

/// A peer in a swarm: what it has, what it gives, what it takes. A class for the same reason as `Swarm`.
final class Partner {
    let tie: Tie
    let peerID: Bytes32
    /// Chunks that it says it has.
    var has = ChunkSet()
    /// It has told of its chunks.
    var isKnown = false
    var take: Take?
    var give: Give?
    /// Whether it was refused as one who takes pushes.
    var refusesPush = false
    /// From one question for other peers to the next.
    var peersPause: Duration?

    init(_ tie: Tie, peerID: Bytes32) { (self.tie, self.peerID) = (tie, peerID) }

    /// Chunks come from it.
    final class Take {
        let id: UInt64
        let rules: ChunkRules
        /// Octets that it lets us have outstanding.
        let window: Int
        /// By ranges over HTTP; nil: by PPSP-TCP.
        var web: Web?
        /// Chunks that were asked for, with the time of it.
        var asked: [UInt64: Instant] = [:]
        /// Chunks that were asked for and are not wanted any more: they may still come.
        var withdrawn = ChunkSet()
        var isChoked = false
        /// It was late: it is not asked before.
        var restsUntil: Instant?
        /// Others are not slow before that time.
        var looksAgainAt: Instant?
        /// It does not answer: it is asked for nothing more until it does.
        var isSilent = false
        /// It gives without being asked.
        let isPush: Bool
        /// What it has told of hashes since its last chunk, and what nothing has proved yet.
        var told: [(node: Subtree, hash: Bytes)] = []
        var unverified = UnverifiedHashes()
        /// Octets that came, for the choice of slots.
        var octets: UInt64 = 0
        var pace = Pace()

        init(id: UInt64, rules: ChunkRules, window: Int, isPush: Bool = false) {
            (self.id, self.rules, self.window, self.isPush) = (id, rules, window, isPush)
        }

        /// Whether it gives what it is asked for.
        func mayBeAsked(at now: Instant) -> Bool {
            !isChoked && !isSilent && !isPush && restsUntil.map { $0 <= now } ?? true
        }

        /// It gives nothing for now; the chunks that were asked for, in order, which will not come.
        func choke() -> [UInt64] {
            defer { asked = [:] }
            isChoked = true
            return asked.keys.sorted()
        }
    }

    /// Chunks go to it.
    final class Give {
        let id: UInt64
        let rules: ChunkRules
        /// It has used this transport, or could choose no other.
        var isChosen = true
        /// What it has asked for, in order.
        var queue: [ChunkRange] = []
        var queued: UInt64 = 0
        /// Chunks that were sent: the hashes beside them are known there.
        var sent = ChunkSet()
        var hasPeaks = false
        var hasSlot = false
        /// It was told to wait.
        var isChoked = false
        var isPush = false
        /// Octets that may be pushed and not yet be said to be there, and the chunks that are so.
        var window = Int.max
        var unconfirmed = ChunkSet()
        /// Octets that went, and by the last look.
        var octets: UInt64 = 0
        var octetsBefore: UInt64 = 0
        var usedAt: Instant

        init(id: UInt64, rules: ChunkRules, usedAt: Instant) {
            (self.id, self.rules, self.usedAt) = (id, rules, usedAt)
        }
    }
}
