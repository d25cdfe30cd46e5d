internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore
internal import UV

// What the job `files` measures with and against: servers, clients, simulated peers.

/// The limit in C, in a process of its own: `file-server ADDRESS PORT FOLDER`.
func fileServer(_ words: [String]) throws -> Int32 {
    guard words.count == 3, let address = UInt32(words[0]), let port = UInt16(words[1]) else {
        throw Usage("file-server needs an address and a port as numbers, and a folder")
    }
    let error = limits_file_server(address, port, words[2])
    throw BenchFailure("the server in C ended with error \(error)")
}

/// Peers that answer at once, all in one process: `file-peers ADDRESS PORT COUNT FILES`.
func filePeers(_ words: [String]) throws -> Int32 {
    let numbers = words.compactMap { UInt32($0) }
    guard numbers.count == 4, words.count == 4, let port = UInt16(exactly: numbers[1]) else {
        throw Usage("file-peers needs an address, a port, and how many peers with how many files, as numbers")
    }
    let error = limits_file_peers(numbers[0], port, numbers[2], numbers[3])
    throw BenchFailure("the peers in C ended with error \(error)")
}

// MARK: - Servers

/// A process that the job talks to, at an address of its own.
enum FilesPlace {
    /// 127.41.0.1 and so on.
    static let node: UInt32 = 0x7f29_0001
    static let limit = node + 1
    static let nginx = node + 2
    static let searching = node + 3
    /// 127.50.0.1, and the addresses after it.
    static let peers: UInt32 = 0x7f32_0001
    /// Ports p. They differ, since a node takes its own port at any address of loopback for itself.
    static let nodePort: UInt16 = 9190
    static let searchingPort: UInt16 = 9290
    static let peersPort: UInt16 = 9390
    /// Queries and downloads have the ports after p.
    static func queryPort(_ port: UInt16) -> UInt16 { port + 1 }
    /// See `queryPort`.
    static func downloadPort(_ port: UInt16) -> UInt16 { port + 2 }

    static func text(_ address: UInt32, _ port: UInt16) -> String { "\(IPAddress(v4: address)):\(port)" }

    /// No part takes longer; a process that outlives this was forgotten.
    static let lifetimeSeconds: UInt32 = 240

    /// Starts a program whose output goes to a file.
    static func start(_ words: [String], log: URL) throws -> Child {
        let descriptor = open(log.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchFailure("\(log.path) cannot be written: error \(errno)") }
        defer { close(descriptor) }
        return try Child(words, output: descriptor, seconds: lifetimeSeconds)
    }

    /// Starts this program itself as one of its helpers, which says when it listens.
    static func startHelper(_ bench: Bench, _ words: [String]) throws -> Child {
        let log = try bench.folder(words[0]).appendingPathComponent("log")
        let child = try start([CommandLine.arguments[0]] + words, log: log)
        try wait(words[0]) { Machine.text(of: log.path).contains("listening") }
        return child
    }

    /// Starts nginx as it would serve such a folder. It takes SIGALRM for its own; it ends with this program.
    static func startNginx(_ bench: Bench, _ program: String, folder: URL) throws -> Child {
        let own = try bench.folder("nginx")
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(own.path);" }
        let configuration = """
            worker_processes 1; daemon off; master_process off; pid \(own.path)/pid; error_log stderr crit;
            events { worker_connections 4096; }
            http {
                access_log off; sendfile on; tcp_nopush on; open_file_cache max=20000; keepalive_requests 1000000;
                \(temporary.joined(separator: " "))
                server { listen \(text(nginx, nodePort)) backlog=4096; root \(folder.path); }
            }
            """
        let file = own.appendingPathComponent("nginx.conf")
        try Data(configuration.utf8).write(to: file)
        let log = own.appendingPathComponent("log")
        let child = try start([program, "-e", "stderr", "-p", own.path, "-c", file.path], log: log)
        try wait("nginx: \(Machine.text(of: log.path).suffix(300))") {
            (try? FilesFetch(nginx, nodePort, ["GET / HTTP/1.0\r\n\r\n"]).run()) != nil
        }
        return child
    }

    /// Waits until something holds.
    static func wait(_ what: @autoclosure () -> String, until holds: () -> Bool) throws {
        let end = Date().addingTimeInterval(startLimit)
        while !holds() {
            guard Date() < end else { throw BenchFailure("it takes too long: \(what())") }
            usleep(2_000)
        }
    }

    /// Seconds until a process listens, and until a node has looked at its files.
    private static let startLimit = 30.0
}

extension Child {
    /// MiB of memory that it has had at most.
    var peakMebibytes: Double {
        let lines = Machine.text(of: "/proc/\(process)/status").split(separator: "\n")
        let words = lines.first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace) ?? []
        return (words.count > 1 ? Double(words[1]) ?? .nan : .nan) / 1024
    }
}

// MARK: - Nodes

extension NodeProcess {
    /// Starts a node that shares a folder, with limits out of the way; without an address it shares nothing.
    static func files(
        _ bench: Bench, _ name: String, at address: (UInt32, UInt16)?, folder: URL, _ more: Record = [:]
    ) throws -> NodeProcess {
        let files: Record = [
            "listen": address.map { .string(FilesPlace.text($0.0, $0.1)) } ?? .null, "folder": .string(folder.path),
        ]
        return try NodeProcess(
            bench, name,
            [
                "log": .record(["heartbeatSeconds": 3600]),
                "limits": .record(["acceptsPerSecond": 0, "dialsPerSecond": 0]),
                "files": .record(files.appending(more)),
            ])
    }

