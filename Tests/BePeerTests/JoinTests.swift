import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import BePeer

/// Becoming a peer: the seed's steps 4 to 17, by the scenarios of the vectors that need one core.
struct JoinTests {
    private let joiner = "127.0.0.2"

    @Test func `become a peer: the owner's side`() throws {
        let script = try scenario("become a peer").elements("script")
        var stage = CoreStage.ready(["File1": "one\n", "File2": "two\n"])
        let call = stage.accept(from: joiner)
        #expect(stage.hear(try script[0].text("sends"), on: call).sent(on: call) == (try script[1].text("sends")))
        stage.serve("/00-MainDocuments/File1", "one\n", at: joiner)
        stage.serve("/00-MainDocuments/File2", "two\n", at: joiner)
        let effects = stage.hear(try script[3].text("sends"), on: call)
        for line in try script[4].elements("http") {
            #expect(stage.asked.contains { $0.line == (try? line.text()) && $0.server.port == 7110 })
        }
        #expect(effects.sent(on: call) == (try script[5].text("sends")))
        #expect(stage.core.folders[0].trusted == [IPAddress(joiner)])
    }

    @Test func `become a peer: the joiner's side`() throws {
        let script = try scenario("become a peer").elements("script")
        var stage = CoreStage.ready(peers: [joiner]) { $0.httpAddress.port = 7110 }
        stage(.listening(BePeer.http, .ip(SocketAddress(.loopback, 7110))))
        let dial = try #require(stage.history.dials.first)
        #expect(dial.to == .address(SocketAddress(IPAddress(127, 0, 0, 2), 7009)))
        #expect(stage.connect(dial.connection, to: joiner).sent == [try script[0].text("sends")])
        stage.serve("/00-MainDocuments/File1", "one\n", at: joiner)
        stage.serve("/00-MainDocuments/File2", "two\n", at: joiner)
        let effects = stage.hear(try script[1].text("sends"), on: dial.connection)
        #expect(effects.sent(on: dial.connection) == (try script[3].text("sends")))
        #expect(stage.files["File1"]?.octets == Bytes(utf8: "one\n"))
        stage.hear(try script[5].text("sends"), on: dial.connection)
        #expect(stage.core.folders[0].trusted == [IPAddress(joiner)])
    }

    @Test func `a folder that is asked for before the rows are there is joined when they are`() throws {
        let configuration = Configuration(
            messageAddress: SocketAddress(.loopback, 7009), httpAddress: SocketAddress(.loopback, 7010), folders: [])
        var stage = CoreStage(configuration)
        stage(.start)
        let join = Command("join", ["folder": .string("D"), "host": .string(joiner), "into": "/there"])
        var effects = stage(.command(CommandID(1), join))
        #expect(effects.isEmpty)
        for table in [Rows.folders, Rows.peers, Rows.files, Rows.agreed] {
            effects += stage(.recalled(table: table, [], more: false))
        }
        #expect(effects.contains(.open(FolderID("D"), at: "/there")))
    }

    @Test func `bare nc request: asking alone makes no peer`() throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: joiner)
        let effects = stage.hear(try scenario("bare nc request").elements("script")[0].text("sends"), on: call)
        #expect(effects.sent(on: call).hasPrefix("FilesToGet\n"))
        #expect(stage.wait(.seconds(121)).finished == [call])
        #expect(stage.core.folders[0].trusted.isEmpty)
    }

    @Test func `unknown folder: closed without an answer`() throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: joiner)
        let effects = stage.hear(try scenario("unknown folder").elements("script")[0].text("sends"), on: call)
        #expect(effects.sent.isEmpty && effects.finished == [call])
        #expect(effects.logged("reject").map { $0.string("reason") } == ["unknown_folder"])
    }

    @Test(arguments: ["report from someone never offered", "unsolicited FilesToGet"])
    func `nobody sends us anywhere unasked`(name: String) throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: "127.0.0.9")
        let effects = stage.hear(try scenario(name).elements("script")[0].text("sends"), on: call)
        #expect(stage.asked.isEmpty && effects.sent.isEmpty)
        #expect(effects.logged("reject").map { $0.string("reason") } == ["unsolicited"])
    }

    @Test func `wrong content: three rounds, then out`() throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: joiner)
        var effects = stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call)
        stage.serve("/00-MainDocuments/File1", "two\n", at: joiner)
        for _ in 0..<3 { effects += stage.hear(stage.report(["File1"]), on: call) }
        let script = try scenario("wrong content").elements("script")
        #expect(effects.sent(on: call) == String(repeating: try script[1].text("sends"), count: 3))
        #expect(effects.logged("untrusted").count == 1 && stage.core.folders[0].trusted.isEmpty)
        #expect(stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call).sent.isEmpty)
    }

    @Test func `what is cut is as if it had not come`() {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: joiner)
        #expect(stage.hear("BePeerRequest\n00-MainDocuments\n", on: call).sent.isEmpty)
        #expect(stage(.ended(call)).finished == [call])
    }

    @Test func `a joiner that was refused lets another one answer, then asks again`() throws {
        var stage = CoreStage.ready(peers: [joiner])
        let dial = try #require(stage.history.dials.first)
        stage.connect(dial.connection, to: joiner)
        stage(.closed(dial.connection, .closedByPeer, Traffic()))
        #expect(stage.wait(.seconds(660)).dials.count == 1)
        // Before that, one other host may send its files (scenario "delegated answer").
        var other = CoreStage.ready(peers: [joiner])
        let first = try #require(other.history.dials.first)
        other.connect(first.connection, to: joiner)
        other(.closed(first.connection, .closedByPeer, Traffic()))
        let call = other.accept(from: "127.0.0.3")
        other.serve("/00-MainDocuments/File1", "one\n", at: "127.0.0.3")
        let effects = other.hear(other.offer(["File1"]), on: call)
        #expect(effects.sent(on: call) == other.report(["File1"], port: 7010))
        #expect(other.asked.allSatisfy { $0.server.ip == IPAddress(127, 0, 0, 3) })
        let late = other.accept(from: "127.0.0.4")
        #expect(other.hear(other.offer(["File1"]), on: late).logged("reject").count == 1)
    }

    @Test func `another protocol: the operator gets the files`() throws {
        let script = try scenario("FTP").elements("script")
        var stage = CoreStage.ready(peers: [joiner]) { $0.httpAddress.port = 7110 }
        stage(.listening(BePeer.http, .ip(SocketAddress(.loopback, 7110))))
        let dial = try #require(stage.history.dials.first)
        stage.connect(dial.connection, to: joiner)
        var effects = stage.hear(try script[0].text("sends"), on: dial.connection)
        #expect(effects.logged("manual").count == 1 && stage.asked.isEmpty)
        effects = stage.edit("File1", "by hand") + stage.wait(.seconds(12))
        #expect(effects.sent(on: dial.connection) == (try script[3].text("sends")))
    }

    @Test func `an owner that cannot read back keeps a candidate`() {
        var stage = CoreStage.ready(["File1": "one\n"])
        stage.answers["GET 127.0.0.2/00-MainDocuments/File1"] = HTTPAnswer(503, fields: [])
        let call = stage.accept(from: joiner)
        stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call)
        stage.hear(stage.report(["File1"]), on: call)
        let effects = stage.wait(.seconds(80))
        #expect(effects.logged("verify_bad").map { $0.string("why") } == ["unreachable"])
        #expect(stage.core.folders[0].trusted.isEmpty && effects.logged("untrusted").isEmpty)
    }
}
