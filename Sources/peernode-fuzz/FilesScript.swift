import PPlusTwo
import PeerCore

/// A P+2 core with small limits, among callers, peers, a disk and an operator that do anything.
struct FilesScript {
    /// Ports p to p + 2.
    private static let listeners = ["files.list", "files.query", "files.download"].map { ListenerID($0) }
    private static let own = SocketAddress(.loopback, 17_000)
    /// More would find nothing that fewer do not.
    private static let maximumSteps = 300
    /// Names in the folder, and in what callers and peers say.
    private static let names = ["a.txt", "b", "sub/c", "r\u{e9}sum\u{e9}", "e\u{301}", "bad\u{1}", "x (2).txt"]

    private var stage: Stage<PPlusTwo>
    private var script: Script

    /// Plays the whole script.
    static func run(_ input: Bytes) throws(Violation) {
        var script = Script(input)
        var play = FilesScript(configuration(&script), script)
        try play.stage(.start)
        for (offset, listener) in listeners.enumerated() {
            let address = SocketAddress(own.ip, own.port + UInt16(offset))
            try play.stage(.listening(listener, .ip(address)))
        }
        var steps = 0
        while !play.script.isOver, steps < maximumSteps {
            try play.step()
            steps += 1
        }
        try play.stage.checkTables()
        try play.stage(.stop)
        try play.stage.wait(.seconds(60))
        try require(play.stage.core.nextDeadline == nil, "timers outlive the core")
    }

    private init(_ configuration: PPlusTwo.Configuration, _ script: Script) {
        stage = Stage(PPlusTwo(configuration, seed: .zero))
        self.script = script
    }

    private static func configuration(_ script: inout Script) -> PPlusTwo.Configuration {
        let choices = script.octet()
        var configuration = PPlusTwo.Configuration(listen: choices & 1 == 0 ? own : nil, folder: "files")
        configuration.extensions = choices & 2 == 0
        configuration.caseInsensitiveMatch = choices & 4 != 0
        configuration.recursive = choices & 8 != 0
        configuration.parallelInterrogations = choices & 16 == 0 ? 1 : 3
        configuration.initialPeers = [PeerIdentity("127.0.0.1:18000")].compactMap(\.self)
        (configuration.maxPeers, configuration.maxUploads, configuration.maxWaitingUploads) = (16, 2, 2)
        (configuration.maxMatches, configuration.maxDownloads, configuration.maxSharedFiles) = (16, 3, 5)
        configuration.acceptedList = AnswerLines.Limits(lines: 20, octets: 1000, lineOctets: 64)
        configuration.acceptedQuery = AnswerLines.Limits(lines: 20, octets: 1000, lineOctets: 64)
        return configuration
    }

    /// The connections that the core knows are among those that are open.
    private func checkConnections() throws(Violation) {
        let status = stage.core.status().first ?? [:]
        let callers = ["listCallers", "queryCallers", "downloadCallers"].reduce(0) { $0 + (status.int($1) ?? 0) }
        let open = stage.connections.count
        try require(callers <= open, "\(open) connections are open, and \(callers) callers are held: \(status.json)")
        try require(status.int("downloads") ?? 0 <= 3, "more downloads than the limit: \(status.json)")
    }
}

// MARK: - Steps

extension FilesScript {
    private mutating func step() throws(Violation) {
        switch script.octet() % 16 {
        case 0: try stage.wait(script.duration())
        case 1: try stage.sleep(script.duration())
        case 2, 3: try accept()
        case 4: try answerDial()
        case 5: try disturb()
        case 6, 7: try operate()
        case 8, 9: try answerDisk()
        case 10: try endTransfer()
        case 11: try stage(.changed(PPlusTwo.folder, []))
        case 12: try recall()
        default: try receive()
        }
        try checkConnections()
    }

    private mutating func accept() throws(Violation) {
        let connection = stage.newConnection()
        let listener = Self.listeners[script.number(below: 3)]
        let remote = SocketAddress(script.ip(), 40_000 + UInt16(script.octet()))
        try stage(.accepted(connection, on: listener, local: Self.own, remote: remote))
    }

