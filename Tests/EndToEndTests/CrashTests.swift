import Foundation
import PeerCore
import TestSupport
import Testing

/// The state survives the end of the process at any moment (program, section 3; decision 8).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct CrashTests {
    /// More rounds when there is time for them.
    private static let rounds = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] == nil ? 8 : 50

    /// What the state file holds, read from a copy, so that the node itself has to recover the original.
    private static let reader = """
        import json, shutil, sqlite3, sys, tempfile
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("", "-wal"):
                try: shutil.copy(sys.argv[1] + suffix, folder + "/copy" + suffix)
                except FileNotFoundError: pass
            base = sqlite3.connect(folder + "/copy")
            there = [name for name, in base.execute("SELECT name FROM sqlite_master")]
            for table in ("bans", "ddrp_book"):
                keys = [key for key, in base.execute(f"SELECT key FROM {table}")] if table in there else []
                print(json.dumps({"event": table, "keys": keys}))
        """

    @Test func `nothing that was logged as saved is missing after the node was killed at any moment`() async throws {
        let home = try NodeHome()
        var banned: Set<String> = []
        var known: Int64 = 0
        for round in 1...Self.rounds {
            let node = try await killedNode(home, round)
            #expect(try await node.waitForExit() == .signal(SIGKILL), "round \(round): \(node.complaints)")
            #expect(node.lines.of("state_set_aside").isEmpty, "round \(round)")
            banned.formUnion(node.lines.of("banned").map { $0["prefix"] })
            known = max(known, node.lines.of("book_saved").compactMap { $0.record.int("known") }.max() ?? 0)
            let (bans, book) = try await rows(home)
            #expect(banned.isSubset(of: bans), "round \(round): \(banned.subtracting(bans)) missing")
            #expect(Int64(book.count) >= known, "round \(round): \(book.count) of \(known) rows")
        }
        #expect(!banned.isEmpty && known > 0)
        try await expectCommandsAgree(home, banned, known)
    }

    /// A node that learns of a hundred new addresses and sets many bans, and is killed somewhere on the way.
    private func killedNode(_ home: NodeHome, _ round: Int) async throws -> ChildProcess {
        let teller = Loopback.next()
        let offers = (0..<100).flatMap { number in
            ["--offer", "127.9.\(round).\(number)@" + String(repeating: "\(100 + number)0", count: 16)]
        }
        let peer = try Python.start(
            "ddrp_peer.py", ["--seconds", "200", "--listen", "\(teller):\(NodeHome.port)"] + offers, name: "teller")
        try await peer.waitFor("listening")
        try home.configure(ddrp: ["seeds": [.string(teller)]])
        let node = try home.start()
        try await node.waitFor("listening") { $0["cat"] == "admin" }
        let client = try RawSocket.connection(to: home.state("admin.sock"))
        // A ban every few milliseconds, so that there is always one on its way to the disk.
        let end = ContinuousClock.now + .milliseconds(.random(in: 0...900))
        var number = 0
        repeat {
            number += 1
            let block = "10.\(round).\(number & 0xff).\(number >> 8)"
            client.send(#"{"command":"node.ban","arguments":{"peer":"\#(block)"}}"#.utf8 + [10])
            try await Task.sleep(for: .milliseconds(3))
        } while ContinuousClock.now < end
        node.signal(SIGKILL)
        return node
    }

    private func rows(_ home: NodeHome) async throws -> (bans: Set<String>, book: [String]) {
        let reader = try ChildProcess(
            "/usr/bin/env", ["python3", "-c", Self.reader, home.state("peernode.sqlite")], name: "reader")
        #expect(try await reader.waitForExit() == .status(0), "\(reader.complaints)")
        let keys = { (table: String) in reader.lines.of(table).first?.record.list("keys")?.map(\.plain) ?? [] }
        return (Set(keys("bans")), keys("ddrp_book"))
    }

    /// After the last round the node starts once more, and its own commands know all of it.
    private func expectCommandsAgree(_ home: NodeHome, _ banned: Set<String>, _ known: Int64) async throws {
        try home.configure(ddrp: ["targetOutbound": 0])
        let node = try await home.startListening()
        let bans = try await home.command(["bans", "--json"])
        #expect(banned.isSubset(of: bans.lines.map { $0["prefix"] }))
        let book = try await home.command(["peers", "--all", "--json"])
        #expect(book.lines.count >= known)
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
    }
}
