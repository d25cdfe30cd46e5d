import Foundation
import PeerCore
import TestSupport
import Testing

/// Gossip against independent programs (gossip sections 1 to 6, 9).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct GossipTests {
    private static let debug: Record = ["log": .record(["level": "debug"])]

    /// Runs one case of the check against nodes that are there.
    private func check(_ name: String, _ nodes: [GossipHome], _ options: [String] = []) async throws {
        var arguments = [name, "--api", nodes.map(\.api).joined(separator: ",")]
        for node in nodes { arguments += ["--p2p", node.p2p] }
        let vectors = try #require(Python.vectorFiles("BootstrapTests", "gossip.json").first)
        arguments += ["--vectors", vectors]
        let check = try Python.start("gossip_check.py", arguments + options, name: name)
        let exit = try await check.waitForExit(within: .seconds(150))
        let said = check.lines.map(\.text).joined(separator: "\n")
        #expect(exit == .status(0), "\(name): \(said) \(check.complaints)")
    }

    @Test(arguments: [
        ["two-announces-in-one-segment", "announce-and-close", "voter-closes", "voter-silent"],
        ["item-salt", "better-ttl"],
        ["dial-back", "direct-mode", "item-before-neighbors", "wrong-greeting", "disconnect", "connect-udp-dial-back"],
        ["heartbeat"], ["neighbor-timeout"], ["malformed"], ["streams", "ttl"],
        ["subscribe-announce-other", "announcer-subscribed", "unsubscribe-by-close", "valid-is-forwarded"],
        ["no-subscriber-is-dropped", "duplicate-item", "two-subscribers-one-invalid", "ttl1-stops"],
        ["node-connects"], ["node-goes-direct"], ["simultaneous-connect"],
    ])
    func `one node does what the text says`(_ cases: [String]) async throws {
        for name in cases {
            let home = try GossipHome(["degree": 8], Self.debug)
            let node = try await home.startListening()
            try await check(name, [home])
            node.signal(SIGTERM)
            #expect(try await node.waitForExit() == .status(0), "\(name)")
        }
    }

    @Test(arguments: ["refusal", "make-room"])
    func `a full node refuses, but makes room for somebody who is alone`(_ name: String) async throws {
        let home = try GossipHome(["degree": 2], Self.debug)
        let node = try await home.startListening()
        try await check(name, [home], ["--degree", "2"])
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
    }

    @Test func `items go between two nodes, also when announced again`() async throws {
        let first = try GossipHome([:], Self.debug, name: "first")
        let second = try GossipHome(["peers": [.string(first.p2p)]], Self.debug, name: "second")
        let nodes = [try await first.startListening(), try await second.startListening()]
        for node in nodes { try await node.waitFor("peer_up") }
        try await check("reannounce", [first, second])
    }

    @Test func `in a full mesh nobody is notified twice`() async throws {
        let homes = try await mesh(3)
        for node in homes.map(\.1) {
            try await node.waitUntil("two neighbours") { $0.of("peer_up").count >= 2 }
        }
        try await check("three-node-no-loop", homes.map(\.0))
        try await courseClients(homes)
    }

    /// Nodes that know the first one.
    private func mesh(_ count: Int) async throws -> [(GossipHome, ChildProcess)] {
        let first = try GossipHome([:], Self.debug, name: "node 0")
        var nodes = [(first, try await first.startListening())]
        for number in 1..<count {
            let home = try GossipHome(["peers": [.string(first.p2p)]], Self.debug, name: "node \(number)")
            nodes.append((home, try await home.startListening()))
        }
        return nodes
    }

    /// The course's client, which reads with two calls and always announces the same eight octets: on one node and
    /// across nodes, and in its second run.
    private func courseClients(_ homes: [(GossipHome, ChildProcess)]) async throws {
        for run in 1...2 {
            let readers = try homes.map { home, _ in
                let words = home.api.split(separator: ":").map(String.init)
                return try Python.start(
                    "gossip_course_client.py",
                    ["-d", words[0], "-p", words[1], "-n", "--count", "3", "--seconds", "60"], name: "reader \(run)")
            }
            for (_, node) in homes {
                try await node.waitUntil("subscribed") { lines in
                    lines.of("subscribed").count { $0["type"] == "1337" } >= run
                }
            }
            for (home, _) in homes {
                let words = home.api.split(separator: ":").map(String.init)
                let announcer = try Python.start(
                    "gossip_course_client.py", ["-d", words[0], "-p", words[1], "-a"], name: "announcer \(run)")
                #expect(try await announcer.waitForExit() == .status(0))
            }
            for reader in readers {
                #expect(try await reader.waitForExit(within: .seconds(60)) == .status(0), "run \(run): \(reader.lines)")
            }
        }
    }

    @Test func `a node joins by a bootstrap server of another make`() async throws {
        let server = "\(Loopback.next()):6000"
        let home = try GossipHome(["bootstrap": [.string(server)]], Self.debug)
        let node = try await home.startListening()
        try await check("join-by-bootstrap", [home], ["--serve", server])
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
    }
}
