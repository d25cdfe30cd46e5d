import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import BePeer

/// Files come from peers (BePeer section 5.3).
struct FetchTests {
    private let peer = "127.0.0.2"
    private let target = "/00-MainDocuments/File1"

    private func vector(_ name: String) throws -> Vector {
        try #require(try vectors("fetch").first { try $0.text("name") == name }, "\(name)")
    }

    /// A core that has asked `peer` and hears of these files.
    private func joining(
        _ names: [String], _ files: [String: String] = [:], _ change: (inout CoreStage) -> Void
    ) -> (stage: CoreStage, connection: ConnectionID, effects: [Effect]) {
        var stage = CoreStage.ready(files, peers: [peer])
        change(&stage)
        let (connection, effects) = stage.join(peer, names)
        return (stage, connection, effects)
    }

    @Test func `redirect: never to another computer`() throws {
        #expect(try vector("redirect").value("given").text("response").contains("302"))
        var (stage, _, effects) = joining(["File1"]) {
            $0.serve(target, "", at: peer, status: 302, [HTTPField("Location", "http://203.0.113.9/x")])
        }
        effects += stage.wait(.seconds(75))
        #expect(effects.logged("fetch_failed").map { $0.string("why") } == ["redirect"])
        #expect(stage.asked.allSatisfy { $0.server.ip == IPAddress(peer) } && effects.sent.isEmpty)
    }

    @Test func `404 first file: the layout of a server that was started in the folder`() throws {
        _ = try vector("404 first file")
        let (stage, connection, effects) = joining(["File1", "sub/File 2"]) {
            $0.serve("/File1", "one", at: peer)
            $0.serve("/sub/File%202", "two", at: peer)
        }
        #expect(effects.sent(on: connection) == stage.report(["File1", "sub/File 2"], port: 7010))
        #expect(stage.asked.filter { $0.line == "HEAD \(target)" }.count == 1, "once per peer")
    }

    /// A large file of an old peer, of which a part has come.
    private func resuming(
        _ answer: (CoreStage) -> HTTPAnswer
    ) throws -> (stage: CoreStage, fields: [HTTPField], effects: [Effect]) {
        var (stage, _, _) = joining(["File1"]) {
            $0.core.configuration.smallFileBytes = 10
            $0.isAnswering = true
            $0.answers["GET \(peer)\(target)"] = HTTPAnswer(500, fields: [])
            $0.answers["HEAD \(peer)\(target)"] = HTTPAnswer(
                200, fields: [HTTPField("Content-Length", "1000"), HTTPField("ETag", "\"a\"")])
        }
        // The first try is too large for memory and cut short.
        let want = try #require(stage.core.wants.keys.first)
        stage.core.wants[want]?.way = .head
        stage.wait(.seconds(2))
        let part = try #require(stage.core.wants[want]?.part)
        stage.files[part.description] = CoreStage.Content(
            octets: Bytes([UInt8](repeating: 1, count: 400)), modified: stage.now.wallClock, stamp: 77)
        stage.answers["GET \(peer)\(target)"] = answer(stage)
        let effects = stage.wait(.seconds(11))
        let last = try #require(stage.asked.last { $0.line == "GET \(target)" })
        return (stage, last.fields, effects)
    }

    @Test func `resume 206: only what is missing is asked for`() throws {
        let given = try vector("resume 206").value("given")
        #expect(try given.number("have") == 400)
        let (stage, fields, _) = try resuming { _ in
            HTTPAnswer(
                206, fields: [HTTPField("Content-Range", "bytes 400-999/1000"), HTTPField("ETag", "\"a\"")],
                body: Bytes([UInt8](repeating: 2, count: 600)), octets: 600)
        }
        let sent = fields.map { "\($0.name): \($0.value)" }.joined(separator: " and ")
        #expect(sent == (try vector("resume 206").value("expect").text("sent")))
        #expect(stage.files["File1"]?.octets.count == 1000)
    }

    @Test func `resume ignored: a server without ranges sends all of it`() throws {
        _ = try vector("resume ignored")
        let (stage, _, _) = try resuming { _ in
            HTTPAnswer(
                200, fields: [HTTPField("Content-Length", "1000")], body: Bytes([UInt8](repeating: 3, count: 1000)),
                octets: 1000)
        }
        #expect(stage.files["File1"]?.octets == Bytes([UInt8](repeating: 3, count: 1000)))
    }

