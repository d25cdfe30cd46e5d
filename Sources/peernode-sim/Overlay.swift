internal import Bootstrap
internal import DDRP
internal import PeerCore
internal import PeerCrypto
internal import PeerSimulator

/// A simulated network of DDRP nodes that know one bootstrap server only, with real cryptography.
final class Overlay {
    let simulator: Simulator
    private(set) var nodes: [NodeID] = []
    private var names: [NodeID: String] = [:]

    /// The port of INIT in the examples of the configuration, and DDRP's own.
    private static let bootstrapPort: UInt16 = 6001
    private static let port: UInt16 = 9097
    /// Each node is in an IPv4 /16 of its own, as on the Internet: 11.0.0.1, 11.1.0.1 and so on.
    private static let firstAddress: UInt32 = 0x0b00_0001

    init(nodes count: Int, seed: UInt64, network: NetworkModel) {
        simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .error
        let server = SocketAddress(IPAddress(10, 0, 0, 1), Self.bootstrapPort)
        simulator.addNode("bootstrap", at: server.ip, "bootstrap") { seed in
            BootstrapServer(BootstrapServer.Configuration(listen: server), seed: seed)
        }
        for number in 0..<UInt32(count) {
            let ip = IPAddress(v4: Self.firstAddress + number << 16)
            var configuration = DDRP.Configuration(listen: SocketAddress(ip, Self.port))
            configuration.bootstrapServers = [.address(server)]
            let secret = blake2b256(Bytes(utf8: "overlay \(seed) \(number)"))
            guard let identity = Identity(secret: secret) else { continue }
            let node = simulator.addNode("node \(number)", at: ip, "ddrp") { [configuration] seed in
                DDRP(configuration, identity: identity, agent: "peernode/sim", seed: seed)
            }
            nodes.append(node)
            names[node] = identity.peerID.hex
        }
    }

    /// What the core of a node says of itself under this name.
    func count(_ name: String, of node: NodeID) -> Int {
        Int(simulator.status("ddrp", of: node).first?.int(name) ?? 0)
    }

    /// Nodes that have as many counted connections as they want.
    var satisfied: Int { nodes.count { count("have", of: $0) >= count("want", of: $0) } }

    /// Groups of nodes that reach each other over open connections. Asking takes a moment of virtual time.
    func components() throws(SimulationFailure) -> [Set<NodeID>] {
        let questions = nodes.map { simulator.command($0, "ddrp", Command("peers")) }
        _ = try simulator.run(for: .seconds(1), until: { questions.allSatisfy(\.isAnswered) })
        let byName = Dictionary(names.map { ($0.value, $0.key) }) { first, _ in first }
        var neighbours: [NodeID: [NodeID]] = [:]
        for (node, question) in zip(nodes, questions) {
            neighbours[node] = question.records.compactMap { $0.string("peer").flatMap { byName[$0] } }
        }
        var left = Set(nodes)
        var components: [Set<NodeID>] = []
        while let start = nodes.first(where: left.contains) {
            var component: Set<NodeID> = []
            var edge = [start]
            while let node = edge.popLast() {
                if component.insert(node).inserted { edge += neighbours[node] ?? [] }
            }
            left.subtract(component)
            components.append(component)
        }
        return components
    }
}

/// The network between continents, with one datagram of a hundred lost.
private var world: NetworkModel {
    var network = NetworkModel(delay: .milliseconds(10) ... .milliseconds(120), jitter: .milliseconds(10))
    network.loss = 0.01
    return network
}

/// How long until each node has the peers that it wants, and whether they are one network.
func ddrp(_ options: Options) throws {
    let overlay = Overlay(nodes: options.nodes, seed: options.seed, network: world)
    let clock = ContinuousClock()
    let start = clock.now
    for second in stride(from: Int64(1), through: options.seconds, by: 1) {
        try overlay.simulator.run(for: .seconds(1))
        guard second % 10 == 0 || second <= 5 || second == options.seconds else { continue }
        print("\(second) s: \(overlay.satisfied) of \(options.nodes) nodes have the peers they want")
    }
    let components = try overlay.components().map(\.count)
    let elapsed = (clock.now - start).fractionalSeconds
    print(
        "components \(components), \(overlay.simulator.inputs) inputs in \(elapsed) s"
            + " (\(Int(Double(overlay.simulator.inputs) / elapsed)) inputs/s), trace \(overlay.simulator.traceHash)")
}

/// A network that is cut in halves for ten minutes: how long until it is one again.
func partition(_ options: Options) throws {
    let overlay = Overlay(nodes: options.nodes, seed: options.seed, network: world)
    try overlay.simulator.run(for: .seconds(60))
    print("before: components \(try overlay.components().map(\.count))")
    let half = overlay.nodes.count / 2
    overlay.simulator.partition([Set(overlay.nodes[..<half]), Set(overlay.nodes[half...])])
    try overlay.simulator.run(for: .seconds(600))
    print("after 600 s in halves: components \(try overlay.components().map(\.count))")
    overlay.simulator.heal()
    for second in stride(from: Int64(10), through: options.seconds, by: 10) {
        try overlay.simulator.run(for: .seconds(9))
        let components = try overlay.components().map(\.count)
        print("\(second) s after: components \(components)")
        if components.count == 1 { return }
    }
}
