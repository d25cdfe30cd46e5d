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
        guard let frame = try frame(in: waiting, dialect: dialect, bodyLimit: bodyLimit, magic: magic) else { return nil }
        let envelope = Envelope(
            code: frame.code, timestamp: frame.timestamp, octets: waiting.slice(0..<frame.octets),
            bodyStart: frame.bodyStart)
        return (envelope, frame.octets)
    }

    /// Where an envelope lies in received octets. It holds no reference to them, so finding it costs no counting.
    public struct Frame: Hashable, Sendable {
        /// The number in the type field.
        public let code: UInt16
        /// When it was signed, by the sender's clock: seconds since 1970-01-01 UTC.
        public let timestamp: UInt32
        /// Where the body starts.
        public let bodyStart: Int
        /// Octets of the whole envelope.
        public let octets: Int
    }

    /// The frame that `waiting` begins with, by the rules of `next`.
    public static func frame(
        in waiting: Bytes, dialect: Dialect, bodyLimit: Int, magic: UInt32 = Envelope.magic
    ) throws(DecodeError) -> Frame? {
        let octets = waiting.storage.span.extracting(waiting.range)
        let lengthStart = dialect.lengthStart
        // One comparison, after which no octet of the header is looked for in vain.
        guard octets.count > lengthStart else {
            try checkMagic(of: waiting, magic)
            return nil
        }
        let (found, code, timestamp) = readHeader(of: octets, dialect)
        guard found == magic else { throw .invalid(field: "magic") }
        let first = octets[lengthStart]
        var (length, bodyStart) = (UInt64(first), lengthStart + 1)
        if first >= 0x80 {
            guard let long = try readLength(of: waiting, at: lengthStart) else { return nil }
            (length, bodyStart) = long
        }
        guard length <= UInt64(bodyLimit) else {
            throw .tooLong(field: "body", length: length, limit: UInt64(bodyLimit))
        }
        let end = bodyStart + Int(length) + Secp256k1.signatureBytes
        guard waiting.count >= end else { return nil }
        return Frame(code: code, timestamp: timestamp, bodyStart: bodyStart, octets: end)
    }

    /// The timestamp of an envelope that may be unfinished, nil while it is not there: a wrong clock need not be
    /// waited for (decision 12).
    public static func timestamp(in waiting: Bytes, dialect: Dialect) -> UInt32? {
        guard waiting.count >= dialect.lengthStart else { return nil }
        return readHeader(of: waiting.storage.span.extracting(waiting.range), dialect).timestamp
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
        let magic = Self.readHeader(of: octets.storage.span.extracting(octets.range), dialect).magic
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
        of octets: Span<UInt8>, _ dialect: Dialect
    ) -> (magic: UInt32, code: UInt16, timestamp: UInt32) {
        switch dialect {
        case .reference:
            (word(of: octets, at: 0), UInt16(octets[4]) << 8 | UInt16(octets[5]), word(of: octets, at: 6))
        case .text:
            (word(of: octets, at: 0), UInt16(octets[4]), word(of: octets, at: 5))
        }
    }

    @inline(__always)
    private static func word(of octets: Span<UInt8>, at index: Int) -> UInt32 {
        UInt32(octets[index]) << 24 | UInt32(octets[index + 1]) << 16 | UInt32(octets[index + 2]) << 8
            | UInt32(octets[index + 3])
    }

    /// The length of the body and where the body starts; nil when the length is not complete.
    @inline(never)
    private static func readLength(
        of octets: Bytes, at start: Int
    ) throws(DecodeError) -> (length: UInt64, bodyStart: Int)? {
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
