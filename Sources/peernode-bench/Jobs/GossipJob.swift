internal import CLimits
internal import Foundation
internal import Glibc
internal import PeerCore

/// `gossip`: items through one, four and eight nodes, beside plain C and the brokers that are installed.
let gossipJob = Job(
    name: "gossip", summary: "items beside C and brokers; some of it: GOSSIP_PARTS=one,chain4,mesh8,blast,memory"
) { bench in
    let named = ProcessInfo.processInfo.environment["GOSSIP_PARTS"]?.split(separator: ",").map(String.init)
    for part in named ?? gossipParts {
        do {
            switch part {
            case "blast": try blast(bench)
            case "memory": try memory(bench)
            default:
                guard gossipParts.contains(part), let topology = PubSubTopology(rawValue: part) else {
                    throw BenchFailure("there is no such part")
                }
                var run = TopologyRun(bench, topology)
                run.run()
            }
        } catch {
            bench.report.failed("gossip.\(part)", error)
        }
    }
}

/// What the environment may choose from, in the order in which it runs.
private let gossipParts = ["one", "chain4", "mesh8", "blast", "memory"]

/// More rounds than these would make the job longer than six minutes.
private let mostRounds = 3

/// The limit in C, in a process of its own: `gossip-relay ADDRESS API-PORT LINK-PORT WAITS NEIGHBOUR…`, all numbers.
func gossipRelay(_ words: [String]) throws -> Int32 {
    let numbers = words.compactMap { UInt32($0) }
    guard numbers.count == words.count, numbers.count >= 4, let api = UInt16(exactly: numbers[1]),
        let link = UInt16(exactly: numbers[2])
    else { throw Usage("gossip-relay needs an address, two ports, 0 or 1, and addresses of neighbours as numbers") }
    let neighbours = Array(numbers[4...])
    let error = limits_gossip_relay(numbers[0], api, link, neighbours, neighbours.count, Int32(numbers[3]))
    throw BenchFailure("the relay in C ended with error \(error)")
}

// MARK: - Topologies

/// All systems in one topology, one after the other in each round.
private struct TopologyRun {
    /// What one system did in one round.
    struct Measured {
        /// Messages a second; microseconds of all its processes for a message.
        let rate, cpu: Double
        /// Microseconds until the last subscriber has a message, and how late the load was; only for small messages.
        var median = Double.nan
        var p99 = Double.nan
        var late = Double.nan
    }

    /// Messages under way: as many octets as a socket's buffer takes in either case.
    private static let window = 1024
    private static let windowOfLarge = 64
    private static let large = 16_384
    /// The size whose delay is measured, and messages a second meanwhile: far from what any system can do.
    private static let small = 64
    private static let pace = 1000

    private let bench: Bench
    private let topology: PubSubTopology
    private let sizes: [Int]
    private var networks: [PubSubNetwork] = []
    /// By size, system and round.
    private var results: [Int: [PubSubSystem: [Int: Measured]]] = [:]

    init(_ bench: Bench, _ topology: PubSubTopology) {
        self.bench = bench
        self.topology = topology
        sizes = bench.options.isQuick ? [Self.small] : [Self.small, 1024, Self.large]
    }

    mutating func run() {
        start()
        defer { for network in networks { network.close() } }
        for round in 0..<min(mostRounds, bench.options.rounds) {
            for size in sizes {
                let order = networks.indices.map { networks[($0 + round) % networks.count] }
                for network in order { measure(network, size, round) }
            }
        }
        for size in sizes { report(size) }
        reportMemory()
    }

    private func name(_ size: Int) -> String { "gossip.\(topology.rawValue).\(size)" }

    /// Starts whatever is installed; what fails to start is a failure, and the others go on.
    private mutating func start() {
        for system in PubSubSystem.allCases {
            guard system.program(bench) != nil else {
                bench.report.say("absent \(system.rawValue): not installed")
                continue
            }
            do {
                networks.append(try PubSubNetwork(bench, system, topology))
            } catch {
                bench.report.failed("gossip.\(topology.rawValue).\(system.rawValue)", error)
            }
        }
    }

    private mutating func measure(_ network: PubSubNetwork, _ size: Int, _ round: Int) {
        do {
            results[size, default: [:]][network.system, default: [:]][round] = try measured(network, size)
        } catch {
            bench.report.failed("\(name(size)).\(network.system.rawValue)", error)
            // What is broken would only cost time.
            network.close()
            networks.removeAll { $0 === network }
        }
    }