    /// Of what does not go on with the part that is here, nothing counts, and neither does the part.
    @Test(arguments: [
        (206, "bytes 0-999/1000", "\"a\"", 1000), (206, "bytes 400-409/410", "\"a\"", 10),
        (206, "bytes 400-999/1000", "\"c\"", 600), (206, nil, "\"a\"", 600), (416, "bytes */1000", "\"a\"", 0),
    ])
    func `what does not fit is not appended: it begins anew`(
        status: Int, range: String?, tag: String, octets: Int
    ) throws {
        var (stage, _, _) = try resuming { _ in
            let fields = [("Content-Range", range), ("ETag", tag)].compactMap { name, value in
                value.map { HTTPField(name, $0) }
            }
            let body = Bytes([UInt8](repeating: 2, count: octets))
            return HTTPAnswer(status, fields: fields, body: body, octets: UInt64(octets))
        }
        #expect(stage.files["File1"] == nil && stage.files.keys.allSatisfy { !$0.hasSuffix(".part") })
        let whole = Bytes([UInt8](repeating: 3, count: 1000))
        stage.answers["GET \(peer)\(target)"] = HTTPAnswer(200, fields: [], body: whole, octets: 1000)
        stage.wait(.seconds(61))
        #expect(stage.asked.last?.fields == [] && stage.files["File1"]?.octets == whole)
    }

    @Test func `a part that is all there is counts`() throws {
        let (stage, _, _) = try resuming { _ in
            HTTPAnswer(416, fields: [HTTPField("Content-Range", "bytes */400"), HTTPField("ETag", "\"a\"")])
        }
        #expect(stage.files["File1"]?.octets == Bytes([UInt8](repeating: 1, count: 400)))
    }

    /// What lies in the folder and is no file of the node's own.
    private func shared(_ stage: CoreStage) -> [String: Bytes] {
        stage.files.filter { !$0.key.hasPrefix(".bepeer") }.mapValues(\.octets)
    }

    @Test func `a change of the same size is no conflict with what both had before`() throws {
        var (stage, connection, _) = joining(["File1"], ["File1": "v1\n"]) {
            $0.serve(target, "v1\n", at: peer, [HTTPField("Last-Modified", "Fri, 06 Nov 2026 10:00:00 GMT")])
        }
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.serve(target, "v2\n", at: peer, [HTTPField("Last-Modified", "Fri, 06 Nov 2026 11:00:00 GMT")])
        let effects = stage.hear(stage.offer(["File1"]), on: connection)
        #expect(shared(stage) == ["File1": Bytes(utf8: "v2\n")])
        #expect(effects.sent(on: connection) == stage.report(["File1"], port: 7010))
    }

    @Test(arguments: [("10:00:00", "10:00:01"), ("09:00:00", "10:00:00")])
    func `an old server's times tell nothing of two changes in a second, nor of one that the peer repeats`(
        modified: String, date: String
    ) throws {
        let day = "Fri, 06 Nov 2026"
        let fields = [HTTPField("Last-Modified", "\(day) \(modified) GMT"), HTTPField("Date", "\(day) \(date) GMT")]
        var (stage, connection, _) = joining(["File1"], ["File1": "v1\n"]) {
            $0.serve(target, "v1\n", at: peer, fields)
        }
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.serve(target, "v2\n", at: peer, fields)
        stage.hear(stage.offer(["File1"]), on: connection)
        #expect((stage.files["File1"]?.octets == Bytes(utf8: "v2\n")) == (modified == "10:00:00"))
        // The report was wrong, says the peer, as the seed has it.
        stage.hear(stage.offer(["File1"]), on: connection)
        #expect(shared(stage) == ["File1": Bytes(utf8: "v2\n")])
    }

