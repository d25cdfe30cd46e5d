internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore

/// `files`: P+2 beside plain C, and beside nginx with curl where these are installed.
let filesJob = Job(
    name: "files", summary: "shared files beside C, nginx, curl; some of it: FILES_PARTS=big,small,index,search"
) { bench in
    let named = ProcessInfo.processInfo.environment["FILES_PARTS"]?.split(separator: ",").map(String.init)
    for part in named ?? filesParts {
        do {
            switch part {
            case "big":
                var run = try BigFile(bench)
                run.run()
            case "small": try smallFiles(bench)
            case "index": try sharedIndex(bench)
            case "search": try searchOverAll(bench)
            default: throw BenchFailure("there is no such part")
            }
        } catch {
            bench.report.failed("files.\(part)", error)
        }
    }
}

/// What the environment may choose from, in the order in which it runs.
private let filesParts = ["big", "small", "index", "search"]

/// MiB that either side of a transfer may occupy.
let mostTransferMebibytes = 32.0

extension Figure {
    /// Values whose limit is the target itself, one for each round.
    static func target(
        _ job: String, _ metric: String, _ limit: Double, _ values: [Double], _ target: Target = .atMost(1),
        note: String = ""
    ) -> Figure {
        var figure = Figure(job, metric, limit: "target", target)
        figure.note = note
        for value in values { figure.add(node: value, limit: limit) }
        return figure
    }
}

// MARK: - One big file

/// One way of a file: from whom, to whom, and whether it is saved.
private enum Way: String, CaseIterable {
    case nodeToC = "node>c"
    case cToC = "c>c"
    case nginxToC = "nginx>c"
    case nginxToCurl = "nginx>curl"
    case nodeToNode = "node>node"
    /// Without the extension P2X/1: no digest.
    case nodeToNodePlain = "node>node_unverified"
    case nodeToCSaving = "node>c_save"
    case cToCSaving = "c>c_save"
    case nginxToCurlSaving = "nginx>curl_save"
}

/// A file of 1 GiB in memory, by all ways in each round.
private struct BigFile {
    /// What one way did in one round.
    struct Measured {
        /// Megabytes a second; processor seconds for a gigabyte, of the server and of the client.
        let rate, server, client: Double
    }

    private static let name = "big"
    /// More rounds than these would outlive the nodes on a slow machine.
    private static let mostRounds = 5
    /// Octets that are made at random and repeated.
    private static let block = 1 << 20
    /// Octets of the head of an answer of nginx at most.
    private static let mostHead = 1024

    private let bench: Bench
    private let size: Int
    private let job: String
    private let shared: URL
    private let saved: URL
    private let node: NodeProcess
    /// Fetch what `node` shares: with and without the extension.
    private let fetching: NodeProcess
    private let fetchingPlain: NodeProcess
    private let limit: Child
    private var nginx: Child?
    private var curl: FilesCurl?
    private var ways: [Way]
    private var results: [Way: [Int: Measured]] = [:]

    init(_ bench: Bench) throws {
        self.bench = bench
        let asked = ProcessInfo.processInfo.environment["FILES_BIG_MIB"].flatMap { Int($0) }
        let mebibytes = max(1, asked ?? bench.size(1024, quick: 64))
        size = mebibytes << 20
        job = "files.big.\(mebibytes)MiB"
        (shared, saved) = (try bench.folder("shared"), try bench.folder("saved"))
        try Self.make(shared.appendingPathComponent(Self.name), blocks: mebibytes)
        node = try .files(bench, "node", at: (FilesPlace.node, FilesPlace.nodePort), folder: shared)
        fetching = try .files(bench, "fetching", at: nil, folder: saved)
        fetchingPlain = try .files(bench, "plain", at: nil, folder: saved, ["extensions": false])
        let port = FilesPlace.downloadPort(FilesPlace.nodePort)
        limit = try FilesPlace.startHelper(bench, ["file-server", "\(FilesPlace.limit)", "\(port)", shared.path])
        ways = Way.allCases
        try startOthers()
        try node.waitUntilIndexed(1)
    }