    private func measured(_ network: PubSubNetwork, _ size: Int) throws -> Measured {
        let load = try PubSubLoad(network, subscribers: network.subscribers, size: size)
        let window = size < Self.large ? Self.window : Self.windowOfLarge
        Child.settle()
        let before = network.processorTime
        let result = try load.window(
            window, warm: bench.size(150, quick: 50), milliseconds: bench.size(600, quick: 150))
        Child.settle()
        let used = network.processorTime - before
        var measured = Measured(rate: result.rate, cpu: used / 1000 / Double(result.sent))
        guard size == Self.small else { return measured }
        let delay = try load.paced(Self.pace, milliseconds: bench.size(800, quick: 200))
        (measured.median, measured.p99, measured.late) = (delay.median_us, delay.p99_us, delay.late_us)
        return measured
    }

    // MARK: Figures

    private func report(_ size: Int) {
        let bySystem = results[size] ?? [:]
        for system in PubSubSystem.allCases {
            if let rounds = bySystem[system] { say(size, system, Array(rounds.values)) }
        }
        guard bySystem[.node] != nil else { return }
        for other in PubSubSystem.allCases where other != .node && bySystem[other] != nil {
            add(size, "msg_per_s", other, \.rate)
            add(size, "cpu_us", other, \.cpu)
            guard size == Self.small else { continue }
            add(size, "p50_us", other, \.median)
            add(size, "p99_us", other, \.p99)
        }
        if topology == .one { addBest(size) }
    }

    /// What a system did, with or without a node beside it.
    private func say(_ size: Int, _ system: PubSubSystem, _ rounds: [Measured]) {
        func text(_ metric: String, _ value: KeyPath<Measured, Double>) -> String {
            let spread = Spread(rounds.map { $0[keyPath: value] })
            return " \(metric)=\(shown(spread.median)) [\(shown(spread.least))-\(shown(spread.most))]"
        }
        var line = "VALUE job=\(name(size)) system=\(system.rawValue)"
        line += text("msg_per_s", \.rate) + text("cpu_us", \.cpu)
        if size == Self.small {
            line += text("p50_us", \.median) + text("p99_us", \.p99) + text("load_late_p99_us", \.late)
        }
        bench.report.say(line + " n=\(rounds.count)")
    }

    private func add(_ size: Int, _ metric: String, _ other: PubSubSystem, _ value: KeyPath<Measured, Double>) {
        var figure = Figure(name(size), metric, limit: other.rawValue, target(size, metric, other))
        for (round, node) in (results[size]?[.node] ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let bound = results[size]?[other]?[round] else { continue }
            figure.add(node: node[keyPath: value], limit: bound[keyPath: value])
        }
        guard figure.ratio.count > 0 else { return }
        if other == .redis, topology == .chain4 { figure.note = "a cluster: one hop, not three" }
        if other == .mosquitto, topology == .mesh8 { figure.note = "a star" }
        bench.report.add(figure)
    }

    /// The node beside whichever peer was fastest in the round.
    private func addBest(_ size: Int) {
        var figure = Figure(name(size), "msg_per_s", limit: "best_peer", .atLeast(1.15))
        for (round, node) in (results[size]?[.node] ?? [:]).sorted(by: { $0.key < $1.key }) {
            let rates = PubSubSystem.peers.compactMap { results[size]?[$0]?[round]?.rate }
            if let best = rates.max() { figure.add(node: node.rate, limit: best) }
        }
        if figure.ratio.count > 0 { bench.report.add(figure) }
    }

    /// Performance design, section 3.
    private func target(_ size: Int, _ metric: String, _ other: PubSubSystem) -> Figure.Target {
        switch (topology, size, metric, other) {
        case (.chain4, 64, "msg_per_s", .nats): .atLeast(1.1)
        case (.chain4, 64, "msg_per_s", .relay): .atLeast(0.8)
        case (.chain4, 1024, "msg_per_s", .nats): .atLeast(1.0)
        case (.chain4, 16_384, "msg_per_s", .nats): .atLeast(1.3)
        case (.mesh8, 64, "msg_per_s", .nats): .atLeast(1.5)
        case (.chain4, 64, "p50_us", .nats): .atMost(1.0)
        case (.chain4, 64, "cpu_us", .nats): .atMost(0.7)
        case (.chain4, 64, "cpu_us", .relay): .atMost(1.35)
        default: .none
        }
    }

