import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import peernode_sim

/// A network of DDRP nodes with delay and loss, in virtual time and with real cryptography.
@Suite(.oneAtOnce) struct OverlayTests {
    private var network: NetworkModel {
        var network = NetworkModel(delay: .milliseconds(10) ... .milliseconds(120), jitter: .milliseconds(10))
        network.loss = 0.02
        network.splitting = 0.1
        return network
    }

    @Test func `nodes that know one bootstrap server find as many peers as they want`() throws {
        let count = 200
        let overlay = Overlay(nodes: count, seed: 1, network: network)
        // Looked at once in a virtual second: to ask all of them after each event would take longer than all else.
        for _ in 0..<60 where overlay.satisfied < count { try overlay.simulator.run(for: .seconds(1)) }
        #expect(overlay.satisfied == count)
        #expect(try overlay.components().count == 1)
        for node in overlay.nodes { #expect(overlay.count("inbound", of: node) <= 117) }
    }

    @Test func `a network that was cut in halves for ten minutes is one again within two minutes`() throws {
        let overlay = Overlay(nodes: 40, seed: 2, network: network)
        try overlay.simulator.run(for: .seconds(30))
        #expect(try overlay.components().count == 1)
        let half = overlay.nodes.count / 2
        overlay.simulator.partition([Set(overlay.nodes[..<half]), Set(overlay.nodes[half...])])
        try overlay.simulator.run(for: .seconds(600))
        #expect(try overlay.components().count >= 2)
        overlay.simulator.heal()
        var isWhole = false
        for _ in 0..<12 where !isWhole {
            try overlay.simulator.run(for: .seconds(9))
            isWhole = try overlay.components().count == 1
        }
        #expect(isWhole)
    }

    @Test func `the same seed gives the same run, another seed another one`() throws {
        let hashes = try ([7, 7, 8] as [UInt64]).map { seed in
            let overlay = Overlay(nodes: 8, seed: seed, network: network)
            try overlay.simulator.run(for: .seconds(10))
            return overlay.simulator.traceHash
        }
        #expect(hashes[0] == hashes[1])
        #expect(hashes[0] != hashes[2])
    }
}
