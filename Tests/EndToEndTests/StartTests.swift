import Foundation
import PeerCore
import TestSupport
import Testing

/// What keeps the program from starting: exit codes, and messages that say what, where, and what to do next (program,
/// sections 1, 2 and 3).
@Suite(.fewAtOnce) struct StartTests {
    @Test func `a wrong configuration ends it with 78 and all problems at once`() async throws {
        let home = try NodeHome()
        try home.write(
            """
            {"dataDirectory": "\(home.folder)/data", "log": {"level": "loud"},
             "ddrp": {"listen": "\(home.address)", "pingInterval": 5, "maxInbound": -1, "seeds": "none"}}
            """)
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(78))
        #expect(node.lines.isEmpty)
        for word in ["/log/level", "pingIntervalSeconds", "/ddrp/maxInbound", "/ddrp/seeds", "peernode.json:2:"] {
            #expect(node.complaints.contains(word), "\(word) in \(node.complaints)")
        }
        #expect(!FileManager.default.fileExists(atPath: home.folder + "/data"))
        #expect(try await home.command(["check-config"]).exit == .status(78))
    }

    @Test func `a file that is not there, or no JSON, ends it with 78 and names it`() async throws {
        let home = try NodeHome()
        try home.write("{\"ddrp\": ")
        #expect(try await home.start().waitForExit() == .status(78))
        try FileManager.default.removeItem(atPath: home.configuration)
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(78))
        #expect(node.complaints.contains(home.configuration))
    }

    @Test func `a wrong command line ends it with 64`() async throws {
        let home = try NodeHome()
        for words in [
            ["run", "--fast"], ["fly"], ["peers", "--protocol"], ["connect"], ["ban", "1.2.3.4", "--for", "x"],
            ["run", "other.json"], ["status", "extra"], ["-c", "x", "status"],
        ] {
            let result = try await home.command(words)
            #expect(result.exit == .status(64), "\(words): \(result.complaints)")
            #expect(result.complaints.hasPrefix("peernode: "))
        }
    }

    @Test func `a second node on the same folder ends with 69 and names the process of the first`() async throws {
        let home = try NodeHome()
        let first = try await home.startListening()
        let second = try home.start()
        #expect(try await second.waitForExit() == .status(69))
        #expect(second.complaints.contains("process \(first.identifier)"), "\(second.complaints)")
        first.signal(SIGKILL)
        try await first.waitForExit()
        let third = try await home.startListening()
        #expect(third.lines.of("listening").map { $0["listener"] }.sorted() == ["admin", "ddrp"])
    }

    @Test func `a port that is taken ends it with 69 and says what to do`() async throws {
        let home = try NodeHome()
        let other = try RawSocket.listener(on: home.host, port: NodeHome.port)
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(69))
        #expect(node.complaints.contains("in use"), "\(node.complaints)")
        #expect(node.lines.of("listen_failed").map { $0["address"] } == [home.address])
        #expect(node.lines.last?["reason"] == "cannot_listen")
        withExtendedLifetime(other) {}
    }

    @Test func `an identity that others can read, or that is none, is refused and stays`() async throws {
        let home = try NodeHome()
        try await run(home)
        let path = home.state("identity")
        let secret = try Data(contentsOf: URL(filePath: path))
        #expect(secret.count == 32)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)

        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        let exposed = try home.start()
        #expect(try await exposed.waitForExit() == .status(77))
        #expect(exposed.complaints.contains("chmod 600"), "\(exposed.complaints)")
        #expect(try Data(contentsOf: URL(filePath: path)) == secret)

        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        try Data(secret.prefix(31)).write(to: URL(filePath: path))
        let damaged = try home.start()
        #expect(try await damaged.waitForExit() == .status(74))
        #expect(damaged.complaints.contains("identity"))
        #expect(try Data(contentsOf: URL(filePath: path)).count == 31)
    }

    @Test func `a damaged state file is set aside with one warning, and the node starts`() async throws {
        let home = try NodeHome(ddrp: ["seeds": [.string(Loopback.next())]])
        try await run(home, until: "book_saved")
        let path = home.state("peernode.sqlite")
        let sound = try Data(contentsOf: URL(filePath: path))
        var scratched = sound
        scratched.replaceSubrange(4096..<8192, with: Data(repeating: 0xa5, count: 4096))
        for damaged in [Data("this is no database, and never was".utf8), scratched, sound.prefix(5000)] {
            try damaged.write(to: URL(filePath: path))
            let node = try await run(home, until: "book_saved")
            let warnings = node.lines.filter { $0["level"] == "warn" && $0["cat"] == "node" }
            #expect(warnings.map(\.event) == ["state_set_aside"])
            let aside = try #require(warnings.first)["file"]
            #expect(try Data(contentsOf: URL(filePath: aside)) == damaged)
            try FileManager.default.removeItem(atPath: aside)
        }
        let node = try await run(home)
        #expect(node.lines.of("state_set_aside").isEmpty)
    }

    @Test func `the state of a newer program is refused and left as it is`() async throws {
        let home = try NodeHome()
        try await run(home)
        let path = home.state("peernode.sqlite")
        var file = try Data(contentsOf: URL(filePath: path))
        // The format number `user_version`, octets 60 to 63 of a SQLite file (sqlite.org/fileformat2.html, 1.3).
        file.replaceSubrange(60..<64, with: [0, 0, 0, 99])
        try file.write(to: URL(filePath: path))
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(74))
        #expect(node.complaints.contains("format 99"), "\(node.complaints)")
        #expect(try Data(contentsOf: URL(filePath: path)) == file)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: home.folder + "/data").count { $0.contains("damaged") }
                == 0)
    }

    @Test func `commands to a node that is not running end with 69`() async throws {
        let home = try NodeHome()
        for words in [["status", "--check"], ["peers", "--json"], ["bans"]] {
            let result = try await home.command(words)
            #expect(result.exit == .status(69))
            #expect(result.complaints.contains("admin.sock"), "\(result.complaints)")
        }
    }

    @Test func `an identity is made once, shown, and replaced only by force while no node runs`() async throws {
        let home = try NodeHome()
        #expect(try await home.command(["id"]).exit == .status(1))
        let made = try await home.command(["keygen"])
        #expect(made.exit == .status(0) && made.text.contains(/^[0-9a-f]{64}$/), "\(made.text)")
        let again = try await home.command(["keygen"])
        #expect(again.exit == .status(1) && again.complaints.contains("--force"), "\(again.complaints)")
        #expect(try await home.command(["id"]).lines.first?.text == made.text)
        let node = try await home.startListening()
        #expect(node.lines.first?["peer"] == made.text)
        #expect(try await home.command(["keygen", "--force"]).exit == .status(69))
        node.signal(SIGTERM)
        try await node.waitForExit()
        let forced = try await home.command(["keygen", "--force"])
        #expect(forced.exit == .status(0) && forced.text != made.text)
        #expect(try await home.command(["id"]).lines.first?.text == forced.text)
    }

    @Test func `settings come from the file, the environment and the defaults, and the program says which`()
        async throws
    {
        let home = try NodeHome(ddrp: ["targetOutbound": 5])
        let result = try await home.command(["check-config", "--effective", "--json"])
        #expect(result.exit == .status(0))
        let settings = Dictionary(result.lines.map { ($0["key"], $0) }) { $1 }
        #expect(settings["/ddrp/targetOutbound"]?.has(["value": "5", "origin": "file"]) == true)
        #expect(settings["/ddrp/pingIntervalSeconds"]?.has(["value": "5", "origin": "default"]) == true)
        let node = try home.start(environment: ["PEERNODE__log__level": "debug", "PEERNODE__ddrp__targetOutbound": "4"])
        let low = try await node.waitFor("peers_low")
        #expect(low["want"] == "4")
        #expect(node.lines.contains { $0["level"] == "debug" })
    }

    @Test func `a testbed is a whole network in one process`() async throws {
        let port = 20_000 + Int(ProcessInfo.processInfo.processIdentifier) % 10_000
        let testbed = try ChildProcess(
            Program.path, ["testbed", "--nodes", "12", "--port", "\(port)", "--seconds", "60", "--json"],
            name: "testbed")
        try await testbed.waitFor("testbed_peers", within: .seconds(30)) { ($0.record.int("least") ?? 0) >= 8 }
        testbed.signal(SIGINT)
        #expect(try await testbed.waitForExit() == .status(0))
        #expect(testbed.lines.last?.event == "testbed_stopped")
        let folder = try #require(testbed.lines.of("testbed_started").first)["folder"]
        #expect(!folder.isEmpty && !FileManager.default.fileExists(atPath: folder))
    }

    /// A node that has run and ended in order.
    @discardableResult
    private func run(_ home: NodeHome, until event: String = "listening") async throws -> ChildProcess {
        let node = try home.start()
        try await node.waitFor(event)
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        return node
    }
}
