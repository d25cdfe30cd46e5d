import PeerCore
import PeerSimulator
import Testing

@testable import PPSP

/// Contents travel between nodes in virtual time (PPSP sections 8 and 9).
struct SwarmTests {
    @Test(arguments: [1, 1023, 1024, 1025, 7 * 1024, 100_000])
    func `a content of any size is fetched, and every chunk is proved`(size: Int) throws {
        let lab = Lab()
        let (seed, fetcher) = (lab.node(), lab.node())
        let octets = Lab.octets(size)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
        try lab.run(.seconds(1))
        #expect(lab.core(fetcher)?.swarms[1]?.phase == .complete)
        #expect(lab.core(fetcher)?.counters.bytesReceived == UInt64(size))
        #expect(lab.core(fetcher)?.counters.chunksRefused == 0)
    }

    @Test(arguments: ["sha1", "sha256", "blake2b256"])
    func `every hash function serves`(hash: String) throws {
        let lab = Lab()
        let (seed, fetcher) = (lab.node(), lab.node())
        let octets = Lab.octets(50_000)
        let swarm = try lab.add(octets, at: seed, hash: hash)
        #expect(swarm.count == (hash == "sha1" ? 40 : 64))
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
    }

    @Test(arguments: [(1_000_000, 1_000_000), (1_000_000, 5_000_000), (4_000_000, 5_000_000)])
    func `eight fetchers share what one seed has, and the seed sends two copies at most`(
        size: Int, rate: Int
    ) throws {
        let lab = Lab(network: NetworkModel(delay: .milliseconds(5) ... .milliseconds(20)))
        lab.simulator.network.bandwidth = rate
        let seed = lab.node()
        let octets = Lab.octets(size)
        let swarm = try lab.add(octets, at: seed, chunkBytes: 16_384)
        let fetchers = (0..<8).map { _ in lab.node() }
        for fetcher in fetchers { try lab.fetch(swarm, at: fetcher, from: [seed]) }
        try lab.settle(within: .seconds(120), "not all are complete") {
            fetchers.allSatisfy { lab.content($0) == octets }
        }
        let copies = Double(lab.core(seed)?.counters.bytesSent ?? 0) / Double(octets.count)
        #expect(copies <= 2, "\(copies) copies")
    }

    @Test func `whoever asks for a content hears what stands in the way`() throws {
        let lab = Lab()
        let fetcher = lab.node()
        let swarm = String(repeating: "7", count: 64)
        func problem(_ arguments: Record) throws -> String? {
            let all = (["swarm": .string(swarm), "wait": false] as Record).appending(arguments)
            return try lab.ask(fetcher, "fetch", all).last?.string("problem")
        }
        #expect(try problem(["into": "/files/content"])?.hasPrefix("nobody is known") == true)
        #expect(try problem(["into": "/files/other"]) == "it goes to /files/content, where it was asked for first")
        #expect(try problem(["from": .text(Lab.address(7))]) == nil)
    }

    @Test func `a fetcher that is killed goes on with what it had`() throws {
        let lab = Lab()
        lab.simulator.network.bandwidth = 100_000
        let (seed, fetcher) = (lab.node(), lab.node())
        let octets = Lab.octets(1_000_000)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.run(.seconds(6))
        let had = try #require(lab.core(fetcher)?.swarms[1]?.durable.count)
        #expect(had > 100)
        lab.simulator.kill(lab.nodes[fetcher])
        lab.simulator.restart(lab.nodes[fetcher])
        try lab.settle(within: .seconds(60), "it is not complete") { lab.content(fetcher) == octets }
        let received = try #require(lab.core(fetcher)?.counters.bytesReceived)
        #expect(received <= UInt64(octets.count) - had * 1024 + 1024)
    }

    @Test func `a seed serves after a restart without hashing, and not when its file has changed`() throws {
        let lab = Lab()
        let (seed, fetcher, late) = (lab.node(), lab.node(), lab.node())
        let octets = Lab.octets(20_000)
        let swarm = try lab.add(octets, at: seed)
        lab.simulator.kill(lab.nodes[seed])
        lab.simulator.restart(lab.nodes[seed])
        try lab.run(.seconds(1))
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
        lab.simulator.kill(lab.nodes[seed])
        lab.simulator.folder(at: "/files", of: lab.nodes[seed])["content"] = Lab.octets(20_001)
        lab.simulator.restart(lab.nodes[seed])
        try lab.run(.seconds(1))
        #expect(lab.events("content_stopped", of: seed).count == 1)
        try lab.fetch(swarm, at: late, from: [seed])
        try lab.run(.seconds(5))
        #expect(lab.content(late) == nil)
    }

