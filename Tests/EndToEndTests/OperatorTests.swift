import Foundation
import PeerCore
import TestSupport
import Testing

/// The operator's commands and a running node (program, sections 1 and 5).
@Suite(.fewAtOnce) struct OperatorTests {
    /// Two nodes, of which the second has dialled the first.
    private struct Pair {
        let home: NodeHome
        let node: ChildProcess
        let otherHome: NodeHome
        let other: ChildProcess
        let otherID: String

        init() async throws {
            home = try NodeHome(name: "first")
            node = try await home.startListening()
            otherHome = try NodeHome(ddrp: ["seeds": [.string(home.host)]], name: "second")
            other = try otherHome.start()
            try await other.waitFor("peer_up")
            otherID = try await node.waitFor("peer_up")["peer"]
        }

        /// Runs a command at the first node that succeeds.
        func command(_ words: String...) async throws -> CommandResult {
            let result = try await home.command(words)
            #expect(result.exit == .status(0), "\(words): \(result.complaints)")
            return result
        }

        /// Runs one that is answered with no, and why.
        func refusal(_ words: String...) async throws -> String {
            let result = try await home.command(words)
            #expect(result.exit == .status(1), "\(words): \(result.text)")
            #expect(result.complaints.hasPrefix("peernode: "))
            return result.complaints
        }
    }

    @Test func `status is one screen, JSON, or an exit code`() async throws {
        let pair = try await Pair()
        let started = try #require(pair.node.lines.first)
        let screen = try await pair.command("status").text
        for word in [started["peer"], started["pid"], "ddrp", "ready", pair.home.configuration] {
            #expect(screen.contains(word), "\(word) in \(screen)")
        }
        let json = try await pair.command("status", "--json")
        #expect(json.lines.count == 1 && json.text.hasPrefix(#"{"peer":"\#(started["peer"])""#))
        #expect(json.lines[0]["ready"] == "true" && json.lines[0]["pid"] == started["pid"])
        let check = try await pair.command("status", "--check")
        #expect(check.text.isEmpty && check.complaints.isEmpty)
    }

    @Test func `a node without peers is not ready after a minute, and says why`() async throws {
        let home = try NodeHome(["log": .record(["heartbeatSeconds": 1])])
        let node = try await home.startListening()
        #expect(try await home.command(["status", "--check"]).exit == .status(0))
        try await node.waitFor("heartbeat", within: .seconds(70)) { $0.record.int("uptimeSeconds") ?? 0 >= 60 }
        let check = try await home.command(["status", "--check"])
        #expect(check.exit == .status(1) && check.complaints.contains("no peers"), "\(check.complaints)")
    }

    @Test func `peers are listed, pinged, disconnected and connected again`() async throws {
        let pair = try await Pair()
        let peers = try await pair.command("peers", "--json")
        #expect(peers.lines.count == 1 && peers.text.hasPrefix(#"{"peer":"\#(pair.otherID)""#), "\(peers.text)")
        #expect(peers.lines[0].has(["direction": "inbound", "dialect": "reference", "protocol": "ddrp"]))
        #expect(try await pair.command("peers").text.contains(pair.otherID.prefix(8)))
        let book = try await pair.command("peers", "--all", "--json")
        #expect(book.lines.map { $0["listens"] } == [pair.otherHome.address])

        for name in [pair.otherID, String(pair.otherID.prefix(8)), pair.otherHome.host] {
            let ping = try await pair.command("ping", name, "--json")
            #expect(ping.lines.first?["peer"] == pair.otherID)
            #expect((ping.lines.first?.record.double("handshakeSeconds") ?? -1) >= 0)
        }
        _ = try await pair.refusal("ping", "0000000000")

        _ = try await pair.command("disconnect", pair.otherID)
        let down = try await pair.node.waitFor("peer_down")
        #expect(down.has(["peer": pair.otherID, "reason": "operator"]))
        _ = try await pair.refusal("disconnect", pair.otherID)

        let row = try await pair.command("connect", pair.otherHome.host, "--json")
        #expect(row.lines.first?["peer"] == pair.otherID, "\(row.text)")
        _ = try await pair.refusal("connect", pair.home.host)
        let nobody = try await pair.refusal("connect", Loopback.next())
        #expect(nobody.contains("refused"), "\(nobody)")
        #expect(try await pair.home.command(["connect", "nowhere:0:0"]).exit == .status(1))
    }

    @Test func `a banned peer is gone and stays away until the ban is lifted`() async throws {
        let pair = try await Pair()
        _ = try await pair.command("ban", pair.otherID, "--for", "1h", "--reason", "for a test")
        let banned = try await pair.node.waitFor("banned")
        #expect(banned["prefix"] == pair.otherHome.host)
        #expect(try await pair.node.waitFor("peer_down")["reason"] == "banned")
        try await pair.other.waitFor("peer_down")
        try await pair.other.waitFor("dial_failed")

        let bans = try await pair.command("bans", "--json").lines
        #expect(bans.map { $0["prefix"] } == [banned["prefix"]] && bans.first?["reason"] == "for a test")
        let seconds = bans.first?.record.double("seconds") ?? 0
        #expect(seconds > 3500 && seconds <= 3600)

        _ = try await pair.command("unban", pair.otherHome.host)
        try await pair.node.waitFor("unbanned")
        #expect(try await pair.command("bans").text == "no bans")
        _ = try await pair.refusal("unban", pair.otherHome.host)
        let again = try await pair.node.waitFor("peer_up", after: banned)
        #expect(again.has(["peer": pair.otherID, "direction": "outbound"]), "\(again.text)")
    }

