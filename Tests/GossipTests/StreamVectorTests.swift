import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// A reader accepts any segmentation (gossip section 1), and all that came before the end of the stream is carried out
/// (gossip section 3.9).
@Suite struct StreamVectorTests {
    /// The octets of a vector as they come.
    private func chunks(of vector: Vector) throws -> [Bytes] {
        guard vector.has("message") else { return try vector.cases("chunks").map { try $0.octets() } }
        let message = try vector.value("message").message()
        let size = try vector.number("chunk_octets")
        return stride(from: 0, to: message.count, by: size).map { message.slice($0..<min($0 + size, message.count)) }
    }

    /// The whole messages in them.
    private func messages(of vector: Vector) throws -> [Bytes] {
        if vector.has("message") { return [try vector.value("message").message()] }
        return try vector.cases("messages").map { try $0.octets() }
    }

    private func count(_ type: UInt16, in messages: [Bytes]) -> Int { messages.count { $0.uint16(at: 2) == type } }

    @Test func `the messages are carried out as they are, however they are cut`() throws {
        for vector in try vectors("streams", channel: "api") {
            var stage = CoreStage.ready()
            let peer = stage.neighbour(Guest(2))
            let program = stage.program()
            let expected = try messages(of: vector)
            var effects: [Effect] = []
            for chunk in try chunks(of: vector) { effects += stage.say(chunk, on: program) }
            let items = expected.filter { $0.uint16(at: 2) == MessageType.announce }
            #expect(effects.items(on: peer).map(\.message) == items, "\(vector)")
            let types = Set(expected.filter { $0.uint16(at: 2) == MessageType.notify }.map { $0.uint16(at: 6) })
            #expect(stage.core.clients.first?.types == types, "\(vector)")
            let counters = stage.core.counters
            #expect(counters.announced == items.count, "\(vector)")
            #expect(counters.unknownVerdicts == count(MessageType.validation, in: expected), "\(vector)")
            #expect(effects.octets(on: program).isEmpty && !effects.finishes(program), "\(vector)")
        }
    }

    @Test func `an open stream goes on, an ended one is closed`() throws {
        for vector in try vectors("streams", channel: "api") {
            var stage = CoreStage.ready()
            let peer = stage.neighbour(Guest(2))
            let program = stage.program()
            for chunk in try chunks(of: vector) { stage.say(chunk, on: program) }
            switch try vector.text("end") {
            case "open":
                let next = stage.announce("and on", on: program)
                #expect(next.items(on: peer).map(\.data) == [Bytes(utf8: "and on")], "\(vector)")
                #expect(stage.wait(.seconds(60)).touched.contains(program) == false, "\(vector)")
            case "eof":
                let effects = stage(.ended(program))
                #expect(effects.finishes(program) && effects.touched == [program], "\(vector)")
                #expect(stage.core.topics.subscriptions.isEmpty, "\(vector)")
                #expect(stage(.closed(program, .closedByPeer, Traffic())).isEmpty, "\(vector)")
            case let end: Issue.record("\(vector): unknown end \(end)")
            }
        }
    }

    @Test func `a link takes the same messages octet by octet`() {
        var stage = CoreStage.ready()
        let (first, second) = (Guest(2), Guest(3))
        let program = stage.program(9)
        let (other, _) = stage.open(direct: second)
        let (connection, _) = stage.accept(from: first.dialling)
        let octets =
            first.connect.array + first.first.array + item("one", ttl: 3).array + first.heartbeat.array
            + item("two", ttl: 3).array
        var effects: [Effect] = []
        for octet in octets { effects += stage.say([octet], on: connection) }
        #expect(stage.neighbours == [other, connection])
        #expect(effects.notifications(on: program).map(\.data) == [Bytes(utf8: "one"), Bytes(utf8: "two")])
        #expect(stage.approve(effects, on: program).items(on: other).map(\.ttl) == [2, 2])
        #expect(effects.items(on: connection).isEmpty)
    }

    @Test func `a link takes all messages at once`() {
        var stage = CoreStage.ready()
        let guest = Guest(2)
        let program = stage.program(9)
        let (connection, _) = stage.accept(from: guest.dialling)
        let effects = stage.say(
            Bytes(guest.connect.array + guest.first.array + item("one", ttl: 3).array + item("two").array),
            on: connection)
        #expect(effects.notifications(on: program).map(\.data) == [Bytes(utf8: "one"), Bytes(utf8: "two")])
    }
}