    @Test func `a single file has no other files, also after a conflict`() throws {
        let name = CoreStage.folder
        var stage = CoreStage.ready([name: "ours\n"], peers: [peer]) { $0.folders[0].isSingle = true }
        stage.serve("/\(name)", "theirs\n", at: peer, [HTTPField("Last-Modified", "Fri, 20 Nov 2026 10:00:00 GMT")])
        var (connection, effects) = stage.join(peer, [name])
        effects += stage.hear(stage.confirmation([name]), on: connection)
        effects += stage.wait(.seconds(100))
        #expect(shared(stage)[name] == Bytes(utf8: "theirs\n"))
        #expect(shared(stage).values.contains(Bytes(utf8: "ours\n")), "the loser is kept beside it")
        #expect(effects.logged("conflict").count == 1 && !effects.sent.contains { $0.contains("sync-conflict") })
        #expect(stage.core.folders[0].index.liveFiles == 1)
    }

    @Test func `disk full: postponed, and the folder is served on`() throws {
        _ = try vector("disk full")
        var (stage, _, effects) = joining(["File1"], ["old": "x"]) {
            $0.serve(target, String(repeating: "x", count: 300), at: peer)
            $0.core.configuration.smallFileBytes = 100
            $0.core.configuration.minFreeBytes = 1 << 41
        }
        effects += stage.wait(.seconds(75))
        #expect(effects.logged("fetch_failed").map { $0.string("why") } == ["disk_full"])
        #expect(stage.files["File1"] == nil && stage.request(.get, "/00-MainDocuments/old")?.status == 200)
    }

    @Test func `same content offered: nothing is written and nobody else hears of it`() throws {
        _ = try scenario("same content offered")
        let (stage, connection, effects) = joining(["File1"], ["File1": "one\n"]) {
            $0.serve(target, "one\n", at: peer)
        }
        #expect(effects.sent(on: connection) == stage.report(["File1"], port: 7010))
        #expect(!effects.contains { if case .store(_, .install) = $0 { true } else { false } })
        #expect(stage.asked.count { $0.line.hasSuffix("File1") } == 1)
    }

    /// A peer that offers a file again, of another content and the same size, with this time of its last change.
    private func replaced(at modified: (CoreStage) -> WallClock) -> (stage: CoreStage, connection: ConnectionID) {
        var (stage, connection, _) = joining(["File1"], ["File1": "one"]) {
            $0.serve(target, "one", at: peer, [HTTPField("Last-Modified", modified($0).httpDate)])
        }
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.serve(target, "two", at: peer, [HTTPField("Last-Modified", modified(stage).httpDate)])
        stage.hear(stage.offer(["File1"]), on: connection)
        return (stage, connection)
    }

    @Test func `replaced by another of the same size within the second that Last-Modified can tell`() {
        let (stage, _) = replaced { $0.now.wallClock }
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "two"))
    }

    @Test func `offered again instead of confirmed: size and time do not tell the truth, so it is read`() {
        var (stage, connection) = replaced { _ in WallClock(seconds: 1_200_000_000) }
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "one"), "as section 4.1 has it")
        stage.hear(stage.offer(["File1"]), on: connection)
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "two"))
    }

    @Test func `confirmed by hand: what is there in this moment is reported, and nothing is said of nothing`() {
        var stage = CoreStage.ready(peers: [peer])
        guard let dial = stage.history.dials.last else { return }
        stage.connect(dial.connection, to: peer)
        stage.hear(stage.offer(["File1", "File2"], port: 21, protocolName: "FTP"), on: dial.connection)
        let (early, refused) = stage.command("confirm")
        let none = Reply.Outcome.refused("none of the 2 files is in \(CoreStage.folder)")
        #expect(refused.replies(to: early).map(\.outcome) == [none])
        stage.put("File2", "got by hand")
        let (id, effects) = stage.command("confirm")
        #expect(effects.replies(to: id).map(\.outcome) == [.done])
        #expect(effects.sent(on: dial.connection) == stage.report(["File2"], port: 7010))
    }

    @Test func `a file that cannot be had is tried again after 1, 10 and 60 seconds`() throws {
        var (stage, connection, _) = joining(["File1", "File2"]) {
            $0.answers["HEAD \(peer)\(target)"] = HTTPAnswer(503, fields: [])
            $0.serve("/00-MainDocuments/File2", "two", at: peer)
        }
        #expect(stage.wait(.seconds(70)).sent.isEmpty)
        let effects = stage.wait(.seconds(3))
        #expect(stage.asked.count { $0.line == "HEAD \(target)" } == 4)
        #expect(effects.sent(on: connection) == stage.report(["File2"], port: 7010))
    }
}

