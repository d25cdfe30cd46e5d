import Foundation
import PeerCore
import TestSupport
import Testing

/// The vectors of what a person sees and types (P+2 section 7), on a terminal, with real peers B and C.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct FilesVectorTests {
    private static func vectors() throws -> [Vector] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().path + "/../PPlusTwoTests/VectorFields.swift"
        let found = try Vector.cases("p-plus-2", "vectors", besides: file).filter { try $0.text("kind") == "ui" }
        return try #require(found.isEmpty ? nil : found)
    }

    @Test(arguments: try vectors()) func `the session does what its vector says`(vector: Vector) async throws {
        let b = try FilesHome(["alpha.txt": "of B"], name: "b")
        let c = try FilesHome(["beta.txt": "of C"], name: "c")
        let (sharingB, sharingC) = (try await b.startSharing(), try await c.startSharing())
        // A name that none of ours would share.
        let old = try FilesHome(["evil\u{1b}[31m.txt": "!"], name: "old")
        let serving = try ChildProcess(
            "/usr/bin/env",
            ["python3", "\(Python.folder)/files_old.py", "serve", old.identity, old.home.folder + "/files"],
            name: "old", life: .seconds(90))
        try await serving.waitFor("serving")
        let expect = try vector.value("expect")
        let peers = [b.identity, c.identity] + (expect.has("shown") ? [old.identity] : [])
        let home = try FilesHome(peers: peers, name: "node")
        // Without what the extension asks beside the text that was typed.
        let node = try await home.startSharing(environment: ["PEERNODE__files__extensions": "false"])
        for identity in peers { try await node.waitFor("peer_live") { $0["peer"] == identity } }

        // The end of the input stands for Ctrl-D; who does not type it is given Ctrl-C.
        let typed = try vector.elements("typed").map { try $0.isNull ? "\u{4}" : $0.text() + "\n" }
        let steps = (typed.last == "\u{4}" ? typed : typed + ["\u{3}"])
            .map { Record.Value.list([.string("> "), .string($0)]) }
        let terminal = try ChildProcess(
            "/usr/bin/env",
            [
                "python3", "\(Python.folder)/terminal.py", "--steps", Record.Value.list(steps).json, "--", Program.path,
                "files", "--config", home.home.configuration,
            ],
            name: "terminal", environment: ["XDG_STATE_HOME": home.home.folder + "/state"], life: .seconds(90))
        let end = try await terminal.waitFor("ended", within: .seconds(90))
        #expect(end.record.int("exit") == 0 && end.record["missing"] == .null, "\(end.text)")
        try check(expect, shown: end["text"], [("B", sharingB), ("C", sharingC)], home)
        for process in [node, sharingB, sharingC] {
            process.signal(SIGTERM)
            #expect(try await process.waitForExit() == .status(0))
        }
    }

    private func check(
        _ expect: Vector, shown: String, _ peers: [(name: String, process: ChildProcess)], _ home: FilesHome
    ) throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: home.home.folder + "/files")
            .filter { !$0.hasPrefix(".") }
        for field in try expect.values().map(\.key) {
            switch field {
            case "asked":
                let asked = peers.filter { !$0.process.lines.of("query_in").isEmpty }.map(\.name)
                #expect(asked == (try expect.elements(field).map { try $0.text() }))
            case "matches_numbered_from":
                #expect(shown.contains("\n   \(try expect.number(field))  "))
            case "downloaded":
                #expect(files == [try expect.text(field)])
            case "downloads":
                #expect(files.count == (try expect.number(field)))
            case "queries":
                let sizes = peers[1].process.lines.of("query_in").map { $0["bytes"] }
                #expect(sizes == (try expect.elements(field).map { String(try $0.text().utf8.count) }))
            case "shown":
                #expect(shown.contains(try expect.text(field)))
            case "ui", "servers":
                // That the session has ended, and that the nodes end only now, is seen by whoever called.
                break
            default: throw VectorError("\(expect): nobody knows \(field)")
            }
        }
    }
}
