import Foundation
import PeerCore
import TestSupport
import Testing

/// The log (program, section 4).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct LogTests {
    @Test func `every line is one JSON object, whatever a peer calls itself`() async throws {
        let home = try NodeHome(
            ["log": .record(["level": "trace", "heartbeatSeconds": 0.1])], ddrp: ["pingIntervalSeconds": 0.2])
        let node = try await home.startListening()
        let agents = [
            "\"},{\\\"", "two\nlines\r\t", "\u{1b}[31mred\u{1b}[0m \u{202e}", "\u{7f}\u{9b}\u{2028}😀", "a b  c",
        ]
        var peers: [ChildProcess] = []
        for agent in agents {
            peers.append(
                try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--agent", agent, "--ping", "0.2"))
        }
        try await node.waitUntil("all peers up") { $0.peersUp.count == agents.count }
        #expect(Set(node.lines.of("peer_up").map { $0["agent"] }) == Set(agents))
        let before = node.lines.count
        try await node.waitUntil("more lines") { $0.count > before + 50 }
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))

        for line in node.lines {
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(line.text.utf8)) }
            #expect(line.text.contains(/^\{"ts":"[^"]+","level":"[a-z]+","cat":"[a-z]+","event":"[a-z_]+"[,}]/))
            #expect(line.text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
            #expect(!line.text.contains("\u{1b}") && !line.text.contains("\u{202e}"))
            #expect(line.time > .distantPast)
            if line.record["msg"] != nil { #expect(line.text.contains(/"msg":"(?:[^"\\]|\\.)*"\}$/)) }
        }
        #expect(node.complaints.isEmpty)
    }

    @Test func `a heartbeat tells how the node is`() async throws {
        let home = try NodeHome(["log": .record(["heartbeatSeconds": 0.2])])
        let node = try await home.startListening()
        let peer = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--ping", "0.2")
        let up = try await node.waitFor("peer_up")
        let beat = try await node.waitFor("heartbeat", after: up)
        let fields = [
            "uptimeSeconds", "ddrpIn", "ddrpOut", "ddrpBook", "lastMessageSeconds", "lagMedianSeconds",
            "lagMaximumSeconds", "descriptors", "rssBytes", "bufferedBytes", "receivedBytes", "sentBytes",
        ]
        for field in fields { #expect(beat.record.double(field) != nil, "\(field) in \(beat.text)") }
        #expect(beat.has(["ddrpIn": "1", "ddrpOut": "0", "ddrpBook": "1"]))
        withExtendedLifetime(peer) {}
    }

    @Test func `a burst of one event from one peer is limited, and the next line says how many were left out`()
        async throws
    {
        let home = try NodeHome()
        let node = try await home.startListening()
        let source = Loopback.next()
        try await eventually("a line that says how many were left out") {
            let socket = try RawSocket.connection(from: source, to: home.host, port: NodeHome.port)
            socket.send("GET / HTTP/1.1\r\n\r\n".utf8)
            return node.lines.contains { $0.record["leftOut"] != nil }
        }
        let lines = node.lines.of("handshake_refused")
        let first = try #require(lines.firstIndex { $0.record["leftOut"] != nil })
        #expect(first >= 20 && (lines[first].record.int("leftOut") ?? 0) > 0)
    }
}
