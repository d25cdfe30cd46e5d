import Foundation
import PeerCore
import TestSupport
import Testing

/// Server and client of INIT and POPULATE against an independent client and server (gossip sections 5.2 to 5.4).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct BootstrapTests {
    /// One entry of a POPULATE as the client tells it.
    private func entries(_ line: LogLine) -> [String] {
        (line.record.list("entries") ?? []).compactMap { entry in
            guard case .record(let fields) = entry else { return nil }
            return "\(fields.int("id") ?? 0)@\(fields.string("ip") ?? ""):\(fields.int("port") ?? 0)"
        }
    }

    private func client(_ server: String, from place: String, _ options: [String]) async throws -> [LogLine] {
        let client = try Python.start(
            "bootstrap_client.py", ["--server", server, "--bind", place, "--timeout", "10"] + options, name: place)
        #expect(try await client.waitForExit() == .status(0), "\(client.lines.map(\.text))")
        return client.lines.of("populate")
    }

    @Test func `the server tells of those who have proven their address, and of each once`() async throws {
        let address = "\(Loopback.next()):6001"
        let home = try NodeHome(
            ["bootstrapServer": .record(["listen": .string(address)]), "log": .record(["level": "debug"])], ddrp: nil)
        let server = try await home.startListening()
        let first = "\(Loopback.next()):7001"
        let echoed = try await client(address, from: first, ["--echo"])
        #expect(echoed.count == 2 && echoed.allSatisfy { entries($0).isEmpty })
        let identity = try #require(echoed.first).record.int("id")
        #expect(echoed.last?.record.int("id") == identity)

        let second = "\(Loopback.next()):7002"
        let other = try await client(address, from: second, ["--echo", "--degree", "5"])
        #expect(other.map(entries) == Array(repeating: ["\(identity ?? 0)@\(first)"], count: 2))
        #expect(other.first?.record.int("id") != identity)

        // Who does not ask for any hears of none; who comes again is who it was, and hears of the other.
        #expect(try await client(address, from: first, ["--degree", "0"]).map(entries) == [[]])
        let again = try await client(address, from: first, [])
        #expect(again.first?.record.int("id") == identity)
        #expect(again.map(entries) == [["\(other[0].record.int("id") ?? 0)@\(second)"]])
        #expect(server.lines.of("init_refused").isEmpty)
    }

    @Test func `the client proves its address, dials whom it is told of, and says goodbye`() async throws {
        let (place, told) = ("\(Loopback.next()):6001", Loopback.next())
        let stranger = try Python.peer("--listen", "\(told):\(NodeHome.port)", name: "stranger")
        let identity = try await stranger.waitFor("listening")["id"]
        let server = try Python.start(
            "bootstrap_client.py",
            ["--serve", place, "--seconds", "200", "--entry", "77@\(told):\(NodeHome.port)"], name: "server")
        try await server.waitFor("listening")
        let home = try NodeHome(ddrp: ["bootstrapServers": [.string(place)]])
        let node = try home.start()
        try await node.waitFor("peer_up") { $0["peer"] == identity }
        let echo = try await server.waitFor("init") { $0["validated"] == "true" }
        let inits = server.lines.of("init")
        #expect(inits.first?["reserved"] == "0" && echo["reserved"] == inits.first?["id"])
        #expect(inits.allSatisfy { $0["address"] == home.address })
        let populated = try await node.waitFor("bootstrap_populated")
        #expect(populated.has(["server": place, "entries": "1", "id": echo["id"]]), "\(populated.text)")
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        #expect(try await server.waitFor("disconnect")["removed"] == "true")
        #expect(server.lines.of("ignored").isEmpty)
    }

    @Test func `a server that comes late is asked until it answers`() async throws {
        let place = "\(Loopback.next()):6001"
        let home = try NodeHome(["log": .record(["level": "debug"])], ddrp: ["bootstrapServers": [.string(place)]])
        let node = try await home.startListening()
        try await node.waitUntil("three questions") { $0.of("bootstrap_asked").count >= 3 }
        let server = try Python.start("bootstrap_client.py", ["--serve", place, "--seconds", "200"], name: "server")
        try await node.waitFor("bootstrap_populated", within: .seconds(90))
        try await server.waitFor("init")
    }
}
