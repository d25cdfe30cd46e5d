import PeerCore
import PeerCrypto
import TestSupport

@testable import BePeer

/// One core in virtual time with a folder in memory and servers that a test speaks for.
struct CoreStage {
    static let folder = "00-MainDocuments"
    static let id = FolderID(folder)

    private var run: CoreRun<BePeer>
    /// What lies in the folder.
    var files: [String: Content] = [:]
    private var folders: Set<String> = []
    private var changes: UInt64 = 0
    /// What servers answer, by the method and the target.
    var answers: [String: HTTPAnswer] = [:]
    /// Whether fetches and work on files are answered at once.
    var isAnswering = true
    /// Whether files get their places.
    var isInstalling = true
    /// All targets that were asked for, with their methods and servers.
    var asked: [(server: SocketAddress, line: String, fields: [HTTPField])] = []

    struct Content: Equatable {
        var octets: Bytes
        var modified: WallClock
        var stamp: UInt64
    }

    var core: BePeer {
        get { run.core }
        _modify { yield &run.core }
    }
    var now: Moment { run.now }
    var history: [(at: Instant, effect: Effect)] { run.history }

    init(_ configuration: Configuration) {
        run = CoreRun(BePeer(configuration, node: "00000000000000aa", seed: .zero), logLevel: .trace)
    }

    /// A core that is ready, with these files in its folder, at 127.0.0.1.
    static func ready(
        _ files: [String: String] = [:], peers: [String] = [], rows: [String: [Row]] = [:],
        hasMarker: Bool = true, _ change: (inout Configuration) -> Void = { _ in }
    ) -> CoreStage {
        var settings = BePeer.FolderSettings(name: folder, path: "/data")
        settings.peers = peers.compactMap { BePeer.destination($0) }
        var configuration = Configuration(
            messageAddress: SocketAddress(.loopback, 7009), httpAddress: SocketAddress(.loopback, 7010),
            folders: [settings])
        change(&configuration)
        var stage = CoreStage(configuration)
        for (name, text) in files { stage.put(name, text) }
        if hasMarker { stage.put(".bepeer/lock", "") }
        stage(.start)
        stage(.listening(BePeer.messages, .ip(SocketAddress(.loopback, 7009))))
        stage(.listening(BePeer.http, .ip(SocketAddress(.loopback, 7010))))
        for table in [Rows.folders, Rows.peers, Rows.files, Rows.agreed] {
            stage(.recalled(table: table, rows[table] ?? [], more: false))
        }
        return stage
    }

    /// Makes an empty folder.
    mutating func makeFolder(_ name: String) { folders.insert(name) }

    /// Writes a file into the folder, without a word to the core.
    mutating func put(_ name: String, _ text: String, at modified: WallClock? = nil) {
        changes += 1
        files[name] = Content(
            octets: Bytes(utf8: text), modified: modified ?? WallClock(seconds: 1_794_000_000), stamp: changes)
    }

    /// Writes a file and lets the core notice; gives what it wants done.
    @discardableResult
    mutating func edit(_ name: String, _ text: String?) -> [Effect] {
        if let text { put(name, text, at: now.wallClock) } else { files[name] = nil }
        var effects: [Effect] = []
        if let path = RelativePath(name, allowHidden: true) { effects += self(.changed(Self.id, [path])) }
        return effects + wait(.seconds(3))
    }

    /// Hands the core an input, answers what it asks of its folder and of servers, and gives all that it wants done.
    @discardableResult
    mutating func callAsFunction(_ input: Input) -> [Effect] { settle(run(input)) }

    /// Lets time pass.
    @discardableResult
    mutating func wait(_ duration: Duration) -> [Effect] {
        var all: [Effect] = []
        let end = run.now.instant + duration
        while let due = run.core.nextDeadline, due <= end {
            run.move(to: max(due, run.now.instant))
            all += self(.deadline)
        }
        run.move(to: end)
        return all
    }

    private mutating func settle(_ effects: [Effect]) -> [Effect] {
        var all = effects
        var next = effects[...]
        while isAnswering, let effect = next.popFirst() {
            guard let input = answer(effect) else { continue }
            let more = run(input)
            all += more
            next = next + more
        }
        return all
    }

    private mutating func answer(_ effect: Effect) -> Input? {
        switch effect {
        case .store(_, .install) where !isInstalling: nil
        case .store(let request, let operation): .stored(request, carryOut(operation))
        case .fetch(let request, let fetch): .fetched(request, result(fetch))
        default: nil
        }
    }

    // MARK: - Servers

    /// What a server has at a target, for GET and HEAD.
    mutating func serve(
        _ target: String, _ text: String, at server: String, status: Int = 200, _ fields: [HTTPField] = [],
        hash: Bool = false
    ) {
        var all = fields
        all.append(HTTPField("Content-Length", "\(text.utf8.count)"))
        if hash { all.append(HTTPField("BePeer-Hash", "sha-256=\(digest(Bytes(utf8: text), .sha256).hex)")) }
        let answer = HTTPAnswer(status, fields: all, body: Bytes(utf8: text), octets: UInt64(text.utf8.count))
        answers["GET \(server)\(target)"] = answer
        answers["HEAD \(server)\(target)"] = HTTPAnswer(status, fields: all)
    }

