import PeerCore
import PeerCrypto
import TestSupport

@testable import PPSP

/// One core in virtual time with files in memory, and peers that a test speaks for.
struct Stage {
    static let own = SocketAddress(IPAddress(10, 0, 0, 1), PPSP.standardPort)
    static let peer = SocketAddress(IPAddress(10, 0, 0, 2), PPSP.standardPort)

    private var run: CoreRun<PPSP>
    /// What lies on the disk.
    var files: [FileName: [UInt8]] = [:]
    /// Whether work on files is done at once; else it waits for `carryOut`.
    var isQuick = true
    private var waiting: [(RequestID, StoreOperation)] = []
    /// What the core has sent and nobody has read.
    private var readers: [ConnectionID: FrameReader] = [:]
    /// HTTP requests that are not answered.
    var fetches: [(id: RequestID, fetch: HTTPFetch)] = []
    private var transactions: UInt64 = 1 << 32

    var core: PPSP { run.core }
    var now: Moment { run.now }

    /// A core that is ready.
    init(_ change: (inout PPSP.Configuration) -> Void = { _ in }) {
        var configuration = PPSP.Configuration(listen: Self.own)
        change(&configuration)
        let core = PPSP(configuration, key: Lab.key(0), software: "test", seed: .zero)
        run = CoreRun(core, logLevel: .trace)
        self(.start)
        for table in [Rows.contents, Rows.maps] { self(.recalled(table: table, [], more: false)) }
    }

    /// Hands the core an input, does what it asks of files, and gives all that it wants done.
    @discardableResult
    mutating func callAsFunction(_ input: Input) -> [Effect] { settle(run(input)) }

    /// Lets time pass.
    @discardableResult
    mutating func wait(_ duration: Duration) -> [Effect] {
        var all: [Effect] = []
        let end = now.instant + duration
        while let due = core.nextDeadline, due <= end {
            run.move(to: max(due, now.instant))
            all += self(.deadline)
        }
        run.move(to: end)
        return all
    }

    /// Does the work on files that waits.
    @discardableResult
    mutating func carryOut() -> [Effect] {
        var all: [Effect] = []
        while let (id, operation) = waiting.first {
            waiting.removeFirst()
            let effects = run(.stored(id, perform(operation)))
            note(effects)
            all += effects
        }
        return all
    }

    private mutating func settle(_ effects: [Effect]) -> [Effect] {
        note(effects)
        return isQuick ? effects + carryOut() : effects
    }

    private mutating func note(_ effects: [Effect]) {
        for effect in effects {
            switch effect {
            case .store(let id, let operation): waiting.append((id, operation))
            case .fetch(let id, let fetch): fetches.append((id, fetch))
            case .cancelFetch(let id): fetches.removeAll { $0.id == id }
            case .send(let octets, let connection):
                readers[connection, default: FrameReader(contentLimit: 1 << 21)].append(octets)
            default: break
            }
        }
    }

    private mutating func perform(_ operation: StoreOperation) -> StoreResult {
        switch operation {
        case .digest(.each(let pieces), let algorithm, _): return .digests(pieces.map { digest($0, algorithm) })
        case .write(let file, let pieces):
            for piece in pieces {
                let end = Int(piece.offset) + piece.octets.count
                let missing = max(0, end - files[file, default: []].count)
                files[file, default: []] += [UInt8](repeating: 0, count: missing)
                files[file]?.replaceSubrange(Int(piece.offset)..<end, with: piece.octets)
            }
            return .done
        case .rename(let file, let name, _):
            files[FileName(file.folder, name)] = files.removeValue(forKey: file)
            return .done
        case .inspect(let file):
            guard let octets = files[file] else { return .failed(.notFound) }
            let time = WallClock(seconds: 1_794_000_000)
            return .entries(
                [FileEntry(path: file.path, isFolder: false, size: UInt64(octets.count), modified: time)], more: false)
        case .remove(let file):
            files[file] = nil
            return .done
        default: return .done
        }
    }
}

// MARK: - What peers say and hear

extension Stage {
    /// The operator asks for a content that the peer may have; the connection that is dialled.
    mutating func fetch(
        _ source: Source, from peers: [SocketAddress] = [Stage.peer], ordered: Bool = false
    ) -> ConnectionID {
        let effects = ask(
            "fetch",
            [
                "swarm": .text(source.id), "from": .list(peers.map { .text($0) }), "into": "/files/content",
                "ordered": .bool(ordered),
            ])
        let dials = effects.compactMap { if case .connect(let id, _, _, _) = $0 { id } else { nil } } as [ConnectionID]
        return dials[0]
    }

    /// The operator asks.
    @discardableResult
    mutating func ask(_ command: String, _ arguments: Record) -> [Effect] {
        self(.command(run.nextCommand(), Command(command, arguments))) + wait(.milliseconds(1))
    }

