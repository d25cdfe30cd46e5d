internal import PeerCore

/// A folder and a host that has to do with it. The identity of a peer is its address (BePeer section 9).
struct Tie: Hashable, Comparable {
    /// The place of the folder in the configuration.
    let folder: Int
    let ip: IPAddress

    static func < (a: Tie, b: Tie) -> Bool { (a.folder, a.ip) < (b.folder, b.ip) }
}

/// One host that has to do with a folder: what was said between us, and what is being done for it.
struct Partner {
    enum State: String {
        /// It has asked, or we have.
        case candidate
        /// One of us has served the other the right content back.
        case trusted
        /// It has served wrong content three times.
        case dropped
    }

    /// A version of a file that was offered: what it must serve back.
    struct Offered {
        let size: UInt64
        let hash: Bytes32
    }

    /// The content agreed on last with a peer that tells no versions, and what its server said of it.
    struct Agreed: Equatable {
        var hash: Bytes32
        var tag = ""
    }

    let ip: IPAddress
    var state = State.candidate
    var messagePort: UInt16?
    var httpPort: UInt16?
    /// How the configuration or the operator named it.
    var destination: Destination?
    /// The connection on which it spoke last.
    var connection: ConnectionID?

    // What it has told us.
    /// Its node, and how far its manifest was taken in.
    var node: UInt64 = 0
    var sequence: UInt64 = 0
    /// What was agreed with an old peer.
    var agreed: [Path: Agreed] = [:]
    var intake: Intake?
    /// A message that came during an intake.
    var nextList: FileList?
    /// Not all could be had of what it has told of last.
    var hasMissed = false
    /// Names of an offer that the peer had changed meanwhile.
    var againList: FileList?
    /// Intakes in a row in which it had changed files while they were fetched.
    var timesOvertaken = 0
    /// A manifest is to be read when the intake is done.
    var pullsAgain = false
    /// When we told it what we hold: its confirmation is awaited (BePeer section 4.2).
    var reportedAt: Instant?
    /// What we told an old one, until it confirms it.
    var unconfirmed: Set<Path> = []
    /// Files by another protocol that the operator gets (BePeer section 3.5).
    var manual: FileList?

    // What we have told it.
    /// Files it was offered and has not served back yet.
    var offered: [Int: Offered] = [:]
    var offeredAt: Instant?
    /// The files of an offer that waits for its report: the next one is collected meanwhile (BePeer section 4.1).
    var awaited: Set<Int>?
    /// Offers in a row that were not answered.
    var unanswered = 0
    /// Changes that it is to be told of, in their order.
    var pending: [Int] = []
    var isPending: Set<Int> = []
    /// Changes that it is to be told of as soon as it trusts us.
    var afterTrust: [Int] = []
    /// Our sequence up to which it was told of changes and has answered, and up to which it was told.
    var told: UInt64 = 0
    var offeredSequence: UInt64 = 0
    var verification: Verification?
    /// How often in a row it served wrong content, of the file of which it did most often.
    var failures = 0
    /// The same for each file: what was overwritten since a report looks wrong too, but hardly three times.
    var wrong: [Path: Int] = [:]
    var droppedAt: WallClock?

    // How it is reached.
    var isReachable = true
    var attempts = 0
    /// When it was last heard of or confirmed, for the operator.
    var lastSeen: Instant?
    var lastRequest: Instant?

    init(_ ip: IPAddress) {
        self.ip = ip
    }

    var isOutstanding: Bool { awaited != nil }

    /// Whether files go either way.
    var isBusy: Bool { intake != nil || verification != nil }

    /// Its file server.
    var server: SocketAddress? { httpPort.map { SocketAddress(ip, $0) } }

    /// What was wrong with these files is explained.
    mutating func forgive(_ names: [Path]) {
        for name in names { wrong[name] = nil }
        failures = wrong.values.max() ?? 0
    }

    /// Adds a change that it is to be told of.
    mutating func owe(_ place: Int) {
        if isPending.insert(place).inserted { pending.append(place) }
    }

    var row: Record {
        var row: Record = [
            "state": .string(state.rawValue), "node": .string(NodeNumber.text(node)), "sequence": .count(sequence),
            "told": .count(told), "failures": .count(failures),
        ]
        if let messagePort { row["messagePort"] = .count(messagePort) }
        if let httpPort { row["httpPort"] = .count(httpPort) }
        if let destination { row["destination"] = .text(destination) }
        if let droppedAt { row["dropped"] = .int(droppedAt.milliseconds) }
        return row
    }

    init(_ ip: IPAddress, _ row: Record) {
        self.init(ip)
        state = row.string("state").flatMap { State(rawValue: $0) } ?? .candidate
        node = row.string("node").flatMap { NodeNumber.number($0) } ?? 0
        sequence = UInt64(clamping: row.int("sequence") ?? 0)
        told = UInt64(clamping: row.int("told") ?? 0)
        failures = Int(clamping: row.int("failures") ?? 0)
        messagePort = row.int("messagePort").flatMap { UInt16(exactly: $0) }
        httpPort = row.int("httpPort").flatMap { UInt16(exactly: $0) }
        destination = row.string("destination").flatMap { Destination($0) }
        droppedAt = row.int("dropped").map { WallClock(milliseconds: $0) }
    }
}
