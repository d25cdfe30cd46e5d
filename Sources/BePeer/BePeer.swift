public import PeerCore
internal import PeerCrypto

/// BePeer (seed 002): folders whose files are the same at all peers.
///
///     Talk           the four messages, on one TCP port
///     Join, Offers   becoming a peer, and telling of changes: FilesToGet
///     Intake         what a FilesToGet asks for: Want by Want, until FilesUpdated
///     Verification   what a FilesUpdated says is read back, until TrustedPeerConfirm
///     FileServer     the files, and BePeer/1, over HTTP
///     Scan, Examine  what is in a folder, and what has changed
///
/// A `SharedFolder` holds the index of its files and its `Partner`s, one for each address.
public struct BePeer: PeerProtocol {
    static let messages = ListenerID("messages")
    static let http = ListenerID("http")

    var configuration: Configuration
    /// This node in version vectors.
    let node: UInt64
    var random: SeededRandom
    var timers = Deadlines<Timer>()
    /// The moment of the input at hand, for `status`.
    var clock = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(milliseconds: 0))
    var life = Life()

    var folders: [SharedFolder]
    var talks: [ConnectionID: Talk] = [:]
    /// Those of whom more may be fetched, when the input at hand is dealt with.
    var toPump: Set<Tie> = []
    /// What servers are known to speak.
    var servers: [SocketAddress: ServerFacts] = [:]
    /// Fetches under way, by server.
    var lanes: [IPAddress: Int] = [:]
    var wants: [UInt64: Want] = [:]
    var lastWant: UInt64 = 0
    /// What answers of files, disks and servers are for.
    var errands: [RequestID: Errand] = [:]
    var watchers: [CommandID: Watcher] = [:]
    var counters = Counters()

    /// The protocol for a node, whose ID are the first 16 digits of its peer ID.
    public init(_ configuration: Configuration, node: String, seed: Bytes32) {
        self.configuration = configuration
        var random = SeededRandom(seed: seed)
        // A node without an identity, such as a command's, is somebody new each time.
        self.node = NodeNumber.number(node) ?? random.next()
        self.random = random
        folders = configuration.folders.map { SharedFolder($0) }
    }

    /// Takes over new settings; gives the keys of those that only a restart applies.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let change = configuration.change(to: new)
        configuration = change.applied
        // Those of the configuration come first.
        for (index, settings) in configuration.folders.enumerated() { folders[index].settings = settings }
        return change.needed
    }

    /// Something happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        clock = now
        switch input {
        case .accepted(let connection, _, _, let remote): accepted(connection, from: remote, at: now, into: &effects)
        case .connected(let connection, _, let remote): connected(connection, to: remote, at: now, into: &effects)
        case .received(let bytes, let connection): received(bytes, on: connection, at: now, into: &effects)
        case .drained(let connection): drained(connection, into: &effects)
        case .ended(let connection): ended(connection, at: now, into: &effects)
        case .closed(let connection, let reason, _): closed(connection, reason, at: now, into: &effects)
        case .stored(let request, let result): stored(request, result, at: now, into: &effects)
        case .fetched(let request, let result): fetched(request, result, at: now, into: &effects)
        case .fetching(let request, let octets): fetching(request, octets, at: now.instant)
        case .requested(let exchange, let request, _, let source):
            requested(exchange, request, from: source, at: now, into: &effects)
        case .command(let id, let command): carryOut(command, id, at: now, into: &effects)
        case .cancelled(let id):
            watchers[id] = nil
            life.early.removeAll { $0.id == id }
        default: handleLife(input, at: now, into: &effects)
        }
        while !toPump.isEmpty {
            let ties = toPump.sorted()
            toPump = []
            for tie in ties { pump(tie, at: now, into: &effects) }
        }
    }

    private mutating func handleLife(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: start(at: now, into: &effects)
        case .stop: stop(at: now, into: &effects)
        case .deadline: fire(at: now, into: &effects)
        case .resumed(let gap): resumed(after: gap, at: now)
        case .interfaces: interfacesChanged(at: now)
        case .listening(let listener, let address): listening(listener, address, into: &effects)
        case .refused(let listener, let error): cannotListen(listener, error, into: &effects)
        case .recalled(let table, let rows, let more): recalled(rows, of: table, more: more, at: now, into: &effects)
        case .changed(let folder, let paths): changed(folder, paths, at: now)
        default: break
        }
    }

    /// The earliest timer.
    public var nextDeadline: Instant? { timers.next }

    // MARK: - Places

    /// What a host has to do with a folder.
    subscript(tie: Tie) -> Partner? {
        get { folders[tie.folder].partners[tie.ip] }
        _modify { yield &folders[tie.folder].partners[tie.ip] }
    }

    /// The folder of that name.
    func folder(named name: String) -> Int? {
        folders.firstIndex { !$0.isLeft && $0.name.utf8.elementsEqual(name.utf8) }
    }

    /// The address from which we call: our own on loopback, where peers are told apart by it.
    var source: IPAddress? {
        let ip = configuration.messageAddress?.ip ?? configuration.httpAddress.ip
        return ip.isLoopback ? ip : nil
    }
}
