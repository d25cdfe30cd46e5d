import Bootstrap
import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// The vectors of the messages that plain peers never see (types 515 to 518).
@Suite struct ExtensionVectorTests {
    private func frame(_ octets: Bytes) throws -> Frame {
        try #require(try Frame.next(in: octets, at: 0) { _, _ in true })
    }

    @Test func `the key of an item is what another encoder makes of it`() throws {
        for vector in try Vector.cases("extension", "items") {
            let announce = Announce(
                ttl: 3, salt: try vector.uint8("salt"), dataType: try vector.uint16("data_type"),
                data: try vector.data())
            #expect(Gossip.name(of: announce.message) == Bytes32(hex: try vector.text("key")), "\(vector)")
        }
    }

    @Test func `every message decodes to what it says, and is what that encodes to`() throws {
        for vector in try Vector.cases("extension", "messages") {
            let octets = try vector.octets("hex")
            let fields = try vector.value("fields")
            let kind = try #require(ExtensionMessage.Kind(rawValue: try vector.uint16("type")))
            let keys = try fields.elements("keys").map { try #require(Bytes32(hex: try $0.text())) }
            let message = ExtensionMessage(kind, dataType: try fields.uint16("data_type"), keys: keys)
            #expect(message.bytes == octets, "\(vector)")
            #expect(try ExtensionMessage(decoding: frame(octets)) == message, "\(vector)")
            // With what precedes and follows it in a read buffer.
            let amid = Bytes([0xff] + octets.array + [0xff])
            let found = try #require(try Frame.next(in: amid, at: 1) { _, _ in true })
            #expect(try ExtensionMessage(decoding: found) == message, "\(vector)")
            for count in 0..<octets.count {
                #expect(
                    try Frame.next(in: octets.slice(0..<count), at: 0) { _, _ in true } == nil, "\(vector): \(count)")
            }
        }
    }

    @Test func `what a peer can do is told in the reserved field of its first message`() throws {
        for vector in try Vector.cases("extension", "neighbors") {
            let fields = try vector.value("fields")
            let message = Neighbors(
                id: try fields.uint16("id"), capabilities: Capabilities(rawValue: try fields.uint16("capabilities")),
                entries: try fields.peers())
            let octets = try vector.octets("hex")
            #expect(message.bytes == octets, "\(vector)")
            #expect(try Neighbors(decoding: octets) == message, "\(vector)")
        }
    }

    @Test func `a malformed one costs the link, an unknown one is skipped`() throws {
        for vector in try Vector.cases("extension", "malformed") {
            var stage = CoreStage.ready()
            let link = stage.neighbour(Guest(2, [.lazyPush, .haveIt]))
            let other = stage.neighbour(Guest(3))
            let effects = stage.say(try vector.octets("hex"), on: link)
            let isClosed = try vector.text("expect") == "close"
            #expect(effects.finishes(link) == isClosed, "\(vector)")
            #expect(stage.neighbours == (isClosed ? [other] : [link, other]), "\(vector)")
            #expect(effects.lines("peer_refused").count == (isClosed ? 1 : 0), "\(vector)")
        }
    }
}
