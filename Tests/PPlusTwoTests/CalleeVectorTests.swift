import PeerCore
import PeerCrypto
import PeerSimulator
import TestSupport
import Testing

@testable import PPlusTwo

/// The three services as a bare client sees them.
@Suite(.oneAtOnce) struct CalleeVectorTests {
    @Test func `a list is answered, the caller taken in before`() throws {
        for vector in try vectors("list-callee") {
            let given = try vector.value("given")
            #expect(try given.text("own") == "127.0.0.1:\(Lab.port)")
            var stage = CoreStage.ready()
            // The list begins with the one that was met last.
            for identity in try given.identities("known_live").reversed() {
                _ = stage.core.peers.learn(identity, isShared: true, isDirect: true, at: stage.now.instant)
                _ = stage.core.peers.met(identity, at: stage.now.instant)
            }
            let known = Set(stage.core.peers.all.map(\.identity))
            let (connection, _) = stage.accept(.list, from: SocketAddress(try given.ip("tcp_source"), 50_000))
            var effects = stage(.received(try vector.bytes("send"), on: connection))
            if vector.has("half_close") { effects += stage(.ended(connection)) }
            let expected = try vector.value("expect")
            #expect(effects.sent(on: connection) == (try expected.text("answer")), "\(vector)")
            #expect(effects.finished == [connection], "\(vector)")
            let added = stage.core.peers.all.map(\.identity).filter { !known.contains($0) }
            #expect(added == (try expected.identities("added")), "\(vector)")
        }
    }

    /// `byte[i] = (i * 31) mod 251`, made once.
    private static let generated = Bytes((0..<3_000_000).map { UInt8(($0 * 31) % 251) })

    /// A node with the files of the fixture, as far as a folder in memory can have them.
    private func lab(_ vector: Vector) throws -> (Lab, NodeID) {
        let lab = Lab()
        let configuration = vector.has("config") ? try vector.value("config") : nil
        let node = lab.node(1) { settings in
            if configuration?.has("recursive") == true { settings.recursive = true }
            if configuration?.has("extensions") == true { settings.extensions = false }
        }
        let fixture = try #require(try Vector.files("p-plus-2").first).value("fixture")
        for file in try fixture.elements("files") where file.has("name") {
            let name = try file.text("name")
            guard !name.hasPrefix("../"), name != "pipe" else { continue }
            if try file.text("type") == "symlink" {
                lab.files(node).makeLink(name)
            } else if file.has("generate") {
                #expect(try file.value("generate").number("length") == Self.generated.count)
                // Writing it takes the folder a second.
                let isWanted = try vector.has("send") && vector.bytes("send").text?.contains(name) == true
                lab.files(node)[name] = isWanted ? Self.generated : Self.generated.slice(0..<1)
            } else if try file.text("type") == "file" {
                lab.files(node)[name] = file.has("hex") ? try file.octets("hex") : Bytes(utf8: try file.text("text"))
            }
        }
        try lab.run(.seconds(1))
        return (lab, node)
    }

    private func check(_ vector: Vector, _ service: Service, _ pieces: [Bytes], gap: Duration = .zero) throws {
        let (lab, node) = try lab(vector)
        let began = lab.simulator.now
        let socket = try lab.call(node, 1, service, pieces, gap: gap, halfCloses: vector.has("half_close"))
        let answer = Bytes(socket.received)
        let expected = try vector.value("expect")
        if expected.has("answer") { #expect(answer == Bytes(utf8: try expected.text("answer")), "\(vector)") }
        if expected.has("answer_hex") { #expect(answer == (try expected.octets("answer_hex")), "\(vector)") }
        if expected.has("length") {
            #expect(answer.count == (try expected.number("length")), "\(vector)")
            #expect(digest(answer, .sha256) == (try expected.octets("sha256")), "\(vector)")
        }
        if expected.has("lines") {
            let lines = try expected.elements("lines").map { try $0.text() }
            let found = answer.text?.split(separator: "\n").map(String.init) ?? []
            #expect(found.count == lines.count, "\(vector)")
            for (found, line) in zip(found, lines) where !line.contains("<") { #expect(found == line, "\(vector)") }
        }
        if expected.has("ends_by") { #expect((try expected.text("ends_by") == "fin") == socket.hasEnded, "\(vector)") }
        if expected.has("log") {
            let reason = try expected.text("log").split(separator: " ").last.map(String.init)
            #expect(lab.events("reject").last?.string("reason") == reason)
        }
        if expected.has("closed_within_s") {
            #expect(lab.simulator.now - began <= .seconds(try expected.number("closed_within_s")), "\(vector)")
        }
        #expect(socket.hasEnded, "\(vector): an end in order")
    }

    @Test func `queries are answered`() throws {
        for vector in try vectors("query-callee") where vector.description.contains("not utf-8") == false {
            try check(vector, .query, [try vector.bytes("send")])
        }
    }

    @Test func `queries are answered octet by octet and with octets that follow`() throws {
        for vector in try vectors("query-callee").prefix(4) {
            let line = try vector.bytes("send")
            try check(vector, .query, line.map { Bytes([$0]) }, gap: .milliseconds(1))
            if !vector.has("half_close") { try check(vector, .query, [line, Bytes(utf8: "more\n and more")]) }
        }
    }

    @Test func `files are sent`() throws {
        for vector in try vectors("download-callee") where !vector.has("scenario") {
            try check(vector, .download, [try vector.bytes("send")])
        }
    }

    @Test func `the extension is answered`() throws {
        for vector in try vectors("ext-callee") {
            let service = try #require(Service(rawValue: try vector.text("service")))
            try check(vector, service, [try vector.bytes("send")])
        }
    }

    @Test func `a line may come in pieces, but not for ever`() throws {
        for vector in try vectors("framing") where try vector.text("service") == "query" {
            let pieces = try vector.elements("segments").map { try $0.bytes() }
            let gap = vector.has("gap_ms") ? try vector.number("gap_ms") : 0
            try check(vector, .query, pieces, gap: .milliseconds(gap))
        }
    }

    @Test func `a file that grows is sent as it was, one that shrinks ends with a reset`() throws {
        let lab = Lab()
        let node = lab.node(1)
        let megabyte = Bytes([UInt8](repeating: 1, count: 1 << 20))
        let three = Bytes(megabyte.array + megabyte.array + megabyte.array)
        (lab.files(node)["growing.log"], lab.files(node)["shrinking.bin"]) = (three, three)
        try lab.run(.seconds(1))
        for name in ["growing.log", "shrinking.bin"] {
            let socket = lab.simulator.openSocket(
                on: node, to: .ip(SocketAddress(Lab.ip(1), Lab.port + Service.download.offset)))
            try lab.run(.milliseconds(10))
            socket.reads = false
            socket.send(Bytes(utf8: "\(name)\n"))
            try lab.run(.milliseconds(100))
            lab.files(node)[name] = name == "growing.log" ? Bytes(three.array + [2]) : megabyte
            socket.reads = true
            _ = try lab.simulator.run(for: .seconds(20), until: { socket.hasEnded || socket.closed != nil })
            if name == "growing.log" {
                #expect(socket.received.count == three.count && socket.hasEnded)
            } else {
                #expect(socket.received.count < three.count && socket.closed == .reset)
                #expect(lab.events("upload_abort").map { $0.string("reason") } == ["file_shrank"])
            }
        }
    }
}
