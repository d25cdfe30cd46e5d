internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore

// The parts of the job `files` in which there is much of something small: files, names, peers.

// MARK: - Small files

/// Files of 4 KiB, a connection for each, from the node and from the server in C, to the client in C.
func smallFiles(_ bench: Bench) throws {
    let (count, size) = (bench.size(10_000, quick: 500), 4096)
    let job = "files.small"
    let shared = try bench.folder("small")
    let content = Data((0..<size).map { _ in UInt8.random(in: .min ... .max) })
    let names = (0..<count).map { "file \($0)" }
    for name in names { try content.write(to: shared.appendingPathComponent(name)) }
    let node = try NodeProcess.files(bench, "node", at: (FilesPlace.node, FilesPlace.nodePort), folder: shared)
    let port = FilesPlace.downloadPort(FilesPlace.nodePort)
    let limit = try FilesPlace.startHelper(bench, ["file-server", "\(FilesPlace.limit)", "\(port)", shared.path])
    defer {
        node.stop()
        limit.end()
    }
    try node.waitUntilIndexed(count)
    func measured(_ address: UInt32, _ server: Child) throws -> (rate: Double, server: Double, client: Double) {
        var fetch = FilesFetch(address, port, names.map { "\($0)\n" })
        fetch.atOnce = smallFilesAtOnce
        Child.settle()
        let before = server.processorTime
        let result = try fetch.run()
        Child.settle()
        let used = server.processorTime - before
        guard result.octets == UInt64(count * size) else {
            throw BenchFailure("\(result.octets) octets have come, not \(count * size)")
        }
        let files = Double(count)
        let rate = files / Double(result.nanoseconds) * 1e9
        return (rate, used / 1000 / files, Double(result.cpu) / 1000 / files)
    }
    var rate = Figure(job, "files_per_s", limit: "c", .atLeast(0.8))
    var server = Figure(job, "server_cpu_us", limit: "c", .none)
    var client = Figure(job, "client_cpu_us", limit: "c", .none)
    rate.note = "\(count) files of \(size) octets, \(smallFilesAtOnce) at a time, a connection each"
    for round in 0..<bench.options.rounds {
        // The order turns, so that a slow phase of the machine hits both.
        let isNodeFirst = round.isMultiple(of: 2)
        let first = try isNodeFirst ? measured(FilesPlace.node, node.child) : measured(FilesPlace.limit, limit)
        let second = try isNodeFirst ? measured(FilesPlace.limit, limit) : measured(FilesPlace.node, node.child)
        let (own, c) = isNodeFirst ? (first, second) : (second, first)
        rate.add(node: own.rate, limit: c.rate)
        server.add(node: own.server, limit: c.server)
        client.add(node: own.client, limit: c.client)
    }
    for figure in [rate, server, client] { bench.report.add(figure) }
    bench.report.add(.target(job, "peak_rss_mib", mostTransferMebibytes, [node.child.peakMebibytes]))
}

/// Connections under way.
private let smallFilesAtOnce: UInt32 = 8

// MARK: - Index

/// Seconds in which an index is to be built, milliseconds in which a query over it is to be answered.
private let mostIndexSeconds = 2.0
private let mostQueryMilliseconds = 20.0

/// Files are numbered from here on, all with seven digits.
private let firstFileNumber = 1_000_000

/// A folder of many empty files: how soon the node shares it, and how long a query over it takes.
func sharedIndex(_ bench: Bench) throws {
    let (count, queries) = (bench.size(100_000, quick: 2_000), 100)
    let job = "files.index.\(count)"
    let shared = try bench.folder("many")
    // Names of one length, so that none is part of another.
    func name(_ number: Int) -> String { "file \(firstFileNumber + number) of many.ogg" }
    for number in 0..<count {
        let path = shared.appendingPathComponent(name(number)).path
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchFailure("\(path) cannot be made: error \(errno)") }
        close(descriptor)
    }
    defer { try? FileManager.default.removeItem(at: shared) }
    var built: [Double] = []
    var median: [Double] = []
    var most: [Double] = []
    var memory: [Double] = []
    try bench.rounds(atMost: mostIndexRounds) {
        let node = try NodeProcess.files(bench, "index", at: (FilesPlace.node, FilesPlace.nodePort), folder: shared)
        defer { node.stop() }
        try node.waitUntilIndexed(count)
        built.append(try node.logged("share_indexed") - node.logged("started"))
        // A prime step leads to names all over the index.
        let wanted = (0..<queries).map { name($0 * 7919 % count) }
        let port = FilesPlace.queryPort(FilesPlace.nodePort)
        let result = try FilesFetch(FilesPlace.node, port, wanted.map { "\($0)\n" }).run()
        // Each finds itself alone.
        guard result.octets == UInt64(wanted.reduce(0) { $0 + $1.utf8.count + 1 }) else {
            throw BenchFailure("\(queries) queries have \(result.octets) octets of answers")
        }
        median.append(result.median_us / 1000)
        most.append(result.most_us / 1000)
        memory.append(node.child.peakMebibytes)
    }
    bench.report.add(.target(job, "seconds", mostIndexSeconds, built, note: "from started to share_indexed"))
    let note = "\(queries) queries that find one name each"
    bench.report.add(.target(job, "query_median_ms", mostQueryMilliseconds, median, note: note))
    bench.report.add(.target(job, "query_most_ms", mostQueryMilliseconds, most, note: note))
    let spread = Spread(memory)
    bench.report.say(
        "VALUE job=\(job) peak_rss_mib=\(shown(spread.median)) [\(shown(spread.least))-\(shown(spread.most))]"
            + " n=\(spread.count)")
}

