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
    private let octets: Bytes
    private let bodyStart: Int

    /// What the message type says is here, sharing the received buffer.
    public var body: Bytes { octets.slice(bodyStart..<octets.count - Secp256k1.signatureBytes) }

    /// 65 octets, sharing the received buffer.
    public var signature: Bytes { octets.dropping(octets.count - Secp256k1.signatureBytes) }

    /// The envelope that `waiting` begins with, and how many octets it takes; nil: wait for more.
    ///
    /// Throws as soon as an octet of the magic is wrong, or when the length is complete and above `bodyLimit` octets
    /// or no uvarint. Nothing is copied; whose signature it is, and when, is not looked at.
    public static func next(
        in waiting: Bytes, dialect: Dialect, bodyLimit: Int, magic: UInt32 = Envelope.magic
    ) throws(DecodeError) -> (envelope: Envelope, octets: Int)? {
        let lengthStart = dialect.lengthStart
        guard waiting.count > lengthStart else {
            try checkMagic(of: waiting, magic)
            return nil
        }
        let (found, code, timestamp) = readHeader(of: waiting, dialect)
        guard found == magic else { throw .invalid(field: "magic") }
        guard let (length, bodyStart) = try readLength(of: waiting, at: lengthStart) else { return nil }
        guard length <= UInt64(bodyLimit) else {
            throw .tooLong(field: "body", length: length, limit: UInt64(bodyLimit))
        }
        let end = bodyStart + Int(length) + Secp256k1.signatureBytes
        guard waiting.count >= end else { return nil }
        let envelope = Envelope(
            code: code, timestamp: timestamp, octets: waiting.slice(0..<end), bodyStart: bodyStart)
        return (envelope, end)
    }

    /// The timestamp of an envelope that may be unfinished, nil while it is not there: a wrong clock need not be
    /// waited for (decision 12).
    public static func timestamp(in waiting: Bytes, dialect: Dialect) -> UInt32? {
        waiting.count < dialect.lengthStart ? nil : readHeader(of: waiting, dialect).timestamp
    }

    /// The digest that was signed, BLAKE2b-256 of the octets that the dialect signs.
    public func sealedHash(in dialect: Dialect) -> Bytes32 {
        blake2b256(signedOctets(in: dialect))
    }

    /// The compressed public key, 33 octets, that made the signature; nil when it is no signature at all.
    public func signer(in dialect: Dialect) -> Bytes? {
        Secp256k1.recover(signature: signature, digest: sealedHash(in: dialect))
    }

    /// The octets that the dialect signs.
    func signedOctets(in dialect: Dialect) -> Bytes {
        let magic = Self.readHeader(of: octets, dialect).magic
        return Header(magic: magic, code: code, timestamp: timestamp).signedOctets(over: body, in: dialect)
    }
}

extension Dialect {
    /// Where the length of the body starts, which is also the size of what is before it, in octets.
    @inline(__always) var lengthStart: Int { self == .reference ? 10 : 9 }
}

extension Envelope {
    /// Throws when the octets of the magic that are there are wrong.
    private static func checkMagic(of waiting: Bytes, _ magic: UInt32) throws(DecodeError) {
        for index in 0..<min(4, waiting.count) {
            guard waiting[index] == UInt8(truncatingIfNeeded: magic >> UInt32(24 - 8 * index)) else {
                throw .invalid(field: "magic")
            }
        }
    }

    /// The fields before the length, which are there.
    @inline(__always)
    private static func readHeader(
        of octets: Bytes, _ dialect: Dialect
    ) -> (magic: UInt32, code: UInt16, timestamp: UInt32) {
        func word(_ index: Int) -> UInt32 {
            UInt32(octets[index]) << 24 | UInt32(octets[index + 1]) << 16 | UInt32(octets[index + 2]) << 8
                | UInt32(octets[index + 3])
        }
        return switch dialect {
        case .reference: (word(0), UInt16(octets[4]) << 8 | UInt16(octets[5]), word(6))
        case .text: (word(0), UInt16(octets[4]), word(5))
        }
    }

    /// The length of the body and where the body starts; nil when the length is not complete.
    @inline(__always)
    private static func readLength(
        of octets: Bytes, at start: Int
    ) throws(DecodeError) -> (length: UInt64, bodyStart: Int)? {
        let first = octets[start]
        if first < 0x80 { return (UInt64(first), start + 1) }
        var reader = ByteReader(octets.dropping(start))
        guard let length = try reader.readUvarintIfComplete("length") else { return nil }
        return (length, start + reader.position)
    }
}

/// What stands before the length of an envelope.
struct Header {
    let magic: UInt32
    let code: UInt16
    let timestamp: UInt32

    /// Writes type and timestamp.
    private func writeTypeAndTimestamp(into writer: inout ByteWriter, _ dialect: Dialect) {
        switch dialect {
        case .reference: writer.write(code)
        case .text: writer.write(UInt8(truncatingIfNeeded: code))
        }
        writer.write(timestamp)
    }

    /// The octets before the signature.
    func octets(before body: Bytes, in dialect: Dialect) -> ByteWriter {
        var writer = ByteWriter(capacity: dialect.lengthStart + 3 + body.count + Secp256k1.signatureBytes)
        writer.write(magic)
        writeTypeAndTimestamp(into: &writer, dialect)
        writer.writeString(body)
        return writer
    }

    /// The octets that the dialect signs (DDRP section 4).
    func signedOctets(over body: Bytes, in dialect: Dialect) -> Bytes {
        switch dialect {
        case .reference: return octets(before: Bytes(), in: .reference).bytes
        case .text:
            var writer = ByteWriter(capacity: 8 + body.count)
            writeTypeAndTimestamp(into: &writer, .text)
            writer.writeString(body)
            return writer.bytes
        }
    }
}
