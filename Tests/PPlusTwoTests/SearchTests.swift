import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import PPlusTwo

/// What the operator looks for (P+2 section 7).
@Suite(.oneAtOnce) struct SearchTests {
    @Test func `peers are asked one after the other, and numbers run on`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2, 3, 4]) { $0.extensions = false }
        let peers = [2, 3].map { number in
            lab.scripted(number) { service, _ in .text(service == .query ? "a\(number)\nb\(number)\n" : "") }
        }
        try lab.run(.seconds(1))
        let question = try lab.answer(node, "search", ["text": " two words "])
        #expect(peers.map { $0.texts(.query) } == [[" two words \n"], [" two words \n"]])
        #expect(peers[0].lines[0].at < peers[1].lines[0].at)
        let names = question.records.compactMap { $0.string("name") }
        #expect(names == ["a2", "b2", "a3", "b3"])
        #expect(question.records.compactMap { $0.int("number") } == [1, 2, 3, 4])
        let failed = question.records.filter { $0["failed"] != nil && $0["peer"] != nil }
        #expect(failed.map { $0.string("peer") } == [Lab.identity(4).description])
        let end = try #require(question.records.last)
        #expect(end.int("asked") == 3 && end.int("failed") == 1 && end.int("matches") == 4)
        // Who has failed is not asked again.
        #expect(try lab.answer(node, "search", ["text": "x"]).records.last?.int("asked") == 2)
    }

    @Test func `who looks for something has the initial peers tried again when nobody else is known`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2]) { $0.extensions = false }
        try lab.run(.seconds(30))
        #expect(lab.core(node)?.peers.list.isEmpty == true)
        _ = lab.scripted(2) { service, _ in .text(service == .query ? "found\n" : "") }
        let question = try lab.answer(node, "search", ["text": "f"])
        #expect(question.records.first?.string("name") == "found")
        #expect(question.records.last?.int("asked") == 1 && question.records.last?.int("failed") == 0)
    }

    @Test func `a line is written at once, with one LF and nothing behind it`() throws {
        let vector = try #require(try vectors("framing").first { try $0.text("service") == "caller" })
        var stage = CoreStage.ready(knows: [identity("127.0.0.1:18000")]) { $0.extensions = false }
        let text = try vector.value("given").text("query")
        _ = stage.command("search", ["text": .string(text)])
        let dial = try #require(stage.dials.last)
        let effects = stage(.connected(dial.connection, local: SocketAddress(.loopback, 1), remote: .none))
        let sent = effects.compactMap { if case .send(let bytes, _) = $0 { bytes } else { nil } }
        #expect(sent == [try vector.value("expect").octets("sent_hex")])
        #expect(effects.finished.isEmpty)
    }

    @Test func `several peers at once, when that is wanted`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2, 3, 4]) { settings in
            settings.extensions = false
            settings.parallelInterrogations = 2
        }
        var running = 0
        for number in [2, 3, 4] as [UInt8] { _ = lab.scripted(number) { _, _ in .silence(Bytes()) } }
        let question = lab.ask(node, "search", ["text": "x"])
        try lab.run(.seconds(1))
        running = lab.core(node)?.questions.count ?? 0
        #expect(running == 2)
        _ = try lab.simulator.run(for: .seconds(60), until: { question.isAnswered })
        #expect(question.records.last?.int("failed") == 3)
    }

    @Test func `sizes are told by peers that know the extension, and they are asked for it once an hour`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1, knows: [2, 3]), lab.node(2))
        lab.files(b)["song.mp3"] = Bytes(utf8: "12345")
        let old = lab.scripted(3) { service, line in .text(service == .query && line == "song\n" ? "old song\n" : "\n")
        }
        try lab.run(.seconds(2))
        for _ in 0..<3 {
            let rows = try lab.answer(a, "search", ["text": "song"]).records
            #expect(rows.first { $0.string("name") == "song.mp3" }?.int("size") == 5)
            #expect(rows.contains { $0.string("name") == "old song" && $0["size"] == nil })
        }
        #expect(old.texts(.query) == ["//p2x/1/hello\n", "song\n", "song\n", "song\n"])
        try lab.run(.seconds(3600))
        _ = try lab.answer(a, "search", ["text": "song"])
        #expect(old.texts(.query).count { $0.contains("hello") } == 2)
    }

    @Test func `matches above the limit are counted only`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2]) { $0.extensions = false }
        _ = lab.scripted(2) { service, _ in
            .text(service == .query ? (1...50).map { "\($0)\n" }.joined() : "")
        }
        let question = try lab.answer(node, "search", ["text": "", "limit": 10])
        #expect(question.records.count == 11)
        #expect(question.records.last?.int("matches") == 50 && question.records.last?.int("notShown") == 40)
    }

    @Test func `answers without end, and lines without end, cost no memory`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2]) { settings in
            settings.extensions = false
            settings.acceptedQuery.octets = 1 << 20
        }
        _ = lab.scripted(2) { service, _ in service == .query ? .endless : .bytes(Bytes()) }
        let question = try lab.answer(node, "search", ["text": "x"])
        #expect(question.records.last?.int("matches") == 0)
        try lab.run(.seconds(1))
        #expect(lab.core(node)?.questions.isEmpty == true)
    }

    @Test func `a search that nobody waits for ends`() throws {
        let lab = Lab()
        let node = lab.node(1, knows: [2, 3]) { $0.extensions = false }
        for number in [2, 3] as [UInt8] { _ = lab.scripted(number) { _, _ in .silence(Bytes()) } }
        let question = lab.ask(node, "search", ["text": "x"])
        try lab.run(.seconds(1))
        lab.simulator.cancel(question)
        try lab.run(.seconds(1))
        #expect(lab.core(node)?.questions.isEmpty == true && lab.core(node)?.searches.isEmpty == true)
    }

    @Test func `commands that cannot be meant are refused with a reason`() {
        var stage = CoreStage.ready()
        let wrong: [(String, Record)] = [
            ("search", ["text": "a\nb"]), ("search", ["text": "a", "peer": "b"]), ("download", [:]),
            ("download", ["number": 1]), ("download", ["name": "x", "peer": "here"]), ("connect", ["address": "x:1"]),
            ("connect", ["address": "127.0.0.1:17000"]), ("disconnect", ["peer": "1.2.3.4:5"]), ("dance", [:]),
        ]
        for (name, arguments) in wrong {
            #expect(stage.command(name, arguments).effects.refusals.count == 1, "\(name) \(arguments.json)")
        }
    }
}
