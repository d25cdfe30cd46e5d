public import PeerCore
public import PeerCrypto

/// Puts messages into signed envelopes (DDRP sections 3 and 4).
public struct Sealer: Sendable {
    private let key: Secp256k1.PrivateKey
    private let magic: UInt32
    /// The envelopes of R with an empty body, by type, of the second `cachedSecond`. Their signature is that of all
    /// envelopes of the type and second, since R does not sign the body; a Ping is one for all peers.
    private var emptyEnvelopes: [UInt16: Bytes] = [:]
    private var cachedSecond: UInt32 = 0

    /// Signs with `key`; `magic` is that of the network.
    public init(key: Secp256k1.PrivateKey, magic: UInt32 = Envelope.magic) {
        self.key = key
        self.magic = magic
    }

    /// The whole envelope of `message`, which the dialect must have a number for, signed at `timestamp` seconds since
    /// 1970-01-01 UTC. In R it signs once for each type and second.
    public mutating func seal(_ message: Message, timestamp: UInt32, in dialect: Dialect) -> Bytes {
        guard let code = message.code(in: dialect) else {
            preconditionFailure("\(message.name) has no number in the \(dialect) dialect")
        }
        let header = dialect.header(magic: magic, code: code, timestamp: timestamp)
        let body = message.body(in: dialect)
        guard dialect == .reference else {
            return join(header, body, signature: sign(dialect.signedOctets(header: header, body: body)))
        }
        let empty = emptyEnvelope(header, code, timestamp)
        guard body.count > 0 else { return empty }
        return join(header, body, signature: empty.dropping(empty.count - Secp256k1.signatureBytes))
    }

    private mutating func emptyEnvelope(_ header: Bytes, _ code: UInt16, _ timestamp: UInt32) -> Bytes {
        if timestamp != cachedSecond {
            emptyEnvelopes.removeAll(keepingCapacity: true)
            cachedSecond = timestamp
        }
        if let envelope = emptyEnvelopes[code] { return envelope }
        let signature = sign(Dialect.reference.signedOctets(header: header, body: Bytes()))
        let envelope = join(header, Bytes(), signature: signature)
        emptyEnvelopes[code] = envelope
        return envelope
    }

    private func sign(_ octets: Bytes) -> Bytes {
        key.sign(blake2b256(octets))
    }

    private func join(_ header: Bytes, _ body: Bytes, signature: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: header.count + 3 + body.count + signature.count)
        writer.write(header)
        writer.writeString(body)
        writer.write(signature)
        return writer.bytes
    }
}
