import Foundation
import PeerCore
import TestSupport
import Testing

/// A node between neighbours of the reference dialect and of the text dialect that are not of its own making
/// (DDRP sections 6 to 11).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct DialectTests {
    /// Fast pings, so that a few seconds show all that there is.
    private static let fast: Record = ["pingIntervalSeconds": 0.3, "peerResponseIntervalSeconds": 0.1]

    private func identity(_ peer: ChildProcess) async throws -> String {
        try await peer.waitFor("listening")["id"]
    }

    @Test func `neighbours of both dialects in both roles are greeted, pinged and told of each other`() async throws {
        let hosts = (0..<4).map { _ in Loopback.next() }
        let port = NodeHome.port
        // Two that the node dials …
        var peers: [(peer: ChildProcess, dialect: String, direction: String)] = []
        for (host, dialect) in zip(hosts, ["reference", "text"]) {
            let peer = try Python.peer(
                "--listen", "\(host):\(port)", "--dialect", dialect, "--ask", "--ping", "0.3",
                name: "dialled \(dialect)")
            try await peer.waitFor("listening")
            peers.append((peer, dialect, "outbound"))
        }
        let home = try NodeHome(
            ["log": .record(["level": "trace"])],
            ddrp: Self.fast.appending(["seeds": .list(hosts.prefix(2).map { .string($0) })]))
        let node = try await home.startListening()
        for (peer, _, _) in peers { try await peer.waitFor("link_up") }
        // … and two that dial it. They listen, too, so that they can be told of.
        for (host, dialect) in zip(hosts.dropFirst(2), ["reference", "text"]) {
            let peer = try Python.peer(
                "--dial", home.address, "--bind", host, "--listen", "\(host):\(port)", "--dialect", dialect, "--ask",
                "--ping", "0.3", name: "dialling \(dialect)")
            peers.append((peer, dialect, "inbound"))
        }
        for (peer, dialect, direction) in peers {
            let identity = try await identity(peer)
            let up = try await node.waitFor("peer_up") { $0["peer"] == identity }
            #expect(up.has(["direction": direction, "dialect": dialect, "agent": "pyddrp/1"]), "\(up.text)")
            try await expectService(peer, dialect, node, identity)
        }
        // A peer of the text dialect refuses the first try, in the reference dialect.
        for (peer, _, _) in peers {
            #expect(!peer.lines.of("closed").contains { $0["was_open"] == "true" }, "\(peer.name)")
        }
        #expect(node.lines.of("peer_down").isEmpty && node.lines.of("handshake_refused").isEmpty)
    }

    /// Hello, pings both ways, and each other's list of peers in the layout of the dialect.
    private func expectService(
        _ peer: ChildProcess, _ dialect: String, _ node: ChildProcess, _ identity: String
    ) async throws {
        let hello = try await peer.waitFor("hello")
        #expect(hello["agent"].hasPrefix("peernode/") && hello["version"] == "1", "\(hello.text)")
        try await peer.waitUntil("pings of the node") { $0.of("ping").count >= 3 }
        #expect(peer.lines.of("ping").allSatisfy { abs($0.record.int("offset") ?? 9) <= 1 && $0["octets"] == "0" })
        try await node.waitUntil("pings of \(peer.name)") { lines in
            lines.count { $0.has(["event": "message_received", "type": "Ping", "peer": identity]) } >= 3
        }
        let layout = dialect == "text" ? "text-two-counts" : "reference"
        #expect(try await peer.waitFor("peer_res")["layout"] == layout)
        try await peer.waitFor("peer_req")
        let exchange = try await node.waitFor("peer_exchange") { $0["peer"] == identity }
        #expect(exchange.record.int("received") != nil)
    }

    @Test(arguments: ["reference", "text"]) func `a peer that only a neighbour knew is found and dialled`(
        dialect: String
    ) async throws {
        let (teller, told) = (Loopback.next(), Loopback.next())
        let port = NodeHome.port
        let stranger = try Python.peer("--listen", "\(told):\(port)", "--dialect", dialect, name: "stranger")
        let identity = try await identity(stranger)
        let neighbour = try Python.peer(
            "--listen", "\(teller):\(port)", "--dialect", dialect, "--offer", "\(told)@\(identity)", name: "neighbour")
        try await neighbour.waitFor("listening")
        let node = try await NodeHome(ddrp: Self.fast.appending(["seeds": [.string(teller)]])).startListening()
        let exchange = try await node.waitFor("peer_exchange")
        #expect(exchange["received"] == "1" && exchange["new"] == "1", "\(exchange.text)")
        let up = try await node.waitFor("peer_up") { $0["peer"] == identity }
        #expect(up.has(["address": "\(told):\(port)", "dialect": dialect, "direction": "outbound"]), "\(up.text)")
    }

    @Test(arguments: ["reference", "text-two-counts", "text-one-count"])
    func `each layout of a list of peers is read in either dialect`(layout: String) async throws {
        for dialect in ["reference", "text"] {
            let teller = Loopback.next()
            let offers = (1...3).map { "\(Loopback.next())@\(String(repeating: "\($0)7", count: 32))" }
            let neighbour = try Python.start(
                "ddrp_peer.py",
                [
                    "--seconds", "200", "--listen", "\(teller):\(NodeHome.port)", "--dialect", dialect, "--layout",
                    layout,
                ]
                    + offers.flatMap { ["--offer", $0] }, name: "neighbour")
            try await neighbour.waitFor("listening")
            let node = try await NodeHome(ddrp: ["seeds": [.string(teller)]]).startListening()
            let exchange = try await node.waitFor("peer_exchange")
            #expect(exchange["received"] == "3" && exchange["new"] == "3", "\(dialect): \(exchange.text)")
            #expect(node.lines.of("peer_down").isEmpty)
        }
    }

    @Test func `a node that speaks one dialect only refuses the other`() async throws {
        for (ours, theirs) in [("reference", "text"), ("text", "reference")] {
            let home = try NodeHome(ddrp: ["dialect": .string(ours)])
            let node = try await home.startListening()
            let source = Loopback.next()
            let other = try Python.peer("--dial", home.address, "--bind", source, "--dialect", theirs)
            let refused = try await node.waitFor("handshake_refused")
            #expect(refused.has(["step": "hello", "role": "responder"]), "\(refused.text)")
            try await other.waitFor("closed")
            let same = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--dialect", ours)
            try await same.waitFor("link_up")
            try await node.waitFor("peer_up")
            #expect(node.lines.of("peer_up").map { $0["dialect"] } == [ours])
        }
    }
}
