import PPlusTwo
import PeerCore
import PeerSimulator
import TestSupport
import Testing

/// Networks of P+2 nodes (seed 001).
@Suite(.oneAtOnce) struct PPlusTwoNetworkTests {
    private static let port: UInt16 = 17_000

    private func simulator(_ seed: UInt64, _ network: NetworkModel = .hostile) -> Simulator {
        let simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .info
        return simulator
    }

    private func identity(_ ip: IPAddress) -> PeerIdentity {
        guard let identity = PeerIdentity(ip, Self.port) else { preconditionFailure("\(ip)") }
        return identity
    }

    /// A node with a folder.
    @discardableResult
    private func add(_ ip: IPAddress, knows: [IPAddress] = [], to simulator: Simulator) -> NodeID {
        var configuration = PPlusTwo.Configuration(listen: SocketAddress(ip, Self.port), folder: "files")
        configuration.initialPeers = knows.map(identity)
        configuration.minFreeBytes = 0
        let node = simulator.addNode("\(ip)", at: ip, "files") { [configuration] seed in
            PPlusTwo(configuration, seed: seed)
        }
        simulator.folder("files", of: node)
        return node
    }

    private func answer(
        _ simulator: Simulator, _ node: NodeID, _ name: String, _ arguments: Record
    ) throws -> Question {
        let question = simulator.command(node, "files", Command(name, arguments))
        _ = try simulator.run(for: .seconds(300), until: { question.isAnswered })
        return question
    }

    private func ip(_ number: Int) -> IPAddress { IPAddress(10, 0, UInt8(number / 250), UInt8(number % 250 + 1)) }

    @Test func `A knows only B, B knows only C: A finds a file of C and fetches it`() throws {
        let simulator = simulator(1)
        let c = add(ip(3), to: simulator)
        add(ip(2), knows: [ip(3)], to: simulator)
        let a = add(ip(1), knows: [ip(2)], to: simulator)
        let content = Bytes((0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        simulator.folder("files", of: c)["a song of C.mp3"] = content
        try simulator.run(for: .seconds(60))
        let found = try answer(simulator, a, "search", ["text": "song"])
        let match = try #require(found.records.first)
        #expect(match.string("peer") == identity(ip(3)).description && match.int("size") == 200_000)
        let fetched = try answer(simulator, a, "download", ["number": 1])
        #expect(fetched.records.last?.string("complete") == "verified")
        #expect(simulator.folder("files", of: a)["a song of C.mp3"] == content)
    }

    @Test func `each node dials one peer list in ten seconds, whatever its operator does`() throws {
        let simulator = simulator(2)
        var dials: [NodeID: [Instant]] = [:]
        simulator.onTurn = { turn in
            for case .connect(_, to: .address(let address), from: _, timeout: _) in turn.effects
            where address.port == Self.port {
                dials[turn.node, default: []].append(turn.moment.instant)
            }
        }
        let nodes = (0..<10).map { add(ip($0), knows: $0 > 0 ? [ip(0)] : [], to: simulator) }
        for round in 0..<30 {
            _ = simulator.command(nodes[round % 10], "files", Command("search", ["text": ""]))
            if round == 10 { simulator.kill(nodes[3]) }
            if round == 20 { simulator.restart(nodes[3]) }
            try simulator.run(for: .seconds(10))
        }
        for (node, times) in dials where node != nodes[3] {
            #expect(times.count > 20)
            for (first, second) in zip(times, times.dropFirst()) { #expect(second - first >= .seconds(10)) }
        }
        // Everybody has met everybody.
        for node in nodes { #expect(simulator.status("files", of: node).first?.int("peers") == 9) }
    }

    @Test func `a peer that is gone leaves all lists, though others still tell of it`() throws {
        let simulator = simulator(3)
        let nodes = (0..<8).map { add(ip($0), knows: $0 > 0 ? [ip(0)] : [], to: simulator) }
        try simulator.run(for: .seconds(300))
        simulator.kill(nodes[5])
        try simulator.run(for: .seconds(1200))
        for (number, node) in nodes.enumerated() where number != 5 {
            let rows = try answer(simulator, node, "peers", ["all": true]).records
            #expect(!rows.contains { $0.string("peer") == identity(ip(5)).description }, "\(node)")
            #expect(rows.count { $0.string("state") == "live" } == 6)
        }
    }

    @Test func `who poisons a list with a thousand made-up peers is told to nobody, and nobody is forgotten for it`()
        throws
    {
        let simulator = simulator(4, NetworkModel(delay: .milliseconds(20) ... .milliseconds(20)))
        let victim = IPAddress(8, 8, 8, 8)
        let node = add(victim, to: simulator)
        let friend = add(IPAddress(9, 9, 9, 9), knows: [victim], to: simulator)
        try simulator.run(for: .seconds(30))
        let attacker = simulator.addNode("attacker", at: IPAddress(7, 7, 7, 7), cores: [])
        let address = SocketAddress(victim, Self.port)
        func call(_ line: String) throws -> String {
            let socket = simulator.openSocket(on: attacker, to: .ip(address))
            try simulator.run(for: .milliseconds(100))
            socket.send(Bytes(utf8: line))
            _ = try simulator.run(for: .seconds(10), until: { socket.hasEnded || socket.closed != nil })
            socket.finish()
            return String(decoding: socket.received, as: UTF8.self)
        }
        for number in 0..<1000 { _ = try call("5.5.\(number / 250).\(number % 250 + 1):4000\n") }
        #expect(try call("\n") == "\(identity(IPAddress(9, 9, 9, 9)))\n")
        let status = try #require(simulator.status("files", of: node).first)
        #expect((status.int("candidates") ?? 0) + (status.int("failed") ?? 0) <= 32)
        #expect(status.int("peers") == 1)
        let rows = try answer(simulator, friend, "peers", ["all": true]).records
        #expect(rows.count == 1)
    }

    @Test func `the same seed gives the same run`() throws {
        let hashes = try ([7, 7, 8] as [UInt64]).map { seed in
            let simulator = simulator(seed)
            let nodes = (0..<4).map { add(ip($0), knows: $0 > 0 ? [ip(0)] : [], to: simulator) }
            simulator.folder("files", of: nodes[1])["x"] = Bytes([UInt8](repeating: 1, count: 100_000))
            try simulator.run(for: .seconds(50))
            _ = try answer(simulator, nodes[2], "search", ["text": "x"])
            _ = try answer(simulator, nodes[2], "download", ["number": 1])
            return simulator.traceHash
        }
        #expect(hashes[0] == hashes[1] && hashes[0] != hashes[2])
    }
}
