import Gossip
import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import peernode_sim

/// Networks of Gossip nodes with one validating program each (gossip sections 4 and 5).
@Suite(.oneAtOnce) struct GossipNetworkTests {
    private static let nodes = 100
    private static let items = 30

    private func network(lazyPush: Bool, seed: UInt64 = 1) throws -> GossipNetwork {
        var model = NetworkModel(delay: .milliseconds(50) ... .milliseconds(50))
        model.splitting = 0.05
        let network = GossipNetwork(nodes: Self.nodes, seed: seed, network: model) { $0.lazyPush = lazyPush }
        try network.simulator.run(for: .seconds(30))
        #expect(try network.components() == [Self.nodes])
        return network
    }

    private func announce(_ items: Int, _ network: GossipNetwork) throws {
        for _ in 0..<items {
            network.announce(from: network.living[0])
            try network.simulator.run(for: .milliseconds(100))
        }
        try network.simulator.run(for: .seconds(5))
    }

    /// What was sent beyond one copy for each node, for each item after the first `first`.
    private func redundancy(_ network: GossipNetwork, from first: Int, received: Int) -> Double {
        let needed = (network.items - first) * (Self.nodes - 1)
        return Double(network.total("received") - received) / Double(needed) - 1
    }

    @Test func `a flood reaches everybody once, over the shortest ways, with six copies too many at most`() throws {
        let network = try network(lazyPush: false)
        try announce(Self.items, network)
        let outcome = network.outcome()
        #expect(outcome.reached == 1 && outcome.repeated == 0)
        #expect(outcome.longest <= .milliseconds(300))
        #expect(redundancy(network, from: 0, received: 0) <= 6)
    }

    @Test func `with lazy push the links become a tree: hardly a copy too many, and everybody is reached`() throws {
        let network = try network(lazyPush: true)
        try announce(150, network)
        let (first, received) = (network.items, network.total("received"))
        try announce(Self.items, network)
        let outcome = network.outcome()
        #expect(outcome.reached == 1 && outcome.repeated == 0)
        #expect(network.outcome(from: first).longest <= .milliseconds(750))
        #expect(redundancy(network, from: first, received: received) <= 0.5)
    }

    @Test(arguments: [true, false])
    func `when a third of the nodes dies at once, all others are still reached`(lazyPush: Bool) throws {
        let network = try network(lazyPush: lazyPush, seed: 3)
        try announce(Self.items, network)
        for node in network.nodes.enumerated().filter({ $0.offset % 10 > 6 }).map(\.element) {
            network.simulator.kill(node)
        }
        let first = network.items
        network.announce(from: network.living[0])
        try network.simulator.run(for: .seconds(30))
        #expect(network.outcome(from: first).reached == 1)
    }

    @Test func `when four fifths of the nodes die at once, the others are one network again within a minute`() throws {
        let network = try network(lazyPush: true, seed: 4)
        for node in network.nodes.enumerated().filter({ $0.offset % 5 > 0 }).map(\.element) {
            network.simulator.kill(node)
        }
        try network.simulator.run(for: .seconds(59))
        #expect(try network.components() == [Self.nodes / 5])
        let first = network.items
        network.announce(from: network.living[0])
        try network.simulator.run(for: .seconds(5))
        #expect(network.outcome(from: first).reached == 1)
    }

    @Test func `the same seed gives the same run, another seed another one`() throws {
        let hashes = try ([7, 7, 8] as [UInt64]).map { seed in
            let network = GossipNetwork(nodes: 8, seed: seed, network: .hostile)
            try network.simulator.run(for: .seconds(20))
            try announce(3, network)
            return network.simulator.traceHash
        }
        #expect(hashes[0] == hashes[1])
        #expect(hashes[0] != hashes[2])
    }
}
