import DDRP
import PeerCore
import PeerCrypto
import TestSupport
import Testing

/// PIP-2: the three envelopes of a handshake.
@Suite struct HandshakeVectorTests {
    @Test func `a handshake is Hello, Hello, HelloAck, each with the nonce of the other side`() throws {
        for vector in try Vector.cases("ddrp", "handshakes") {
            let dialect = try Dialect(named: try vector.text("dialect"))
            let initiator = try vector.octets32("initiator_nonce")
            let responder = try vector.octets32("responder_nonce")
            let messages = try vector.cases("steps").map { try message(of: $0, in: vector, dialect) }
            #expect(messages.count == 3, "\(vector)")
            guard case .hello(let first) = messages[0], case .hello(let second) = messages[1],
                case .helloAck(let third) = messages[2]
            else {
                Issue.record("\(vector): \(messages.map(\.name))")
                continue
            }
            #expect(first.localNonce == initiator && first.remoteNonce == .zero, "\(vector)")
            #expect(second.localNonce == responder && second.remoteNonce == initiator, "\(vector)")
            #expect(third.nonce == responder, "\(vector)")
        }
    }

    /// The message of a step, after checking that its sender signed it and would write the same octets.
    private func message(of step: Vector, in vector: Vector, _ dialect: Dialect) throws -> Message {
        let octets = try step.octets("envelope")
        let key = try vector.privateKey("\(try step.text("sender"))_private_key")
        let envelope = try feed(octets) {
            try Envelope.next(in: $0, dialect: dialect, bodyLimit: 4096).map { ($0.envelope, $0.octets) }
        }
        #expect(envelope.timestamp == (try step.seconds("timestamp")), "\(step)")
        #expect(envelope.signer(in: dialect) == key.publicKey, "\(step)")
        let message = try Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
        #expect(message.name == (try step.text("message")), "\(step)")
        if case .hello(let hello) = message { #expect(hello.publicKey == key.publicKey, "\(step)") }
        var sealer = Sealer(key: key)
        #expect(sealer.seal(message, timestamp: envelope.timestamp, in: dialect) == octets, "\(step)")
        return message
    }
}
