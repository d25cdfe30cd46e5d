internal import Foundation
internal import Glibc
internal import PeerCore

// What the job `replication` measures with and against: folders, nodes, and what users have instead.

/// Content that is replicated.
enum ReplicatedContent: String, CaseIterable {
    /// One file of 1 GiB.
    case big
    /// 10,000 files of 4 KiB.
    case small
    /// 2,000 files of 16 KiB and one of 64 MiB.
    case mixed

    /// How many files of which size, in octets.
    func sizes(_ bench: Bench) -> [(count: Int, size: Int)] {
        switch self {
        case .big: [(1, bench.size(1024, quick: 32) << 20)]
        case .small: [(bench.size(10_000, quick: 500), 4096)]
        case .mixed: [(bench.size(2000, quick: 100), 16_384), (1, bench.size(64, quick: 8) << 20)]
        }
    }

    /// Fills a folder; no two blocks are equal, so that nobody can copy instead of fetching.
    func make(in folder: URL, _ bench: Bench) throws -> (files: Int, octets: Int) {
        let source = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/dev/urandom"))
        defer { try? source.close() }
        var (files, octets) = (0, 0)
        for (count, size) in sizes(bench) {
            for _ in 0..<count {
                let file = folder.appendingPathComponent(String(format: "f%05d", files))
                guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
                    throw BenchFailure("\(file.path) cannot be written")
                }
                let handle = try FileHandle(forWritingTo: file)
                for start in stride(from: 0, to: size, by: Self.piece) {
                    try handle.write(contentsOf: source.read(upToCount: min(Self.piece, size - start)) ?? Data())
                }
                try handle.close()
                files += 1
                octets += size
            }
        }
        return (files, octets)
    }

    /// Octets that are made at once.
    private static let piece = 1 << 20
}

/// What one replication took.
struct Replicated {
    /// From nothing to all there and verified; nan where nothing is verified.
    var seconds = Double.nan
    /// Until all was there, not yet verified.
    var transfer = Double.nan
    /// Processor seconds of both sides.
    var processor = Double.nan
    /// MiB of memory that one side had at most.
    var peak = Double.nan
}

// MARK: - Nodes

/// Two nodes, and the folder that is to be equal.
struct ReplicationNodes {
    /// The folder's name in messages.
    static let name = "D"
    /// 127.42.0.1, and the addresses after it.
    static let address: UInt32 = 0x7f2a_0001
    static let (messagePort, httpPort): (UInt16, UInt16) = (7009, 7010)

    /// A node that shares a folder, with the time that it needs to look at it.
    static func owner(
        _ bench: Bench, folder: URL, files: Int, debounce: Record = [:], level: String = "info"
    ) throws -> NodeProcess {
        let node = try start(
            bench, "owner", address, [["name": .string(name), "path": .string(folder.path)]], debounce, level)
        try FilesPlace.wait("the folder is not ready") {
            node.log.contains("\"event\":\"folder_ready\",\"folder\":\"\(name)\",\"files\":\(files),")
        }
        return node
    }

    /// A node without a folder.
    static func joiner(_ bench: Bench, number: Int) throws -> NodeProcess {
        let node = try start(bench, "joiner", address + 1 + UInt32(number), [], [:], "info")
        try node.waitUntilListening("replication", 2)
        return node
    }

    private static func start(
        _ bench: Bench, _ name: String, _ address: UInt32, _ folders: [Record], _ more: Record,
        _ level: String
    ) throws -> NodeProcess {
        let section: Record = [
            "messageAddress": .string(FilesPlace.text(address, messagePort)),
            "httpAddress": .string(FilesPlace.text(address, httpPort)),
            "folders": .list(folders.map { .record($0) }),
        ]
        return try NodeProcess(
            bench, name,
            [
                "log": .record(["heartbeatSeconds": 3600, "level": .string(level)]),
                "limits": .record(["acceptsPerSecond": 0, "dialsPerSecond": 0]),
                "replication": .record(section.appending(more)),
            ])
    }

    /// Lets `node` become a peer for the folder, and waits until both sides have seen that all is there.
    @discardableResult static func join(_ node: NodeProcess, into folder: URL) throws -> Double {
        try node.ask(
            "replication.join",
            [
                "folder": .string(name), "host": .string(FilesPlace.text(address, messagePort)),
                "into": .string(folder.path), "isPlaceMeant": true,
            ]
        ).seconds
    }

    /// Octets that have gone between nodes so far, by one node's count.
    static func traffic(of node: NodeProcess) throws -> Int {
        let line = try node.ask("status", [:]).line
        return NodeProcess.number("receivedBytes", in: line) + NodeProcess.number("sentBytes", in: line)
    }

