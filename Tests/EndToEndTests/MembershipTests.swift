import Foundation
import PeerCore
import TestSupport
import Testing

/// Twelve nodes on loopback (PIP-5; DDRP sections 10 to 12).
@Suite(.fewAtOnce) struct MembershipTests {
    /// A bootstrap server and nodes that know nothing but its address.
    private struct Network {
        let server: ChildProcess
        let serverAddress: String
        let homes: [NodeHome]
        let nodes: [ChildProcess]

        init(nodes count: Int, ddrp: Record = [:], _ sections: Record = [:]) async throws {
            let host = Loopback.next()
            serverAddress = "\(host):6001"
            var server: Record = sections
            server["bootstrapServer"] = .record(["listen": .string(serverAddress)])
            self.server = try await NodeHome(server, ddrp: nil, name: "bootstrap").startListening()
            var ddrp = ddrp
            ddrp["bootstrapServers"] = [.string(serverAddress)]
            homes = try (1...count).map { try NodeHome(sections, ddrp: ddrp, name: "node \($0)") }
            nodes = try homes.map { try $0.start() }
        }
    }

    @Test func `twelve nodes that know only the bootstrap server have eight peers each within 10 s`() async throws {
        let network = try await Network(nodes: 12)
        for node in network.nodes {
            try await node.waitUntil("eight peers") { $0.peersUp.count >= 8 }
        }
        let begin = network.nodes.compactMap { $0.lines.first?.time }.max() ?? .distantFuture
        for node in network.nodes {
            let lines = node.lines
            let reached = try #require(lines.indices.first { lines[...$0].peersUp.count >= 8 })
            #expect(lines[reached].time.timeIntervalSince(begin) < 10, "\(node.name)")
            let told = lines.of("bootstrap_populated")
            #expect(!told.isEmpty && told.allSatisfy { $0["server"] == network.serverAddress }, "\(node.name)")
            #expect(told.allSatisfy { $0.record.int("entries") != nil && $0.record.int("id") != nil }, "\(node.name)")
            #expect(lines.of("handshake_refused").isEmpty, "\(node.name)")
        }
        // The first to ask hears of nobody; all others hear of somebody.
        let entries = network.nodes.map { $0.lines.of("bootstrap_populated").compactMap { $0.record.int("entries") } }
        #expect(entries.flatMap(\.self).reduce(0, +) >= 12)
    }

    @Test func `a stopped node is missed after 30 s, a killed one at once, and a restarted one is back`() async throws {
        let sections: Record = [
            "log": .record(["categories": .record(["ddrp": "trace"]), "heartbeatSeconds": 1])
        ]
        let network = try await Network(nodes: 12, ddrp: ["targetOutbound": 3], sections)
        // A node that comes late to a full network finds its third peer with the next refill, after 30 s at most.
        for node in network.nodes {
            let ok = try await node.waitFor("peers_ok", within: .seconds(60)) { ($0.record.int("have") ?? 0) >= 3 }
            // Killed before this, it could not remember whom it has found.
            try await node.waitFor("book_saved", after: ok)
        }
        let (stopped, killed) = (network.nodes[0], network.nodes[1])
        let others = Array(network.nodes.dropFirst(2))
        network.server.signal(SIGKILL)

        // The last message before the end was heard by all: nothing of this waits for anything of that.
        // The moments are those before the signals, in the log's milliseconds: others may tell at once.
        let (stop, kill) = (thisMillisecond, thisMillisecond)
        stopped.signal(SIGSTOP)
        killed.signal(SIGKILL)
        try await expectLossSeen(of: killed, by: others, at: kill)
        try await expectReturn(of: network.homes[1], others)
        try await expectSilenceSeen(of: stopped, by: others, at: stop)
    }

    private var thisMillisecond: Date {
        Date(timeIntervalSince1970: (Date().timeIntervalSince1970 * 1000).rounded(.down) / 1000)
    }

