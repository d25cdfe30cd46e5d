internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore

// What the job `content` measures with: nodes, and the limit in C.

/// A content, and what is made of it once for all rounds.
final class ContentPlace {
    let folder: URL
    /// The name of its file.
    static let name = "blob"
    let octets: Int

    var file: URL { folder.appendingPathComponent(Self.name) }

    init(_ bench: Bench, mebibytes: Int) throws {
        folder = try bench.folder("content")
        octets = mebibytes << 20
        let source = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/dev/urandom"))
        defer { try? source.close() }
        guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
            throw BenchFailure("\(file.path) cannot be written")
        }
        let handle = try FileHandle(forWritingTo: file)
        for _ in 0..<mebibytes { try handle.write(contentsOf: source.read(upToCount: 1 << 20) ?? Data()) }
        try handle.close()
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    /// What has come must be the content.
    func check(_ other: URL) throws {
        guard FileManager.default.contentsEqual(atPath: file.path, andPath: other.path) else {
            throw BenchFailure("\(other.path) is not the content")
        }
    }

    /// Seconds in which a swarm must be done.
    static let limit = 120.0

    /// Waits for what comes when all is here; looks every millisecond.
    static func wait(_ what: String, until holds: () throws -> Bool) throws {
        let end = Date().addingTimeInterval(limit)
        while try !holds() {
            guard Date() < end else { throw BenchFailure("it takes too long: \(what)") }
            usleep(1000)
        }
    }
}

// MARK: - Nodes

/// A node that has the content, and nodes that fetch it and know each other through it alone.
enum ContentNodes {
    /// 127.44.0.1, and the addresses after it.
    private static let address: UInt32 = 0x7f2c_0001
    private static let port: UInt16 = 6778

    /// Octets of a chunk that goes in datagrams: as large as libswift was measured with.
    private static let datagramChunk: Int64 = 8192

    private static func start(_ bench: Bench, _ number: Int, byDatagrams: Bool = false) throws -> NodeProcess {
        let own = try bench.folder(number == 0 ? "source" : "fetcher")
        let place = FilesPlace.text(address + UInt32(number), port)
        var section: Record = [
            "listen": .string(place), "folder": .string(own.appendingPathComponent("files").path),
        ]
        if byDatagrams { section["udpAddress"] = .string(place) }
        let node = try NodeProcess(
            bench, "node",
            [
                "log": .record(["heartbeatSeconds": 3600]),
                "limits": .record(["acceptsPerSecond": 0, "dialsPerSecond": 0]), "content": .record(section),
            ], folder: own)
        try node.waitUntilListening("content", byDatagrams ? 2 : 1)
        return node
    }

    /// Starts the source; gives the ID of the content.
    private static func source(
        _ place: ContentPlace, byDatagrams: Bool = false, _ bench: Bench
    ) throws -> (node: NodeProcess, swarm: String) {
        let node = try start(bench, 0, byDatagrams: byDatagrams)
        var arguments: Record = ["path": .string(place.file.path)]
        if byDatagrams { arguments["chunkBytes"] = .int(datagramChunk) }
        let answer = try node.ask("content.add", arguments)
        let rest = answer.line.components(separatedBy: "\"swarm\":\"").dropFirst().first ?? ""
        let swarm = String(rest.prefix { $0 != "\"" })
        guard !swarm.isEmpty else { throw BenchFailure("the content is not added: \(answer.line)") }
        return (node, swarm)
    }

    private static func fetch(_ swarm: String, _ node: NodeProcess) throws {
        let source = FilesPlace.text(address, port)
        _ = try node.ask(
            "content.fetch", ["swarm": .string(swarm), "from": .list([.string(source)]), "wait": false])
    }

