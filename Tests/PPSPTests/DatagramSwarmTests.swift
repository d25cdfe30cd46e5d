import PeerCore
import PeerSimulator
import Testing

@testable import PPSP

/// Contents travel in datagrams of RFC 7574, in virtual time (PPSP section 9.6, RFC 7574 digest).
struct DatagramSwarmTests {
    /// A node that takes datagrams too.
    private static func node(_ lab: Lab, _ change: (inout PPSP.Configuration) -> Void = { _ in }) -> Int {
        lab.node {
            $0.udpAddress = $0.listen
            change(&$0)
        }
    }

    private static func datagrams(_ lab: Lab) -> Int { Int(lab.simulator.datagrams.delivered) }

    @Test(arguments: [1, 1023, 1024, 1025, 7 * 1024, 300_000])
    func `two nodes that both take datagrams use them, for a content of any size`(size: Int) throws {
        let lab = Lab()
        let (seed, fetcher) = (Self.node(lab), Self.node(lab))
        let octets = Lab.octets(size)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
        #expect(Self.datagrams(lab) >= size / 1024)
        #expect(lab.core(fetcher)?.counters.bytesReceived == UInt64(size))
        #expect(lab.core(seed)?.counters.bytesSent == UInt64(size))
    }

    @Test func `chunks come again when datagrams are lost, doubled and overtaken`() throws {
        var network = NetworkModel(delay: .milliseconds(50) ... .milliseconds(50), jitter: .milliseconds(5))
        (network.loss, network.duplication, network.reordering) = (0.05, 0.02, 0.02)
        let lab = Lab(network: network)
        let (seed, fetcher) = (Self.node(lab), Self.node(lab))
        let octets = Lab.octets(1_000_000)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(120), "it is not complete") { lab.content(fetcher) == octets }
        #expect(lab.events("chunk_refused").isEmpty)
    }
}
