import PeerCore
import TestSupport
import Testing

@testable import PPlusTwo

/// The pure functions: identities, belief, answers as the caller takes them, names.
struct ValueVectorTests {
    @Test func `identities are read and written`() throws {
        for vector in try vectors("identity") {
            let identity = PeerIdentity(line: try vector.bytes("input"))
            let expected = try vector.value("expect")
            guard expected.has("identity") else {
                #expect(identity == nil, "\(vector)")
                continue
            }
            #expect(identity?.description == (try expected.text("identity")), "\(vector)")
            if let identity { #expect(PeerIdentity(line: identity.line.dropping(0)) == nil, "a line has its end") }
        }
    }

    @Test func `identities are believed by who tells of them`() throws {
        for vector in try vectors("belief") {
            let input = try vector.value("input")
            let source = try input.ip("tcp_source")
            let way: Belief.Way = try input.flag("hearsay") ? .hearsay(from: source) : .announced(from: source)
            let verdict = PeerIdentity(line: try input.bytes("identity")).map { Belief($0, way, Access()).rawValue }
            #expect(verdict ?? "invalid" == (try vector.value("expect").text("verdict")), "\(vector)")
        }
    }

    @Test func `an answer to a list adds what is new, in pieces of any size`() throws {
        for vector in try vectors("list-caller") {
            let given = try vector.value("given")
            let answer = try vector.bytes("answer")
            for size in [1, 2, 7, answer.count] where size > 0 {
                var stage = CoreStage(Configuration(listen: nil, folder: "files"))
                stage.core.own.announce = try given.identity("me")
                for identity in try given.identities("known") {
                    _ = stage.core.peers.learn(identity, isShared: true, isDirect: true, at: stage.now.instant)
                }
                let known = Set(stage.core.peers.all.map(\.identity))
                let peer = try #require(PeerIdentity(try given.ip("answering_peer"), 17_100))
                var lines = AnswerLines(stage.core.configuration.acceptedList)
                var told: [PeerIdentity] = []
                for start in stride(from: 0, to: answer.count, by: size) {
                    let piece = answer.slice(start..<min(start + size, answer.count))
                    told += lines.take(piece).compactMap { PeerIdentity(line: $0) }
                }
                let number = stage.core.takeIn(told, from: peer, at: stage.now)
                let added = stage.core.peers.all.map(\.identity).filter { !known.contains($0) }
                #expect(added.count == number, "\(vector)")
                let expected = try vector.value("expect")
                if expected.has("added") {
                    #expect(added == (try expected.identities("added")), "\(vector) in pieces of \(size)")
                } else {
                    #expect(number == (try expected.number("added_count")), "\(vector)")
                }
            }
        }
    }

    @Test func `an answer to a query gives names, in pieces of any size`() throws {
        for vector in try vectors("query-caller") {
            let answer = try vector.bytes("answer")
            let expected = try vector.value("expect").elements("names").map { Bytes(utf8: try $0.text()) }
            for size in 1...max(1, answer.count) {
                var lines = AnswerLines(Configuration(listen: nil, folder: "files").acceptedQuery)
                var names: [Bytes] = []
                for start in stride(from: 0, to: answer.count, by: size) {
                    names += lines.take(answer.slice(start..<min(start + size, answer.count)))
                }
                if let last = lines.atEnd() { names.append(last) }
                #expect(names == expected, "\(vector) in pieces of \(size)")
            }
        }
    }

    @Test func `names of downloads stay in the folder`() throws {
        for vector in try vectors("local-name") {
            let name = RemoteName.local(try vector.bytes("input"))
            #expect(name == (try vector.value("expect").text("name")), "\(vector)")
            #expect(RelativePath(components: [name]) != nil)
        }
    }

    @Test func `names are shown without what moves a cursor`() throws {
        for vector in try vectors("display") {
            let shown = RemoteName.shown(try vector.bytes("input"))
            #expect(shown == (try vector.value("expect").text("shown")), "\(vector)")
        }
    }
}

typealias Configuration = PPlusTwo.Configuration
