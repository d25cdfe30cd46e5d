public import PeerCore
internal import PeerCrypto

/// A signed frame, the only thing on the wire (PIP-2, DDRP sections 3 and 4).
///
/// | R    | T     | size    | field                                                          |
/// |------|-------|---------|----------------------------------------------------------------|
/// | 0    | 0     | 4       | magic `ca fe ca fe`                                            |
/// | 4    | 4     | 2 (T 1) | message type, big-endian                                       |
/// | 6    | 5     | 4       | timestamp, seconds since 1970-01-01 UTC, big-endian            |
/// | 10   | 9     | k       | L, length of the body in octets, a uvarint; k is 1 to 3        |
/// | 10+k | 9+k   | L       | body                                                           |
/// | …+L  | …+L   | 65      | signature: 27 + recovery ID, r, s                              |
///
/// The signature is over BLAKE2b-256 of
///
/// * R: magic, type, timestamp, one zero octet. The body is not covered.
/// * T: type, timestamp, L in its shortest form, body. The magic is not covered.
public struct Envelope: Hashable, Sendable {
    /// The four octets that each envelope begins with (PIP-2), most significant first.
    public static let magic: UInt32 = 0xcafe_cafe
    /// Longest body, in octets: the longest byte string that the reference reads (DDRP section 13).
    public static let maximumBodyBytes = 262_144

    /// The number in the type field; `Message` says what it means.
    public let code: UInt16
    /// When it was signed, by the sender's clock: seconds since 1970-01-01 UTC.
    public let timestamp: UInt32
    /// The whole envelope. Body and signature are cut from it when somebody asks, so that an envelope holds one
    /// reference to the received buffer.
    @usableFromInline let octets: Bytes
    @usableFromInline let bodyStart: Int

    @inlinable init(_ octets: Bytes, _ frame: Frame) {
        self.octets = octets
        code = frame.code
        timestamp = frame.timestamp
        bodyStart = frame.bodyStart
    }

    /// What the message type says is here, sharing the received buffer.
    public var body: Bytes { octets.slice(bodyStart..<octets.count - Secp256k1.signatureBytes) }

    /// 65 octets, sharing the received buffer.
    public var signature: Bytes { octets.dropping(octets.count - Secp256k1.signatureBytes) }

    /// The envelope that `waiting` begins with, and how many octets it takes; nil: wait for more.
    ///
    /// Throws as soon as an octet of the magic is wrong, or when the length is complete and above `bodyLimit` octets
    /// or no uvarint. Nothing is copied; whose signature it is, and when it was made, is not looked at.
    @inlinable @inline(__always)
    public static func next(
        in waiting: Bytes, dialect: Dialect, bodyLimit: Int, magic: UInt32 = Envelope.magic
    ) throws(DecodeError) -> (envelope: Envelope, octets: Int)? {
        guard let frame = try frame(in: waiting, dialect: dialect, bodyLimit: bodyLimit, magic: magic) else {
            return nil
        }
        return (Envelope(waiting.slice(0..<frame.octets), frame), frame.octets)
    }

    /// The timestamp of an envelope that may be unfinished, nil while it is not there: a wrong clock need not be
    /// waited for (decision 12).
    public static func timestamp(in waiting: Bytes, dialect: Dialect) -> UInt32? {
        let end = dialect.lengthStart
        guard waiting.count >= end else { return nil }
        return waiting.slice(end - 4..<end).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The digest that was signed: BLAKE2b-256 of the octets that the dialect signs.
    public func sealedHash(in dialect: Dialect) -> Bytes32 {
        blake2b256(signedOctets(in: dialect))
    }

    /// The compressed public key, 33 octets, that made the signature; nil when it is no signature at all.
    public func signer(in dialect: Dialect) -> Bytes? {
        Secp256k1.recover(signature: signature, digest: sealedHash(in: dialect))
    }

    /// The octets that the dialect signs.
    func signedOctets(in dialect: Dialect) -> Bytes {
        dialect.signedOctets(header: octets.slice(0..<dialect.lengthStart), body: body)
    }
}

extension Dialect {
    /// Where the length of the body starts, which is the size of what is before it, in octets.
    @inlinable var lengthStart: Int { self == .reference ? 10 : 9 }

    /// What stands before the length.
    func header(magic: UInt32, code: UInt16, timestamp: UInt32) -> Bytes {
        var writer = ByteWriter(capacity: lengthStart)
        writer.write(magic)
        switch self {
        case .reference: writer.write(code)
        case .text: writer.write(UInt8(truncatingIfNeeded: code))
        }
        writer.write(timestamp)
        return writer.bytes
    }

    /// The octets that are signed.
    func signedOctets(header: Bytes, body: Bytes) -> Bytes {
        var writer = ByteWriter(capacity: header.count + 3 + body.count)
        switch self {
        case .reference:
            writer.write(header)
            writer.writeString(Bytes())
        case .text:
            writer.write(header.dropping(4))
            writer.writeString(body)
        }
        return writer.bytes
    }
}
