public import PeerCore
internal import PeerCrypto

/// P+2 (seed 001): three ports, three services. Everybody who calls says one line and gets one answer.
///
///     port p      Caller → the list of known peers          ListExchange: ours, every 10 seconds
///     port p + 1  Caller → names that contain a text        Search: the operator's
///     port p + 2  Caller → the octets of a file             Download: the operator's
///
/// What others ask is answered from values: `KnownPeers`, and `SharedNames`, which a scan of the folder makes anew.
public struct PPlusTwo: PeerProtocol {
    /// The folder whose files are shared, and where downloads go.
    public static let folder = FolderID("files")

    var configuration: Configuration
    var random: SeededRandom
    var timers = Deadlines<Timer>()
    /// The moment of the input at hand, for `status`.
    var clock = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(milliseconds: 0))
    var life = Life()

    var own = OwnIdentities()
    var peers: KnownPeers
    /// How many identities of others each public address has announced in this hour.
    var foreign: [IPAddress: Int] = [:]

    // Those who call.
    var callers: [ConnectionID: Caller] = [:]
    /// The services that accept nobody at the moment.
    var paused: Set<Service> = []
    var uploads = Uploads()
    var share = Share()
    var hashes = Hashes()

    // Those whom we call.
    var exchange: ListExchange?
    /// When the last dial of a peer list began.
    var lastExchange: Instant?
    /// Lines that we have said to ports p + 1, and who wants the answers.
    var questions: [ConnectionID: Question] = [:]
    var searches: [CommandID: Search] = [:]
    /// What the last search found, by number.
    var matches: [Int: Match] = [:]
    var downloads: [UInt64: Download] = [:]
    var downloadPlaces: [ConnectionID: UInt64] = [:]
    var lastDownload: UInt64 = 0
    /// Downloads that wait until the rows of earlier parts are there.
    var earlyDownloads: [(id: CommandID, arguments: Record)] = []
    var parts: Parts

    /// What answers of the files are for.
    var errands: [RequestID: Errand] = [:]
    var counters = Counters()
    var reports = Reports()

    /// The protocol with the initial peers as its list.
    public init(_ configuration: Configuration, seed: Bytes32) {
        self.configuration = configuration
        random = SeededRandom(seed: seed)
        peers = KnownPeers(capacity: configuration.maxPeers, patience: configuration.patience)
        parts = Parts(hasRows: configuration.hasRows)
        own.announce = configuration.announce
        own.port = configuration.listen?.port
        own.listener = configuration.listen.flatMap { $0.ip.isUnspecified ? nil : $0.ip }
    }

    /// Takes over new settings; gives the keys of those that only a restart applies.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let change = configuration.change(to: new)
        configuration = change.applied
        peers.capacity = configuration.maxPeers
        peers.patience = configuration.patience
        dropRefused(at: now, into: &effects)
        startUploads(at: now, into: &effects)
        life.needsSettling = true
        settle(at: now, into: &effects)
        return change.needed
    }

    /// Something happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        clock = now
        switch input {
        case .accepted, .connected, .received, .ended, .closed, .transferred, .measured:
            handleConnection(input, at: now, into: &effects)
        case .stored(let request, let result): stored(request, result, at: now, into: &effects)
        case .command(let id, let command): carryOut(command, id, at: now, into: &effects)
        case .cancelled(let id): cancel(id, at: now, into: &effects)
        default: handleLife(input, at: now, into: &effects)
        }
        settle(at: now, into: &effects)
    }

    /// The earliest timer.
    public var nextDeadline: Instant? { timers.next }
}

// MARK: - Inputs

