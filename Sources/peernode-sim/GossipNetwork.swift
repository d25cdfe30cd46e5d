internal import Bootstrap
internal import Gossip
internal import PeerCore
internal import PeerSimulator

/// A simulated network of Gossip nodes that know one bootstrap server, with one validating program on each.
final class GossipNetwork {
    let simulator: Simulator
    private(set) var nodes: [NodeID] = []
    private let bytes: Int
    private var announced: [(data: Bytes, from: NodeID, at: Instant)] = []

    /// The ports of the examples of the configuration.
    private static let bootstrapPort: UInt16 = 6000
    private static let port: UInt16 = 6001
    private static let apiPort: UInt16 = 7001
    /// Each node is in an IPv4 /16 of its own, as on the Internet.
    private static let firstAddress: UInt32 = 0x0b00_0001

    /// `bytes` is the size of the items, `thinking` the time in which programs judge them.
    init(
        nodes count: Int, seed: UInt64, network: NetworkModel, bytes: Int = 100, thinking: Duration = .zero,
        _ change: (inout Gossip.Configuration) -> Void = { _ in }
    ) {
        simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .error
        self.bytes = bytes
        let server = SocketAddress(IPAddress(10, 0, 0, 1), Self.bootstrapPort)
        simulator.addNode("bootstrap", at: server.ip, "bootstrap") { seed in
            BootstrapServer(BootstrapServer.Configuration(listen: server), seed: seed)
        }
        for number in 0..<UInt32(count) {
            let ip = IPAddress(v4: Self.firstAddress + number << 16)
            let api = SocketAddress(.loopback, Self.apiPort)
            var configuration = Gossip.Configuration(p2p: SocketAddress(ip, Self.port), api: api)
            configuration.bootstrap = [.address(server)]
            configuration.degree = 8
            change(&configuration)
            nodes.append(
                simulator.addNode(
                    "node \(number)", at: ip,
                    cores: [
                        CoreBlueprint("gossip") { [configuration] in Gossip(configuration, seed: $0) },
                        CoreBlueprint("program") { _ in LocalProgram(node: api, thinking: thinking) },
                    ]))
        }
    }

    /// Those that were not killed.
    var living: [NodeID] { nodes.filter { simulator.isRunning($0) } }

    /// A number that the core of a node says of itself, or of its items.
    func count(_ name: String, of node: NodeID) -> Int {
        let status = simulator.status("gossip", of: node).first
        return Int(status?.int(name) ?? status?.record("items")?.int(name) ?? 0)
    }

    func total(_ name: String) -> Int { living.reduce(0) { $0 + count(name, of: $1) } }

    /// Nodes that have at least `wanted` neighbours.
    func having(_ wanted: Int) -> Int { living.count { count("peers", of: $0) >= wanted } }

    /// Lets the program on `node` announce a new item.
    func announce(from node: NodeID) {
        let text = "item \(announced.count)"
        let item: Record = ["item": .string(text), "bytes": .count(bytes)]
        _ = simulator.command(node, "program", Command("announce", item))
        var data = Array(text.utf8)
        data += Array(repeating: 0, count: max(0, bytes - data.count))
        announced.append((Bytes(data), node, simulator.now))
    }

    /// What became of the items from number `first` on.
    struct Outcome {
        /// Share of the living programs times items that were reached.
        var reached = 0.0
        /// The longest way, as time.
        var longest = Duration.zero
        /// Items that came to a program twice.
        var repeated = 0
    }

    func outcome(from first: Int = 0) -> Outcome {
        var outcome = Outcome()
        var hits = 0
        let programs = living.compactMap { simulator.core(LocalProgram.self, "program", of: $0) }
        for item in announced[first...] {
            for program in programs {
                guard let came = program.received[item.data] else { continue }
                hits += 1
                outcome.longest = max(outcome.longest, came - item.at)
            }
        }
        let wanted = programs.count * (announced.count - first)
        outcome.reached = wanted == 0 ? 1 : Double(hits) / Double(wanted)
        outcome.repeated = programs.reduce(0) { $0 + $1.repeated }
        return outcome
    }

    var items: Int { announced.count }

    /// Groups of living nodes that reach each other over links.
    func components() throws(SimulationFailure) -> [Int] {
        let living = living
        let questions = living.map { simulator.command($0, "gossip", Command("peers")) }
        _ = try simulator.run(for: .seconds(1), until: { questions.allSatisfy(\.isAnswered) })
        let numbers = Dictionary(nodes.enumerated().map { ($1, $0) }) { first, _ in first }
        var neighbours: [Int: [Int]] = [:]
        for (node, question) in zip(living, questions) {
            neighbours[numbers[node] ?? 0] = question.records.compactMap { row in
                row.string("address").flatMap { SocketAddress($0) }?.ip.v4.map {
                    Int(($0 - Self.firstAddress) >> 16)
                }
            }
        }
        var left = Set(neighbours.keys)
        var sizes: [Int] = []
        while let start = left.first {
            var component: Set<Int> = []
            var edge = [start]
            while let node = edge.popLast() {
                if left.contains(node), component.insert(node).inserted { edge += neighbours[node] ?? [] }
            }
            left.subtract(component)
            sizes.append(component.count)
        }
        return sizes.sorted(by: >)
    }
}