    @Test func `peers that a peer knows are found through it`() throws {
        let lab = Lab()
        let (seed, first, second) = (lab.node(), lab.node(), lab.node())
        lab.simulator.network.bandwidth = 50_000
        let octets = Lab.octets(500_000)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: first, from: [seed])
        try lab.run(.seconds(2))
        try lab.fetch(swarm, at: second, from: [first])
        try lab.settle(within: .seconds(60), "the seed is not found") {
            lab.core(second)?.partners.values.contains { $0.peerID == Lab.peerID(seed) } ?? false
        }
        try lab.settle(within: .seconds(60), "it is not complete") { lab.content(second) == octets }
    }

    @Test func `a peer whose chunks do not hold is banned, and another one gives them`() throws {
        let lab = Lab()
        let (liar, honest, fetcher) = (lab.node(), lab.node(), lab.node())
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
    }

    @Test func `a content is pushed to a peer that waits for it`() throws {
        let lab = Lab()
        let (seed, taker) = (lab.node(), lab.node { $0.acceptNewContent = true })
        let octets = Lab.octets(100_000)
        let swarm = try lab.add(octets, at: seed)
        _ = try lab.ask(seed, "push", ["swarm": .string(swarm), "to": .string(Lab.address(taker).description)])
        try lab.settle(within: .seconds(30), "it has not come") {
            lab.core(taker)?.swarms.values.first?.phase == .complete
        }
        let name = String(swarm.prefix(40))
        #expect(lab.simulator.folder(at: "/content", of: lab.nodes[taker])[name] == octets)
        #expect(lab.core(taker)?.counters.bytesReceived == UInt64(octets.count))
    }

    @Test func `nobody is pushed what it does not want`() throws {
        let lab = Lab()
        let (seed, other) = (lab.node(), lab.node())
        let swarm = try lab.add(Lab.octets(10_000), at: seed)
        _ = try lab.ask(seed, "push", ["swarm": .string(swarm), "to": .string(Lab.address(other).description)])
        try lab.run(.seconds(5))
        #expect(lab.core(other)?.counters.bytesReceived == 0 && lab.core(seed)?.counters.bytesSent == 0)
    }

    @Test func `a closed swarm is for those who prove that they are on the list`() throws {
        let lab = Lab()
        let seed = lab.node { $0.allow = [Lab.peerID(1), Lab.peerID(2)] }
        let (member, listed) = (lab.node(), lab.node { $0.allow = [Lab.peerID(0)] })
        let stranger = lab.node()
        let octets = Lab.octets(50_000)
        let swarm = try lab.add(octets, at: seed)
        for fetcher in [member, listed, stranger] { try lab.fetch(swarm, at: fetcher, from: [seed]) }
        try lab.settle(within: .seconds(30), "members do not get it") {
            [member, listed].allSatisfy { lab.content($0) == octets }
        }
        #expect(lab.content(stranger) == nil)
        #expect(lab.events("not_admitted", of: stranger).first?.string("own") == Lab.peerID(stranger).hex)
    }

    @Test func `who reads while it comes gets it from the beginning`() throws {
        let lab = Lab()
        lab.simulator.network.bandwidth = 100_000
        let (seed, fetcher) = (lab.node(), lab.node())
        let octets = Lab.octets(500_000)
        let swarm = try lab.add(octets, at: seed)
        try lab.fetch(swarm, at: fetcher, from: [seed], ["ordered": true])
        try lab.run(.seconds(3))
        let own = try #require(lab.core(fetcher)?.swarms[1])
        #expect(own.prefix > 100_000 && own.have.count * 1024 <= own.prefix + 65_536)
        try lab.settle(within: .seconds(30), "it is not complete") { lab.content(fetcher) == octets }
    }

    @Test func `a silent peer is left, and one that is only idle is not`() throws {
        let lab = Lab()
        let (seed, fetcher) = (lab.node(), lab.node())
        lab.simulator.network.bandwidth = 10_000
        let octets = Lab.octets(5_000_000)
        let swarm = try lab.add(octets, at: seed, chunkBytes: 65_536)
        try lab.fetch(swarm, at: fetcher, from: [seed])
        try lab.run(.seconds(300))
        #expect(lab.core(fetcher)?.links.count == 1)
        lab.simulator.partition([[lab.nodes[seed]], [lab.nodes[fetcher]]])
        try lab.run(.seconds(200))
        #expect(lab.core(fetcher)?.partners.isEmpty == true)
    }
}