    /// MiB of all processes together, after everything else.
    private func reportMemory() {
        let node = networks.first { $0.system == .node }?.residentMebibytes
        for network in networks {
            let job = "gossip.\(topology.rawValue)"
            bench.report.say(
                "VALUE job=\(job) system=\(network.system.rawValue) rss_mib=\(shown(network.residentMebibytes))"
                    + " processes=\(topology.count)")
            guard let node, network.system != .node else { continue }
            var figure = Figure(job, "rss_mib", limit: network.system.rawValue, .none)
            figure.add(node: node, limit: network.residentMebibytes)
            bench.report.add(figure)
        }
    }
}

// MARK: - Blast

/// Messages a second: ten times the 45,600 that are to be beaten.
private let blastTarget = 456_000.0

/// Two nodes, 100 octets, from one API to the other, as fast as the first takes them: nothing may be lost.
private func blast(_ bench: Bench) throws {
    let (count, size) = (bench.size(1_000_000, quick: 100_000), 100)
    var absolute = Figure("gossip.blast.100", "msg_per_s", limit: "target", .atLeast(1))
    var beside = Figure("gossip.blast.100", "msg_per_s", limit: "c", .none)
    absolute.note = "two nodes, \(count) messages, none lost"
    var cases: [(PubSubNetwork, [Int: Double])] = []
    for system in [PubSubSystem.node, .relay] {
        do {
            cases.append((try PubSubNetwork(bench, system, .pair), [:]))
        } catch {
            bench.report.failed("gossip.blast.\(system.rawValue)", error)
        }
    }
    for round in 0..<min(mostRounds, bench.options.rounds) {
        for turn in cases.indices {
            let index = (turn + round) % cases.count
            let network = cases[index].0
            do {
                let load = try PubSubLoad(network, subscribers: network.subscribers, size: size)
                let result = try PubSubLoad.checked(load.blast(count, seconds: blastSeconds))
                cases[index].1[round] = result.rate
            } catch {
                bench.report.failed("gossip.blast.\(network.system.rawValue)", error)
            }
        }
    }
    for (network, rates) in cases {
        let spread = Spread(Array(rates.values))
        bench.report.say(
            "VALUE job=gossip.blast.100 system=\(network.system.rawValue) msg_per_s=\(shown(spread.median))"
                + " [\(shown(spread.least))-\(shown(spread.most))] n=\(spread.count)"
                + " peak_rss_mib=\(shown(network.peakMebibytes))")
        guard network.system == .node else { continue }
        let limits = cases.first { $0.0.system == .relay }?.1 ?? [:]
        for (round, rate) in rates.sorted(by: { $0.key < $1.key }) {
            absolute.add(node: rate, limit: blastTarget)
            if let limit = limits[round] { beside.add(node: rate, limit: limit) }
        }
    }
    for figure in [absolute, beside] where figure.ratio.count > 0 { bench.report.add(figure) }
}

/// Longest time of a blast: a hundredth of the target would still end.
private let blastSeconds = 20

// MARK: - Memory

/// MiB that a node may occupy while a subscriber reads too slowly.
private let mostPeak = 64.0

/// 1 GiB announced at one node, with two subscribers at full speed, and one more that reads 1 MB a second.
private func memory(_ bench: Bench) throws {
    let size = 1024
    let count = bench.size(1 << 30, quick: 64 << 20) / size
    var peak = Figure("gossip.memory", "peak_rss_mib", limit: "target", .atMost(1))
    var rate = Figure("gossip.memory", "fast_msg_per_s", limit: "without_slow", .atLeast(0.9))
    peak.note = "\(count) messages of \(size) octets, one of three subscribers at 1 MB/s"
    var lost: [UInt64] = []
    func run(slow: Int) throws -> (rate: Double, peak: Double) {
        let network = try PubSubNetwork(bench, .node, .one)
        defer { network.close() }
        let subscribers = [UInt32](repeating: network.address(0), count: 2 + slow)
        let load = try PubSubLoad(network, subscribers: subscribers, slow: slow, size: size)
        let result = try load.blast(count, slowRate: 1_000_000, seconds: blastSeconds)
        lost.append(result.sent - result.delivered)
        return (result.rate, network.peakMebibytes)
    }
    for round in 0..<min(mostRounds, bench.options.rounds) {
        // The order turns, so that a slow phase of the machine hits both.
        let first = try run(slow: round % 2)
        let second = try run(slow: 1 - round % 2)
        let (without, with) = round.isMultiple(of: 2) ? (first, second) : (second, first)
        peak.add(node: with.peak, limit: mostPeak)
        rate.add(node: with.rate, limit: without.rate)
    }
    rate.note = "messages that a fast subscriber missed in each run: \(lost)"
    for figure in [peak, rate] { bench.report.add(figure) }
}
