import PeerCore
import PeerCrypto
import PeerSimulator
import TestSupport
import Testing

@testable import BePeer

/// Changes, deletes and what keeps them from doing harm (BePeer sections 4 and 6).
struct UpdateTests {
    private let peer = "127.0.0.2"

    /// An owner of these files with one trusted peer, that speaks no extension.
    private func trusting(_ files: [String: String]) -> (stage: CoreStage, call: ConnectionID) {
        var stage = CoreStage.ready(files)
        let call = stage.accept(from: peer)
        stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call)
        for (name, text) in files { stage.serve("/00-MainDocuments/\(name)", text, at: peer) }
        stage.hear(stage.report(files.keys.sorted()), on: call)
        return (stage, call)
    }

    @Test func `update of one file: only the updated names`() throws {
        let script = try scenario("update of one file").elements("script")
        var (stage, call) = trusting(["File1": "one\n", "File2": "two\n"])
        #expect(stage.edit("File2", "two, again\n").sent(on: call) == (try script[1].text("sends")))
        stage.serve("/00-MainDocuments/File2", "two, again\n", at: peer)
        let effects = stage.hear(try script[2].text("sends"), on: call)
        #expect(effects.sent(on: call) == (try script[3].text("sends")))
    }

    @Test func `what is ignored by now is neither gone nor served, until it is ignored no more`() throws {
        var (stage, call) = trusting(["a.tmp": "one\n", "File2": "two\n"])
        let target = "/00-MainDocuments/a.tmp"
        var effects = stage.edit(".bepeerignore", "*.tmp\n") + stage.wait(.seconds(10))
        #expect(stage.request(.get, target)?.status == 404)
        #expect(stage.request(.get, "/.bepeer/1/f/00-MainDocuments/blocks/a.tmp")?.status == 404)
        let other = stage.accept(from: "127.0.0.3")
        let all = stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: other)
        #expect(all.sent(on: other) == stage.offer(["File2"]))
        effects += stage.edit("a.tmp", nil)
        stage.put("a.tmp", "one\n")
        effects += stage.edit(".bepeerignore", nil) + stage.wait(.seconds(10))
        #expect(stage.request(.get, target)?.status == 200)
        #expect(effects.logged("delete").isEmpty && effects.sent(on: call).isEmpty)
    }

    @Test func `the file of ignored names is a file like others where it is to be`() throws {
        for isOn in [true, false] {
            let lab = Lab()
            lab.node(1, files: ["a": "a", "a.tmp": "x"]) { $0.folders[0].syncIgnore = isOn }
            lab.node(2, peers: [1]) { $0.folders[0].syncIgnore = true }
            try lab.meet(1)
            lab.files(lab.nodes[0])[".bepeerignore"] = Bytes(utf8: "*.tmp\n")
            try lab.run(.seconds(20))
            #expect((lab.files(lab.nodes[1])[".bepeerignore"] == Bytes(utf8: "*.tmp\n")) == isOn)
            lab.files(lab.nodes[1])["b.tmp"] = Bytes(utf8: "b")
            lab.files(lab.nodes[1])["b"] = Bytes(utf8: "b")
            try lab.run(.seconds(20))
            let names = lab.content(lab.nodes[0]).keys.sorted()
            #expect(names == ["a", "a.tmp", "b"], "one of them ignores it, \(isOn)")
            #expect(lab.content(lab.nodes[1])["a.tmp"] == Bytes(utf8: "x"), "what came before is not deleted")
            #expect(lab.events("reject").isEmpty && lab.events("untrusted").isEmpty)
        }
    }

    @Test func `changes are collected while an offer waits for its report`() {
        var (stage, call) = trusting(["File1": "one\n", "File2": "two\n"])
        stage.edit("File2", "2")
        #expect(stage.edit("File1", "1").sent(on: call).isEmpty)
        stage.serve("/00-MainDocuments/File2", "2", at: peer)
        let effects = stage.hear(stage.report(["File2"]), on: call)
        #expect(effects.sent(on: call) == stage.confirmation(["File2"]) + stage.offer(["File1"]))
    }

    @Test func `an offer without a report holds later ones back for a minute`() {
        var (stage, call) = trusting(["File1": "one\n", "File2": "two\n"])
        stage.edit("File2", "2")
        stage.edit("File1", "1")
        #expect(stage.wait(.seconds(50)).sent(on: call).isEmpty)
        #expect(stage.wait(.seconds(10)).sent(on: call) == stage.offer(["File1"]))
    }

    @Test func `an offer of the same file answers ours, whatever else was never reported`() {
        var (stage, call) = trusting(["File1": "one\n", "File2": "two\n", "File3": "three\n"])
        stage.edit("File1", "1")
        stage.wait(.seconds(60))
        stage.edit("File2", "2")
        stage.edit("File3", "3")
        stage.serve("/00-MainDocuments/File2", "theirs", at: peer)
        #expect(stage.hear(stage.offer(["File2"]), on: call).sent(on: call).contains("\nFile3\n"))
    }

    @Test func `who reports nothing of what there is gets no trust by that`() {
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: peer)
        stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call)
        #expect(stage.hear(stage.report([]), on: call).sent(on: call).isEmpty)
        #expect(stage.core.folders[0].trusted.isEmpty)
    }

    @Test func `edited while verified: the offer is the reference`() throws {
        _ = try scenario("edited while verified")
        var stage = CoreStage.ready(["File1": "one\n"])
        let call = stage.accept(from: peer)
        stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call)
        stage.edit("File1", "one, again\n")
        stage.serve("/00-MainDocuments/File1", "one\n", at: peer)
        let effects = stage.hear(stage.report(["File1"]), on: call)
        #expect(effects.sent(on: call) == stage.confirmation(["File1"]))
        #expect(stage.edit("File1", "and again\n").sent(on: call) == stage.offer(["File1"]))
    }

    @Test func `a file that keeps changing is looked at when it is quiet, or after half a minute`() {
        var (stage, call) = trusting(["File1": "one\n"])
        guard let path = RelativePath("File1") else { return }
        var sent: [Effect] = []
        for second in 0..<29 {
            stage.put("File1", "\(second)", at: stage.now.wallClock)
            sent += stage(.changed(CoreStage.id, [path])) + stage.wait(.seconds(1))
        }
        #expect(sent.sent(on: call).isEmpty)
        stage.put("File1", "last", at: stage.now.wallClock)
        #expect(
            (stage(.changed(CoreStage.id, [path])) + stage.wait(.seconds(3))).sent(on: call) == stage.offer(["File1"]))
    }

    @Test func `receive only: changes of our own are nobody's business`() throws {
        _ = try scenario("receive only")
        var (stage, _) = trusting(["File1": "one\n"])
        stage.core.folders[0].settings.mode = .receiveOnly
        #expect(stage.edit("File1", "mine").sent.isEmpty && stage.wait(.seconds(120)).sent.isEmpty)
    }

    @Test func `folder unmounted: nothing is propagated`() throws {
        _ = try scenario("folder unmounted")
        var (stage, _) = trusting(Dictionary(uniqueKeysWithValues: (0..<100).map { ("f\($0)", "\($0)") }))
        stage.files = [:]
        let effects = stage.wait(.seconds(4600))
        #expect(effects.logged("folder_stopped").first?.string("why") == "no_marker")
        #expect(effects.sent.filter { $0.hasPrefix("FilesToGet") }.isEmpty)
        #expect(stage.core.folders[0].index.liveFiles == 100)
    }

    @Test func `more than half gone at once: the operator is asked`() {
        var (stage, _) = trusting(Dictionary(uniqueKeysWithValues: (0..<100).map { ("f\($0)", "\($0)") }))
        for number in 0..<60 { stage.files["f\(number)"] = nil }
        let effects = stage.wait(.seconds(4600))
        #expect(effects.logged("folder_stopped").first?.string("why") == "mass_delete")
        #expect(stage.core.folders[0].index.liveFiles == 100)
        let (id, more) = stage.command("confirm", ["folder": "00-MainDocuments"])
        #expect(more.replies(to: id).first?.outcome == .done)
        #expect(stage.core.folders[0].index.liveFiles == 40 && stage.core.folders[0].isReady)
    }

    @Test func `a start finds what has changed, and who has to hear of it`() throws {
        let (stage, _) = trusting(["File1": "one\n", "File2": "two\n"])
        var rows: [String: [String: Record]] = [:]
        for (_, effect) in stage.history {
            if case .remember(let table, let key, let record) = effect { rows[table, default: [:]][key] = record }
        }
        let sorted = rows.mapValues { table in
            table.sorted { $0.key < $1.key }.map { Row(key: $0.key, record: $0.value) }
        }
        var restarted = CoreStage.ready(["File1": "one\n", "File2": "two, again\n"], rows: sorted)
        restarted.wait(.seconds(61))
        let dial = try #require(restarted.history.dials.last)
        #expect(restarted.connect(dial.connection, to: peer).sent.contains(restarted.offer(["File2"])))
    }
}
