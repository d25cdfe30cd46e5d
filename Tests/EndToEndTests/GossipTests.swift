import Foundation
import PeerCore
import TestSupport
import Testing

/// Twenty nodes that know one bootstrap server, and a program on each (gossip sections 3 to 5).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct GossipTests {
    /// Nodes with the extension on in the even ones.
    private struct Network {
        let server: ChildProcess
        let homes: [GossipHome]
        let nodes: [ChildProcess]

        init(_ count: Int) async throws {
            let address = "\(Loopback.next()):6000"
            let server = try NodeHome(
                ["bootstrapServer": .record(["listen": .string(address)])], ddrp: nil, name: "bootstrap")
            self.server = try await server.startListening()
            homes = try (0..<count).map { number in
                var gossip: Record = ["bootstrap": [.string(address)]]
                if !number.isMultiple(of: 2) {
                    gossip["lazyPush"] = false
                    gossip["haveItBytes"] = 0
                }
                return try GossipHome(gossip, name: "node \(number)")
            }
            nodes = try homes.map { try $0.home.start() }
            for node in nodes {
                try await node.waitUntil("neighbours") { $0.of("peer_up").count >= count / 2 }
            }
        }

        var api: String { homes.map(\.api).joined(separator: ",") }
    }

    @Test func `every survivor gets each item of a survivor exactly once while six of twenty nodes are killed`()
        async throws
    {
        let network = try await Network(20)
        let programs = try Python.start(
            "gossip_many.py", ["--api", network.api, "--items", "1000", "--pause", "0.005", "--doomed", "6"],
            name: "programs")
        for (number, node) in network.nodes.suffix(6).enumerated() {
            try await programs.waitFor("announced") { ($0.record.int("items") ?? 0) >= 200 + 100 * number }
            node.signal(SIGKILL)
        }
        let exit = try await programs.waitForExit(within: .seconds(120))
        #expect(exit == .status(0), "\(programs.lines.map(\.text)) \(programs.complaints)")
        #expect(programs.lines.of("result").count == 14)
    }

    @Test func `ten thousand items of one announcer arrive everywhere in order`() async throws {
        let network = try await Network(6)
        let programs = try Python.start(
            "gossip_many.py", ["--api", network.api, "--items", "10000", "--one"], name: "programs")
        let exit = try await programs.waitForExit(within: .seconds(120))
        #expect(exit == .status(0), "\(programs.lines.map(\.text)) \(programs.complaints)")
    }

    @Test func `publish and subscribe speak to the node`() async throws {
        let home = try GossipHome()
        let node = try await home.startListening()
        let subscriber = try ChildProcess(
            Program.path, ["subscribe", "--config", home.home.configuration, "--json", "--count", "2", "540"],
            name: "subscribe", life: .seconds(60))
        let picky = try ChildProcess(
            Program.path,
            [
                "subscribe", "--config", home.home.configuration, "--count", "1", "--validate", "grep -q good", "540",
            ], name: "picky", life: .seconds(60))
        try await subscriberIsThere(home, 2)
        for text in ["a bad one", "a good one"] {
            let published = try await home.home.command(["publish", "540", text])
            #expect(published.exit == .status(0), "\(published.complaints)")
        }
        #expect(try await subscriber.waitForExit() == .status(0))
        #expect(subscriber.lines.map { $0.record.string("text") } == ["a bad one", "a good one"])
        #expect(try await picky.waitForExit() == .status(0))
        #expect(picky.lines.map(\.text) == ["a good one"])
        let status = try await home.home.command(["status", "--json"])
        #expect(status.text.contains("\"announced\":2"), "\(status.text)")
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
    }

    /// Waits until so many programs have registered.
    private func subscriberIsThere(_ home: GossipHome, _ count: Int) async throws {
        for _ in 0..<100 {
            let status = try await home.home.command(["status", "--json"])
            if status.text.contains("\"clients\":\(count)}") { return }
        }
        Issue.record("the programs do not register")
    }
}
