import DDRP
import PeerCore
import PeerCrypto
import TestSupport
import Testing

/// Envelopes beyond the vector file: what the signature covers, limits, and octets that nobody meant.
@Suite struct SealerVectorTests {
    @Test func `in R all envelopes of a type and second carry one signature, in T each its own`() throws {
        for vector in try Vector.cases("ddrp", "keys") {
            var sealer = Sealer(key: try vector.privateKey("private_key"))
            let messages = [1, 2].map { Message.helloAck(HelloAck(nonce: Bytes32([UInt8](repeating: $0, count: 32)))) }
            func signatures(_ dialect: Dialect, _ seconds: [UInt32]) throws -> [Bytes] {
                try messages.flatMap { message in
                    try seconds.map { second in
                        let octets = sealer.seal(message, timestamp: second, in: dialect)
                        let envelope = try #require(try next(octets, dialect)).envelope
                        #expect(envelope.signer(in: dialect) == (try vector.octets("public_key_compressed")))
                        return envelope.signature
                    }
                }
            }
            #expect(Set(try signatures(.reference, [7, 8, 7])).count == 2, "\(vector)")
            #expect(Set(try signatures(.text, [7, 8, 7])).count == 4, "\(vector)")
        }
    }

    @Test func `in R the body is not covered by the signature, in T it is; the magic is in R`() throws {
        let key = try #require(Secp256k1.PrivateKey(Bytes32([UInt8](repeating: 5, count: 32))))
        let ack = Message.helloAck(HelloAck(nonce: .zero))
        for dialect in Dialect.allCases {
            var sealer = Sealer(key: key)
            let octets = sealer.seal(ack, timestamp: 1_588_550_400, in: dialect)
            let parts = octets.count - 65 - 33
            for (index, isCovered) in [(4, true), (parts - 1, true), (parts + 20, dialect == .text)] {
                var changed = octets.array
                changed[index] ^= 1
                let envelope = try #require(try next(Bytes(changed), dialect)).envelope
                #expect((envelope.signer(in: dialect) == key.publicKey) == !isCovered, "\(dialect) octet \(index)")
            }
            var other = Sealer(key: key, magic: 0xdead_beef)
            let foreign = other.seal(ack, timestamp: 1_588_550_400, in: dialect)
            #expect((foreign.dropping(4) == octets.dropping(4)) == (dialect == .text), "\(dialect)")
        }
    }

    @Test func `a length that is not minimal is read, and T signs its shortest form`() throws {
        let key = try #require(Secp256k1.PrivateKey(Bytes32([UInt8](repeating: 5, count: 32))))
        for dialect in Dialect.allCases {
            var sealer = Sealer(key: key)
            let octets = sealer.seal(.ping, timestamp: 9, in: dialect).array
            let length = octets.count - 65 - 1
            for padding in [[0x80, 0x00], [0x80, 0x80, 0x80, 0x00]] as [[UInt8]] {
                let padded = Bytes(octets[..<length] + padding + octets[(length + 1)...])
                let envelope = try feed(padded) { try next($0, dialect).map { ($0.envelope, $0.octets) } }
                #expect(envelope.body.isEmpty && envelope.signer(in: dialect) == key.publicKey, "\(dialect)")
            }
        }
    }

    @Test func `a body is refused as soon as its length is complete and above the limit`() throws {
        for (dialect, head) in [(Dialect.reference, "cafecafe000a5eaf5b3b"), (.text, "cafecafe0a5eaf5b3b")] {
            let start = head.count / 2
            let limit = UInt64(Envelope.maximumBodyBytes)
            let table: [(String, Int, DecodeError)] = [
                ("81801000", start + 3, .tooLong(field: "body", length: limit + 1, limit: limit)),
                ("ffffffffffffffffff01", start + 10, .tooLong(field: "body", length: .max, limit: limit)),
                ("ffffffffffffffffff02", start + 10, .invalid(field: "length")),
                ("8080808080808080808000", start + 10, .invalid(field: "length")),
            ]
            for (length, needed, error) in table {
                let input = try octets(head + length)
                let refusal = try feedRefused(input) { try next($0, dialect).map { ($0.envelope, $0.octets) } }
                #expect(refusal == (error, needed), "\(dialect) \(length)")
            }
            #expect(try next(octets(head + "808010"), dialect) == nil)
            #expect(throws: DecodeError.tooLong(field: "body", length: 33, limit: 32)) {
                try Envelope.next(in: try octets(head + "21"), dialect: dialect, bodyLimit: 32)
            }
        }
    }

    @Test func `a timestamp can be judged before the envelope is complete`() throws {
        for (dialect, head) in [(Dialect.reference, "cafecafe00025eaf5b3b"), (.text, "cafecafe035eaf5b3b")] {
            let octets = try octets(head)
            for count in 0..<octets.count {
                #expect(Envelope.timestamp(in: octets.slice(0..<count), dialect: dialect) == nil)
            }
            #expect(Envelope.timestamp(in: octets, dialect: dialect) == 0x5eaf_5b3b)
        }
    }

    @Test func `any octets decode or are refused, and what decodes, encoded and decoded again, is equal`() throws {
        var random = SeededRandom(seed: Bytes32([UInt8](repeating: 3, count: 32)))
        let bodies = try Vector.cases("ddrp", "envelopes").filter { $0.has("body") }.map { try $0.octets("body").array }
        var decoded = 0
        for round in 0..<4000 {
            var octets = bodies[round % bodies.count]
            for _ in 0..<Int.random(in: 0...3, using: &random) where !octets.isEmpty {
                octets[Int.random(in: octets.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            octets = Array(octets.prefix(Int.random(in: 0...octets.count * 2, using: &random)))
            let dialect = Dialect.allCases[round % 2]
            let code = UInt16.random(in: 0...13, using: &random)
            guard let message = try? Message(decoding: Bytes(octets), code: code, dialect: dialect) else { continue }
            // Nothing is kept of a message that has no meaning.
            if case .unknown = message { continue }
            decoded += 1
            let number = try #require(message.code(in: dialect))
            let body = message.body(in: dialect)
            let again = try Message(decoding: body, code: number, dialect: dialect)
            // R has no ports: an answer in the layout of T loses them, once.
            #expect(again.body(in: dialect) == body && again.code(in: dialect) == number, "\(Bytes(octets)) \(code)")
            if case .peerRes = message { continue }
            #expect(again == message, "\(Bytes(octets)) \(code)")
        }
        #expect(decoded > 0)
    }

    private func octets(_ hex: String) throws -> Bytes {
        try #require(Bytes(hex: hex), "\(hex)")
    }

    private func next(_ octets: Bytes, _ dialect: Dialect) throws -> (envelope: Envelope, octets: Int)? {
        try Envelope.next(in: octets, dialect: dialect, bodyLimit: Envelope.maximumBodyBytes)
    }
}
