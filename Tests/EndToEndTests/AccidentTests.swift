import Foundation
import PeerCore
import TestSupport
import Testing

/// What happens to programs by mistake, of operators and of what starts them.
@Suite(.fewAtOnce) struct AccidentTests {
    /// The program, started by a shell that does something odd with its descriptors.
    private func shell(_ words: String, of home: NodeHome, _ rest: String) throws -> ChildProcess {
        let line = "\(Program.path) \(words) --config \(home.configuration) \(rest)"
        return try ChildProcess("/bin/sh", ["-c", line], name: "shell")
    }

    @Test func `a file where the admin socket should be is neither replaced nor removed`() async throws {
        let home = try NodeHome()
        let precious = home.folder + "/precious"
        try "data".write(toFile: precious, atomically: true, encoding: .utf8)
        try home.configure(["admin": .record(["socket": .string(precious)])])
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(69))
        #expect(node.complaints.contains(precious), "\(node.complaints)")
        #expect(try String(contentsOfFile: precious, encoding: .utf8) == "data")
    }

    @Test func `a testbed that cannot listen says so and ends with 69`() async throws {
        let port = 30_000 + Int(ProcessInfo.processInfo.processIdentifier) % 2_000
        let other = try RawSocket.listener(on: "127.0.0.2", port: port)
        let testbed = try ChildProcess(
            Program.path, ["testbed", "--nodes", "3", "--port", "\(port)", "--json"], name: "testbed")
        #expect(try await testbed.waitForExit() == .status(69))
        #expect(testbed.complaints.contains("127.0.0.2:\(port)"), "\(testbed.complaints)")
        withExtendedLifetime(other) {}
    }

    @Test func `with all standard descriptors closed nothing is written where it does not belong`() async throws {
        let home = try NodeHome()
        let node = try shell("run", of: home, "<&- >&- 2>&-")
        try await eventually("its lock") { FileManager.default.fileExists(atPath: home.state("admin.sock")) }
        let lock = try String(contentsOfFile: home.state("lock"), encoding: .utf8)
        #expect(lock.allSatisfy { $0.isNumber || $0.isNewline }, "\(lock)")
        #expect(try await home.command(["status"]).exit == .status(0))
        if let process = Int32(lock.filter(\.isNumber)) { kill(process, SIGTERM) }
        #expect(try await node.waitForExit() == .status(0))
    }

    @Test func `JOURNAL_STREAM of somebody else changes no line`() async throws {
        let node = try await NodeHome().startListening(environment: ["JOURNAL_STREAM": "8:12345"])
        #expect(node.lines.allSatisfy { $0.text.hasPrefix("{") })
    }

    @Test func `what cannot be written is an error, and what nobody reads is not`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        let full = try shell("status", of: home, "> /dev/full")
        #expect(try await full.waitForExit() == .status(74))
        #expect(full.complaints.contains("standard output"), "\(full.complaints)")
        let reader = try shell("events --follow", of: home, "| head -1")
        try await eventually("a reader") { !reader.lines.isEmpty }
        node.signal(SIGHUP)
        #expect(try await reader.waitForExit() == .status(0))
    }

    @Test func `what the operator asks is no sign of the network`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        for _ in 0..<3 {
            let result = try await home.command(["status", "--json"])
            #expect(result.lines.first?.record["lastMessageSeconds"] == .null)
            #expect(result.lines.first?.record.int("receivedBytes") == 0)
        }
        withExtendedLifetime(node) {}
    }
}
