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
        let header = Header(magic: magic, code: code, timestamp: timestamp)
        let body = message.body(in: dialect)
        guard dialect == .reference else {
            return join(header, body, signature: sign(header, over: body, in: .text), in: .text)
        }
        let empty = emptyEnvelope(header)
        guard body.count > 0 else { return empty }
        return join(header, body, signature: empty.suffix(Secp256k1.signatureBytes), in: .reference)
    }

    private mutating func emptyEnvelope(_ header: Header) -> Bytes {
        if header.timestamp != cachedSecond {
            emptyEnvelopes.removeAll(keepingCapacity: true)
            cachedSecond = header.timestamp
        }
        if let envelope = emptyEnvelopes[header.code] { return envelope }
        let signature = sign(header, over: Bytes(), in: .reference)
        let envelope = join(header, Bytes(), signature: signature, in: .reference)
        emptyEnvelopes[header.code] = envelope
        return envelope
    }

    private func sign(_ header: Header, over body: Bytes, in dialect: Dialect) -> Bytes {
        key.sign(blake2b256(header.signedOctets(over: body, in: dialect)))
    }

    private func join(
        _ header: Header, _ body: Bytes, signature: some Collection<UInt8>, in dialect: Dialect
    ) -> Bytes {
        var writer = header.octets(before: body, in: dialect)
        writer.write(signature)
        return writer.bytes
    }
}
