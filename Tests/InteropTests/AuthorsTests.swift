import Foundation
import PeerCore
import TestSupport
import Testing

/// The dialect `authors-2017` between nodes and peers of another make, which fail loudly where the authors' program
/// would spin for ever: when two messages come together (gossip section 9).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct AuthorsTests {
    /// All peers of such a network have one port; this is the one of `GossipHome`.
    private static let port = 6001

    /// A node of such a network.
    private func home(_ gossip: Record, name: String = "node") throws -> GossipHome {
        let dialect: Record = ["compat": "authors-2017", "heartbeatIntervalSeconds": 1]
        return try GossipHome(dialect.appending(gossip), ["log": .record(["level": "debug"])], name: name)
    }

    /// A peer of another make, which tells its neighbours every second whom it knows.
    private func author(_ host: String, _ options: [String], name: String) async throws -> ChildProcess {
        let peer = try Python.start(
            "gossip_authors.py",
            ["--listen", "\(host):\(Self.port)", "--interval", "1", "--seconds", "200"] + options, name: name)
        try await peer.waitFor("listening")
        return peer
    }

    /// Prints so many items of type 1337 that come to the node, and ends.
    private func subscriber(_ home: GossipHome, _ node: ChildProcess, count: Int) async throws -> ChildProcess {
        let subscriber = try ChildProcess(
            Program.path, ["subscribe", "--config", home.home.configuration, "--json", "--count", "\(count)", "1337"],
            name: "subscriber of \(node.name)")
        try await node.waitFor("subscribed") { $0["type"] == "1337" }
        return subscriber
    }

    private func publish(_ home: GossipHome, _ words: String...) async throws {
        let result = try await home.home.command(["publish", "1337"] + words)
        #expect(result.exit == .status(0), "\(result.complaints)")
    }

    /// Announces `first`, `first` + 1 … as fast as the node takes it.
    private func publish(_ home: GossipHome, _ numbers: Range<Int>) async throws {
        let source = "seq \(numbers.lowerBound) \(numbers.upperBound - 1)"
        let publisher = try ChildProcess(
            "/bin/sh",
            ["-c", "\(source) | \"$0\" publish --config \"$1\" --lines 1337", Program.path, home.home.configuration],
            name: "publisher")
        #expect(try await publisher.waitForExit() == .status(0), "\(publisher.complaints)")
    }

    /// What it printed, long items by their length.
    private func texts(_ subscriber: ChildProcess) -> [String] {
        subscriber.lines.map { $0["text"].count > 64 ? "\($0["text"].count) characters" : $0["text"] }
    }

    private func hex(_ text: String) -> String {
        text.utf8.prefix(64).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// Nothing that the authors' program does not survive.
    private func expectContent(_ peers: [ChildProcess]) {
        for peer in peers {
            let lines = peer.lines.filter { ["coalesced", "refused", "failed"].contains($0.event) }
            #expect(lines.isEmpty, "\(peer.name): \(lines.map(\.text))")
        }
    }

    @Test func `items go both ways, all of them, in order, one message at a time`() async throws {
        let hosts = (0..<3).map { _ in Loopback.next() }
        // The node is told of the first one; of the second the first one tells.
        let known = try await author(hosts[1], ["--keep", "--until-items", "106"], name: "told of")
        let teller = try await author(
            hosts[0], ["--keep", "--until-items", "106", "--dial", hosts[1]], name: "told to the node")
        let home = try home(["peers": [.string("\(hosts[0]):\(Self.port)")]])
        let node = try await home.startListening()
        for host in hosts.prefix(2) {
            let up = try await node.waitFor("peer_up") { $0["peer"] == host }
            #expect(up.has(["protocol": "gossip", "agent": "authors-2017"]), "\(up.text)")
        }
        let subscriber = try await subscriber(home, node, count: 108)

        let announced = ["0:1337:no limit", "5:1337:five hops", "1:1337:one hop"]
        let caller = try await author(
            hosts[2],
            ["--keep", "--until-items", "104", "--dial", home.home.host] + announced.flatMap { ["--announce", $0] },
            name: "dials the node")
        try await node.waitFor("peer_up") { $0["peer"] == hosts[2] }
        for peer in [known, teller] { try await peer.waitUntil("two items") { $0.of("item").count >= 2 } }
        try await subscriber.waitUntil("three items") { $0.count >= 3 }

        let largest = String(repeating: "x", count: 32_759)
        try await publish(home, 0..<100)
        // The order of what different programs announce is nobody's promise.
        try await caller.waitUntil("a hundred items") { $0.of("item").count >= 100 }
        try await publish(home, "--ttl", "200", largest)
        try await publish(home, largest + "x")
        try await publish(home, "--ttl", "1", "to neighbours")
        try await publish(home, "--ttl", "127", "far")
        try await publish(home, "last")

        let own =
            (0..<100).map { "0 \(hex("\($0)"))" }
            + ["127 \(hex(largest))", "1 \(hex("to neighbours"))", "127 \(hex("far"))", "0 \(hex("last"))"]
        let passedOn = ["0 \(hex("no limit"))", "4 \(hex("five hops"))"]
        for (peer, expected) in [(caller, own), (teller, passedOn + own), (known, passedOn + own)] {
            #expect(try await peer.waitForExit(within: .seconds(60)) == .status(0), "\(peer.name)")
            let items = peer.lines.of("item")
            #expect(items.map { "\($0["ttl"]) \($0["hex"])" } == expected, "\(peer.name)")
            #expect(items.allSatisfy { $0["address"] == home.home.host && $0["reserved"] == "0" }, "\(peer.name)")
        }
        expectContent([known, teller, caller])
        #expect(try await subscriber.waitForExit() == .status(0))
        let heard = ["no limit", "five hops", "one hop"] + (0..<100).map(String.init)
        #expect(texts(subscriber) == heard + ["32759 characters", "32760 characters", "to neighbours", "far", "last"])
    }

    @Test func `nodes find each other by a bootstrap server of another make`() async throws {
        let server = "\(Loopback.next()):6000"
        let list = try Python.start("gossip_authors.py", ["--serve", server, "--seconds", "200"], name: "server")
        try await list.waitFor("listening")
        let host = Loopback.next()
        let peer = try await author(host, ["--keep", "--bootstrap", server], name: "peer")
        try await list.waitFor("hello") { $0["body"] == host }
        let homes = try (1...2).map { try home(["bootstrap": [.string(server)]], name: "node \($0)") }
        var nodes: [ChildProcess] = []
        for home in homes { nodes.append(try await home.startListening()) }
        for (home, node) in zip(homes, nodes) {
            // It says who it is, as the server sees it, and finds whoever came before.
            let hello = try await list.waitFor("hello") { $0["body"] == home.home.host }
            #expect(hello["address"] == home.p2p, "\(hello.text)")
            for other in [host] + homes.map(\.home.host) where other != home.home.host {
                try await node.waitFor("peer_up") { $0["peer"] == other }
            }
            // All that the node knows, the receiver included.
            try await peer.waitFor("peer_list") { line in
                let hosts = Set(line.record.list("hosts") ?? [])
                let others = ([host] + homes.map(\.home.host)).filter { $0 != home.home.host }
                return line["address"] == home.home.host && hosts.isSuperset(of: others.map { .string($0) })
            }
        }
        let subscriber = try await subscriber(homes[1], nodes[1], count: 40)
        try await publish(homes[0], 0..<40)
        #expect(try await subscriber.waitForExit(within: .seconds(60)) == .status(0))
        #expect(texts(subscriber) == (0..<40).map(String.init))
        try await peer.waitUntil("all items") { lines in
            let items = lines.of("item").filter { $0["address"] == homes[0].home.host }
            return items.map { $0["hex"] } == (0..<40).map { hex("\($0)") }
        }
        expectContent([list, peer])
        for node in nodes {
            node.signal(SIGTERM)
            #expect(try await node.waitForExit() == .status(0))
        }
    }

    @Test func `a peer of another make passes items on from node to node, and refuses a third neighbour`() async throws
    {
        let host = Loopback.next()
        // With one neighbour each has enough, so that they do not come together.
        let homes = [
            try home(["degree": 1], name: "node 1"),
            try home(["degree": 1, "peers": [.string("\(host):\(Self.port)")]], name: "node 2"),
        ]
        var nodes = [try await homes[0].startListening()]
        var subscribers = [try await subscriber(homes[0], nodes[0], count: 5)]
        let middle = try await author(
            host,
            ["--max-connections", "2", "--dial", homes[0].home.host, "--announce", "1:1337:from the middle"],
            name: "middle")
        try await middle.waitFor("link_up") { $0["address"] == homes[0].home.host }
        nodes.append(try await homes[1].startListening())
        subscribers.append(try await subscriber(homes[1], nodes[1], count: 4))
        try await middle.waitFor("link_up") { $0["address"] == homes[1].home.host }
        for node in nodes { try await node.waitFor("peer_up") { $0["peer"] == host } }
        let other = try await author(Loopback.next(), ["--dial", host], name: "one too many")
        try await middle.waitFor("full")
        try await other.waitFor("closed") { $0["address"] == host }

        try await publish(homes[0], "--ttl", "1", "near")
        try await publish(homes[0], "--ttl", "3", "there")
        try await middle.waitUntil("two items") { $0.of("item").count >= 2 }
        try await subscribers[1].waitUntil("an item") { $0.count >= 1 }
        try await publish(homes[1], "and back")
        try await publish(homes[1], "at home", "--ttl", "1")
        try await subscribers[0].waitUntil("the answer") { $0.count >= 4 }
        try await middle.waitUntil("four items") { $0.of("item").count >= 4 }
        try await publish(homes[0], "last")
        for subscriber in subscribers {
            #expect(try await subscriber.waitForExit() == .status(0), "\(subscriber.name)")
        }
        #expect(Set(texts(subscribers[0])) == ["from the middle", "near", "there", "and back", "last"])
        #expect(texts(subscribers[1]) == ["there", "and back", "at home", "last"])
        let items = middle.lines.of("item").map { "\($0["ttl"]) \($0["hex"])" }
        let expected = [(1, "near"), (3, "there"), (0, "and back"), (1, "at home"), (0, "last")]
        #expect(items == expected.map { "\($0) \(hex($1))" })
        expectContent([middle, other])
        for node in nodes { #expect(node.lines.of("peer_up").map { $0["peer"] } == [host], "\(node.name)") }
    }
}
