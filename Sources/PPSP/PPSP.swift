public import PeerCore
internal import PeerCrypto

/// PPSP (seed 000): content cut in chunks, named by the root of its hash tree, from and to many peers at once.
///
///     Meeting    whom to dial for a swarm, and who has dialled: a `Link` for each connection
///     Asking     a REQUEST for a swarm, and what its RESPONSE says
///     Answering  the requests of others, and what they advertise
///     Picking    which chunk is asked of whom
///     Taking     chunks as they come; `Checking`: their hashes, and their way to the disk
///     Giving     chunks that others ask for, or that are pushed; `Slots`: who may
///     HTTP       the same by ranges
///     UDP        the same in datagrams of RFC 7574: a `Channel` for each peer and swarm
///     Adding     a file becomes a content; `Rows`: what outlives the process
///
/// A `Swarm` is one content here. A `Partner` is one peer in one swarm, over one connection.
public struct PPSP: PeerProtocol {
    static let control = ListenerID("control")
    /// The folder of the configuration.
    public static let store = FolderID("content")

    var configuration: Configuration
    /// The Ed25519 key that this node proves itself with, as its seed (PPSP section 10.2).
    let key: Bytes32
    /// BLAKE2b-256 of the public key.
    let peerID: Bytes32
    let software: String
    var random: SeededRandom
    var timers = Deadlines<Timer>()
    /// The moment of the input at hand, for `status`.
    var clock = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(milliseconds: 0))
    var life = Life()

    var swarms: [Int: Swarm] = [:]
    var numbers: [SwarmID: Int] = [:]
    var lastSwarm = 0
    var links: [ConnectionID: Link] = [:]
    var partners: [Tie: Partner] = [:]
    /// Swarms of which more may be asked, given or checked, when the input at hand is dealt with.
    var toPump: Set<Int> = []
    /// What answers of files are for.
    var errands: [RequestID: Errand] = [:]
    var watchers: [CommandID: Watcher] = [:]
    var channels = Channels()
    var conduct: [Culprit: Conduct] = [:]
    /// Where peers were that are known by their IDs.
    var book: [Bytes32: SocketAddress] = [:]
    /// What is asked over HTTP, and what is being answered.
    var webRanges: [RequestID: WebRange] = [:]
    var webAnswers: [ExchangeID: WebAnswer] = [:]
    /// When slots were chosen last.
    var slotsChosenAt = Instant(nanoseconds: 0)
    var counters = Counters()

    /// The protocol for a node that proves itself by an Ed25519 key.
    public init(_ configuration: Configuration, key: Bytes32, software: String, seed: Bytes32) {
        self.configuration = configuration
        self.key = key
        self.software = software
        peerID = blake2b256(Bytes(Ed25519.publicKey(seed: key).array))
        random = SeededRandom(seed: seed)
    }

    /// Takes over new settings; gives the keys of those that only a restart applies.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let change = configuration.change(to: new)
        configuration = change.applied
        for swarm in swarms.keys.sorted() { addConfigured(swarm, at: now, into: &effects) }
        return change.needed
    }

    /// Something happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        clock = now
        switch input {
        case .accepted(let connection, _, let local, let remote):
            accepted(connection, local: local, from: remote, at: now, into: &effects)
        case .connected(let connection, let local, let remote):
            connected(connection, local: local, to: remote, at: now, into: &effects)
        case .received(let bytes, let connection): received(bytes, on: connection, at: now, into: &effects)
        case .stalled(let connection): links[connection]?.isStalled = true
        case .drained(let connection): drained(connection, at: now, into: &effects)
        case .ended(let connection): ended(connection, into: &effects)
        case .closed(let connection, let reason, _): closed(connection, reason, at: now, into: &effects)
        case .datagram(let bytes, _, let remote): heardDatagram(bytes, from: remote, at: now, into: &effects)
        case .transferred(let connection, _, let result): handedOver(connection, result, at: now, into: &effects)
        case .stored(let request, let result): stored(request, result, at: now, into: &effects)
        case .command(let id, let command): carryOut(command, id, at: now, into: &effects)
        case .cancelled(let id): forgetCommand(id)
        default: handleLife(input, at: now, into: &effects)
        }
        while let swarm = toPump.min() {
            toPump.remove(swarm)
            pump(swarm, at: now, into: &effects)
        }
        speak(at: now, into: &effects)
    }

    private mutating func handleLife(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: start(into: &effects)
        case .stop: stop(into: &effects)
        case .deadline: fire(at: now, into: &effects)
        case .resumed(let gap): resumed(after: gap, at: now)
        case .listening(let listener, let address): listening(listener, address, into: &effects)
        case .refused(let listener, let error): cannotListen(listener, error, into: &effects)
        case .requested(let exchange, let request, _, let source):
            requested(exchange, request, from: source, into: &effects)
        case .requestClosed(let exchange, _, let octets):
            requestClosed(exchange, octets: octets, at: now, into: &effects)
        case .fetched(let request, let result): fetched(request, result, at: now, into: &effects)
        case .recalled(let table, let rows, let more): recalled(rows, of: table, more: more, at: now, into: &effects)
        default: break
        }
    }

    /// The earliest timer.
    public var nextDeadline: Instant? { timers.next }

    /// Whatever may go on in a swarm now.
    private mutating func pump(_ swarm: Int, at now: Moment, into effects: inout Effects) {
        cancelEnded(swarm, into: &effects)
        guard swarms[swarm] != nil else { return }
        checkArrivals(swarm, at: now, into: &effects)
        askForMore(swarm, at: now, into: &effects)
        for partner in swarms[swarm]?.peers ?? [] { giveMore(partner, at: now, into: &effects) }
    }

    /// The peers of a swarm, in the order in which they came.
    func ties(of swarm: Int) -> [Tie] { swarms[swarm]?.ties ?? [] }
}