    /// Who has a link with the peer at that moment.
    private func neighbours(of peer: String, among nodes: [ChildProcess], at moment: Date) -> [ChildProcess] {
        nodes.filter { $0.lines.prefix { $0.time < moment }.peersUp.contains(peer) }
    }

    private func identity(_ node: ChildProcess) -> String { node.lines.first?["peer"] ?? "" }

    private func expectLossSeen(of killed: ChildProcess, by others: [ChildProcess], at moment: Date) async throws {
        let peer = identity(killed)
        let neighbours = neighbours(of: peer, among: others, at: moment)
        #expect(!neighbours.isEmpty)
        for node in neighbours {
            let down = try await node.waitFor("peer_down") { $0["peer"] == peer && $0.time >= moment }
            #expect(down.time.timeIntervalSince(moment) < 1, "\(node.name)")
            #expect(["reset", "closed_by_peer"].contains(down["reason"]), "\(down.text)")
        }
    }

    /// Started again without any bootstrap server: the peers that it remembers are enough.
    private func expectReturn(of home: NodeHome, _ others: [ChildProcess]) async throws {
        try home.configure(["log": .record(["heartbeatSeconds": 1])], ddrp: ["targetOutbound": 3])
        let node = try home.start()
        let ok = try await node.waitFor("peers_ok") { ($0.record.int("have") ?? 0) >= 3 }
        let begin = try #require(node.lines.first).time
        // Each of a dial's answers may be as late as the slowest of the others is.
        let lateness = (others + [node]).map(lateness).max() ?? 0
        #expect(ok.time.timeIntervalSince(begin) < 5 + 3 * lateness)
        #expect(node.lines.peersUp.isSubset(of: Set(others.map(identity))))
    }

    private func expectSilenceSeen(of stopped: ChildProcess, by others: [ChildProcess], at moment: Date) async throws {
        let peer = identity(stopped)
        let neighbours = neighbours(of: peer, among: others, at: moment)
        #expect(!neighbours.isEmpty)
        for node in neighbours {
            let down = try await node.waitFor("peer_down", within: .seconds(40)) {
                $0["peer"] == peer && $0.time >= moment
            }
            #expect(down["reason"] == "silent", "\(node.name): \(down.text)")
            let lines = node.lines.prefix { $0.number < down.number }
            let heard = try #require(lines.last { $0.has(["event": "message_received", "peer": peer]) } ?? lines.first)
            let silence = down.time.timeIntervalSince(heard.time)
            #expect(silence >= 30 && silence <= 31.5 + lateness(of: node), "\(node.name): \(silence) s")
            // Who is connected with all that have lived all the time has nobody left to dial: the one that was killed
            // rests for a minute after the dial that it refused.
            let isConnectedWithAll = Set(others.map(identity)).isSubset(of: node.lines.peersUp.union([identity(node)]))
            if !isConnectedWithAll { try await expectThreeAgain(node, after: down) }
        }
    }

    /// A link that counted is replaced within 5 s: `peers_low` follows its end at once, then comes `peers_ok`.
    private func expectThreeAgain(_ node: ChildProcess, after down: LogLine) async throws {
        try await node.waitUntil("the next heartbeat") { lines in
            lines.contains { $0.number > down.number && $0.event == "heartbeat" }
        }
        let next = node.lines.first { $0.number > down.number && ["heartbeat", "peers_low"].contains($0.event) }
        guard next?.event == "peers_low" else { return }
        let ok = try await node.waitFor("peers_ok", after: down) { $0.record.int("have") ?? 0 >= 3 }
        #expect(ok.time.timeIntervalSince(down.time) < 5 + 3 * lateness(of: node), "\(node.name)")
    }

    /// By how much the node's own loop was late; peers get that much longer (decision 17).
    private func lateness(of node: ChildProcess) -> Double {
        node.lines.of("heartbeat").compactMap { $0.record.double("lagMaximumSeconds") }.max() ?? 0
    }
}