    @Test func `a banned address is not dialled, and one whose ban has ended is`() async throws {
        let pair = try await Pair()
        _ = try await pair.command("ban", pair.otherHome.host + "/31", "--for", "3s")
        let banned = try await pair.node.waitFor("banned")
        #expect(try await pair.refusal("connect", pair.otherHome.host).contains("banned"))
        let again = try await pair.node.waitFor("peer_up", after: banned)
        let seconds = again.time.timeIntervalSince(banned.time)
        #expect(seconds >= 2.9, "\(seconds) s")
    }

    @Test func `bans and the book are the same after a restart`() async throws {
        let pair = try await Pair()
        for block in ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"] { _ = try await pair.command("ban", block) }
        let bans = try await pair.command("bans", "--json").lines.map { $0["prefix"] }
        #expect(Set(bans) == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"])
        pair.node.signal(SIGTERM)
        #expect(try await pair.node.waitForExit() == .status(0))
        pair.other.signal(SIGKILL)
        let node = try await pair.home.startListening()
        #expect(try await pair.command("bans", "--json").lines.map { $0["prefix"] } == bans)
        let book = try await pair.command("peers", "--all", "--json")
        #expect(book.lines.map { $0["peer"] } == [pair.otherID])
        withExtendedLifetime(node) {}
    }

    @Test func `events are told from memory and then as they happen`() async throws {
        let pair = try await Pair()
        let past = try await pair.command("events", "--json", "--event", "peer_up", "--event", "started")
        #expect(past.lines.map(\.event) == ["started", "peer_up"])
        #expect(
            past.lines.map(\.text) == pair.node.lines.filter { ["started", "peer_up"].contains($0.event) }.map(\.text))
        #expect(try await pair.command("events").text.contains("peer_up"))

        let follower = try ChildProcess(
            Program.path, ["events", "--follow", "--json", "--event", "peer_down", "-c", pair.home.configuration],
            name: "events --follow")
        let all = try ChildProcess(
            Program.path, ["events", "--follow", "--json", "-c", pair.home.configuration], name: "events --follow")
        try await all.waitFor("peer_up")
        _ = try await pair.command("disconnect", pair.otherID)
        #expect(try await follower.waitFor("peer_down")["peer"] == pair.otherID)
        #expect(try await all.waitFor("peer_down")["peer"] == pair.otherID)
        #expect(follower.lines.count == 1)
        for process in [follower, all] {
            process.signal(SIGINT)
            #expect(try await process.waitForExit() != .status(69))
        }
        #expect(try await pair.command("status", "--check").exit == .status(0))
    }

    @Test func `a follower hears when the node ends`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        let follower = try ChildProcess(
            Program.path, ["events", "--follow", "--json", "-c", home.configuration], name: "events --follow")
        try await follower.waitFor("listening")
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        try await follower.waitForExit()
        #expect(follower.complaints.contains("the node stops"), "\(follower.complaints)")
        #expect(follower.lines.contains { $0.event == "stopping" })
    }

    @Test func `a log level is changed live and goes back by itself`() async throws {
        let pair = try await Pair()
        _ = try await pair.command("log-level", "ddrp", "trace", "--for", "1s")
        let set = try await pair.node.waitFor("log_level")
        #expect(set.has(["category": "ddrp", "to": "trace"]))
        // A second change in the meantime does not make the first one last.
        _ = try await pair.command("log-level", "ddrp", "debug", "--for", "1s")
        let back = try await pair.node.waitFor("log_level", after: set) { $0["to"] == "info" }
        #expect(back.time.timeIntervalSince(set.time) >= 1)
        _ = try await pair.command("log-level", "ddrp", "error")
        _ = try await pair.command("disconnect", pair.otherID)
        _ = try await pair.command("log-level", "ddrp", "info")
        #expect(pair.node.lines.of("peer_down").isEmpty)
        _ = try await pair.refusal("log-level", "ddrp", "loud")
        _ = try await pair.refusal("log-level", "everything", "info")
    }

    @Test func `the socket belongs to the user alone and outlives what is no request`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        let path = home.state("admin.sock")
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let inputs: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), Array("{}\n[]\nnull\n".utf8), Array(repeating: 0, count: 100_000),
            Array(#"{"command":"ddrp.peers","arguments":7}"#.utf8) + [10], Array(repeating: 0x5b, count: 60_000) + [10],
        ]
        for octets in inputs {
            let socket = try RawSocket.connection(to: path)
            socket.send(octets)
            var answer: [UInt8] = []
            try await eventually("an answer to \(octets.prefix(20))") {
                answer += socket.receive() ?? []
                return answer.last == UInt8(ascii: "\n")
            }
            #expect(String(decoding: answer, as: UTF8.self).contains(#""error":"#))
        }
        #expect(try await home.command(["peers", "--json"]).exit == .status(0))
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