extension PPlusTwo {
    private mutating func handleLife(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: start(at: now, into: &effects)
        case .stop: stop(at: now, into: &effects)
        case .deadline: fire(at: now, into: &effects)
        case .resumed(let gap): resumed(after: gap, at: now)
        case .interfaces(let addresses): interfacesAre(addresses, at: now, into: &effects)
        case .listening(let listener, let address): listening(listener, address, at: now, into: &effects)
        case .refused(let listener, let error): cannotListen(listener, error, into: &effects)
        case .recalled(let table, let rows, let more): recalled(rows, of: table, more: more, at: now, into: &effects)
        case .changed(_, let paths): shareChanged(paths, at: now, into: &effects)
        default: break
        }
    }

    private mutating func handleConnection(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .accepted(let connection, let listener, let local, let remote):
            accepted(connection, on: listener, local: local, remote: remote, at: now, into: &effects)
        case .connected(let connection, let local, _): connected(connection, local: local, at: now, into: &effects)
        case .received(let bytes, let connection): received(bytes, on: connection, at: now, into: &effects)
        case .ended(let connection): ended(connection, at: now, into: &effects)
        case .closed(let connection, let reason, _): closed(connection, reason, at: now, into: &effects)
        case .transferred(let connection, _, let result):
            switch role(of: connection) {
            case .caller: uploadEnded(connection, result, at: now, into: &effects)
            case .download(let number): received(number, result, at: now, into: &effects)
            case .exchange, .question, nil: break
            }
        case .measured(let connection, let traffic):
            switch role(of: connection) {
            case .caller: checkUpload(connection, sent: traffic.sent, at: now, into: &effects)
            case .download(let number): progressed(number, received: traffic.received, at: now, into: &effects)
            case .exchange, .question, nil: break
            }
        default: break
        }
    }

    /// What a connection is for.
    private enum Role {
        case caller
        case exchange
        case question
        case download(UInt64)
    }

    /// nil: for nothing any more.
    private func role(of connection: ConnectionID) -> Role? {
        if callers[connection] != nil { return .caller }
        if exchange?.connection == connection { return .exchange }
        if questions[connection] != nil { return .question }
        return downloadPlaces[connection].map { .download($0) }
    }

    private mutating func connected(
        _ connection: ConnectionID, local: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        switch role(of: connection) {
        case .exchange: exchangeConnected(local: local, at: now, into: &effects)
        case .question: questionConnected(connection, at: now, into: &effects)
        case .download(let number): downloadConnected(number, connection, at: now, into: &effects)
        case .caller, nil: break
        }
    }

    private mutating func received(
        _ bytes: Bytes, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        switch role(of: connection) {
        case .caller: callerSaid(bytes, connection, at: now, into: &effects)
        case .exchange: listCame(bytes, at: now, into: &effects)
        case .question: answerCame(bytes, connection, at: now, into: &effects)
        case .download, nil: break
        }
    }

    private mutating func ended(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        switch role(of: connection) {
        case .caller: callerEnded(connection, at: now, into: &effects)
        case .exchange: exchangeEnded(nil, at: now, into: &effects)
        case .question: questionEnded(connection, nil, at: now, into: &effects)
        case .download, nil: effects.append(.finish(connection))
        }
    }

    private mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        switch role(of: connection) {
        case .caller: callerClosed(connection, reason, at: now, into: &effects)
        case .exchange: exchangeEnded(reason, at: now, into: &effects)
        case .question: questionEnded(connection, reason, at: now, into: &effects)
        case .download(let number): downloadClosed(number, connection, reason, at: now, into: &effects)
        case nil: break
        }
    }

    private mutating func stored(
        _ request: RequestID, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        switch errands.removeValue(forKey: request) {
        case .watch: watched(result, at: now, into: &effects)
        case .scan: scanned(result, at: now, into: &effects)
        case .changed(let path): lookedAt(path, result, at: now, into: &effects)
        case .hash: hashed(result, at: now, into: &effects)
        case .hashCheck(let digest): hashEnded(digest, result.entry, at: now, into: &effects)
        case .stat(let connection): inspected(result.entry, for: connection, at: now, into: &effects)
        case .open(let connection): opened(result.entry, for: connection, at: now, into: &effects)
        case .leftovers: foundLeftovers(result, into: &effects)
        case .download(let number, let errand): stored(number, errand, result, at: now, into: &effects)
        case .nothing, nil: break
        }
    }
}

extension StoreResult {
    /// The one file that was asked about; nil when it is none.
    var entry: FileEntry? {
        guard case .entries(let entries, _, _) = self, let entry = entries.first, !entry.isFolder else { return nil }
        return entry
    }
}
