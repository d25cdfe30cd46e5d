internal import PeerCore
internal import PeerCrypto
internal import PeerRuntime
public import UV

/// A whole network on this machine in one process: a bootstrap server on 127.0.0.1 and nodes on 127.0.0.2 and so on,
/// each with its own data folder, one log with a `node` field.
public final class Testbed {
    /// What to build.
    public struct Plan: Sendable {
        /// Nodes beside the bootstrap server.
        public let nodes: Int
        /// The port that all nodes listen on for DDRP; its bootstrap server has the same one. The next one is Gossip's,
        /// then comes that of its programs. Above are those for files.
        public let port: UInt16
        /// The folder for the nodes' data.
        public let folder: String
        /// Whether that folder stays.
        public let keepsFolder: Bool
        /// Whether the log is for people.
        public let isText: Bool
        /// Whether lines for people are coloured.
        public let isColoured: Bool

        var gossipPort: UInt16 { port + 1 }
        var apiPort: UInt16 { port + 2 }

        /// The first of the three ports for files of node `number`, counted from 1. To P+2 all of loopback is one host,
        /// so each node has its own.
        func filesPort(of number: Int) -> UInt16 {
            let span = 3 * nodes
            let first = Int(port) + 3
            return UInt16(clamping: (first + span <= 65_536 ? first : Int(port) - span) + 3 * (number - 1))
        }

        /// A plan.
        public init(nodes: Int, port: UInt16, folder: String, keepsFolder: Bool, isText: Bool, isColoured: Bool) {
            self.nodes = nodes
            self.port = port
            self.folder = folder
            self.keepsFolder = keepsFolder
            self.isText = isText
            self.isColoured = isColoured
        }
    }

    /// Nodes that 127.0.0.0/16 has addresses for, the bootstrap server and round numbers left out.
    public static let maximumNodes = 1000

    /// Told when an address could not be had.
    public var listenerRefused: (String) -> Void = { _ in }

    private let plan: Plan
    private let loop: Loop
    private let log: Log
    private var nodes: [(name: String, node: Node)] = []
    private var locks: [DirectoryLock] = []
    private var report: Timer?
    private var isStopping = false

    /// As many neighbours as DDRP wants: a network of many nodes on one machine needs no more.
    private static let gossipDegree = 8

    /// How often a line says who has how many peers.
    private static let reportInterval: Duration = .seconds(1)

    /// A network that does nothing before `start()`.
    public init(_ plan: Plan, loop: Loop) {
        self.plan = plan
        self.loop = loop
        log = Log(format: plan.isText ? .text : .json, constant: ["node": "testbed"])
        log.isColoured = plan.isColoured
    }

    /// Makes the nodes and starts them. Throws what is wrong in words for the operator.
    public func start() throws {
        write(
            "testbed_started",
            [
                "nodes": .count(plan.nodes), "bootstrap": .string("127.0.0.1:\(plan.port)"),
                "folder": .string(plan.folder),
            ])
        let descriptors = raiseDescriptorLimit() / (plan.nodes + 1)
        // A server knows nothing of overlays: each has its own (decision 23).
        let servers = [plan.port, plan.gossipPort].map { port in
            Record.Value.record(["listen": .string("127.0.0.1:\(port)")])
        }
        try add("bootstrap", ["bootstrapServer": .list(servers)], descriptors)
        for number in 1...plan.nodes {
            let host = Self.host(of: number)
            let ddrp: Record = [
                "listen": .string("\(host):\(plan.port)"), "standardPort": .count(plan.port),
                "bootstrapServers": [.string("127.0.0.1:\(plan.port)")],
            ]
            let gossip: Record = [
                "p2pAddress": .string("\(host):\(plan.gossipPort)"), "apiAddress": .string("\(host):\(plan.apiPort)"),
                "bootstrap": [.string("127.0.0.1:\(plan.gossipPort)")], "degree": .count(Self.gossipDegree),
            ]
            let sections: Record = [
                "ddrp": .record(ddrp), "gossip": .record(gossip), "files": .record(files(of: number)),
            ]
            try add("n\(number)", sections, descriptors)
        }
        report = Timer(loop)
        report?.start(every: Self.reportInterval) { [unowned self] in tellPeers() }
        // One that cannot listen stops all, those that are not started yet included.
        for (_, node) in nodes where !isStopping { node.start() }
    }

    private static func host(of number: Int) -> String {
        "127.0.\((number + 1) / 250).\((number + 1) % 250)"
    }

    /// The section `files`: everybody knows the first node to begin with.
    private func files(of number: Int) -> Record {
        let first = Record.Value.string("\(Self.host(of: 1)):\(plan.filesPort(of: 1))")
        return [
            "listen": .string("\(Self.host(of: number)):\(plan.filesPort(of: number))"),
            "folder": .string("\(plan.folder)/n\(number)/files"), "initialPeers": number == 1 ? [] : [first],
        ]
    }

    private func add(_ name: String, _ sections: Record, _ descriptors: Int) throws {
        let folder = "\(plan.folder)/\(name)"
        let text = (["dataDirectory": .string(folder)] as Record).appending(sections).json
        let loader = ConfigurationLoader(environment: [:]) { _ throws(SystemError) in Bytes(utf8: text) }
        let configuration = try loader.load(name)
        let directory = try DataDirectory(folder)
        locks.append(try directory.lock())
        let log = try Log(configuration.node.log, isTerminal: plan.isText, constant: ["node": .string(name)])
        log.isColoured = plan.isColoured
        let node = try Node(
            loop: loop, configuration: configuration, directory: directory, identity: directory.identity().identity,
            log: log, descriptors: descriptors)
        node.listenerRefused = { [unowned self] listener, address, error in
            listenerRefused("\(name), \(listener) on \(address): \(error)")
        }
        nodes.append((name, node))
    }

    /// A line about the whole network.
    private func tellPeers() {
        let counts = nodes.dropFirst().map { (name: $0.name, peers: $0.node.peersUp) }
        var fields: Record = [
            "nodes": .count(counts.count), "least": .count(counts.map(\.peers).min() ?? 0),
            "most": .count(counts.map(\.peers).max() ?? 0),
        ]
        fields["peers"] = .record(Record(counts.map { ($0.name, .count($0.peers)) }))
        write("testbed_peers", fields)
    }

    private func write(_ event: String, _ fields: Record) {
        log.write(LogRecord(.info, event, fields), category: "node", at: loop.wallClock)
    }

    /// Ends all nodes, then calls `done`. A second call ends them at once.
    public func stop(reason: String, done: @escaping () -> Void) {
        report?.close()
        var left = nodes.count
        guard left > 0 else { return ended(done) }
        let isFirst = !isStopping
        isStopping = true
        for (_, node) in nodes {
            node.stop(reason: reason) { [self] in
                left -= 1
                if left == 0, isFirst { ended(done) }
            }
        }
    }

    private func ended(_ done: () -> Void) {
        locks = []
        nodes = []
        // What is left behind is in the folder for temporary files.
        if !plan.keepsFolder { removeTree(plan.folder) }
        write("testbed_stopped", [:])
        done()
    }
}

extension Node {
    /// Peers that are connected now, over all protocols.
    var peersUp: Int {
        sections.filter(\.hasPeers).compactMap { $0.host.status().first?.int("peers") }.reduce(0) { $0 + Int($1) }
    }
}
