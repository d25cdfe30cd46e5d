import Bootstrap
import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import Gossip

/// The layout of the messages (gossip sections 1, 2, 5.5 and 9).
@Suite struct MessageVectorTests {
    /// What a vector says, and what that encodes to.
    private func meaning(of vector: Vector) throws -> (said: Said, octets: Bytes) {
        let fields = try vector.value("fields")
        switch try vector.number("type") {
        case 500:
            let message = Announce(
                ttl: try fields.uint8("ttl"), salt: try fields.uint8(fields.has("salt") ? "salt" : "reserved"),
                dataType: try fields.uint16("data_type"), data: try fields.data())
            return (.item(message), message.message)
        case 501:
            let message = Notify(dataType: try fields.uint16("data_type"))
            return (.notify(message), message.bytes)
        case 502:
            let message = Notification(
                messageID: try fields.uint16("message_id"), dataType: try fields.uint16("data_type"),
                data: try fields.data())
            return (.notification(message), message.bytes)
        case 503:
            let message = Validation(messageID: try fields.uint16("message_id"), isValid: try fields.flag("valid"))
            return (.validation(message), message.bytes)
        case 504:
            let message = AuthorsMessage.hello(try #require(IPAddress(try fields.text("source_ip"))))
            return (.authors(message), message.bytes)
        case 505:
            let peers = try fields.elements("peers").map { try #require(IPAddress(try $0.text())) }
            #expect(try peers.count == fields.number("count"), "\(vector)")
            return (.authors(.peerList(peers)), AuthorsMessage.peerList(peers).bytes)
        case 512:
            let id = try fields.uint16("id")
            return (.connect(id), Greeting.bytes(MessageType.connect, id: id))
        case 513:
            let id = try fields.uint16("id")
            return (.disconnect(id), Greeting.bytes(MessageType.disconnect, id: id))
        case 514:
            let message = Neighbors(
                id: try fields.uint16("id"), capabilities: Capabilities(rawValue: try fields.uint16("reserved")),
                entries: try fields.peers())
            return (.neighbors(message), message.bytes)
        default: throw VectorError("\(vector): unknown type")
        }
    }

    @Test(arguments: [("api", 20), ("p2p-tcp", 8), ("p2p-udp", 2), ("compat-authors-2017", 4)])
    func `every vector decodes to what it says, in any segmentation, and is what that encodes to`(
        channel: String, least: Int
    ) throws {
        let all = try vectors("messages", channel: channel)
        #expect(all.count >= least)
        for vector in all {
            let octets = try vector.message()
            let (said, encoded) = try meaning(of: vector)
            #expect(try octets.count == vector.number("size"), "\(vector)")
            #expect(try feed(octets, to: Said.next) == said, "\(vector)")
            // NOTIFY and VALIDATION do not keep reserved bits that are set.
            let fields = try vector.value("fields")
            let isKept = try vector.number("type") == 500 || !fields.has("reserved") || fields.number("reserved") == 0
            if isKept { #expect(encoded == octets, "\(vector)") }
        }
    }

    @Test func `a program's decoder of the API gives the same`() throws {
        for vector in try vectors("messages", channel: "api") {
            let message: APIMessage
            switch try meaning(of: vector).said {
            case .item(let announce): message = .announce(announce)
            case .notify(let notify): message = .notify(notify)
            case .notification(let notification): message = .notification(notification)
            case .validation(let validation): message = .validation(validation)
            default: throw VectorError("\(vector): not of the API")
            }
            #expect(try feed(try vector.message(), to: APIMessage.next) == message, "\(vector)")
            #expect(try feed(message.bytes, to: APIMessage.next) == message, "\(vector)")
        }
    }

    @Test func `a datagram is exactly one message`() throws {
        for vector in try vectors("messages", channel: "p2p-udp") {
            let octets = try vector.message()
            #expect(try Greeting.id(decoding: octets) == vector.value("fields").uint16("id"), "\(vector)")
            for other in (0..<octets.count).map({ octets.slice(0..<$0) }) + [Bytes(octets.array + [0])] {
                #expect(throws: DecodeError.self, "\(vector)") { try Greeting.id(decoding: other) }
            }
        }
    }

    @Test func `the authors' messages are judged by their size`() throws {
        for vector in try vectors("messages", channel: "compat-authors-2017") {
            let octets = try vector.message()
            #expect(try .authors(AuthorsMessage(decoding: octets)) == meaning(of: vector).said, "\(vector)")
            for other in (0..<octets.count).map({ octets.slice(0..<$0) }) + [Bytes(octets.array + [0])] {
                #expect(throws: DecodeError.self, "\(vector)") { try AuthorsMessage(decoding: other) }
            }
        }
    }

    @Test func `the seen key is BLAKE2b-256 over salt, data type and data; TTL is not part of it`() throws {
        for vector in try vectors("dedupe_keys") {
            for ttl in [0, 1, 4, 127, 255] as [UInt8] {
                let item = Announce(
                    ttl: ttl, salt: try vector.uint8("salt"), dataType: try vector.uint16("data_type"),
                    data: try vector.data())
                #expect(try Gossip.name(of: item.message) == vector.octets32("key"), "\(vector) TTL \(ttl)")
                #expect(try blake2b256(item.identity) == vector.octets32("key"), "\(vector) TTL \(ttl)")
            }
        }
    }

    @Test func `two items are the same when salt, data type and data are`() {
        let core = CoreStage.ready().core
        let key = core.key(of: item("a", ttl: 4, 9))
        #expect(core.key(of: item("a", ttl: 0, 9)) == key)
        #expect(core.key(of: item("a", ttl: 4, 9, salt: 1)) != key && core.key(of: item("a", ttl: 4, 10)) != key)
        #expect(core.key(of: item("b", ttl: 4, 9)) != key && core.key(of: item("", ttl: 4, 9)) != key)
    }
}

/// Parts of messages that no vector shows.
@Suite struct MessageLayoutTests {
    @Test func `a type is judged as soon as four octets are there`() throws {
        for octets in [
            Bytes(utf8: "GET / HTTP/1.1\r\n"), [0x16, 0x03, 0x01, 0x02, 0x00, 0x01], [0xff, 0xff, 0, 0, 0],
        ] {
            let refused = try feedRefused(octets, to: APIMessage.next)
            #expect(refused.octets == 4 && refused.error == .invalid(field: "type"))
        }
    }

    @Test func `a size below 4 is an error`() throws {
        for size in 0...3 as ClosedRange<UInt8> {
            let refused = try feedRefused([0, size, 0x01, 0xf5, 0, 0, 0, 1], to: APIMessage.next)
            #expect(refused.octets == 4 && refused.error == .invalid(field: "size"))
        }
    }

    @Test func `V is the lowest bit of the last two octets`() throws {
        for (octets, isValid) in [([0xff, 0xfe], false), ([0, 3], true), ([1, 0], false), ([0x80, 0x01], true)]
            as [([UInt8], Bool)]
        {
            let message = Bytes([0, 8, 0x01, 0xf7, 0x12, 0x34] + octets)
            #expect(try Validation(decoding: message) == Validation(messageID: 0x1234, isValid: isValid))
        }
    }

    @Test func `an entry is ID, port and the IPv6 or v4-mapped IPv4 address`() {
        let message = Neighbors(
            id: 0x1267, capabilities: [.lazyPush, .haveIt],
            entries: [PeerAddress(id: 0x0c, address: SocketAddress(IPAddress(192, 0, 2, 7), 6001))])
        #expect(message.bytes.hex == "001c020212670003000c177100000000000000000000ffffc0000207")
    }

    @Test func `the first entry of a first NEIGHBORS is the sender's own, seen from the receiver`() {
        let (seen, port) = (IPAddress(192, 0, 2, 9), UInt16(6001))
        func own(_ entries: [PeerAddress]) -> SocketAddress? {
            Neighbors(id: 5, entries: entries).ownEndpoint(seenAt: seen)
        }
        #expect(own([PeerAddress(id: 5, address: SocketAddress(.anyV6, port))]) == SocketAddress(seen, port))
        #expect(own([PeerAddress(id: 5, address: SocketAddress(.anyV6, 0))]) == nil && own([]) == nil)
        let other = PeerAddress(id: 6, address: SocketAddress(.anyV6, port))
        #expect(own([other, PeerAddress(id: 5, address: SocketAddress(.anyV6, port))]) == nil)
        #expect(Neighbors(id: 5, entries: [other]).others == [other])
    }

    @Test func `NEIGHBORS is 8 octets and 20 for each entry, from an ID of 1 to 65534`() throws {
        let octets = Guest(5).first
        #expect(try Neighbors(decoding: octets).entries.count == 1)
        for other in [octets.slice(0..<7), octets.slice(0..<27), Bytes(octets.array + [0])] {
            #expect(throws: DecodeError.self) { try Neighbors(decoding: other) }
        }
        for id in [0, .max] as [UInt16] {
            #expect(throws: DecodeError.self) { try Neighbors(decoding: Neighbors(id: id, entries: []).bytes) }
            #expect(throws: DecodeError.self) { try Greeting.id(decoding: Greeting.bytes(MessageType.connect, id: id)) }
        }
    }

    @Test(arguments: [ExtensionMessage.Kind.iHave, .iWant, .have, .prune])
    func `a message of the extension is data type and seen keys`(kind: ExtensionMessage.Kind) throws {
        for count in kind == .prune ? [0] : [0, 1, 3, 256] {
            let message = ExtensionMessage(kind, dataType: 1337, keys: (0..<count).map { seed(UInt64($0)) })
            #expect(message.bytes.count == 8 + 32 * count && message.bytes.uint16(at: 2) == kind.rawValue)
            #expect(message.bytes.uint16(at: 4) == 0 && message.bytes.uint16(at: 6) == 1337)
            #expect(try feed(message.bytes, to: Said.next) == .extra(message))
        }
    }

    @Test func `a message of the extension with a part of a key is refused, and so is a PRUNE with keys`() {
        for (type, size) in [(515, 39), (516, 41), (517, 9), (518, 40), (515, 7)] as [(UInt16, Int)] {
            var writer = ByteWriter()
            writer.write(UInt16(size))
            writer.write(type)
            writer.write(Bytes(Array(repeating: 0, count: size - 4)))
            #expect(throws: DecodeError.self, "\(type) of \(size)") { try Said.next(in: writer.bytes) }
        }
    }

    @Test func `numbers of extensions that we do not know are skipped`() throws {
        #expect(try feed([0, 6, 0x02, 0x07, 1, 2], to: Said.next) == .unknown(519))
    }
}
