import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Datagrams of RFC 7574, most of them captured from libswift (RFC 7574 digest sections 1 to 4 and 9).
@Suite struct DatagramVectorTests {
    private func rules(of vector: Vector) throws -> ChunkRules {
        try vector.rules(.datagram, addressing: try vector.uint8("chunk_addressing"))
    }

    /// The payload of the DATA message that a datagram ends with, by the length that the vector tells.
    private func payload(of vector: Vector, in octets: Bytes) throws -> Bytes {
        let messages = try vector.value("fields").elements("messages")
        guard let last = messages.last, last.has("data_len") else { return Bytes() }
        return octets.dropping(octets.count - (try last.number("data_len")))
    }

    @Test func `every datagram decodes to what it says, and is what that encodes to`() throws {
        for vector in try vectors("rfc7574-ok") {
            let octets = try vector.octets("hex")
            let fields = try vector.value("fields")
            let payload = try payload(of: vector, in: octets)
            let messages = try fields.elements("messages").map { try $0.chunkMessage(payload: payload) }
            let datagram = Datagram(channel: try fields.uint32("channel"), messages)
            let rules = try rules(of: vector)
            let inside = Bytes([0xff] + octets.array + [0xff]).slice(1..<octets.count + 1)
            #expect(DatagramReading(inside, rules) == .datagram(datagram), "\(vector)")
            #expect(Datagram.channel(of: inside) == datagram.channel, "\(vector)")
            #expect(datagram.bytes(rules) == octets, "\(vector)")
            if case .handshake? = messages.first {
                // A handshake tells by itself how to read what follows.
                #expect(DatagramReading(octets, .opening) == .datagram(datagram), "\(vector)")
            }
        }
    }

    @Test func `a datagram that was cut gives the messages before the cut`() throws {
        for vector in try vectors("rfc7574-ok") {
            let octets = try vector.octets("hex")
            let rules = try rules(of: vector)
            guard case .datagram(let whole) = DatagramReading(octets, rules) else { continue }
            for count in 0..<octets.count {
                switch DatagramReading(octets.slice(0..<count), rules) {
                case .noise(let reason): #expect(count < 4 && reason == .truncated(field: "channel"), "\(vector)")
                case .broken(let part, let reason):
                    #expect(part.messages == Array(whole.messages.prefix(part.messages.count)), "\(vector)")
                    guard case .truncated = reason else {
                        Issue.record("\(vector): \(reason)")
                        continue
                    }
                case .datagram(let part):
                    #expect(part.messages.count <= whole.messages.count, "\(vector)")
                    #expect(
                        part.messages.dropLast() == whole.messages.prefix(max(0, part.messages.count - 1)), "\(vector)")
                case .oldDialect: Issue.record("\(vector)")
                }
            }
        }
    }

    @Test func `what is malformed ends the reading, for the reason that the vector names`() throws {
        for vector in try vectors("rfc7574-reject") {
            let reason: DecodeError
            switch DatagramReading(try vector.octets("hex"), try rules(of: vector)) {
            case .noise(let error): reason = error
            case .broken(let datagram, let error):
                #expect(datagram.messages.isEmpty, "\(vector)")
                reason = error
            case .datagram, .oldDialect: throw VectorError("\(vector): read")
            }
            let expected = try vector.text("reason")
            switch reason {
            case .truncated: #expect(expected == "truncated", "\(vector)")
            case .invalid(let field):
                #expect(expected == "unknown \(field.replacing("message type", with: "message"))", "\(vector)")
            default: Issue.record("\(vector): \(reason)")
            }
        }
    }
}
