internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore

/// A publish-subscribe system that is measured.
enum PubSubSystem: String, CaseIterable {
    case node = "peernode"
    /// The limit in plain C: with the verdict of a subscriber at each hop, and without.
    case relay = "c"
    case relayAtOnce = "c_at_once"
    case nats = "nats-server"
    case mosquitto = "mosquitto"
    case redis = "redis-server"

    /// What a user would run instead of the node.
    static let peers: [PubSubSystem] = [.nats, .mosquitto, .redis]

    /// What it speaks, and the port at which; each process has an address of its own.
    var wire: (protocol: limits_wire, port: UInt16) {
        switch self {
        case .node, .relay, .relayAtOnce: (LIMITS_GOSSIP, 7001)
        case .nats: (LIMITS_NATS, 4222)
        case .mosquitto: (LIMITS_MQTT, 1883)
        case .redis: (LIMITS_REDIS, 6379)
        }
    }

    /// Whether items go on only when a subscriber at the hop has called them valid.
    var waitsForVerdicts: Bool { self == .node || self == .relay }

    /// The program, nil when it is not installed.
    func program(_ bench: Bench) -> String? {
        switch self {
        case .node: bench.options.node
        case .relay, .relayAtOnce: CommandLine.arguments[0]
        case .nats, .mosquitto, .redis: Self.path(of: rawValue)
        }
    }

    /// Where a program is that a package has installed; servers are not always in the path of a user.
    static func path(of program: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/bin"]
        return folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}

/// How the processes of a system are linked.
enum PubSubTopology: String {
    /// Publisher and subscriber at one process.
    case one
    /// Publisher at the first, subscriber at the second.
    case pair
    /// Publisher at one end, subscriber at the other.
    case chain4
    /// Everyone linked to everyone, a subscriber at each. Brokers that would loop, and those whose cluster is a mesh
    /// anyway, take the shape that their users build.
    case mesh8

    /// Processes.
    var count: Int {
        switch self {
        case .one: 1
        case .pair: 2
        case .chain4: 4
        case .mesh8: 8
        }
    }

    /// Whom the process of this number dials: only such as are there already.
    func neighbours(of number: Int) -> [Int] {
        switch self {
        case .one: []
        case .pair, .chain4: number == 0 ? [] : [number - 1]
        case .mesh8: Array(0..<number)
        }
    }

    /// How many links the process of this number has when all are there.
    func links(of number: Int) -> Int {
        neighbours(of: number).count + (0..<count).count { neighbours(of: $0).contains(number) }
    }
}

/// The processes of one system, linked and ready.
final class PubSubNetwork {
    let system: PubSubSystem
    let topology: PubSubTopology
    private(set) var processes: [Child] = []
    private let program: String
    private let folder: URL

    /// A part takes less; a process that outlives this was forgotten.
    private static let lifetimeSeconds: UInt32 = 240
    /// Longest time until a process says that it is ready, and until items come through: bridges retry slowly.
    private static let startLimit = 15.0
    /// The port of links between relays, and between nodes.
    private static let linkPort: UInt16 = 6001

    init(_ bench: Bench, _ system: PubSubSystem, _ topology: PubSubTopology) throws {
        guard let program = system.program(bench) else { throw BenchFailure("\(system.rawValue) is not installed") }
        (self.system, self.topology, self.program) = (system, topology, program)
        folder = try bench.folder("\(topology.rawValue)-\(system.rawValue)")
        switch system {
        case .node: try startNodes(bench)
        case .relay, .relayAtOnce: try startRelays()
        case .nats: try startNats()
        case .mosquitto: try startMosquitto()
        case .redis: try startRedis()
        }
    }

    // MARK: Addresses

    /// 127.30.0.1 and so on; every system and topology has a block of its own.
    func address(_ number: Int) -> UInt32 {
        let block = PubSubSystem.allCases.firstIndex(of: system) ?? 0
        return 0x7f1e_0001 + UInt32(block) << 16 + UInt32(topology.count) << 8 + UInt32(number)
    }

    private func text(_ number: Int) -> String { "\(IPAddress(v4: address(number)))" }

    /// The addresses at which there is a subscriber. Where verdicts are awaited, somebody must give them at each hop.
    var subscribers: [UInt32] {
        let all = (0..<topology.count).map(address)
        let isEverywhere = topology == .mesh8 || topology == .chain4 && system.waitsForVerdicts
        return isEverywhere ? all : [all[all.count - 1]]
    }

    // MARK: Figures

    /// Nanoseconds on a processor, of all processes.
    var processorTime: Double { processes.reduce(0) { $0 + $1.processorTime } }

    /// MiB of memory, of all processes.
    var residentMebibytes: Double { processes.reduce(0) { $0 + $1.residentBytes } / 1_048_576 }