    private mutating func result(_ fetch: HTTPFetch) -> Result<HTTPAnswer, HTTPFailure> {
        let method = fetch.method == .head ? "HEAD" : fetch.method == .post ? "POST" : "GET"
        let line = "\(method) \(fetch.target.text ?? "")"
        asked.append((fetch.server, line, fetch.fields))
        guard let answer = answers["\(method) \(fetch.server.ip)\(fetch.target.text ?? "")"] else {
            return .success(HTTPAnswer(404, fields: []))
        }
        guard fetch.method != .head, (200..<300).contains(answer.status) else { return .success(answer) }
        var octets = answer.body
        switch fetch.sink {
        case .bytes(let limit): if octets.count > limit { return .failure(.tooLarge) }
        case .digest(let limit): if octets.count > limit { return .failure(.tooLarge) }
        case .file(let file, let at, let limit):
            if UInt64(octets.count) + (answer.status == 206 ? at : 0) > limit { return .failure(.tooLarge) }
            if answer.status == 206, let part = files[file.path.description] {
                octets = Bytes(part.octets.slice(0..<Int(at)).array + octets.array)
            }
            changes += 1
            files[file.path.description] = Content(octets: octets, modified: now.wallClock, stamp: changes)
        }
        let digest = fetch.digest.map { PeerCrypto.digest(octets, $0) }
        var body = answer.body
        if case .bytes = fetch.sink {} else { body = Bytes() }
        return .success(
            HTTPAnswer(
                answer.status, fields: answer.fields, body: body, octets: UInt64(answer.body.count), digest: digest))
    }

    // MARK: - The folder

    private func entry(_ name: String) -> FileEntry? {
        guard let content = files[name], let path = RelativePath(name, allowHidden: true) else { return nil }
        return FileEntry(
            path: path, isFolder: false, size: UInt64(content.octets.count), modified: content.modified,
            stamp: content.stamp)
    }

    private mutating func carryOut(_ operation: StoreOperation) -> StoreResult {
        switch operation {
        case .scan(_, let under, _, _, _, let hidden):
            let prefix = under.map { "\($0)/" } ?? ""
            let found = files.keys.filter { $0.hasPrefix(prefix) }.compactMap(entry)
                .filter { !hidden.leavesOut($0.path.components) }
            return .entries(found.sorted { $0.path < $1.path }, more: false)
        case .inspect(let file):
            let name = file.path.description
            if let entry = entry(name) { return .entries([entry], more: false) }
            guard folders.contains(name) || files.keys.contains(where: { $0.hasPrefix("\(name)/") }) else {
                return .failed(.notFound)
            }
            let folder = FileEntry(path: file.path, isFolder: true, size: 0, modified: WallClock(seconds: 0))
            return .entries([folder], more: false)
        case .readAt(let file, _, _):
            return files[file.path.description].map { .bytes($0.octets) } ?? .failed(.notFound)
        case .freeSpace: return .space(1 << 40)
        case .remove(let file):
            files[file.path.description] = nil
            return .done
        case .makeFolder(let file):
            makeFolder(file.path.description)
            return .done
        case .lock(let file):
            if files[file.path.description] == nil { put(file.path.description, "") }
            return .done
        case .digest(.bytes(let bytes), let algorithm, let key):
            return .digests([digest(bytes, algorithm, key: key)])
        case .digest(.blocks(let file, _, _, _), let algorithm, let key):
            guard let content = files[file.path.description] else { return .failed(.notFound) }
            return .digests([digest(content.octets, algorithm, key: key)])
        case .digest(.pieces(let file, let places, let count), let algorithm, let key):
            guard let octets = files[file.path.description]?.octets else { return .failed(.notFound) }
            return .digests(
                places.map { place in
                    let end = min(octets.count, Int(place) + Int(count))
                    return digest(octets.slice(Int(place)..<end), algorithm, key: key)
                })
        case .examine(let questions, let algorithm):
            return .examined(questions.map { examine($0, algorithm) })
        case .install(let installations, _, _, _): return .installed(installations.map { install($0) })
        default: return .done
        }
    }

    private func examine(_ question: FileQuestion, _ algorithm: DigestAlgorithm) -> Finding {
        let name = question.file.path.description
        guard let entry = entry(name), let content = files[name] else { return .missing }
        if entry.mark == question.known { return .unchanged }
        return .file(entry, digest: digest(content.octets, algorithm))
    }