/// With peers that tell versions and hashes (BePeer section 8).
struct ExtendedFetchTests {
    private let peer = "127.0.0.2"

    /// A peer that speaks the extension and has these files.
    private func extend(
        _ stage: inout CoreStage, _ files: [(name: String, text: String)], since: Int = 0, wrong: Bool = false
    ) throws {
        stage.serve(
            "/.bepeer/1/hello", "{\"bepeer\":1,\"node\":\"00000000000000bb\",\"messagePort\":7009}", at: peer)
        var text: [UInt8] = []
        ManifestLine.head(folder: CoreStage.folder, node: 0xbb, sequence: UInt64(since + files.count)).write(to: &text)
        for (index, file) in files.enumerated() {
            let content = Bytes(utf8: file.text)
            var entry = RemoteFile(path: try Path(file.name))
            entry.size = UInt64(content.count)
            entry.hash = wrong ? .zero : Bytes32(digest(content, .sha256))
            entry.modified = WallClock(seconds: 1_794_500_000)
            entry.version = VersionVector([(node: UInt64(0xbb), count: UInt64(since + index + 1))])
            entry.sequence = UInt64(since + index + 1)
            ManifestLine.file(entry).write(to: &text)
            stage.serve("/\(CoreStage.folder)/\(file.name)", file.text, at: peer, hash: true)
        }
        ManifestLine.tail(count: files.count, sequence: UInt64(since + files.count)).write(to: &text)
        let query = since > 0 ? "?since=\(since)" : ""
        stage.serve(
            "/.bepeer/1/f/\(CoreStage.folder)/manifest\(query)", String(decoding: text, as: UTF8.self), at: peer)
    }

