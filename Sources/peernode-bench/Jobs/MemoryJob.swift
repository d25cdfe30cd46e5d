internal import PeerCore
internal import UV

/// `memory`: what an idle peer costs the node.
let memoryJob = Job(name: "memory", summary: "process memory for each of 10,000 idle inbound peers") { bench in
    let count = bench.size(10_000, quick: 500)
    var figure = Figure("memory", "bytes_per_peer", limit: "target", .atMost(1))
    figure.note = "\(count) peers, every one pinged once"
    var figureBefore = Figure("memory.start", "mib_resident", limit: "target", .none)
    try bench.rounds(atMost: 3) {
        let server = SocketAddress(IPAddress(127, 10, 0, 3), 9097)
        let node = try NodeProcess(bench, "memory", .openNode(listen: server))
        defer { node.stop() }
        try node.waitUntilListening("ddrp")
        let clock = Loop()
        let signed = UInt32(clamping: clock.wallClock.seconds)
        clock.close()
        let load = PeerLoad(server: server, Persona.make("memory", 0..<count, signed: signed))
        defer { load.close() }
        let before = node.child.residentBytes
        try load.connectAll(window: 64, limit: .seconds(60))
        try node.waitUntil("inbound", is: count, limit: 10)
        // Longer than the interval of Pings, shorter than the 30 s after which a silent peer is dropped.
        load.idle(.seconds(7))
        figure.add(node: (node.child.residentBytes - before) / Double(count), limit: memoryTarget)
        figureBefore.add(node: before / 1_048_576, limit: residentTarget)
        guard try node.status().contains("\"inbound\":\(count)") else { throw BenchFailure("peers were lost") }
    }
    bench.report.add(figure)
    bench.report.add(figureBefore)
}

/// Octets of process memory for an idle peer; a socket costs the kernel another 4.9 KiB.
private let memoryTarget = 4096.0
/// MiB of a node without peers: below redis, the smallest peer that was measured.
private let residentTarget = 10.0
