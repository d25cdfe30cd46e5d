internal import PeerCore
internal import UV

/// `join`: from the start of the first process until every node has eight peers.
let joinJob = Job(name: "join", summary: "seconds until every one of N processes has 8 peers, from one address") {
    bench in
    for count in bench.options.nodes {
        let target = joinTarget(count)
        var time = Figure("join.\(count)", "seconds", limit: "target", target == nil ? .none : .atMost(1))
        var cpu = Figure("join.\(count)", "cpu_ms_per_node", limit: "target", .none)
        var resident = Figure("join.\(count)", "rss_mib", limit: "target", .atMost(1))
        var proportional = Figure("join.\(count)", "pss_mib", limit: "target", count >= 128 ? .atMost(1) : .none)
        time.note = "the graph hangs together; \(min(8, count - 1)) peers each"
        try bench.rounds {
            let network = try Network(bench, count: count)
            defer { network.close() }
            let seconds = try network.runUntilAllHave(min(8, count - 1), limit: .seconds(90)).fractionalSeconds
            guard network.isConnected else { throw BenchFailure("the nodes do not hang together") }
            time.add(node: seconds, limit: target ?? seconds)
            let children = network.members.map(\.process.child)
            let size = Double(count)
            cpu.add(node: children.reduce(0) { $0 + $1.processorTime } / 1e6 / size, limit: 1)
            network.rest(.seconds(1))
            let mebibyte = 1_048_576.0
            resident.add(
                node: children.reduce(0) { $0 + $1.residentBytes } / mebibyte / size, limit: mostResident)
            proportional.add(
                node: children.reduce(0) { $0 + $1.proportionalBytes } / mebibyte / size, limit: mostProportional)
        }
        for figure in [time, cpu, resident, proportional] { bench.report.add(figure) }
    }
}

/// Seconds, for the sizes of the network that have a target.
private func joinTarget(_ count: Int) -> Double? {
    [8: 0.15, 32: 0.4, 128: 1.0][count]
}

/// MiB of a node: below redis, the smallest peer that was measured.
private let mostResident = 10.0
private let mostProportional = 3.5
