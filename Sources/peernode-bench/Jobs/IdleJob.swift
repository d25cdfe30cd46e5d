internal import CLimits
internal import Foundation
internal import PeerCore

/// `idle`: what a node with eight peers and nothing to do costs.
let idleJob = Job(name: "idle", summary: "CPU of a node with 8 peers and nothing to do, beside the cost of its Pings") {
    bench in
    let seconds = bench.size(20, quick: 2)
    var warm = Figure("idle", "cpu_percent", limit: "floor", .atMost(3))
    var cold = Figure("idle", "cpu_percent", limit: "cold_floor", .none)
    var absolute = Figure("idle", "cpu_percent", limit: "target", .atMost(1))
    warm.note =
        "9 processes with 8 peers each, \(seconds) s; floor: recovery, signing, epoll_wait, read and write of"
        + " 1.6 Pings a second each way, one after the other"
    cold.note = "the same costs measured after 20 ms of sleep each, as an idle node meets them"
    try bench.rounds(atMost: 3) {
        let network = try Network(bench, count: 9)
        defer { network.close() }
        _ = try network.runUntilAllHave(8, limit: .seconds(30))
        // What follows the opening, such as saving the book, is over by then.
        network.rest(.seconds(bench.size(12, quick: 1)))
        let children = network.members.map(\.process.child)
        let before = children.map(\.processorTime)
        network.rest(.seconds(seconds))
        // The first node is the bootstrap server too.
        let used = zip(children, before).dropFirst().map { $0.processorTime - $1 }
        let share = Spread(used).median / 1e9 / Double(seconds) * 100
        warm.add(node: share, limit: floor(samples: 1000, pause: 0))
        cold.add(node: share, limit: floor(samples: bench.size(100, quick: 10), pause: 20_000))
        absolute.add(node: share, limit: mostIdle)
    }
    for figure in [warm, cold, absolute] { bench.report.add(figure) }
}

/// Half of what memberlist needs, in per cent of a core.
private let mostIdle = 0.015

/// Per cent of a core for the Pings alone: 8 peers, one each way in 5 s, signed once in that time at best.
private func floor(samples: UInt32, pause: UInt32) -> Double {
    let crypto = limits_crypto_cost(samples, pause)
    let calls = limits_call_cost(samples, pause)
    let perSecond = 8.0 / 5.0
    return (perSecond * (crypto.recover + calls.write + calls.wait_and_read) + crypto.sign / 5) / 1e9 * 100
}

private func floor(samples: Int, pause: UInt32) -> Double {
    floor(samples: UInt32(samples), pause: pause)
}