    private mutating func answerDial() throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: false)) else { return }
        if script.octet() & 3 == 0 {
            try stage(.closed(connection, .refused, Traffic()))
        } else {
            let local = SocketAddress(script.ip(), 40_000 + UInt16(script.octet()))
            try stage(.connected(connection, local: local, remote: SocketAddress(script.ip(), 18_000)))
        }
    }

    private mutating func disturb() throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: true)) else { return }
        switch script.octet() % 4 {
        case 0: try stage(.measured(connection, Traffic(received: UInt64(script.word()) << 12, sent: 0)))
        case 1, 2: try stage(.ended(connection))
        default: try stage(.closed(connection, .reset, Traffic()))
        }
    }

    private mutating func receive() throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: true)) else { return }
        try stage(.received(words(), on: connection))
    }

    /// Lines that make sense somewhere, or octets that do not.
    private mutating func words() -> Bytes {
        let name = Self.names[script.number(below: Self.names.count)]
        let line: String
        switch script.octet() % 12 {
        case 0: line = name
        case 1: line = "//p2x/1/hello"
        case 2: line = "//p2x/1/stat/\(name)"
        case 3: line = "//p2x/1/find/\(name.prefix(1))"
        case 4: line = "//p2x/1/range/\(script.octet())-/\(name)"
        case 5: line = "//p2x/1\nsize \(script.octet())\nmtime 1\nsha-256 \(Bytes32.zero.hex)"
        case 6: line = "//p2x/1\n\(script.octet()) 1 \(name)"
        case 7, 8: line = "\(SocketAddress(script.ip(), script.word()))"
        case 9: line = ""
        default: return script.octets()
        }
        return Bytes(utf8: line + (script.octet() & 7 == 0 ? "" : "\n"))
    }

    private mutating func operate() throws(Violation) {
        let names = ["search", "download", "share", "peers", "status", "connect", "disconnect", "drop", "readmit"]
        let name = names[script.number(below: names.count)]
        let peer: Record.Value =
            script.octet() & 1 == 0 ? "127.0.0.1:18000" : .text(SocketAddress(script.ip(), script.word()))
        var arguments: Record = ["peer": peer, "address": peer, "prefix": .text(script.ip())]
        if script.octet() & 1 == 0 { arguments["name"] = .string(Self.names[script.number(below: Self.names.count)]) }
        for key in ["number", "text", "limit", "into", "name"] where script.octet() & 7 == 0 {
            arguments[key] = script.value()
        }
        let command = stage.newCommand()
        try stage(.command(command, Command(name, arguments)))
        if script.octet() & 7 == 0 { try stage(.cancelled(command)) }
    }

    private mutating func answerDisk() throws(Violation) {
        guard !stage.operations.isEmpty else { return }
        let (request, operation) = stage.operations[script.number(below: stage.operations.count)]
        let errors: [SystemError] = [.notFound, .exists, .noSpace, .notPermitted, .endOfFile, .other("EIO")]
        if let error = script.choice(of: errors), script.octet() & 7 == 0 {
            try stage(.stored(request, .failed(error)))
            return
        }
        try stage(.stored(request, answer(to: operation)))
    }

    private mutating func answer(to operation: StoreOperation) -> StoreResult {
        switch operation {
        case .scan(_, let under, _, _, _, _):
            let paths = under == nil ? Self.names : [".peernode/partial/\(script.octet()).part"]
            var entries: [FileEntry] = []
            for path in paths.compactMap({ RelativePath($0, allowHidden: true) }).sorted() {
                entries.append(entry(path))
            }
            return .entries(entries, more: script.octet() & 15 == 1)
        case .inspect(let file): return .entries([entry(file.path)], more: false)
        case .freeSpace: return .space(UInt64(script.word()) << 16)
        case .digest: return .digests([Bytes(Bytes32.zero.array)])
        default: return .done
        }
    }

    private mutating func entry(_ path: RelativePath) -> FileEntry {
        FileEntry(
            path: path, isFolder: false, size: UInt64(script.octet()), modified: WallClock(seconds: 1),
            stamp: UInt64(script.octet() & 1))
    }

    private mutating func endTransfer() throws(Violation) {
        guard !stage.transfers.isEmpty else { return }
        let (connection, file) = stage.transfers[script.number(below: stage.transfers.count)]
        guard stage.connections[connection] == true else { return }
        let octets = UInt64(script.octet())
        let errors: [SystemError] = [.endOfFile, .disconnected, .noSpace, .other("EFBIG"), .notFound]
        switch script.octet() % 4 {
        case 0: try stage(.transferred(connection, file, .sent(octets: octets)))
        case 1, 2:
            let digest = script.octet() & 1 == 0 ? Bytes(Bytes32.zero.array) : nil
            try stage(.transferred(connection, file, .received(octets: octets, digest: digest)))
        default:
            let error = errors[script.number(below: errors.count)]
            try stage(.transferred(connection, file, .failed(error, octets: octets)))
        }
    }

    private mutating func recall() throws(Violation) {
        let table = ["files_peers", "files_hashes", "files_parts"][script.number(below: 3)]
        let keys = ["127.0.0.1:18000", "203.0.113.1:4000", "a.txt", "1f", script.text()]
        var record: Record = ["shared": true, "peer": "127.0.0.1:18000", "name": "62", "size": 9, "modified": 1]
        record["stamp"] = 0
        record["digest"] = .text(Bytes32.zero)
        if script.octet() & 3 == 0 { record["size"] = script.value() }
        let rows = [Row(key: keys[script.number(below: keys.count)], record: record)]
        try stage(.recalled(table: table, rows, more: script.octet() & 7 == 1))
    }
}