    /// MiB of memory that the processes have had at most, each at its own time.
    var peakMebibytes: Double {
        processes.reduce(0) { sum, child in
            let lines = Machine.text(of: "/proc/\(child.process)/status").split(separator: "\n")
            let words = lines.first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace) ?? []
            return sum + (words.count > 1 ? Double(words[1]) ?? .nan : .nan) / 1024
        }
    }

    func close() {
        for process in processes { process.send(SIGKILL) }
        for process in processes { process.end() }
    }

    deinit {
        close()
    }

    // MARK: Processes

    private func file(_ name: String) -> URL { folder.appendingPathComponent(name) }

    /// Starts a program whose output goes to the file `log` and its number.
    private func start(_ words: [String]) throws {
        let log = open(file("log\(processes.count)").path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { Glibc.close(log) }
        processes.append(try Child([program] + words, output: log, seconds: Self.lifetimeSeconds))
    }

    /// Starts a program with a configuration file.
    private func start(_ option: String, configuration: String) throws {
        let path = file("configuration\(processes.count)")
        try Data(configuration.utf8).write(to: path)
        try start([option, path.path])
    }

    /// Waits until a text has come often enough.
    private func wait(for mark: String, _ count: Int = 1, in log: () -> String) throws {
        let end = Date().addingTimeInterval(Self.startLimit)
        while log().components(separatedBy: mark).count - 1 < count {
            guard Date() < end else {
                throw BenchFailure("\(system.rawValue) does not say \(mark) \(count) times: \(log().suffix(500))")
            }
            usleep(5_000)
        }
    }

    private func waitForLast(_ mark: String) throws {
        let log = file("log\(processes.count - 1)").path
        try wait(for: mark) { Machine.text(of: log) }
    }

    // MARK: Systems

    private func startNodes(_ bench: Bench) throws {
        var nodes: [NodeProcess] = []
        for number in 0..<topology.count {
            let peers = topology.neighbours(of: number).map { "\(text($0)):\(Self.linkPort)" }
            let gossip: Record = [
                "p2pAddress": .string("\(text(number)):\(Self.linkPort)"),
                "apiAddress": .string("\(text(number)):\(system.wire.port)"),
                "bootstrap": .list([]), "peers": .list(peers.map { .string($0) }),
                "degree": .int(Int64(max(1, topology.count - 1))), "validation": "all",
            ]
            let sections: Record = ["log": .record(["heartbeatSeconds": 3600]), "gossip": .record(gossip)]
            let node = try NodeProcess(bench, "gossip\(number)", sections)
            nodes.append(node)
            processes.append(node.child)
            try node.waitUntilListening("gossip", 2)
        }
        for (number, node) in nodes.enumerated() where topology.links(of: number) > 0 {
            let mark = "\"cat\":\"gossip\",\"event\":\"peer_up\""
            try wait(for: mark, topology.links(of: number)) { node.log }
        }
    }

    private func startRelays() throws {
        for number in 0..<topology.count {
            let neighbours = topology.neighbours(of: number).map { "\(address($0))" }
            let waits = system.waitsForVerdicts ? "1" : "0"
            let ports = ["\(system.wire.port)", "\(Self.linkPort)"]
            try start(["gossip-relay", "\(address(number))"] + ports + [waits] + neighbours)
            try waitForLast("linked")
        }
    }

    /// Leaf nodes make the chain, routes the mesh.
    private func startNats() throws {
        for number in 0..<topology.count {
            let others = topology.neighbours(of: number)
            var lines = """
                server_name: n\(number)
                host: "\(text(number))"
                port: \(system.wire.port)
                max_pending: 268435456

                """
            switch topology {
            case .one: break
            case .pair, .chain4:
                let remotes = others.map { "{ url: \"nats-leaf://\(text($0)):7422\" }" }
                let dialled = remotes.isEmpty ? "" : ", remotes: [ \(remotes.joined(separator: ", ")) ]"
                lines += "leafnodes { host: \"\(text(number))\", port: 7422\(dialled) }\n"
            case .mesh8:
                let routes = others.map { "\"nats-route://\(text($0)):6222\"" }
                let dialled = routes.isEmpty ? "" : ", routes: [ \(routes.joined(separator: ", ")) ]"
                lines += "cluster { name: c, host: \"\(text(number))\", port: 6222\(dialled) }\n"
            }
            try start("-c", configuration: lines)
            try waitForLast("Server is ready")
        }
    }

    /// Bridges make the chain; a mesh of them would loop, so it is a star.
    private func startMosquitto() throws {
        for number in 0..<topology.count {
            var lines = """
                listener \(system.wire.port) \(text(number))
                allow_anonymous true
                set_tcp_nodelay true
                max_queued_messages 0
                max_queued_bytes 0
                log_dest stderr

                """
            if let other = topology.neighbours(of: number).first {
                lines += """
                    connection b\(number)
                    address \(text(other)):\(system.wire.port)
                    topic # in 0
                    bridge_attempt_unsubscribe false
                    notifications false
                    remote_clientid b\(number)

                    """
            }
            try start("-c", configuration: lines)
            try waitForLast("running")
        }
    }

    /// A cluster is a mesh of its own: one hop.
    private func startRedis() throws {
        for number in 0..<topology.count {
            let data = file("data\(number)")
            try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
            let own = ["--port", "\(system.wire.port)", "--bind", text(number), "--dir", data.path]
            let plain = [
                "--save", "", "--appendonly", "no", "--protected-mode", "no", "--client-output-buffer-limit", "pubsub",
                "0", "0", "0",
            ]
            let cluster = ["--cluster-enabled", "yes", "--cluster-announce-ip", text(number)]
            try start(own + plain + (topology.count > 1 ? cluster : []))
            try waitForLast("Ready to accept connections")
        }
        guard topology.count > 1 else { return }
        guard let client = PubSubSystem.path(of: "redis-cli") else { throw BenchFailure("redis-cli is not installed") }
        let log = open(file("create").path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { Glibc.close(log) }
        let members = (0..<topology.count).map { "\(text($0)):\(system.wire.port)" }
        let create = [client, "--cluster", "create"] + members + ["--cluster-yes"]
        // It asks every second whether all know each other.
        let status = try Child(create, output: log, seconds: 30).wait()
        guard status == 0 else { throw BenchFailure("redis-cli: \(Machine.text(of: file("create").path).suffix(300))") }
    }
}

/// A publisher and the subscribers of a network.
final class PubSubLoad {
    private let load: OpaquePointer

    /// Longest time until the first message has come through.
    private static let readyNanoseconds: UInt64 = 15_000_000_000
    /// What the routes need that are not part of the first message's way.
    private static let restMicroseconds: UInt32 = 50_000

    /// Messages of `size` octets; the last `slow` of the subscribers read slowly.
    init(_ network: PubSubNetwork, subscribers: [UInt32], slow: Int = 0, size: Int) throws {
        let (wire, port) = network.system.wire
        let load = limits_pubsub_new(
            wire, port, network.address(0), subscribers, UInt32(subscribers.count), UInt32(slow), size)
        guard let load else { throw BenchFailure("the load cannot connect: error \(errno)") }
        self.load = load
        let error = limits_pubsub_ready(load, Self.readyNanoseconds)
        guard error == 0 else { throw BenchFailure("no message comes through: error \(error)") }
        usleep(Self.restMicroseconds)
    }

    deinit {
        limits_pubsub_free(load)
    }

    /// The rate with `window` messages under way, over milliseconds.
    func window(_ window: Int, warm: Int, milliseconds: Int) throws -> limits_pubsub_result {
        let nanoseconds: UInt64 = 1_000_000
        let (warm, time) = (UInt64(warm) * nanoseconds, UInt64(milliseconds) * nanoseconds)
        return try Self.checked(limits_pubsub_window(load, UInt32(window), warm, time))
    }

    /// The delay of messages that come `perSecond`.
    func paced(_ perSecond: Int, milliseconds: Int) throws -> limits_pubsub_result {
        try Self.checked(limits_pubsub_paced(load, UInt32(perSecond), UInt64(milliseconds) * 1_000_000))
    }

    /// As fast as it is taken; what is lost is for the caller to judge.
    func blast(_ count: Int, slowRate: Int = 0, seconds: Int) throws -> limits_pubsub_result {
        let time = UInt64(seconds) * 1_000_000_000
        let result = limits_pubsub_blast(load, UInt64(count), UInt64(slowRate), time)
        guard result.error == 0, result.bad == 0, result.duplicates == 0, result.delivered > 0 else {
            throw Self.failure(result)
        }
        return result
    }

    /// A result that counts: everything has come, once.
    static func checked(_ result: limits_pubsub_result) throws -> limits_pubsub_result {
        guard result.error == 0, result.bad == 0, result.duplicates == 0, result.measured > 0,
            result.delivered == result.sent
        else { throw failure(result) }
        return result
    }

    private static func failure(_ result: limits_pubsub_result) -> BenchFailure {
        BenchFailure(
            "of \(result.sent) messages \(result.sent - result.delivered) are lost, \(result.duplicates) came twice,"
                + " \(result.bad) are bad; error \(result.error)")
    }
}

extension limits_pubsub_result {
    /// Messages a second, delivered to everybody.
    var rate: Double { Double(measured) / Double(nanoseconds) * 1e9 }
}
