internal import Glibc
internal import PeerCore
internal import UV

/// `detect`: from SIGKILL of a node until its neighbours say so.
let detectJob = Job(name: "detect", summary: "milliseconds until the first and all neighbours tell of a SIGKILL") {
    bench in
    for count in bench.options.nodes where count <= 32 || !bench.options.isQuick {
        var first = Figure("detect.\(count)", "first_ms", limit: "target", .atMost(1))
        var all = Figure("detect.\(count)", "all_ms", limit: "target", .atMost(1))
        let network = try Network(bench, count: count)
        defer { network.close() }
        _ = try network.runUntilAllHave(min(8, count - 1), limit: .seconds(90))
        network.rest(.seconds(2))
        for victim in 1...min(bench.options.rounds, count - 2) {
            let times = try kill(victim, in: network)
            first.add(node: times.first ?? .nan, limit: mostForFirst)
            all.add(node: times.last ?? .nan, limit: mostForAll)
            network.rest(.milliseconds(300))
        }
        for figure in [first, all] { bench.report.add(figure) }
    }
}

/// Milliseconds.
private let mostForFirst = 5.0
private let mostForAll = 20.0

/// Kills a node, those before it being dead; gives the milliseconds after which each of its neighbours told of it, in
/// order.
private func kill(_ victim: Int, in network: Network) throws -> [Double] {
    let identity = network.members[victim].identity
    let living = network.members.prefix(1) + network.members.dropFirst(victim)
    let neighbours = living.filter { $0.peers.contains(identity) }.count
    guard neighbours > 0 else { throw BenchFailure("nobody has node \(victim) as a peer") }
    var times: [Double] = []
    let start = network.loop.instant
    network.onEvent = { event in
        guard event.name == "peer_down", event.peer == identity else { return }
        times.append((event.instant - start).fractionalSeconds * 1000)
    }
    defer { network.onEvent = { _ in } }
    network.members[victim].process.child.send(SIGKILL)
    guard network.run(.seconds(5), until: { times.count >= neighbours }) else {
        throw BenchFailure("\(times.count) of \(neighbours) neighbours noticed that node \(victim) was killed")
    }
    return times
}