    /// A dial succeeds.
    mutating func connect(_ connection: ConnectionID, to peer: SocketAddress = Stage.peer) {
        self(.connected(connection, local: Self.own, remote: peer))
    }

    /// A peer calls.
    mutating func accept(from peer: SocketAddress = Stage.peer) -> ConnectionID {
        let connection = run.nextConnection()
        self(.accepted(connection, on: PPSP.control, local: Self.own, remote: peer))
        return connection
    }

    /// The next frame that the core has sent.
    mutating func heard(_ connection: ConnectionID) -> Frame? { readers[connection]?.next() }

    /// The next control message that the core has sent.
    mutating func message(_ connection: ConnectionID) throws(Silence) -> Message {
        while let frame = heard(connection) { if case .message(let message) = frame { return message } }
        throw Silence()
    }

    /// The core has not said what it should.
    struct Silence: Error {}

    /// All that the core has said of chunks by transfers.
    mutating func chunkMessages(_ connection: ConnectionID, _ rules: ChunkRules = Source.rules) -> [ChunkMessage] {
        var all: [ChunkMessage] = []
        while let frame = heard(connection) {
            if case .transfer(let transfer) = frame { all += (try? transfer.messages(rules)) ?? [] }
        }
        return all
    }

    /// Answers a request of the core, as the peer with that key.
    @discardableResult
    mutating func answer(
        _ request: Message, _ methods: Methods, by peer: Int = 1, on connection: ConnectionID
    ) -> [Effect] {
        say(
            Message(
                .response(.successful), transactionID: request.transactionID, peerID: Lab.peerID(peer),
                swarmID: request.swarmID, methods: methods), on: connection)
    }

    /// Asks the core; its answer.
    mutating func request(
        _ swarm: SwarmID, _ methods: Methods, by peer: Int = 1, on connection: ConnectionID
    ) throws(Silence) -> Message {
        transactions += 1
        say(
            Message(
                .request, transactionID: transactions, peerID: Lab.peerID(peer), swarmID: swarm, methods: methods),
            on: connection)
        while true {
            let message = try message(connection)
            if message.transactionID == transactions, case .response = message.kind { return message }
        }
    }

    @discardableResult
    mutating func say(_ message: Message, on connection: ConnectionID) -> [Effect] {
        self(.received(message.bytes, on: connection))
    }

    /// Says something of chunks.
    @discardableResult
    mutating func say(_ messages: [ChunkMessage], by transfer: UInt64, on connection: ConnectionID) -> [Effect] {
        TransferFrame.parts(messages, transferID: transfer, Source.rules).flatMap { part in
            self(.received(part, on: connection))
        }
    }
}

/// A content that a peer of the tests has.
struct Source {
    static let rules = ChunkRules(.transfer, .chunks64, .sha256)

    let octets: Bytes
    let tree: HashTree
    let id: SwarmID
    let chunkBytes: Int

    init(_ count: Int, chunkBytes: Int = 1024) {
        octets = Lab.octets(count)
        self.chunkBytes = chunkBytes
        let bytes = octets
        let starts = stride(from: 0, to: count, by: chunkBytes)
        tree = HashTree(
            leaves: starts.map { digest(bytes.slice($0..<min(count, $0 + chunkBytes)), .sha256) }, .sha256)
        guard let id = SwarmID(tree.root) else { preconditionFailure("a root is a name") }
        self.id = id
    }

    var count: UInt64 { tree.chunkCount ?? 0 }

    func chunk(_ number: UInt64) -> Bytes {
        let start = Int(number) * chunkBytes
        return octets.slice(start..<min(octets.count, start + chunkBytes))
    }

    /// A chunk as it is sent to somebody who has these chunks.
    func data(_ number: UInt64, to had: ChunkSet = ChunkSet(), isFirst: Bool) -> [ChunkMessage] {
        tree.proof(of: number, withPeaks: isFirst, receiverHas: had)
            + [.data(chunk: number, time: 0, payload: chunk(number))]
    }

    /// Says that all is here, and by which transports.
    func methods(_ transports: [TransportEntry]? = nil) -> Methods {
        var methods = Methods()
        methods.availability = Availability.map(of: ChunkSet(all: count), chunkSize: UInt32(chunkBytes)).first
        methods.transport = .list(transports ?? [entry(TransportID.tcp)])
        return methods
    }

    func entry(_ id: UInt16) -> TransportEntry {
        var entry = TransportEntry(id)
        entry.chunkSize = UInt32(chunkBytes)
        return entry
    }
}

extension [Effect] {
    /// Why a connection was cut, if it was.
    func abort(of connection: ConnectionID) -> CloseReason? {
        lazy.compactMap { if case .abort(connection, let reason) = $0 { reason } else { nil } }.first
    }

    /// The fields of all lines of that event.
    func events(_ event: String) -> [Record] {
        compactMap { if case .log(let record) = $0, record.event == event { record.fields } else { nil } }
    }
}
