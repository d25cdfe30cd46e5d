import Foundation
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

    /// A seed on a slow line, and two who fetch its content and know each other.
    private static func pair(_ lab: Lab, _ octets: Bytes) throws -> (seed: Int, fetchers: [Int]) {
        lab.simulator.network.bandwidth = 200_000
        let seed = node(lab)
        let swarm = try lab.add(octets, at: seed)
        let fetchers = [node(lab), node(lab)]
        for fetcher in fetchers { try lab.fetch(swarm, at: fetcher, from: [seed] + fetchers.filter { $0 != fetcher }) }
        return (seed, fetchers)
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

    @Test func `where no datagram comes through, three handshakes go, and then chunks over TCP`() throws {
        var network = NetworkModel(delay: .milliseconds(5) ... .milliseconds(5))
        network.loss = 1
        let lab = Lab(network: network)
        let (seed, fetcher) = (Self.node(lab), Self.node(lab))
        let octets = Lab.octets(100_000)
        let swarm = try lab.add(octets, at: seed)
        let start = lab.simulator.now
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
        let took = lab.simulator.now - start
        #expect(took >= .seconds(7) && took < .seconds(9), "\(took)")
        #expect(lab.simulator.datagrams.sent == 3)
    }

    @Test(arguments: [("sha1", 1024, false), ("sha1", 8192, true), ("sha256", 1024, false), ("sha256", 8192, false)])
    func `somebody who speaks RFC 7574 only is called by its address`(
        hash: String, chunkBytes: Int, omits: Bool
    ) throws {
        let lab = Lab()
        // It has no other way: nobody listens for connections.
        let seed = Self.node(lab) { ($0.listen, $0.udpAddress) = (nil, Lab.address(0)) }
        let fetcher = Self.node(lab) { ($0.listen, $0.omitChunkSizeOption) = (nil, omits) }
        let octets = Lab.octets(100_000)
        let swarm = try lab.add(octets, at: seed, chunkBytes: chunkBytes, hash: hash)
        _ = try lab.ask(
            fetcher, "fetch",
            [
                "swarm": .string(swarm), "from": .string("udp:\(Lab.address(seed))"), "into": "/files/content",
                "wait": false, "chunkBytes": .count(chunkBytes),
            ])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
    }

    @Test func `who is called by its address tells whom else it knows`() throws {
        let lab = Lab()
        lab.simulator.network.bandwidth = 200_000
        let seed = Self.node(lab) { ($0.listen, $0.udpAddress) = (nil, Lab.address(0)) }
        let first = Self.node(lab) { ($0.listen, $0.udpAddress) = (nil, Lab.address(1)) }
        let second = Self.node(lab) { ($0.listen, $0.udpAddress) = (nil, Lab.address(2)) }
        let octets = Lab.octets(1_000_000)
        let swarm = try lab.add(octets, at: seed, chunkBytes: 1024, hash: "sha1")
        for (fetcher, source) in [(first, seed), (second, first)] {
            _ = try lab.ask(
                fetcher, "fetch",
                [
                    "swarm": .string(swarm), "from": .string("udp:\(Lab.address(source))"), "into": "/files/content",
                    "wait": false,
                ])
        }
        try lab.settle(within: .seconds(60), "not all are complete") {
            [first, second].allSatisfy { lab.content($0) == octets }
        }
        let addresses = lab.core(second)?.swarms.values.first?.callees.filter { !$0.value.isGiven }.map(\.key)
        #expect(addresses == [Lab.address(seed)])
        #expect((lab.core(seed)?.counters.bytesSent ?? 0) > UInt64(octets.count), "both have it from the seed")
    }

    @Test func `two who fetch the same help each other by datagrams`() throws {
        let lab = Lab()
        let octets = Lab.octets(1_000_000)
        let (seed, fetchers) = try Self.pair(lab, octets)
        try lab.settle(within: .seconds(60), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        let copies = Double(lab.core(seed)?.counters.bytesSent ?? 0) / Double(octets.count)
        #expect(copies < 1.9, "\(copies) copies")
    }

    @Test func `two who take from each other open one channel each, and ask over TCP no more than that takes`() throws {
        let lab = Lab()
        let octets = Lab.octets(300_000)
        let fetchers = try Self.pair(lab, octets).fetchers
        try lab.settle(within: .seconds(60), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        for fetcher in fetchers {
            let opened = lab.events("channel_open", of: fetcher).filter { $0.string("direction") == "out" }
            #expect(opened.count == 2)
            #expect(lab.events("channel_failed", of: fetcher).isEmpty)
            #expect(lab.events("peer_ready", of: fetcher).count < 20)
        }
    }

    @Test func `when datagrams stop coming through, all goes on over TCP, and news too`() throws {
        let lab = Lab()
        let octets = Lab.octets(1_000_000)
        let (seed, fetchers) = try Self.pair(lab, octets)
        try lab.run(.seconds(2))
        lab.simulator.network.loss = 1
        try lab.settle(within: .seconds(120), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        let copies = Double(lab.core(seed)?.counters.bytesSent ?? 0) / Double(octets.count)
        #expect(copies < 1.6, "\(copies) copies")
    }

    @Test func `whoever waits for a slot of the seed gets chunks from the others meanwhile`() throws {
        let lab = Lab(network: NetworkModel(delay: .milliseconds(1) ... .milliseconds(1)))
        lab.simulator.network.bandwidth = 20_000_000
        let seed = Self.node(lab)
        let octets = Lab.octets(1_000_000)
        let swarm = try lab.add(octets, at: seed, chunkBytes: 16_384)
        let fetchers = (0..<8).map { _ in Self.node(lab) }
        let start = lab.simulator.now
        for fetcher in fetchers { try lab.fetch(swarm, at: fetcher, from: [seed]) }
        try lab.settle(within: .seconds(30), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        #expect(lab.simulator.now - start < .milliseconds(700))
    }

    @Test func `who has no room says so, and chunks come over TCP`() throws {
        let lab = Lab()
        // One connection, and no channel beside it.
        let seed = Self.node(lab) { $0.maxConnectionsPerAddress = 1 }
        let fetcher = Self.node(lab)
        let octets = Lab.octets(100_000)
        let swarm = try lab.add(octets, at: seed)
        let start = lab.simulator.now
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
        #expect(lab.simulator.now - start < .seconds(1), "nobody waits for an answer")
        #expect(lab.events("channel_failed", of: fetcher).map { $0.string("reason") } == ["refused"])
    }

    @Test func `a lossless bottleneck is filled, and its queue stays at the target`() throws {
        let lab = Lab(network: NetworkModel(delay: .milliseconds(20) ... .milliseconds(20)))
        // 10 Mbit/s, of which a quarter of a second may wait.
        (lab.simulator.network.bandwidth, lab.simulator.network.backlog) = (1_250_000, 312_500)
        let (seed, fetcher) = (Self.node(lab), Self.node(lab))
        let octets = Lab.octets(10_000_000)
        let swarm = try lab.add(octets, at: seed)
        let start = lab.simulator.now
        try lab.fetch(swarm, at: fetcher, from: [seed])
        var queues: [Double] = []
        try lab.settle(within: .seconds(60), "it is not complete") {
            if lab.simulator.now - start > .seconds(3), let channel = lab.core(seed)?.channels.table.values.first {
                queues.append((channel.out.ledbat.queueing ?? 0) / 1000)
            }
            return lab.content(fetcher) == octets
        }
        let rate = Double(octets.count) / (lab.simulator.now - start).fractionalSeconds
        #expect(rate > 0.9 * 1_250_000 * 1024 / 1100, "\(rate) octets in a second")
        let mean = queues.reduce(0, +) / Double(max(1, queues.count))
        #expect(mean < 30, "a queue of \(mean) ms")
        #expect(lab.simulator.datagrams.lost == 0)
    }

    @Test(arguments: [true, false])
    func `a liar in ten does not keep anybody from the content, by lossy datagrams or over TCP`(
        byDatagrams: Bool
    ) throws {
        let isLong = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil
        let (count, size) = isLong ? (100, 2_000_000) : (30, 100_000)
        var network = NetworkModel(delay: .milliseconds(50) ... .milliseconds(50))
        (network.loss, network.bandwidth, network.backlog) = (0.05, 1_250_000, 125_000)
        let lab = Lab(network: network)
        let octets = Lab.octets(size)
        let nodes = (0..<count).map { _ in byDatagrams ? Self.node(lab) : lab.node() }
        let (liars, seed) = (nodes.filter { $0 % 10 == 3 }, nodes[0])
        let swarm = try lab.add(octets, at: seed)
        for liar in liars {
            _ = try lab.add(octets, at: liar)
            var other = octets.array
            for index in stride(from: 0, to: other.count, by: 512) { other[index] ^= 1 }
            lab.simulator.folder(at: "/files", of: lab.nodes[liar])["content"] = Bytes(other)
        }
        let fetchers = nodes.filter { $0 != seed && !liars.contains($0) }
        for fetcher in fetchers {
            try lab.fetch(swarm, at: fetcher, from: [seed, fetcher / 10 * 10 + 3, nodes[(fetcher + 1) % count]])
        }
        try lab.settle(within: .seconds(isLong ? 1200 : 300), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        for line in lab.events("peer_banned") { #expect(liars.contains { Lab.peerID($0).hex == line.string("peer") }) }
        #expect(!byDatagrams || lab.simulator.datagrams.delivered > fetchers.count * size / 1024)
    }
}