/// Each round starts a node; more of them tell nothing new.
private let mostIndexRounds = 3

// MARK: - Search

/// Peers a second, when they answer at once.
private let leastPeersPerSecond = 500.0

/// Many simulated peers, and nodes that ask them all, one after the other or sixteen at once.
func searchOverAll(_ bench: Bench) throws {
    var run = try SearchOverAll(bench)
    defer { run.close() }
    try run.run()
}

private struct SearchOverAll {
    /// What is looked for: one name of each peer, or all names.
    enum Wanted: String, CaseIterable {
        case one
        case all
    }

    /// Names that each peer has.
    private static let files = 1000
    /// Peers that are asked at once.
    private static let widths = [1, 16]

    private let bench: Bench
    private let count: Int
    private let peers: Child
    private var nodes: [NodeProcess] = []

    init(_ bench: Bench) throws {
        self.bench = bench
        count = bench.size(1000, quick: 50)
        let numbers = [FilesPlace.peers, UInt32(FilesPlace.peersPort), UInt32(count), UInt32(Self.files)]
        peers = try FilesPlace.startHelper(bench, ["file-peers"] + numbers.map { "\($0)" })
        let initial = (0..<UInt32(count)).map { FilesPlace.text(FilesPlace.peers + $0, FilesPlace.peersPort) }
        for (number, width) in Self.widths.enumerated() {
            let more: Record = [
                "initialPeers": .list(initial.map { .string($0) }), "maxPeers": .count(2 * count),
                "parallelInterrogations": .count(width),
            ]
            let place = (FilesPlace.searching + UInt32(number), FilesPlace.searchingPort)
            let folder = try bench.folder("nothing")
            nodes.append(try .files(bench, "search\(width)", at: place, folder: folder, more))
        }
        for node in nodes { try node.waitUntilIndexed(0) }
    }

    func close() {
        for node in nodes { node.stop() }
        peers.end()
    }

    mutating func run() throws {
        try searchFirst()
        for wanted in Wanted.allCases {
            var own: [Int: [Double]] = [:]
            var limits: [Int: [Double]] = [:]
            for round in 0..<bench.options.rounds {
                for turn in Self.widths.indices {
                    let index = (turn + round) % Self.widths.count
                    let width = Self.widths[index]
                    own[width, default: []].append(try search(nodes[index], wanted))
                    limits[width, default: []].append(try fetch(wanted, atOnce: width))
                }
            }
            for width in Self.widths { report(wanted, width, own[width] ?? [], limits[width] ?? []) }
        }
        for (node, width) in zip(nodes, Self.widths) {
            bench.report.say("VALUE job=files.search.\(width) peak_rss_mib=\(shown(node.child.peakMebibytes))")
        }
    }

    private func note(_ wanted: Wanted, _ width: Int) -> String {
        "\(count) peers with \(Self.files) names, \(wanted.rawValue) found at each, \(width) asked at once,"
            + " dialsPerSecond raised"
    }

    /// The first search also asks each peer whether it knows the extension.
    private func searchFirst() throws {
        for (node, width) in zip(nodes, Self.widths) {
            let rate = try search(node, .one)
            let note = note(.one, width) + ", and each is asked for the extension before"
            let job = "files.search.first.\(width)"
            bench.report.add(.target(job, "peers_per_s", leastPeersPerSecond, [rate], .atLeast(1), note: note))
        }
    }

    private func report(_ wanted: Wanted, _ width: Int, _ own: [Double], _ limits: [Double]) {
        let job = "files.search.\(wanted.rawValue).\(width)"
        bench.report.add(
            .target(job, "peers_per_s", leastPeersPerSecond, own, .atLeast(1), note: note(wanted, width)))
        var figure = Figure(job, "peers_per_s", limit: "c", .none)
        for (node, limit) in zip(own, limits) { figure.add(node: node, limit: limit) }
        bench.report.add(figure)
    }

    /// Peers a second, by the admin socket of a node.
    private func search(_ node: NodeProcess, _ wanted: Wanted) throws -> Double {
        let text = wanted == .one ? Self.oneName : ""
        let (line, seconds) = try node.ask("files.search", ["text": .string(text)])
        let expected = ["asked": count, "failed": 0, "matches": wanted == .one ? count : count * Self.files]
        for (field, number) in expected where NodeProcess.number(field, in: line) != number {
            throw BenchFailure("the search has \(line), but \(field) should be \(number)")
        }
        return Double(count) / seconds
    }

    /// The same by the client in C.
    private func fetch(_ wanted: Wanted, atOnce: Int) throws -> Double {
        let line = (wanted == .one ? Self.oneName : "") + "\n"
        let port = FilesPlace.queryPort(FilesPlace.peersPort)
        var fetch = FilesFetch(FilesPlace.peers, port, [String](repeating: line, count: count))
        (fetch.atOnce, fetch.isSpread) = (UInt32(atOnce), true)
        let result = try fetch.run()
        return Double(count) / Double(result.nanoseconds) * 1e9
    }

    /// Part of one name of each simulated peer.
    private static let oneName = "ing 000500"
}
