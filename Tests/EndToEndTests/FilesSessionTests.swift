import Foundation
import PeerCore
import TestSupport
import Testing

/// The interactive session of P+2 on a terminal (its section 7).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct FilesSessionTests {
    /// Types at a session; gives what the terminal showed. Each step waits for a text and types another.
    private func type(
        _ words: [String], _ home: FilesHome, _ steps: [(String, String)], exit: Int64 = 0
    ) async throws -> String {
        let list = Record.Value.list(steps.map { .list([.string($0.0), .string($0.1)]) })
        let terminal = try ChildProcess(
            "/usr/bin/env",
            ["python3", "\(Python.folder)/terminal.py", "--steps", list.json, "--", Program.path, "files"] + words,
            name: "terminal", environment: ["XDG_STATE_HOME": home.home.folder + "/state"], life: .seconds(90))
        let end = try await terminal.waitFor("ended", within: .seconds(90))
        #expect(end.record.int("exit") == exit && end.record["missing"] == .null, "\(end.text)")
        return end["text"]
    }

    @Test func `query, choice, progress, result, and the next query`() async throws {
        let hostile = "evil\u{202e}txt.exe"
        let sharer = try FilesHome(
            ["first song": "la", "second song": "la la", hostile: "!"],
            ["limits": .record(["uploadBytesPerSecond": 4_000_000])], name: "sharer")
        try Data(repeating: 7, count: 6_000_000).write(to: URL(filePath: sharer.path("large")))
        let sharing = try await sharer.startSharing()
        let home = try FilesHome(peers: [sharer.identity], name: "node")
        let node = try await home.startSharing()
        try await node.waitFor("peer_live")
        let words = ["--config", home.home.configuration]
        let (query, choice) = ("query> ", "file (0 = none)> ")

        let text = try await type(
            words, home,
            [
                (query, "  song \n"), ("2 files", ""), (choice, "3\n"), (choice, "\n"), (choice, "1-2\n"),
                ("second song  ", ""), (query, "\n"), ("4 files", ""), (choice, "0\n"), (query, "quit\n"),
                ("no such file", ""), (query, "large\n"), (choice, "1\n"), ("left", ""), ("verified", ""),
                (query, "\u{3}"),
            ])
        #expect(text.contains("evil\\u{202E}txt.exe") && !text.contains("\u{202e}"))
        #expect(text.contains("[=") && text.contains("6.0 MB"))
        #expect(try String(contentsOfFile: home.path("second song"), encoding: .utf8) == "la la")
        #expect(try FileManager.default.attributesOfItem(atPath: home.path("large"))[.size] as? Int == 6_000_000)

        let history = home.home.folder + "/state/peernode/files_history"
        let mode = try FileManager.default.attributesOfItem(atPath: history)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        // The arrow brings the last query back, which was typed in another session.
        _ = try await type(
            words, home, [(query, "\u{1b}[A"), ("large", "\n"), ("1 file", ""), (choice, "\u{4}")])
        for process in [node, sharing] { process.signal(SIGTERM) }
        #expect(try await node.waitForExit() == .status(0))
        _ = try await type(words, home, [("no node is listening", "")], exit: 69)
    }

    @Test func `what is typed is what is asked, and only -i looks through the answers here`() async throws {
        let sharer = try FilesHome(["a long song": "1", "song a": "2", "Song": "3"], name: "sharer")
        let sharing = try await sharer.startSharing()
        let words = ["--peer", sharer.identity, "--into", sharer.home.folder + "/into"]
        let (query, choice) = ("query> ", "file (0 = none)> ")
        _ = try await type(
            words, sharer,
            [
                (query, " long song \n"), ("1 file", ""), (choice, "0\n"), (query, "\" song\"\n"), ("1 file", ""),
                (choice, "0\n"), (query, "-i SONG a\n"), ("2 files", ""), (choice, "0\n"), (query, "-i song\n"),
                ("3 files", ""), (choice, "0\n"), (query, "\u{4}"),
            ])
        let asked = sharing.lines.of("query_in").map { $0["bytes"] }
        // Without what the extension asks.
        #expect(asked.contains("9") && asked.contains("5"), "\(asked)")
        sharing.signal(SIGTERM)
        _ = try await sharing.waitForExit()
    }

    @Test func `an empty line, or Ctrl-C once, is enough of the asking`() async throws {
        let sharer = try FilesHome(["a file": "x"], name: "sharer")
        let sharing = try await sharer.startSharing()
        // Knows nobody, and never answers a query.
        let silent = Loopback.next()
        let program = """
            import socket
            ports = [socket.create_server(("\(silent)", port)) for port in (17000, 17001, 17002)]
            print('{"event":"there"}', flush=True)
            while True:
                caller, _ = ports[0].accept()
                caller.recv(100)
                caller.close()
            """
        let mute = try ChildProcess("/usr/bin/env", ["python3", "-c", program], name: "mute", life: .seconds(60))
        try await mute.waitFor("there")
        let words = ["--peer", sharer.identity, "--peer", "\(silent):17000", "--into", sharer.home.folder + "/into"]
        let (query, row, choice) = ("query> ", sharer.identity, "file (0 = none)> ")
        _ = try await type(
            words, sharer,
            [(query, "file\n"), (row, "\n"), ("not all peers were asked", ""), (choice, "0\n"), (query, "\u{4}")])
        // A new session asks them in this order again; the same one would begin with whom it has met last.
        let text = try await type(
            words, sharer,
            [
                (query, "file\n"), (row, "\u{3}"), ("not all peers were asked", ""), (choice, "1\n"),
                ("verified", ""), (query, "\u{4}"),
            ])
        #expect(text.contains("a file"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: sharer.home.folder + "/into") == ["a file"])
        sharing.signal(SIGTERM)
        _ = try await sharing.waitForExit()
    }
}
