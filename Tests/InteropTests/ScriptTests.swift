import Foundation
import PeerCore
import TestSupport
import Testing

/// A peer that breaks a rule loses its connection, with one line that says why; one that does something odd but legal
/// keeps it; nobody else notices (DDRP sections 8, 9 and 13 to 15).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct ScriptTests {
    /// What becomes of a peer.
    private enum Outcome {
        /// It stays connected, and tells these events of its own besides.
        case open(telling: [String])
        /// The handshake ends: one line `handshake_refused`.
        case refused(step: String, reasons: [String])
        /// The open connection ends: one line `peer_down`.
        case closed(reasons: [String])
    }

    private struct Case {
        let script: [String]
        let outcome: Outcome

        init(_ script: String, _ outcome: Outcome) {
            self.script = script.split(separator: " ").map(String.init)
            self.outcome = outcome
        }
    }

    /// Those that dial the node.
    private static let initiators = [
        Case("coalesce", .open(telling: ["ping", "peer_res"])),
        Case("unknown-type", .open(telling: ["ping"])),
        Case("unsolicited-peerres", .open(telling: ["ping"])),
        Case("ping-with-body", .open(telling: ["ping"])),
        Case("update-req", .open(telling: ["ping", "nil_update"])),
        Case("silent", .closed(reasons: ["silent"])),
        Case("no-ack", .refused(step: "hello_ack", reasons: ["timeout"])),
        Case("close-after-hello", .refused(step: "hello_ack", reasons: ["closed_by_peer", "reset"])),
        Case("wrong-nonce", .refused(step: "hello_ack", reasons: ["protocol_violation"])),
        Case("bad-signature --at hello", .refused(step: "hello", reasons: ["bad_signature"])),
        Case("bad-signature --at ack", .refused(step: "hello_ack", reasons: ["bad_signature"])),
        Case("bad-signature", .closed(reasons: ["bad_signature"])),
        Case("bad-magic --at hello", .refused(step: "hello", reasons: ["malformed"])),
        Case("bad-magic --at ack", .refused(step: "hello_ack", reasons: ["malformed"])),
        Case("bad-magic", .closed(reasons: ["malformed"])),
        Case("oversize --at hello", .refused(step: "hello", reasons: ["malformed"])),
        Case("oversize --at ack", .refused(step: "hello_ack", reasons: ["malformed"])),
        Case("oversize", .closed(reasons: ["malformed"])),
        Case("stale --skew 3600", .refused(step: "hello", reasons: ["clock"])),
        Case("stale --skew -40", .refused(step: "hello", reasons: ["clock"])),
        Case("stale --skew -40 --at ack", .refused(step: "hello_ack", reasons: ["clock"])),
        Case("stale --skew 40 --at open", .closed(reasons: ["clock"])),
    ]

    /// Those that the node dials.
    private static let responders = [
        Case("coalesce", .open(telling: ["ping", "peer_res"])),
        Case("update-req", .open(telling: ["ping", "nil_update"])),
        Case("no-ack", .refused(step: "hello", reasons: ["timeout"])),
        Case("wrong-nonce", .refused(step: "hello", reasons: ["protocol_violation"])),
        Case("bad-signature --at hello", .refused(step: "hello", reasons: ["bad_signature"])),
        Case("bad-magic --at hello", .refused(step: "hello", reasons: ["malformed"])),
        Case("oversize --at hello", .refused(step: "hello", reasons: ["malformed"])),
        Case("stale --skew 40", .refused(step: "hello", reasons: ["clock"])),
        Case("close-after-hello", .closed(reasons: ["closed_by_peer", "reset"])),
        Case("bad-magic", .closed(reasons: ["malformed"])),
    ]

    /// A silent peer is closed after 3 s here, and the others do not wait 5 s for each ping.
    private static let settings: Record = [
        "pingIntervalSeconds": 0.5, "peerTimeoutSeconds": 3, "maxPendingOutbound": 20, "targetOutbound": 20,
    ]

    /// Alone, since an octet every 2 ms leaves little of the time that a handshake may take.
    @Test(arguments: ["reference", "text"])
    func `envelopes may come one octet at a time`(dialect: String) async throws {
        let dialled = try Running(Case("byte-by-byte", .open(telling: ["ping"])), dialect, dialling: nil)
        try await dialled.peer.waitFor("listening")
        let home = try NodeHome(
            ddrp: Self.settings.appending(["dialect": .string(dialect), "seeds": [.string(dialled.source)]]))
        let node = try await home.startListening()
        try await expect(dialled, node)
        let dialling = try Running(dialled.entry, dialect, dialling: home)
        try await expect(dialling, node)
        expectNothingMore([dialled, dialling], node)
    }

    @Test(arguments: ["reference", "text"])
    func `whoever dials is judged by what it does`(dialect: String) async throws {
        let home = try NodeHome(ddrp: Self.settings)
        let node = try await home.startListening()
        let honest = try await Honest(home, node)
        let cases = Self.initiators.filter { dialect == "reference" || !$0.script.contains("update-req") }
        var running: [Running] = []
        for entry in cases {
            running.append(try Running(entry, dialect, dialling: home))
            // One after the other, so that the start of many programs does not take the time of handshakes.
            try await running.last?.peer.waitFor("connected")
        }
        for one in running { try await expect(one, node) }
        try await honest.expectUntouched()
        expectNothingMore(running, node)
    }

    @Test(arguments: ["reference", "text"])
    func `whom the node dials is judged by what it does`(dialect: String) async throws {
        var running: [Running] = []
        for entry in Self.responders where dialect == "reference" || !entry.script.contains("update-req") {
            running.append(try Running(entry, dialect, dialling: nil))
            try await running.last?.peer.waitFor("listening")
        }
        let seeds = running.map { Record.Value.string($0.source) }
        let home = try NodeHome(ddrp: Self.settings.appending(["dialect": .string(dialect), "seeds": .list(seeds)]))
        let node = try await home.startListening()
        let honest = try await Honest(home, node, dialect: dialect)
        for one in running {
            try await expect(one, node)
            try await expectOneLine(one, node)
        }
        try await honest.expectUntouched()
    }

    /// A seed is dialled again and again, and each refusal is told once before its dial is told to have failed.
    private func expectOneLine(_ one: Running, _ node: ChildProcess) async throws {
        guard case .refused(_, let reasons) = one.entry.outcome else { return }
        let failed = try await node.waitFor("dial_failed") { $0["address"].hasPrefix(one.source + ":") }
        #expect(reasons.contains(failed["reason"]), "\(failed.text)")
        #expect(one.ends(in: node.lines.filter { $0.number < failed.number }).count == 1, "\(one.peer.name)")
    }

    @Test func `the third violation within an hour bans for ten minutes`() async throws {
        let home = try NodeHome(ddrp: Self.settings)
        let node = try await home.startListening()
        let honest = try await Honest(home, node)
        let source = Loopback.next()
        for count in 1...3 {
            let peer = try Python.peer("--dial", home.address, "--bind", source, "--script", "bad-signature")
            let violation = try await node.waitFor("violation") { $0["count"] == "\(count)" }
            #expect(violation.has(["reason": "bad_signature"]) && violation["address"].hasPrefix(source + ":"))
            try await peer.waitFor("closed")
        }
        try await expectBanned(source, for: 600, home, node)
        try await honest.expectUntouched()
    }

    @Test func `a peer that floods is closed and banned for an hour`() async throws {
        let home = try NodeHome(ddrp: Self.settings.appending(["maxEnvelopesPerSecond": 10]))
        let node = try await home.startListening()
        let honest = try await Honest(home, node)
        let source = Loopback.next()
        let peer = try Python.peer("--dial", home.address, "--bind", source, "--ping", "0.03", name: "flooding")
        let down = try await node.waitFor("peer_down")
        #expect(down["reason"] == "flooding" && down["address"].hasPrefix(source + ":"), "\(down.text)")
        #expect((down.record.double("seconds") ?? 0) >= 5)
        try await peer.waitFor("closed")
        try await expectBanned(source, for: 3600, home, node)
        try await honest.expectUntouched()
    }

    private func expectBanned(_ source: String, for seconds: Int, _ home: NodeHome, _ node: ChildProcess) async throws {
        let banned = try await node.waitFor("banned")
        #expect(banned["prefix"] == source)
        let bans = try await home.command(["bans", "--json"]).lines
        let left = bans.first?.record.double("seconds") ?? 0
        #expect(bans.count == 1 && left > Double(seconds) - 10 && left <= Double(seconds), "\(bans.map(\.text))")
        let again = try Python.peer("--dial", home.address, "--bind", source, "--seconds", "5", name: "banned")
        // The reset comes while the dial is under way, or right behind it: the peer says which.
        try await again.waitUntil("closed or not connected") { lines in
            lines.contains { $0.event == "dial_failed" || ($0.event == "closed" && $0["was_open"] == "false") }
        }
        #expect(again.lines.of("hello").isEmpty)
    }

    /// A peer and what is expected of it.
    private struct Running {
        let entry: Case
        let source: String
        let peer: ChildProcess

        /// A peer that dials the node at `home`; nil: one that the node dials.
        init(_ entry: Case, _ dialect: String, dialling home: NodeHome?) throws {
            let source = Loopback.next()
            let place =
                home.map { ["--dial", $0.address, "--bind", source] } ?? ["--listen", "\(source):\(NodeHome.port)"]
            self.entry = entry
            self.source = source
            peer = try Python.start(
                "ddrp_peer.py",
                place + ["--dialect", dialect, "--ping", "0.5", "--seconds", "170", "--script"] + entry.script,
                name: (home == nil ? "dialled " : "dialling ") + entry.script.joined(separator: " "))
        }

        /// Lines that say how a handshake or a connection of this peer ended.
        func ends(in lines: [LogLine]) -> [LogLine] {
            lines.filter { line in
                ["handshake_refused", "peer_down"].contains(line.event) && line["address"].hasPrefix(source + ":")
            }
        }
    }

    /// A neighbour that keeps all rules.
    private struct Honest {
        let node: ChildProcess
        let peer: ChildProcess
        let source: String

        init(_ home: NodeHome, _ node: ChildProcess, dialect: String = "reference") async throws {
            self.node = node
            source = Loopback.next()
            peer = try Python.peer(
                "--dial", home.address, "--bind", source, "--dialect", dialect, "--ping", "0.5", name: "honest")
            try await peer.waitFor("link_up")
        }

        func expectUntouched() async throws {
            let pings = peer.lines.of("ping").count
            try await peer.waitUntil("two more pings") { $0.of("ping").count >= pings + 2 }
            #expect(peer.lines.of("closed").isEmpty)
            #expect(!node.lines.of("peer_down").contains { $0["address"].hasPrefix(source + ":") })
        }
    }

    private func expect(_ one: Running, _ node: ChildProcess) async throws {
        let (source, name) = (one.source + ":", one.peer.name)
        switch one.entry.outcome {
        case .open(let events):
            for event in events { try await one.peer.waitFor(event, within: .seconds(150)) }
            #expect(one.ends(in: node.lines).isEmpty && one.peer.lines.of("closed").isEmpty, "\(name)")
        case .refused(let step, let reasons):
            let line = try await node.waitFor("handshake_refused") { $0["address"].hasPrefix(source) }
            #expect(line["step"] == step && reasons.contains(line["reason"]), "\(name): \(line.text)")
            #expect(!node.lines.of("peer_up").contains { $0["address"].hasPrefix(source) }, "\(name)")
            expectOffset(one, line)
        case .closed(let reasons):
            let line = try await node.waitFor("peer_down") { $0["address"].hasPrefix(source) }
            #expect(reasons.contains(line["reason"]), "\(name): \(line.text)")
            expectOffset(one, line)
            let isViolation = !["silent", "clock", "closed_by_peer", "reset"].contains(line["reason"])
            let violations = node.lines.of("violation").filter { $0["address"].hasPrefix(source) }
            #expect(violations.isEmpty != isViolation, "\(name)")
        }
    }

    /// A clock that is off is told with its offset.
    private func expectOffset(_ one: Running, _ line: LogLine) {
        guard let index = one.entry.script.firstIndex(of: "--skew") else {
            #expect(line.record["clockOffsetSeconds"] == nil, "\(line.text)")
            return
        }
        let skew = Int64(one.entry.script[index + 1]) ?? 0
        #expect(abs((line.record.int("clockOffsetSeconds") ?? 0) - skew) <= 1, "\(line.text)")
    }

    /// One line for each end, no ban for any, and what is open stays open.
    private func expectNothingMore(_ running: [Running], _ node: ChildProcess) {
        for one in running {
            let ends = one.ends(in: node.lines)
            if case .open = one.entry.outcome {
                #expect(ends.isEmpty, "\(one.peer.name)")
            } else {
                #expect(ends.count == 1, "\(one.peer.name): \(ends.map(\.text))")
            }
        }
        #expect(node.lines.of("banned").isEmpty)
    }
}
