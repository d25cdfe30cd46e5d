import PeerCore
import PeerSimulator
import Testing

@testable import PPSP

/// Contents travel by HTTP ranges between nodes in virtual time (PPSP section 9.7).
struct RangeSwarmTests {
    @Test(arguments: [1, 1024, 7162, 300_000])
    func `a content of any size is fetched from a peer that gives ranges`(size: Int) throws {
        let lab = Lab(network: .hostile)
        let (seed, fetcher) = (lab.webNode(isOnly: true), lab.webNode())
        let octets = Lab.octets(size)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(60), "it is not complete") { lab.content(fetcher) == octets }
        #expect(lab.core(fetcher)?.counters.bytesReceived == UInt64(size))
        #expect(lab.events("http_left").isEmpty && lab.events("chunk_refused").isEmpty)
    }

    @Test func `a server whose octets do not hold is banned, and others give them`() throws {
        let lab = Lab()
        let (liar, honest, fetcher) = (lab.webNode(isOnly: true), lab.webNode(isOnly: true), lab.webNode())
        let octets = Lab.octets(200_000)
        let swarm = try lab.add(octets, at: liar)
        _ = try lab.add(octets, at: honest)
        // What it gives is not what it has hashed.
        var other = octets.array
        for index in stride(from: 0, to: other.count, by: 512) { other[index] ^= 1 }
        lab.simulator.folder(at: "/files", of: lab.nodes[liar])["content"] = Bytes(other)
        try lab.fetch(swarm, at: fetcher, from: [liar])
        try lab.run(.seconds(2))
        try lab.fetch(swarm, at: fetcher, from: [honest])
        try lab.settle(within: .seconds(60), "it is not complete") { lab.content(fetcher) == octets }
        #expect(lab.events("peer_banned", of: fetcher).map { $0.string("peer") } == [Lab.peerID(liar).hex])
        #expect(lab.events("http_left").isEmpty)
    }

    @Test func `a server that has no slot is asked again, until all have all`() throws {
        let lab = Lab()
        lab.simulator.network.bandwidth = 100_000
        let seed = lab.webNode(isOnly: true) { $0.uploadSlots = 1 }
        let fetchers = (0..<4).map { _ in lab.webNode() }
        let octets = Lab.octets(300_000)
        let swarm = try lab.add(octets, at: seed)
        for fetcher in fetchers { try lab.fetch(swarm, at: fetcher, from: [seed]) }
        try lab.settle(within: .seconds(120), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
    }

    @Test func `a server that breaks off is left for PPSP-TCP`() throws {
        let lab = Lab()
        let (seed, fetcher) = (lab.webNode(isOnly: true), lab.webNode { $0.chunkTime = .seconds(2) })
        let octets = Lab.octets(200_000)
        let swarm = try lab.add(octets, at: seed)
        // Its file is shorter than what it has hashed, until it is asked by TCP.
        let folder = lab.simulator.folder(at: "/files", of: lab.nodes[seed])
        folder["content"] = octets.slice(0..<500)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(60), "it is not left") { !lab.events("http_left", of: fetcher).isEmpty }
        folder["content"] = octets
        try lab.settle(within: .seconds(60), "it is not complete") { lab.content(fetcher) == octets }
    }

    @Test func `a closed swarm is given by ranges to those who have proved themselves`() throws {
        let lab = Lab()
        let seed = lab.webNode(isOnly: true) { $0.allow = [Lab.peerID(1)] }
        let (member, stranger) = (lab.webNode(), lab.webNode())
        let octets = Lab.octets(50_000)
        let swarm = try lab.add(octets, at: seed)
        for fetcher in [member, stranger] { try lab.fetch(swarm, at: fetcher, from: [seed]) }
        try lab.settle(within: .seconds(30), "the member does not get it") { lab.content(member) == octets }
        #expect(lab.content(stranger) == nil && lab.events("http_left").isEmpty)
    }
}
