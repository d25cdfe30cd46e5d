import Foundation
import PeerCore
import TestSupport
import Testing

/// Start, signals and end of the program (program, sections 1, 2, 3 and 6).
@Suite(.fewAtOnce) struct LifeTests {
    @Test func `SIGTERM and SIGINT end the node in order with status 0`() async throws {
        for (number, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")] {
            let node = try await NodeHome().startListening()
            node.signal(number)
            #expect(try await node.waitForExit(within: .seconds(10)) == .status(0))
            #expect(node.lines.suffix(2).map(\.event) == ["stopping", "stopped"])
            #expect(node.lines.suffix(2).allSatisfy { $0["reason"] == name })
        }
    }

    @Test(.enabled(if: Python.isThere)) func `a second signal ends it at once, also when a peer holds it up`()
        async throws
    {
        let home = try NodeHome()
        let node = try await home.startListening()
        let peer = try Python.peer("--dial", home.address, "--bind", Loopback.next())
        try await node.waitFor("peer_up")
        peer.signal(SIGSTOP)
        node.signal(SIGTERM)
        try await node.waitFor("stopping")
        let second = Date()
        node.signal(SIGTERM)
        #expect(try await node.waitForExit(within: .seconds(10)) == .status(0))
        let stopped = try #require(node.lines.last)
        #expect(stopped.event == "stopped")
        #expect(stopped.time.timeIntervalSince(second) < 0.5)
    }

    @Test func `the service manager hears of readiness, reloads and the end`() async throws {
        let home = try NodeHome()
        let path = home.folder + "/notify"
        let manager = try RawSocket.datagrams(at: path)
        let node = try await home.startListening(environment: ["NOTIFY_SOCKET": path])
        node.signal(SIGHUP)
        try await node.waitFor("config_reloaded")
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        let words = manager.receiveTexts().compactMap { $0.split(separator: "\n").first.map(String.init) }
        #expect(words == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"])
    }

    @Test func `the service manager is told in time that the node lives`() async throws {
        let home = try NodeHome(["log": .record(["heartbeatSeconds": 0.1])])
        let path = home.folder + "/notify"
        let manager = try RawSocket.datagrams(at: path)
        let node = try await home.startListening(environment: ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"])
        try await node.waitUntil("ten heartbeats") { $0.of("heartbeat").count >= 10 }
        #expect(manager.receiveTexts().count { $0 == "WATCHDOG=1" } >= 5)
    }

    @Test func `SIGHUP says of each changed setting whether it is applied or needs a restart`() async throws {
        let home = try NodeHome(ddrp: ["targetOutbound": 8])
        let node = try await home.startListening()
        try home.configure(["log": .record(["level": "debug"])], ddrp: ["targetOutbound": 5, "bookCapacity": 5000])
        node.signal(SIGHUP)
        let reloaded = try await node.waitFor("config_reloaded")
        let results = node.lines.of("setting_changed").map { "\($0["setting"]) \($0["result"])" }
        #expect(
            results.sorted() == [
                "/ddrp/bookCapacity needs restart", "/ddrp/targetOutbound applied", "/log/level applied",
            ])
        #expect(reloaded["changed"] == "3")
        #expect(reloaded.record.list("needRestart") == ["/ddrp/bookCapacity"])

        node.signal(SIGHUP)
        let again = try await node.waitFor("config_reloaded", after: reloaded)
        #expect(again["changed"] == "0" && again.record.list("needRestart") == ["/ddrp/bookCapacity"])

        // Changed back, it is what is in force.
        try home.configure(ddrp: ["targetOutbound": 8])
        node.signal(SIGHUP)
        let back = try await node.waitFor("config_reloaded", after: again)
        #expect(back["changed"] == "3" && back.record.list("needRestart") == [])
    }

    @Test func `a level that silences the log is told before it does`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        try home.configure(["log": .record(["level": "warn"])], ddrp: ["bookCapacity": 5000])
        node.signal(SIGHUP)
        try await node.waitFor("config_reloaded")
        #expect(node.lines.of("setting_changed").count == 2)
        #expect(node.lines.of("setting_changed").contains { $0["level"] == "warn" })
    }

    @Test func `a wrong file is refused as a whole at SIGHUP, and the node goes on`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        try home.configure(ddrp: ["targetOutbound": 5, "maxInbound": -1, "pingInterval": 5])
        node.signal(SIGHUP)
        let refused = try await node.waitFor("config_refused")
        let problems = refused.record.list("problems")?.map(\.plain) ?? []
        #expect(problems.count == 2)
        #expect(problems.contains { $0.contains("/ddrp/maxInbound") })
        #expect(problems.contains { $0.contains("pingIntervalSeconds") })
        #expect(node.lines.of("setting_changed").isEmpty)

        try home.configure()
        node.signal(SIGHUP)
        #expect(try await node.waitFor("config_reloaded", after: refused)["changed"] == "0")
    }

    @Test func `SIGUSR1 opens the log file anew`() async throws {
        let home = try NodeHome()
        let file = home.folder + "/node.log"
        try home.configure(["log": .record(["file": .string(file), "heartbeatSeconds": 0.1])])
        let path = home.folder + "/notify"
        let manager = try RawSocket.datagrams(at: path)
        let node = try home.start(environment: ["NOTIFY_SOCKET": path])
        let events = { (file: String) -> [String] in
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").enumerated().map { LogLine(number: $0, text: String($1)).event }
        }
        try await eventually("READY=1") { manager.receive() != nil }
        try FileManager.default.moveItem(atPath: file, toPath: file + ".1")
        node.signal(SIGUSR1)
        try await eventually("a line in the new file") { events(file).contains("log_reopened") }
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        #expect(events(file + ".1").first == "started")
        #expect(events(file).first == "log_reopened")
        #expect(events(file).last == "stopped")
        #expect(node.lines.isEmpty)
    }
}
