internal import CLimits
internal import Foundation
internal import PeerCore

/// `bootstrap`: the bootstrap server beside the one in C, with the same load.
let bootstrapJob = Job(
    name: "bootstrap", summary: "the bootstrap server beside plain C: requests a second, CPU, 60,000 peers"
) { bench in
    var job = try BootstrapJob(bench)
    try job.run()
    for figure in job.figures { bench.report.add(figure) }
}

/// The server in C, in a process of its own: `boot-server ADDRESS PORT`.
func bootServer(_ words: [String]) throws -> Int32 {
    guard words.count == 2, let address = UInt32(words[0]), let port = UInt16(words[1]) else {
        throw Usage("boot-server needs an address and a port as numbers")
    }
    let error = limits_boot_server(address, port)
    throw BenchFailure("the server in C ended with error \(error)")
}

private struct BootstrapJob {
    /// A port that no other job uses.
    private static let port: UInt16 = 9099
    /// 127.10.1.1 and 127.10.1.2.
    private static let nodeAddress: UInt32 = 0x7f0a_0101
    private static let limitAddress: UInt32 = 0x7f0a_0102
    /// Requests under way, and entries that each asks for.
    private static let window: UInt32 = 64
    private static let degree: UInt32 = 8
    /// Hosts of the ordinary load.
    private static let few: UInt32 = 128
    /// Microseconds of processor time for a request (3.0 of them are the kernel's), octets for a registered peer.
    private static let mostMicroseconds = 3.8
    private static let mostOctets = 64.0

    private let bench: Bench
    private let many: UInt32
    private let node: NodeProcess
    private let limit: Child
    private let nodeLoad: OpaquePointer
    private let limitLoad: OpaquePointer

    private var rate = Figure("bootstrap", "requests_per_s", limit: "c", .atLeast(0.87))
    private var cpu = Figure("bootstrap", "cpu_us", limit: "c", .none)
    private var absolute = Figure("bootstrap", "cpu_us", limit: "target", .atMost(1))
    private var delay = Figure("bootstrap", "p50_us", limit: "c", .none)
    private var crowded = Figure("bootstrap.60000", "requests_per_s", limit: "128_peers", .atLeast(0.95))
    private var crowdedCPU = Figure("bootstrap.60000", "cpu_us", limit: "128_peers", .atMost(1.05))
    private var memory = Figure("bootstrap.60000", "bytes_per_peer", limit: "target", .atMost(1))

    var figures: [Figure] { [rate, cpu, absolute, delay, crowded, crowdedCPU, memory] }

    init(_ bench: Bench) throws {
        self.bench = bench
        many = UInt32(bench.size(60_000, quick: 2_000))
        let raised: Record = [
            "maxInitsPerAddress": 100_000_000, "maxInitsPerSecond": 100_000_000,
            "unvalidatedBytesPerSecond": 1_000_000_000, "maxIdsPerPrefix": 65_534, "entrySeconds": 3_600,
        ]
        let listen: Record = ["listen": .text(SocketAddress(IPAddress(v4: Self.nodeAddress), Self.port))]
        node = try NodeProcess(
            bench, "bootstrap",
            ["log": .record(["heartbeatSeconds": 3600]), "bootstrapServer": .record(listen.appending(raised))])
        let output = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(output) }
        let words = [CommandLine.arguments[0], "boot-server", "\(Self.limitAddress)", "\(Self.port)"]
        limit = try Child(words, output: output, seconds: 240)
        guard let nodeLoad = limits_boot_loader_new(Self.nodeAddress, Self.port, many),
            let limitLoad = limits_boot_loader_new(Self.limitAddress, Self.port, many)
        else { throw BenchFailure("no socket for the load: error \(errno)") }
        (self.nodeLoad, self.limitLoad) = (nodeLoad, limitLoad)
        rate.note =
            "\(Self.few) hosts of 127.1, validated by their ID before; raised: "
            + raised.fields.map(\.name).joined(separator: ", ")
        try node.waitUntilListening("bootstrap")
        usleep(100_000)
    }

    mutating func run() throws {
        defer {
            node.stop()
            limit.end()
            limits_boot_loader_free(nodeLoad)
            limits_boot_loader_free(limitLoad)
        }
        for load in [nodeLoad, limitLoad] { try register(load, 0, Self.few) }
        var few: [Measured] = []
        for round in 0..<bench.options.rounds {
            let (own, c) = try pair(round)
            rate.add(node: own.rate, limit: c.rate)
            cpu.add(node: own.cpu, limit: c.cpu)
            absolute.add(node: own.cpu, limit: Self.mostMicroseconds)
            delay.add(node: own.median, limit: c.median)
            few.append(own)
        }
        let before = node.child.residentBytes
        for load in [nodeLoad, limitLoad] { try register(load, Self.few, many - Self.few) }
        memory.add(node: (node.child.residentBytes - before) / Double(many - Self.few), limit: Self.mostOctets)
        for round in 0..<bench.options.rounds {
            // The same pair again: the C server beside it tells how fast the machine is at this time.
            let (own, c) = try pair(round)
            let drift = Spread(rate.rounds.map(\.limit)).median / c.rate
            crowded.add(node: own.rate * drift, limit: few[round].rate)
            crowdedCPU.add(node: own.cpu * Spread(cpu.rounds.map(\.limit)).median / c.cpu, limit: few[round].cpu)
        }
        crowded.note = "\(many) peers registered; brought to the machine's speed at the first time by the server in C"
    }

    private struct Measured {
        let rate, cpu, median: Double
    }

    private func pair(_ round: Int) throws -> (node: Measured, limit: Measured) {
        if round.isMultiple(of: 2) {
            let own = try measure(nodeLoad, node.child)
            return (own, try measure(limitLoad, limit))
        }
        let c = try measure(limitLoad, limit)
        return (try measure(nodeLoad, node.child), c)
    }

    private func measure(_ load: OpaquePointer, _ server: Child) throws -> Measured {
        Child.settle()
        let before = server.processorTime
        let time = UInt64(bench.size(1_000, quick: 100)) * 1_000_000
        let result = limits_boot_run(load, Self.few, Self.window, Self.degree, time)
        Child.settle()
        let used = server.processorTime - before
        guard result.answered > 0, result.bad == 0 else {
            throw BenchFailure("\(result.answered) answers, \(result.bad) of them bad, \(result.lost) lost")
        }
        let answered = Double(result.answered)
        return Measured(
            rate: answered / Double(result.nanoseconds) * 1e9, cpu: used / 1000 / answered, median: result.median_us)
    }

    private func register(_ load: OpaquePointer, _ first: UInt32, _ count: UInt32) throws {
        let result = limits_boot_register(load, first, count)
        guard result.answered >= UInt64(count) * 2, result.bad == 0 else {
            throw BenchFailure(
                "of \(count) hosts not all could register: \(result.answered) answers, \(result.bad) bad,"
                    + " \(result.lost) lost: \(node.log.suffix(300))")
        }
    }
}