/// Every link takes as long as every other.
private let evenDelay: Duration = .milliseconds(50)
private var evenNetwork: NetworkModel { NetworkModel(delay: evenDelay...evenDelay) }

/// Links between continents and within towns, and a wire of 20 Mbit/s at every node.
private var unevenNetwork: NetworkModel {
    var network = NetworkModel(delay: .milliseconds(2) ... .milliseconds(120))
    network.bandwidth = 2_500_000
    return network
}

/// How often items are sent beyond what is needed, how far they go, and what is left when many nodes are killed.
func gossip(_ options: Options) throws {
    try Spreading(options, "flooding", evenNetwork, bytes: 100) { $0.lazyPush = false }.run()
    try Spreading(
        options, "flooding without HAVE, 8 KiB items, 2 to 120 ms, verdict after 50 ms", unevenNetwork, bytes: 8192,
        thinking: .milliseconds(50)
    ) {
        $0.lazyPush = false
        $0.haveItBytes = 0
    }.run(killing: false)
    try Spreading(
        options, "flooding with HAVE, 8 KiB items, 2 to 120 ms, verdict after 50 ms", unevenNetwork, bytes: 8192,
        thinking: .milliseconds(50)
    ) {
        $0.lazyPush = false
    }.run(killing: false)
    try Spreading(options, "lazy push", evenNetwork, bytes: 100, warmUp: 400) { _ in }.run()
}

/// One network and what it is asked.
private struct Spreading {
    let gossip: GossipNetwork
    let seed: UInt64
    let warmUp: Int

    /// Items that are counted.
    private static let items = 50

    init(
        _ options: Options, _ name: String, _ network: NetworkModel, bytes: Int, thinking: Duration = .zero,
        warmUp: Int = 20,
        _ change: @escaping (inout Gossip.Configuration) -> Void
    ) throws {
        gossip = GossipNetwork(
            nodes: options.nodes, seed: options.seed, network: network, bytes: bytes, thinking: thinking,
            change)
        seed = options.seed
        self.warmUp = warmUp
        try gossip.simulator.run(for: .seconds(60))
        print("\(name): after 60 s components \(try gossip.components()), \(gossip.having(8)) have 8 neighbours")
    }

    func run(killing: Bool = true) throws {
        try announce(warmUp, from: gossip.nodes[..<1])
        try measure("one announcer", from: gossip.nodes[..<1])
        try measure("all announce in turn", from: gossip.nodes[...])
        guard killing else { return }
        try kill(percent: 30)
        try gossip.simulator.run(for: .seconds(60))
        try kill(percent: 80)
    }

    private func announce(_ items: Int, from nodes: ArraySlice<NodeID>) throws {
        // A prime: nodes in an order without pattern.
        for item in 0..<items {
            gossip.announce(from: nodes[(item * 7919) % nodes.count])
            try gossip.simulator.run(for: .milliseconds(100))
        }
        try gossip.simulator.run(for: .seconds(5))
    }

    private func measure(_ name: String, from nodes: ArraySlice<NodeID>) throws {
        let (received, first) = (gossip.total("received"), gossip.items)
        try announce(Self.items, from: nodes)
        let outcome = gossip.outcome(from: first)
        let needed = Self.items * (gossip.nodes.count - 1)
        let redundancy = Double(gossip.total("received") - received) / Double(needed) - 1
        let time = outcome.longest.fractionalSeconds
        print(
            "  \(name): reached \(outcome.reached), twice \(outcome.repeated), redundancy \(redundancy), last after"
                + " \(time) s (\(time / evenDelay.fractionalSeconds) hops at equal delays)")
    }

    /// Kills that share of the nodes at once, and announces at one that lives.
    private func kill(percent: Int) throws {
        for node in gossip.living.shuffledBy(seed).prefix(gossip.living.count * percent / 100) {
            gossip.simulator.kill(node)
        }
        let first = gossip.items
        if let node = gossip.living.first { gossip.announce(from: node) }
        try gossip.simulator.run(for: .seconds(2))
        let soon = gossip.outcome(from: first).reached
        try gossip.simulator.run(for: .seconds(28))
        let later = gossip.outcome(from: first).reached
        try gossip.simulator.run(for: .seconds(29))
        print(
            "  \(percent) % killed: reached \(soon) after 2 s, \(later) after 30 s, components after 60 s"
                + " \(try gossip.components().prefix(5))")
    }
}

extension [NodeID] {
    /// In an order that depends on the seed alone.
    fileprivate func shuffledBy(_ seed: UInt64) -> [NodeID] {
        var state = seed | 1
        return map { node -> (UInt64, NodeID) in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 16, node)
        }.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
