import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import DDRP

/// PIP-2: envelopes of both dialects, byte for byte.
@Suite struct EnvelopeVectorTests {
    @Test func `encoding gives exactly the octets`() throws {
        for vector in try Vector.cases("ddrp", "envelopes") {
            let dialect = try Dialect(named: try vector.text("dialect"))
            let message = try vector.message(dialect)
            #expect(message.name == (try vector.text("type_name")), "\(vector)")
            #expect(message.code(in: dialect).map(Int.init) == (try vector.number("type")), "\(vector)")
            let body = message.body(in: dialect)
            #expect(body.count == (try vector.number("body_length")), "\(vector)")
            try expect(body, is: "body", of: vector)
            let envelope = try vector.sealed(message, dialect)
            #expect(envelope.count == (try vector.number("envelope_length")), "\(vector)")
            try expect(envelope, is: "envelope", of: vector)
        }
    }

    @Test func `decoding gives back the fields, whole, octet by octet and with octets that follow`() throws {
        for vector in try Vector.cases("ddrp", "envelopes") {
            let dialect = try Dialect(named: try vector.text("dialect"))
            let message = try vector.message(dialect)
            // Long envelopes are listed by their digests; the test above has made sure that these are their octets.
            let octets = vector.has("envelope") ? try vector.octets("envelope") : try vector.sealed(message, dialect)
            let magic = try vector.magic()
            let envelope = try feed(octets) {
                try Envelope.next(in: $0, dialect: dialect, bodyLimit: Envelope.maximumBodyBytes, magic: magic)
                    .map { ($0.envelope, $0.octets) }
            }
            #expect(Int(envelope.code) == (try vector.number("type")), "\(vector)")
            #expect(envelope.timestamp == (try vector.seconds("timestamp")), "\(vector)")
            let decoded = try Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
            #expect(decoded == message, "\(vector)")
            #expect(envelope.signature == (try vector.octets("signature")), "\(vector)")
            #expect(envelope.sealedHash(in: dialect) == (try vector.octets32("sealed_hash")), "\(vector)")
            #expect(envelope.signer(in: dialect) == (try vector.octets("public_key")), "\(vector)")
            if vector.has("signed_preimage") {
                #expect(envelope.signedOctets(in: dialect) == (try vector.octets("signed_preimage")), "\(vector)")
            }
        }
    }

    @Test func `a wrong magic is noticed at its first wrong octet`() throws {
        for vector in try Vector.cases("ddrp", "envelopes") where vector.has("envelope") {
            let dialect = try Dialect(named: try vector.text("dialect"))
            var octets = try vector.octets("envelope").array
            for index in 0..<4 {
                octets[index] ^= 1
                let magic = try vector.magic()
                let refusal = try feedRefused(Bytes(octets)) {
                    try Envelope.next(in: $0, dialect: dialect, bodyLimit: Envelope.maximumBodyBytes, magic: magic)
                        .map { ($0.envelope, $0.octets) }
                }
                #expect(refusal == (.invalid(field: "magic"), index + 1), "\(vector)")
                octets[index] ^= 1
            }
        }
    }

    @Test func `the dialect shows in the first six octets of a Hello`() throws {
        let hellos = try Vector.cases("ddrp", "envelopes").filter { try $0.text("type_name") == "Hello" }
        #expect(!hellos.isEmpty)
        for vector in hellos {
            let octets = try vector.octets("envelope")
            #expect((0..<6).allSatisfy { sniffDialect(octets.slice(0..<$0)) == nil }, "\(vector)")
            let dialect = try Dialect(named: try vector.text("dialect"))
            #expect(sniffDialect(octets.slice(0..<6)) == dialect && sniffDialect(octets) == dialect, "\(vector)")
        }
    }

    /// Compares with the octets called `key`, or with their digest and first octets when they are too long to list.
    private func expect(_ octets: Bytes, is key: String, of vector: Vector) throws {
        guard !vector.has(key) else {
            #expect(octets == (try vector.octets(key)), "\(vector)")
            return
        }
        #expect(blake2b256(octets) == (try vector.octets32("\(key)_blake2b256")), "\(vector)")
        if vector.has("\(key)_first_32") {
            #expect(octets.slice(0..<32) == (try vector.octets("\(key)_first_32")), "\(vector)")
        }
    }
}

extension Vector {
    fileprivate func message(_ dialect: Dialect) throws -> Message {
        try value("fields").message(try text("type_name"), dialect)
    }

    fileprivate func magic() throws -> UInt32 {
        try octets("magic").reduce(0) { $0 << 8 | UInt32($1) }
    }

    fileprivate func sealed(_ message: Message, _ dialect: Dialect) throws -> Bytes {
        var sealer = Sealer(key: try privateKey("private_key"), magic: try magic())
        return sealer.seal(message, timestamp: try seconds("timestamp"), in: dialect)
    }
}