    private static func make(_ file: URL, blocks: Int) throws {
        let block = Data((0..<block).map { _ in UInt8.random(in: .min ... .max) })
        guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
            throw BenchFailure("\(file.path) cannot be written")
        }
        let handle = try FileHandle(forWritingTo: file)
        for _ in 0..<blocks { try handle.write(contentsOf: block) }
        try handle.close()
    }

    /// Whatever of the others is installed.
    private mutating func startOthers() throws {
        if let program = PubSubSystem.path(of: "nginx") {
            nginx = try FilesPlace.startNginx(bench, program, folder: shared)
        } else {
            bench.report.say("absent nginx: not installed")
            ways.removeAll { $0 == .nginxToC || $0 == .nginxToCurl || $0 == .nginxToCurlSaving }
        }
        if let program = PubSubSystem.path(of: "curl") {
            curl = FilesCurl(program: program, log: try bench.folder("curl").appendingPathComponent("log"))
        } else {
            bench.report.say("absent curl: not installed")
            ways.removeAll { $0 == .nginxToCurl || $0 == .nginxToCurlSaving }
        }
    }

    mutating func run() {
        defer {
            for process in [node, fetching, fetchingPlain] { process.stop() }
            limit.end()
            nginx?.end()
            try? FileManager.default.removeItem(at: shared)
        }
        do {
            // The digest is computed when somebody asks for it first; then it is known.
            _ = try fetch(by: fetching, ["complete": "verified"])
        } catch {
            return bench.report.failed(job, error)
        }
        for round in 0..<min(Self.mostRounds, bench.options.rounds) {
            for way in ways.indices.map({ ways[($0 + round) % ways.count] }) { measure(way, round) }
        }
        report()
    }

    private mutating func measure(_ way: Way, _ round: Int) {
        do {
            results[way, default: [:]][round] = try measured(way)
        } catch {
            bench.report.failed("\(job).\(way.rawValue)", error)
            // What is broken would only cost time.
            ways.removeAll { $0 == way }
        }
    }

    private func measured(_ way: Way) throws -> Measured {
        let server = server(of: way)
        Child.settle()
        let before = server.processorTime
        let (seconds, client) = try transfer(way)
        Child.settle()
        let gigabytes = Double(size) / 1e9
        return Measured(
            rate: gigabytes * 1000 / seconds, server: (server.processorTime - before) / 1e9 / gigabytes,
            client: client / gigabytes)
    }

    private func server(of way: Way) -> Child {
        switch way {
        case .cToC, .cToCSaving: limit
        case .nginxToC, .nginxToCurl, .nginxToCurlSaving: nginx ?? limit
        case .nodeToC, .nodeToNode, .nodeToNodePlain, .nodeToCSaving: node.child
        }
    }

    /// Seconds, and processor seconds of the client.
    private func transfer(_ way: Way) throws -> (Double, Double) {
        let line = "\(Self.name)\n"
        let port = FilesPlace.downloadPort(FilesPlace.nodePort)
        return switch way {
        case .nodeToC: try fetch(FilesFetch(FilesPlace.node, port, [line]))
        case .nodeToCSaving: try fetch(FilesFetch(FilesPlace.node, port, [line]), saves: true)
        case .cToC: try fetch(FilesFetch(FilesPlace.limit, port, [line]))
        case .cToCSaving: try fetch(FilesFetch(FilesPlace.limit, port, [line]), saves: true)
        case .nginxToC:
            try fetch(
                FilesFetch(FilesPlace.nginx, FilesPlace.nodePort, ["GET /\(Self.name) HTTP/1.0\r\n\r\n"]),
                head: Self.mostHead)
        case .nginxToCurl: try fetchByCurl(into: "/dev/null")
        case .nginxToCurlSaving: try fetchByCurl(into: saved.appendingPathComponent("curl").path)
        case .nodeToNode: try fetch(by: fetching, ["complete": "verified"])
        case .nodeToNodePlain: try fetch(by: fetchingPlain, ["complete": "unverified"])
        }
    }

    private func fetch(_ fetch: FilesFetch, saves: Bool = false, head: Int = 0) throws -> (Double, Double) {
        var fetch = fetch
        if saves { fetch.folder = saved }
        let result = try fetch.run()
        if saves { try FileManager.default.removeItem(at: saved.appendingPathComponent("0")) }
        guard (size...size + head).contains(Int(result.octets)) else {
            throw BenchFailure("\(result.octets) octets have come, not \(size)")
        }
        return (Double(result.nanoseconds) / 1e9, Double(result.cpu) / 1e9)
    }

    private func fetchByCurl(into path: String) throws -> (Double, Double) {
        guard let curl else { throw BenchFailure("curl is not installed") }
        let url = "http://\(FilesPlace.text(FilesPlace.nginx, FilesPlace.nodePort))/\(Self.name)"
        let (seconds, processor, octets) = try curl.run(url, into: path)
        if path.hasPrefix(saved.path) { try FileManager.default.removeItem(atPath: path) }
        guard octets == size else { throw BenchFailure("curl has \(octets) octets, not \(size)") }
        return (seconds, processor)
    }

    /// Has a node fetch the file, by its admin socket; the answer must contain these fields.
    private func fetch(by node: NodeProcess, _ expected: Record) throws -> (Double, Double) {
        let peer = FilesPlace.text(FilesPlace.node, FilesPlace.nodePort)
        let before = node.child.processorTime
        let (line, seconds) = try node.ask("files.download", ["name": .string(Self.name), "peer": .string(peer)])
        Child.settle()
        let used = (node.child.processorTime - before) / 1e9
        let file = saved.appendingPathComponent(Self.name)
        let octets = try FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int ?? 0
        try FileManager.default.removeItem(at: file)
        let isExpected = expected.fields.allSatisfy { line.contains("\"\($0.name)\":\($0.value.json)") }
        guard octets == size, isExpected else { throw BenchFailure("\(octets) octets were saved: \(line)") }
        return (seconds, used)
    }

    // MARK: Figures

    private func report() {
        for way in Way.allCases {
            if let rounds = results[way]?.values { say(way, Array(rounds)) }
        }
        add("MB_per_s", .nodeToC, .nginxToCurl, .atLeast(1), \.rate)
        add("MB_per_s", .nodeToC, .nginxToC, .none, \.rate)
        add("MB_per_s", .nodeToC, .cToC, .none, \.rate)
        add("server_cpu_s_per_GB", .nodeToC, .nginxToCurl, .atMost(1.1), \.server)
        add("server_cpu_s_per_GB", .nodeToC, .nginxToC, .none, \.server)
        add("server_cpu_s_per_GB", .nodeToC, .cToC, .none, \.server)
        add("MB_per_s", .nodeToNode, .nginxToCurlSaving, .atLeast(1), \.rate)
        add("MB_per_s", .nodeToNodePlain, .nginxToCurlSaving, .atLeast(1), \.rate)
        add("MB_per_s", .nodeToNode, .cToCSaving, .none, \.rate)
        add("MB_per_s", .nodeToNodePlain, .cToCSaving, .atLeast(0.9), \.rate)
        add("MB_per_s", .nodeToCSaving, .cToCSaving, .none, \.rate)
        add("server_cpu_s_per_GB", .nodeToNodePlain, .nginxToCurlSaving, .atMost(1.1), \.server)
        add("client_cpu_s_per_GB", .nodeToNodePlain, .nginxToCurlSaving, .none, \.client)
        let sides = [("serving", node), ("fetching", fetching), ("fetching_unverified", fetchingPlain)]
        for (side, process) in sides {
            let peak = process.child.peakMebibytes
            let note = "\(side), at most in all rounds"
            bench.report.add(
                .target("\(job).\(side)", "peak_rss_mib", mostTransferMebibytes, [peak], note: note))
        }
    }

    private func say(_ way: Way, _ rounds: [Measured]) {
        func text(_ metric: String, _ value: KeyPath<Measured, Double>) -> String {
            let spread = Spread(rounds.map { $0[keyPath: value] })
            return " \(metric)=\(shown(spread.median)) [\(shown(spread.least))-\(shown(spread.most))]"
        }
        bench.report.say(
            "VALUE job=\(job) way=\(way.rawValue)" + text("MB_per_s", \.rate)
                + text("server_cpu_s_per_GB", \.server) + text("client_cpu_s_per_GB", \.client) + " n=\(rounds.count)")
    }

    private func add(
        _ metric: String, _ own: Way, _ other: Way, _ target: Figure.Target, _ value: KeyPath<Measured, Double>
    ) {
        var figure = Figure("\(job).\(own.rawValue)", metric, limit: other.rawValue, target)
        for (round, node) in (results[own] ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let bound = results[other]?[round] else { continue }
            figure.add(node: node[keyPath: value], limit: bound[keyPath: value])
        }
        if figure.ratio.count > 0 { bench.report.add(figure) }
    }
}