    private mutating func install(_ installation: Installation) -> Result<FileEntry, SystemError> {
        let name = installation.file.path.description
        guard entry(name)?.mark == installation.expected else {
            return .failure(installation.expected == nil ? .exists : .notFound)
        }
        var octets = Bytes()
        switch installation.source {
        case .bytes(let bytes): octets = bytes
        case .file(let part): octets = files.removeValue(forKey: part.description)?.octets ?? Bytes()
        case .copy(let source, _): octets = files[source.description]?.octets ?? Bytes()
        case .present: octets = files[name]?.octets ?? Bytes()
        case .nothing: break
        }
        let old = entry(name) ?? placeholder(installation)
        if let aside = installation.aside { files[aside.description] = files[name] }
        if case .nothing = installation.source {
            files[name] = nil
            return .success(old)
        }
        changes += 1
        files[name] = Content(octets: octets, modified: installation.modified, stamp: changes)
        return entry(name).map { .success($0) } ?? .failure(.notFound)
    }

    private func placeholder(_ installation: Installation) -> FileEntry {
        FileEntry(path: installation.file.path, isFolder: false, size: 0, modified: installation.modified)
    }

    // MARK: - Peers

    /// Somebody calls from there.
    mutating func accept(from host: String) -> ConnectionID {
        let connection = run.nextConnection()
        let remote = SocketAddress(IPAddress(host) ?? .loopback, 50_000)
        self(
            .accepted(
                connection, on: BePeer.messages, local: SocketAddress(.loopback, 7009), remote: remote))
        return connection
    }

    /// Somebody says something on a connection.
    @discardableResult
    mutating func hear(_ text: String, on connection: ConnectionID) -> [Effect] {
        self(.received(Bytes(utf8: text), on: connection))
    }

    /// A dial of the core succeeds.
    @discardableResult
    mutating func connect(_ connection: ConnectionID, to host: String, port: UInt16 = 7009) -> [Effect] {
        self(
            .connected(
                connection, local: SocketAddress(.loopback, 40_000),
                remote: SocketAddress(IPAddress(host) ?? .loopback, port)))
    }

    /// The core asks a peer, which lets it become one: the peer has these files.
    mutating func join(_ host: String, _ names: [String]) -> (ConnectionID, [Effect]) {
        guard let dial = history.dials.last else { preconditionFailure("it has asked nobody") }
        connect(dial.connection, to: host)
        return (dial.connection, hear(offer(names), on: dial.connection))
    }

    func offer(_ names: [String], port: Int = 7010, protocolName: String = "HTTP") -> String {
        "FilesToGet\n\(Self.folder)\n\(port)\n\(protocolName)\n" + names.map { "\($0)\n" }.joined() + "\n"
    }

    func report(_ names: [String], port: Int = 7110) -> String {
        "FilesUpdated\n\(Self.folder)\n\(port)\nHTTP\n" + names.map { "\($0)\n" }.joined() + "\n"
    }

    func confirmation(_ names: [String]) -> String {
        "TrustedPeerConfirm\n\(Self.folder)\n7010\nHTTP\n" + names.map { "\($0)\n" }.joined() + "\n"
    }

    /// The operator's command.
    mutating func command(_ name: String, _ arguments: Record = [:]) -> (id: CommandID, effects: [Effect]) {
        let id = run.nextCommand()
        return (id, self(.command(id, Command(name, arguments))))
    }

    /// A client of the file server asks; gives the answer.
    mutating func request(
        _ method: HTTPMethod, _ target: String, _ fields: [HTTPField] = [], from host: String = "127.0.0.2",
        body: String = ""
    ) -> HTTPResponse? {
        let exchange = ExchangeID(UInt64(history.count) + 1)
        let request = HTTPRequest(method, Bytes(utf8: target), fields: fields, body: Bytes(utf8: body))
        let source = SocketAddress(IPAddress(host) ?? .loopback, 50_000)
        let effects = self(.requested(exchange, request, on: BePeer.http, from: source))
        return effects.compactMap {
            if case .respond(exchange, let response) = $0 { response } else { nil }
        }.first
    }
}

extension [(at: Instant, effect: Effect)] {
    /// Dials so far.
    var dials: [(to: Destination, connection: ConnectionID)] {
        compactMap { if case .connect(let connection, let to, _, _) = $0.effect { (to, connection) } else { nil } }
    }
}

extension [Effect] {
    /// The text that is sent on a connection.
    func sent(on connection: ConnectionID) -> String {
        compactMap { if case .send(let bytes, connection) = $0 { bytes.text } else { nil } }.joined()
    }

    /// All texts that are sent.
    var sent: [String] { compactMap { if case .send(let bytes, _) = $0 { bytes.text } else { nil } } }

    /// Lines of the log of that event.
    func logged(_ event: String) -> [Record] {
        compactMap { if case .log(let record) = $0, record.event == event { record.fields } else { nil } }
    }

    var finished: [ConnectionID] {
        compactMap { if case .finish(let connection) = $0 { connection } else { nil } }
    }

    var aborted: [ConnectionID] {
        compactMap { if case .abort(let connection, _) = $0 { connection } else { nil } }
    }

    var dials: [ConnectionID] {
        compactMap { if case .connect(let connection, _, _, _) = $0 { connection } else { nil } }
    }

    func replies(to id: CommandID) -> [Reply] {
        compactMap { if case .reply(id, let reply) = $0 { reply } else { nil } }
    }
}
