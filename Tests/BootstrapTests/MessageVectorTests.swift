import Bootstrap
import PeerCore
import TestSupport
import Testing

/// The layout of INIT, POPULATE and DISCONNECT (gossip sections 1 and 5).
@Suite struct MessageVectorTests {
    /// The vectors of these messages with what they say.
    private func messages() throws -> [(vector: Vector, octets: Bytes, message: BootstrapMessage)] {
        try Vector.cases("gossip", "messages").compactMap { vector in
            let fields = try vector.value("fields")
            let message: BootstrapMessage
            switch try vector.number("type") {
            case 510:
                message = .initialization(
                    Init(degree: UInt16(try fields.number("degree")), id: UInt16(try fields.number("reserved"))))
            case 511:
                let entries = try fields.elements("peers").map { peer in
                    let ip = try #require(IPAddress(try peer.text("address")))
                    let port = UInt16(try peer.number("port"))
                    return PeerAddress(id: UInt16(try peer.number("id")), address: SocketAddress(ip, port))
                }
                message = .populate(Populate(id: UInt16(try fields.number("id")), entries: entries))
            case 513: message = .disconnect(Disconnect(id: UInt16(try fields.number("id"))))
            default: return nil
            }
            return (vector, try vector.octets("hex"), message)
        }
    }

    @Test func `every vector decodes to what it says, and is what that encodes to`() throws {
        let messages = try messages()
        #expect(messages.count >= 11)
        for (vector, octets, message) in messages {
            #expect(try BootstrapMessage(decoding: octets) == message, "\(vector)")
            #expect(message.bytes == octets, "\(vector)")
            let surrounded = Bytes([0xff, 0xff] + octets.array + [0xff])
            #expect(try BootstrapMessage(decoding: surrounded.slice(2..<2 + octets.count)) == message, "\(vector)")
        }
    }

    @Test func `a datagram is one message exactly, not a part of one and not more`() throws {
        for (vector, octets, _) in try messages() {
            let longer = [[0], octets.array].map { Bytes(octets.array + $0) }
            let wrong = (0..<octets.count).map { octets.slice(0..<$0) } + longer
            for datagram in wrong {
                #expect(throws: DecodeError.self, "\(vector): \(datagram.count) octets") {
                    try BootstrapMessage(decoding: datagram)
                }
            }
        }
    }

    @Test func `a size field of any other value, or any other type, is an error`() throws {
        for (vector, octets, _) in try messages() where octets.count <= 28 {
            for value in UInt16.min...UInt16.max where value % 7 == 0 || value < 1024 {
                for offset in [0, 2] {
                    var changed = octets.array
                    changed[offset] = UInt8(value >> 8)
                    changed[offset + 1] = UInt8(value & 255)
                    // DISCONNECT and INIT, and POPULATE without entries, differ by their type only.
                    let isAnother = offset == 2 && [510, 511, 513].contains(value)
                    guard Bytes(changed) != octets, !isAnother else { continue }
                    let message = try? BootstrapMessage(decoding: Bytes(changed))
                    if message != nil { Issue.record("\(vector): \(value) at \(offset)") }
                }
            }
        }
    }

    @Test func `malformed datagrams are dropped by the server, silently`() throws {
        var found = 0
        for vector in try Vector.cases("gossip", "malformed") where try vector.text("channel") == "bootstrap-udp" {
            found += 1
            #expect(try vector.text("expect") == "drop", "\(vector)")
            var stage = ServerStage()
            let octets = try vector.text("hex").isEmpty ? Bytes() : vector.octets("hex")
            #expect(stage.say(octets, from: peer(0)).isEmpty, "\(vector)")
            #expect(stage.count("malformed") == 1 && stage.count("provisional") == 0, "\(vector)")
            #expect(stage.lines("bootstrap_malformed").map(\.level) == [.debug], "\(vector)")
        }
        #expect(found >= 6)
    }

    @Test func `a client drops a POPULATE that it did not ask for`() throws {
        for vector in try Vector.cases("gossip", "malformed")
        where try vector.text("channel") == "p2p-udp" && (try vector.text("name").hasPrefix("populate")) {
            var stage = ClientStage(["10.0.0.1:6000"])
            stage.start()
            #expect(stage.receive(try vector.octets("hex"), from: address("10.0.0.2:6000")) == nil, "\(vector)")
            stage.advance(.seconds(0.1))
            #expect(stage.receive(try vector.octets("hex"), from: address("10.0.0.1:6001")) == nil, "\(vector)")
            #expect(stage.receive(try vector.octets("hex"), from: address("10.0.0.1:6000")) == [], "\(vector)")
        }
    }

    @Test func `entries that nobody can be at are left out one by one, and the message stays valid`() throws {
        let good = PeerAddress(id: 1, address: address("20.0.0.1:6001"))
        for vector in try Vector.cases("gossip", "malformed") where try vector.text("expect") == "ignore-entry" {
            // The entry of a NEIGHBORS has the layout of one of a POPULATE.
            let entry = try vector.octets("hex").dropping(8)
            var octets = Populate(id: 5, entries: [good, good]).bytes.array
            octets.replaceSubrange(28..<48, with: entry)
            var stage = ClientStage(["10.0.0.1:6000"])
            stage.start()
            #expect(stage.receive(Bytes(octets), from: address("10.0.0.1:6000")) == [good], "\(vector)")
        }
    }
}
