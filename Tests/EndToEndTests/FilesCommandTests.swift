import Foundation
import PeerCore
import TestSupport
import Testing

/// The commands search, download and share (P+2 and program, section 1), with a node and without.
@Suite(.fewAtOnce) struct FilesCommandTests {
    @Test func `search, download and share speak to the node`() async throws {
        let sharer = try FilesHome(["one song.txt": "la", "Two Songs.txt": "la la", "other": "x"], name: "sharer")
        let sharing = try await sharer.startSharing()
        let home = try FilesHome(peers: [sharer.identity], name: "node")
        let node = try await home.startSharing()
        try await node.waitFor("peer_live")

        let found = try await home.home.command(["search", "--json", "song"])
        #expect(found.exit == .status(0), "\(found.complaints)")
        #expect(found.lines.first?["name"] == "one song.txt" && found.lines.first?["peer"] == sharer.identity)
        #expect(found.lines.last?.has(["asked": "1", "matches": "1", "notShown": "0"]) == true)
        let both = try await home.home.command(["search", "--json", "-i", "SONG", "txt"])
        #expect(both.lines.compactMap { $0.record.string("name") }.sorted() == ["Two Songs.txt", "one song.txt"])
        #expect(try await home.home.command(["search", "--json", "Two", "Songs"]).lines.count == 2)
        let none = try await home.home.command(["search", "nothing like it"])
        #expect(none.exit == .status(1) && none.complaints.contains("no such file (1 peer asked)"))

        _ = try await home.home.command(["search", "song"])
        let first = try await home.home.command(["download", "1", "--json"])
        #expect(first.exit == .status(0) && first.lines.last?["complete"] == "verified", "\(first.complaints)")
        #expect(try String(contentsOfFile: home.path("one song.txt"), encoding: .utf8) == "la")
        let named = try await home.home.command(["download", "other@\(sharer.identity)", "--quiet"])
        #expect(named.exit == .status(0) && named.text.isEmpty && named.complaints.isEmpty)
        #expect(try await home.home.command(["download", "nothing@\(sharer.identity)"]).exit == .status(1))
        #expect(try await home.home.command(["download", "77"]).exit == .status(1))
        for words in [["download"], ["download", "x"], ["search"], ["files", "--sort", "age"], ["share", "a", "b"]] {
            #expect(try await home.home.command(words).exit == .status(64), "\(words)")
        }

        for process in [node, sharing] {
            process.signal(SIGTERM)
            #expect(try await process.waitForExit() == .status(0))
        }
        for words in [["search", "x"], ["download", "1"], ["share"], ["files"]] {
            #expect(try await home.home.command(words).exit == .status(69), "\(words)")
        }
    }

    @Test func `share lists the shared files and adds some, never over others`() async throws {
        let home = try FilesHome(["here": "1"], name: "node")
        let node = try await home.startSharing()
        let outside = home.home.folder + "/there"
        try "22".write(toFile: outside, atomically: false, encoding: .utf8)
        let added = try await home.home.command(["share", "--json", "--add", outside])
        #expect(added.exit == .status(0) && added.lines.first?["name"] == "there", "\(added.complaints)")
        #expect(try await home.home.command(["share", "--add", outside]).text == "shared already there")
        try await node.waitFor("share_indexed") { $0["files"] == "2" }
        let list = try await home.home.command(["share", "--json"])
        #expect(list.lines.map { $0["name"] }.sorted() == ["here", "there"])
        #expect(try await home.home.command(["share", "here"]).text.contains("1 B"))
        #expect(try await home.home.command(["share", "nowhere"]).exit == .status(1))
        try FileManager.default.removeItem(atPath: outside)
        try "333".write(toFile: outside, atomically: false, encoding: .utf8)
        let refused = try await home.home.command(["share", "--add", outside, home.home.folder + "/missing"])
        #expect(refused.exit == .status(1) && refused.complaints.contains("no such file"), "\(refused.complaints)")
        #expect(try String(contentsOfFile: home.path("there"), encoding: .utf8) == "22")
    }

    @Test func `without a node the same core searches and fetches, and leaves only the file`() async throws {
        let sharer = try FilesHome(["one song.txt": "la"], name: "sharer")
        let sharing = try await sharer.startSharing()
        let into = sharer.home.folder + "/into"
        let found = try await Program.run(["search", "--peer", sharer.identity, "--json", "song"])
        #expect(found.exit == .status(0) && found.lines.first?["name"] == "one song.txt", "\(found.complaints)")
        for name in ["one song.txt", "one song (2).txt"] {
            let file = try await Program.run(
                ["download", "one song.txt", "--peer", sharer.identity, "--into", into, "--json"])
            #expect(file.exit == .status(0) && file.lines.last?["file"] == "\(into)/\(name)", "\(file.complaints)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: into).count == 2)
        let session = try await Program.run(["files", "--peer", sharer.identity])
        #expect(session.exit == .status(0) && session.text.isEmpty, "the input has ended at once")
        let nobody = try await Program.run(["search", "--peer", "\(Loopback.next()):17000", "x"])
        #expect(nobody.exit == .status(1) && nobody.complaints.contains("nobody listens there"))
        #expect(try await Program.run(["search", "--peer", "x", "y"]).exit == .status(64))
        #expect(try await Program.run(["download", "1", "--into", into]).exit == .status(64))
        let blocked = try await Program.run(
            ["download", "a@\(sharer.identity)", "--into", "\(into)/one song.txt/deeper"])
        #expect(blocked.exit == .status(74), "\(blocked.complaints)")
        sharing.signal(SIGTERM)
        #expect(try await sharing.waitForExit() == .status(0))
    }

    @Test func `a download that was broken off goes on when the same command is given again`() async throws {
        let limits: Record = ["limits": .record(["uploadBytesPerSecond": 2_000_000])]
        let sharer = try FilesHome(["large": String(repeating: "peernode", count: 1_000_000)], limits, name: "sharer")
        let sharing = try await sharer.startSharing()
        let into = sharer.home.folder + "/into"
        let words = ["download", "large@\(sharer.identity)", "--into", into, "--json"]
        let broken = try ChildProcess(Program.path, words, name: "broken", life: .seconds(60))
        try await broken.waitUntil("octets") { $0.contains { $0.record.int("bytes") ?? 0 > 1_000_000 } }
        broken.signal(SIGINT)
        #expect(try await broken.waitForExit() == .status(1))
        #expect(!FileManager.default.fileExists(atPath: into + "/large"))
        let again = try await Program.run(words)
        #expect(again.exit == .status(0) && again.lines.last?["complete"] == "verified", "\(again.complaints)")
        #expect(again.lines.first?.record.int("bytes") ?? 0 > 1_000_000)
        #expect(try FileManager.default.contentsOfDirectory(atPath: into) == ["large"])
        sharing.signal(SIGTERM)
        _ = try await sharing.waitForExit()
    }
}