    /// From an owner that knows its folder to a peer that is started, joins, and is verified.
    static func replicate(_ bench: Bench, _ folder: URL, files: Int, number: Int) throws -> Replicated {
        let owner = try owner(bench, folder: folder, files: files)
        defer { owner.stop() }
        Child.settle()
        let (before, clock) = (owner.child.processorTime, ContinuousClock())
        let begin = clock.now
        let joiner = try joiner(bench, number: number)
        defer { joiner.stop() }
        let place = try bench.folder("joined")
        defer { try? FileManager.default.removeItem(at: place) }
        try join(joiner, into: place)
        var result = Replicated(seconds: (clock.now - begin) / .seconds(1))
        Child.settle()
        result.processor = (owner.child.processorTime - before + joiner.child.processorTime) / 1e9
        result.peak = max(owner.child.peakMebibytes, joiner.child.peakMebibytes)
        result.transfer = try joiner.logged("report_out") - joiner.logged("join_out")
        try compare(folder, place, files)
        return result
    }

    /// The trees must hold the same files; their content the node has verified, their sizes are looked at here.
    static func compare(_ one: URL, _ other: URL, _ files: Int) throws {
        func sizes(_ folder: URL) throws -> [String: Int] {
            let keys: Set<URLResourceKey> = [.fileSizeKey]
            let found = try FileManager.default.contentsOfDirectory(
                at: folder, includingPropertiesForKeys: Array(keys), options: .skipsHiddenFiles)
            return try Dictionary(
                uniqueKeysWithValues: found.map {
                    ($0.lastPathComponent, try $0.resourceValues(forKeys: keys).fileSize ?? 0)
                })
        }
        let (here, there) = (try sizes(one), try sizes(other))
        guard here == there, here.count == files else {
            throw BenchFailure("\(there.count) files have come, not \(files), or with other sizes")
        }
    }
}

// MARK: - rsync, curl

/// The programs that a user would take for one transfer.
enum ReplicationTools {
    /// rsync from its daemon.
    static func rsync(_ bench: Bench, _ program: String, _ folder: URL) throws -> Replicated {
        let own = try bench.folder("rsync")
        defer { try? FileManager.default.removeItem(at: own) }
        let (address, port) = (FilesPlace.text(FilesPlace.limit, 8730).split(separator: ":")[0], 8730)
        let file = own.appendingPathComponent("rsyncd.conf")
        let lines = """
            use chroot = no
            uid = \(getuid())
            gid = \(getgid())
            address = \(address)
            port = \(port)
            [w]
            path = \(folder.path)
            read only = yes
            """
        try Data(lines.utf8).write(to: file)
        let log = own.appendingPathComponent("log")
        let daemon = try FilesPlace.start([program, "--daemon", "--no-detach", "--config", file.path], log: log)
        defer { daemon.end() }
        try FilesPlace.wait("rsync does not listen: \(Machine.text(of: log.path))") {
            (try? FilesFetch(FilesPlace.limit, UInt16(port), ["\n"]).run()) != nil
        }
        let clock = ContinuousClock()
        let begin = clock.now
        let url = "rsync://\(address):\(port)/w/"
        let client = try FilesPlace.start(
            [program, "-a", url, own.appendingPathComponent("out").path + "/"],
            log: own.appendingPathComponent("client"))
        guard client.wait() == 0 else { throw BenchFailure("rsync: \(Machine.text(of: own.path + "/client"))") }
        let seconds = (clock.now - begin) / .seconds(1)
        return Replicated(seconds: seconds, transfer: seconds)
    }

    /// curl, several files at a time, from nginx that serves the folder already.
    static func curl(_ bench: Bench, _ program: String, files: Int) throws -> Replicated {
        let own = try bench.folder("curl")
        defer { try? FileManager.default.removeItem(at: own) }
        let server = FilesPlace.text(FilesPlace.nginx, FilesPlace.nodePort)
        let list = (0..<files).map { number in
            let name = String(format: "f%05d", number)
            return "url = \"http://\(server)/\(name)\"\noutput = \"\(own.path)/\(name)\"\n"
        }
        let file = own.appendingPathComponent("list")
        try Data(list.joined().utf8).write(to: file)
        let clock = ContinuousClock()
        let begin = clock.now
        let words = [program, "-sS", "--noproxy", "*", "-Z", "--parallel-max", "\(parallel)", "-K", file.path]
        let client = try FilesPlace.start(words, log: own.appendingPathComponent("log"))
        guard client.wait() == 0 else { throw BenchFailure("curl: \(Machine.text(of: own.path + "/log").suffix(200))") }
        let seconds = (clock.now - begin) / .seconds(1)
        return Replicated(seconds: seconds, transfer: seconds)
    }

    /// Transfers of curl at a time, as many as the node has.
    private static let parallel = 8
}