    /// Waits until the index has so many files.
    func waitUntilIndexed(_ files: Int) throws {
        let mark = "\"event\":\"share_indexed\",\"files\":\(files),"
        try FilesPlace.wait("the node has no index of \(files) files") { log.contains(mark) }
    }

    /// Seconds of the day at which it has logged an event for the first time.
    func logged(_ event: String) throws -> Double {
        let line = log.split(separator: "\n").first { $0.contains("\"event\":\"\(event)\"") }
        // {"ts":"2030-01-01T12:00:00.000Z", …
        let texts = line?.split(separator: "\"") ?? []
        let clock = texts.count > 3 ? texts[3].split(separator: "T").last?.dropLast() : nil
        let parts = clock?.split(separator: ":").compactMap { Double($0) } ?? []
        guard parts.count == 3 else { throw BenchFailure("no line of the log has \(event) and a time") }
        return parts[0] * 3600 + parts[1] * 60 + parts[2]
    }

    /// Asks the admin socket; gives the last line of the answer, and the seconds until it came.
    func ask(_ command: String, _ arguments: Record) throws -> (line: String, seconds: Double) {
        var last = ""
        let seconds = try ask(command, arguments) { line in
            last = line
            return false
        }
        guard !last.contains("\"error\":") else { throw BenchFailure("\(command): \(last)") }
        return (last, seconds)
    }

    /// The same, line by line; gives the seconds to the end, or to the line that is enough.
    func ask(_ command: String, _ arguments: Record, isEnough: @escaping (String) -> Bool) throws -> Double {
        let socket = folder.appendingPathComponent("data/admin.sock").path
        let request: Record = ["command": .string(command), "arguments": .record(arguments)]
        let (loop, clock) = (Loop(), ContinuousClock())
        let (pipe, timer) = (try Pipe(loop), Timer(loop))
        var rest: [UInt8] = []
        var failure: String?
        func end(_ problem: String?) {
            failure = problem
            pipe.close()
            timer.close()
        }
        timer.start(every: Self.answerLimit) { end("no answer in \(Self.answerLimit)") }
        let begin = clock.now
        pipe.connect(path: socket) { error in
            if let error { return end(error.name) }
            _ = try? pipe.write([Bytes(utf8: request.json + "\n")])
            pipe.startReading { event in
                guard case .received(let bytes) = event else { return end("the node ended the connection") }
                rest += bytes
                while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = String(decoding: rest[..<newline], as: UTF8.self)
                    rest.removeSubrange(...newline)
                    if isEnough(line) || line.contains("\"done\":true") { return end(nil) }
                }
            }
        }
        loop.run()
        loop.close()
        let seconds = (clock.now - begin) / .seconds(1)
        if let failure { throw BenchFailure("\(command): \(failure)") }
        return seconds
    }

    /// Longest time of a command.
    private static let answerLimit: Duration = .seconds(60)

    /// A whole number in an answer, -1 when it is not there.
    static func number(_ field: String, in line: String) -> Int {
        let rest = line.components(separatedBy: "\"\(field)\":").dropFirst().first ?? ""
        return Int(rest.prefix { $0.isNumber }) ?? -1
    }
}

// MARK: - Clients

/// What the client in C is to fetch.
struct FilesFetch {
    let address: UInt32
    let port: UInt16
    let requests: [String]
    /// How many at a time.
    var atOnce: UInt32 = 1
    /// Whether each goes to the address after the one before.
    var isSpread = false
    /// Where answers are saved, under their numbers.
    var folder: URL?
    /// Octets that are hashed by themselves; 0: nothing is.
    var piece: UInt32 = 0

    /// Longest time of a fetch.
    private static let mostNanoseconds: UInt64 = 60_000_000_000

    init(_ address: UInt32, _ port: UInt16, _ requests: [String]) {
        (self.address, self.port, self.requests) = (address, port, requests)
    }

    /// The result, when all have been answered.
    func run() throws -> limits_fetch_result {
        let octets: [UInt8] = requests.flatMap { Array($0.utf8) + [0] }
        let result = limits_fetch(
            address, isSpread ? 1 : 0, port, octets, octets.count, atOnce, folder?.path, piece,
            Self.mostNanoseconds)
        guard result.error == 0, result.files == UInt64(requests.count) else {
            throw BenchFailure("\(result.files) of \(requests.count) answers have come: error \(result.error)")
        }
        return result
    }
}

/// curl, as a user runs it.
struct FilesCurl {
    let program: String
    let log: URL

    /// Fetches a file into another; gives the seconds by curl's own clock, of processor time too, and octets.
    func run(_ url: String, into path: String) throws -> (seconds: Double, processor: Double, octets: Int) {
        let before = Self.childrenTime
        let form = "%{time_total} %{size_download}"
        let status = try FilesPlace.start(
            [program, "-sS", "--noproxy", "*", "-o", path, "-w", form, url], log: log
        ).wait()
        let words = Machine.text(of: log.path).split(separator: " ")
        guard status == 0, words.count == 2, let seconds = Double(words[0]), let octets = Int(words[1]) else {
            throw BenchFailure("curl ended with status \(status): \(Machine.text(of: log.path).suffix(300))")
        }
        return (seconds, Self.childrenTime - before, octets)
    }

    /// Seconds on a processor, of all programs that were started here and have ended.
    private static var childrenTime: Double {
        var used = tms()
        Glibc.times(&used)
        return Double(used.tms_cutime + used.tms_cstime) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