    @Test func `a joiner reads the manifest, and keeps times and versions`() throws {
        var stage = CoreStage.ready(peers: [peer])
        try extend(&stage, [("File1", "one"), ("File2", "two")])
        let (connection, effects) = stage.join(peer, ["File1", "File2"])
        #expect(effects.sent(on: connection) == stage.report(["File1", "File2"], port: 7010))
        #expect(stage.files["File2"]?.modified == WallClock(seconds: 1_794_500_000))
        let record = try #require(stage.core.folders[0].index[try Path("File1")])
        #expect(record.version == VersionVector([(node: UInt64(0xbb), count: UInt64(1))]))
        #expect(
            stage.asked.map(\.line).prefix(2) == ["GET /.bepeer/1/hello", "GET /.bepeer/1/f/00-MainDocuments/manifest"])
    }

    @Test func `hash differs: thrown away, retried, then failed`() throws {
        let all = try vectors("fetch")
        #expect(try all.contains { try $0.text("name") == "hash differs" })
        var stage = CoreStage.ready(peers: [peer])
        try extend(&stage, [("File1", "one")], wrong: true)
        _ = stage.join(peer, ["File1"])
        let effects = stage.wait(.seconds(75))
        #expect(effects.logged("fetch_failed").map { $0.string("why") } == ["hash"])
        #expect(stage.files["File1"] == nil && effects.sent.isEmpty)
        #expect(stage.asked.count { $0.line.hasSuffix("File1") } == 4)
    }

    @Test func `content that is here already is copied, not fetched`() throws {
        var stage = CoreStage.ready(["old name": "content"], peers: [peer])
        try extend(&stage, [("new name", "content")])
        let (_, effects) = stage.join(peer, ["new name"])
        #expect(stage.files["new name"]?.octets == Bytes(utf8: "content"))
        #expect(!stage.asked.contains { $0.line.contains("new") } && effects.logged("report_out").count == 1)
    }

    @Test func `killed in the middle: a part that is there is gone on with after a start`() throws {
        _ = try scenario("killed in the middle")
        let text = String(repeating: "a", count: 400) + String(repeating: "b", count: 600)
        let hash = Bytes32(digest(Bytes(utf8: text), .sha256))
        var stage = CoreStage.ready([Marker.part(hash).description: String(text.prefix(400))], peers: [peer]) {
            $0.smallFileBytes = 10
        }
        try extend(&stage, [("File1", text)])
        stage.answers["GET \(peer)/00-MainDocuments/File1"] = HTTPAnswer(
            206, fields: [HTTPField("Content-Range", "bytes 400-999/1000")],
            body: Bytes(utf8: String(text.suffix(600))),
            octets: 600)
        let (connection, effects) = stage.join(peer, ["File1"])
        #expect(effects.sent(on: connection) == stage.report(["File1"], port: 7010))
        let fields = stage.asked.last { $0.line.hasSuffix("File1") }?.fields
        #expect(fields == [HTTPField("Range", "bytes=400-"), HTTPField("If-Range", "\"b-\(hash.hex)\"")])
        #expect(stage.files["File1"]?.octets == Bytes(utf8: text) && stage.files[Marker.part(hash).description] == nil)
    }

    @Test func `a name that was told of before is asked for only whether it is the same`() throws {
        var stage = CoreStage.ready(peers: [peer])
        try extend(&stage, [("File1", "one")])
        let (connection, _) = stage.join(peer, ["File1"])
        stage.hear(stage.confirmation(["File1"]), on: connection)
        try extend(&stage, [], since: 1)
        let effects = stage.hear(stage.offer(["File1"]), on: connection)
        #expect(effects.sent(on: connection) == stage.report(["File1"], port: 7010))
        #expect(stage.asked.last?.line == "HEAD /00-MainDocuments/File1")
    }

    @Test func `a file that the peer has changed since: its manifest is read again at once`() throws {
        var stage = CoreStage.ready(peers: [peer])
        try extend(&stage, [("File1", "one")])
        let (connection, _) = stage.join(peer, ["File1"])
        stage.hear(stage.confirmation(["File1"]), on: connection)
        try extend(&stage, [("File1", "two"), ("File2", "gone")], since: 1)
        stage.serve("/00-MainDocuments/File1", "three", at: peer, hash: true)
        stage.serve("/00-MainDocuments/File2", "", at: peer, status: 404)
        let effects = stage.hear(stage.offer(["File1", "File2"]), on: connection)
        #expect(effects.logged("fetch_overtaken").count == 2 && effects.logged("fetch_retry").isEmpty)
        try extend(&stage, [("File1", "three")], since: 1)
        stage.wait(.seconds(2))
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "three") && stage.files["File2"] == nil)
    }

    @Test func `ours is newer: that is an answer too, so that nothing is held back`() throws {
        var stage = CoreStage.ready(peers: [peer])
        try extend(&stage, [("File1", "one")])
        let (connection, _) = stage.join(peer, ["File1"])
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.edit("File1", "edited here")
        try extend(&stage, [], since: 1)
        stage.answers["HEAD \(peer)/00-MainDocuments/File1"] = nil
        let effects = stage.hear(stage.offer(["File1"]), on: connection)
        #expect(effects.logged("fetch_overtaken").count == 1 && effects.sent(on: connection).isEmpty)
        try extend(&stage, [("File1", "one")])
        #expect(stage.wait(.seconds(2)).sent(on: connection).contains(stage.report([], port: 7010)))
    }

    @Test func `a hint without names is answered by whatever is reported, and holds nothing back`() throws {
        var stage = CoreStage.ready(["ours": "1"], peers: [peer])
        try extend(&stage, [("File1", "one")])
        let (connection, _) = stage.join(peer, ["File1"])
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.serve("/00-MainDocuments/ours", "1", at: peer)
        stage.hear(stage.report(["ours"], port: 7010), on: connection)
        #expect(stage.edit("File1", nil).sent(on: connection) == stage.offer([]))
        // The answer to something else, which crossed it.
        stage.hear(stage.report(["ours"], port: 7010), on: connection)
        #expect(stage.edit("ours", "2").sent(on: connection) == stage.offer(["ours"]))
    }

    @Test func `an edit meanwhile is not lost`() throws {
        var stage = CoreStage.ready(["File1": "ours"], peers: [peer])
        try extend(&stage, [("File1", "theirs")])
        // Written in the moment before theirs is put into its place.
        stage.put("File1", "ours, again", at: WallClock(seconds: 1_795_000_000))
        _ = stage.join(peer, ["File1"])
        stage.wait(.seconds(5))
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "ours, again"))
        let copies = stage.files.keys.filter { $0.contains("sync-conflict") }
        #expect(copies.isEmpty, "ours is the later one, so the peer keeps its own beside it")
    }
}
