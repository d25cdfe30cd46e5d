internal import CLimits
internal import PeerCore
internal import UV

/// `handshake`: inbound handshakes from distinct identities and addresses, by the processor time of the node.
let handshakeJob = Job(
    name: "handshake", summary: "inbound handshakes beside what their cryptography alone allows, by the node's CPU"
) { bench in
    let job = HandshakeJob(bench)
    var cpu = Figure("handshake", "per_core_per_s", limit: "crypto", .atLeast(0.7))
    var rate = Figure("handshake", "conn_per_s", limit: "crypto", .none)
    var closing = Figure("handshake.close", "cpu_us", limit: "crypto", .none)
    cpu.note = "crypto: 2 recoveries, 1 signature, 1 key parse; raised: \(HandshakeJob.raised)"
    closing.note = "what the end of the connections costs in addition"
    var round = 0
    try bench.rounds {
        let result = try job.run(round)
        round += 1
        cpu.add(node: 1e6 / result.cpu, limit: 1e6 / result.bound)
        rate.add(node: result.rate, limit: 1e6 / result.bound)
        closing.add(node: result.closing, limit: result.bound)
    }
    for figure in [cpu, rate, closing] { bench.report.add(figure) }
}

private struct HandshakeJob {
    static let raised = "limits/maxConnections, acceptsPerSecond, ddrp/maxInbound, maxPendingInboundTotal"
    /// Handshakes under way.
    private static let window = 64

    struct Result {
        /// Microseconds of the node's processor time for a handshake, of the cryptography alone, of the end.
        let cpu, bound, closing: Double
        /// Handshakes a second.
        let rate: Double
    }

    private let bench: Bench
    private let count: Int

    init(_ bench: Bench) {
        self.bench = bench
        count = bench.size(4000, quick: 200)
    }

    func run(_ round: Int) throws -> Result {
        let server = SocketAddress(IPAddress(127, 10, 0, 1), 9097)
        let node = try NodeProcess(bench, "handshake", Self.sections(listen: server))
        defer { node.stop() }
        try node.waitUntilListening("ddrp")
        let before = bound
        let clock = Loop()
        let signed = UInt32(clamping: clock.wallClock.seconds)
        clock.close()
        let numbers = round * count..<(round + 1) * count
        let load = PeerLoad(server: server, Persona.make("handshake", numbers, signed: signed))
        defer { load.close() }
        Child.settle()
        let idle = node.child.processorTime
        let start = load.loop.instant
        try load.connectAll(window: Self.window, limit: .seconds(30))
        try node.waitUntil("inbound", is: count, limit: 10)
        let time = (load.loop.instant - start).fractionalSeconds
        Child.settle()
        let open = node.child.processorTime
        for peer in load.peers { peer.reset() }
        load.loop.run()
        Child.settle()
        let closed = node.child.processorTime
        let perPeer = 1000 * Double(count)
        return Result(
            cpu: (open - idle) / perPeer, bound: (before + bound) / 2, closing: (closed - open) / perPeer,
            rate: Double(count) / time)
    }

    private var bound: Double {
        let cost = limits_crypto_cost(UInt32(bench.size(1000, quick: 50)), 0)
        return (2 * cost.recover + cost.sign + cost.parse) / 1000
    }

    /// A node that takes everybody and dials nobody.
    static func sections(listen: SocketAddress) -> Record {
        [
            "log": .record(["heartbeatSeconds": 3600]),
            "limits": .record(.unlimited),
            "ddrp": .record([
                "listen": .text(listen), "targetOutbound": 0, "maxInbound": 100_000, "maxPendingInboundTotal": 100_000,
                "maxEnvelopesPerSecond": 10_000_000,
            ]),
        ]
    }
}

extension Record {
    /// A node that takes everybody and dials nobody, for loads of every kind.
    static func openNode(listen: SocketAddress) -> Record {
        HandshakeJob.sections(listen: listen)
    }
}