    static func spread(
        _ place: ContentPlace, to fetchers: Int, byDatagrams: Bool = false, _ bench: Bench
    ) throws -> Spreading {
        let (source, swarm) = try source(place, byDatagrams: byDatagrams, bench)
        defer { source.remove() }
        var nodes: [NodeProcess] = []
        defer { for node in nodes { node.remove() } }
        for number in 1...fetchers { nodes.append(try start(bench, number, byDatagrams: byDatagrams)) }
        Child.settle()
        let all = [source] + nodes
        let (before, clock) = (all.reduce(0) { $0 + $1.child.processorTime }, ContinuousClock())
        let begin = clock.now
        for node in nodes { try fetch(swarm, node) }
        try ContentPlace.wait("nodes fetch") { nodes.allSatisfy { $0.log.contains("\"content_complete\"") } }
        var result = Spreading(seconds: (clock.now - begin) / .seconds(1))
        Child.settle()
        result.processor = (all.reduce(0) { $0 + $1.child.processorTime } - before) / 1e9
        result.peak = all.map(\.child.peakMebibytes).max() ?? .nan
        result.anonymous = all.map(\.child.anonymousMebibytes).max() ?? .nan
        let sent = NodeProcess.number("sentBytes", in: try source.ask("status", [:]).line)
        result.copies = Double(sent) / Double(place.octets)
        for node in nodes {
            let line = node.log.components(separatedBy: "\"content_complete\"").last ?? ""
            let path = line.components(separatedBy: "\"path\":\"").dropFirst().first?.prefix { $0 != "\"" }
            try place.check(URL(fileURLWithPath: String(path ?? "")))
        }
        return result
    }

    /// Milliseconds from the command to the first octets that are proved and stored.
    static func first(_ place: ContentPlace, _ bench: Bench) throws -> Double {
        let (source, swarm) = try source(place, bench)
        defer { source.remove() }
        let node = try start(bench, 1)
        defer { node.remove() }
        let arguments: Record = [
            "swarm": .string(swarm), "from": .list([.string(FilesPlace.text(address, port))]), "ordered": true,
        ]
        return try node.ask("content.fetch", arguments) { row in
            NodeProcess.number("prefixBytes", in: row) > 0 || row.contains("\"complete\"")
        } * 1000
    }
}

extension NodeProcess {
    /// Ends it, and removes its folder: contents are large.
    fileprivate func remove() {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }
}

extension Child {
    /// MiB of memory that no file backs.
    var anonymousMebibytes: Double {
        let lines = Machine.text(of: "/proc/\(process)/status").split(separator: "\n")
        let words = lines.first { $0.hasPrefix("RssAnon:") }?.split(whereSeparator: \.isWhitespace) ?? []
        return (words.count > 1 ? Double(words[1]) ?? .nan : .nan) / 1024
    }
}

// MARK: - The limit

/// One that has it and sends it by sendfile, to clients that save it and hash every 256 KiB.
enum ContentStar {
    /// Octets of what is hashed at once.
    private static let piece: UInt32 = 256 << 10

    static func spread(_ place: ContentPlace, to fetchers: Int, _ bench: Bench) throws -> Spreading {
        let (address, port) = (FilesPlace.limit, FilesPlace.nodePort)
        let server = try FilesPlace.startHelper(bench, ["file-server", "\(address)", "\(port)", place.folder.path])
        defer { server.end() }
        Child.settle()
        let (before, clock) = (server.processorTime, ContinuousClock())
        let begin = clock.now
        let folders = try (0..<fetchers).map { _ in try bench.folder("star") }
        defer { for folder in folders { try? FileManager.default.removeItem(at: folder) } }
        let clients = try folders.map { folder in
            try FilesPlace.start(
                [CommandLine.arguments[0], "star-client", "\(address)", "\(port)", folder.path],
                log: folder.appendingPathComponent("log"))
        }
        guard clients.allSatisfy({ $0.wait() == 0 }) else { throw BenchFailure("a client in C has failed") }
        var result = Spreading(seconds: (clock.now - begin) / .seconds(1))
        Child.settle()
        result.processor = (server.processorTime - before) / 1e9
        for folder in folders {
            let log = Machine.text(of: folder.appendingPathComponent("log").path)
            result.processor += Double(log.split(separator: "\n").first ?? "") ?? .nan
            try place.check(folder.appendingPathComponent("0"))
        }
        result.copies = Double(fetchers)
        return result
    }

    /// `star-client ADDRESS PORT FOLDER`: fetches the content; says the seconds that it was on a processor.
    static func client(_ words: [String]) throws -> Int32 {
        guard words.count == 3, let address = UInt32(words[0]), let port = UInt16(words[1]) else {
            throw Usage("star-client needs an address and a port as numbers, and a folder")
        }
        var fetch = FilesFetch(address, port, ["\(ContentPlace.name)\n"])
        (fetch.folder, fetch.piece) = (URL(fileURLWithPath: words[2]), piece)
        _ = try fetch.run()
        var used = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)
        write("\(Double(used.tv_sec) + Double(used.tv_nsec) / 1e9)", to: 1)
        return 0
    }
}
