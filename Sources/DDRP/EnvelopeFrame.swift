public import PeerCore

extension Envelope {
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

        @inlinable init(code: UInt16, timestamp: UInt32, bodyStart: Int, octets: Int) {
            self.code = code
            self.timestamp = timestamp
            self.bodyStart = bodyStart
            self.octets = octets
        }
    }

    /// The frame that `waiting` begins with, by the rules of `next`.
    ///
    /// Every connection goes through here for every envelope, so it is inlined: one comparison, after which no octet of
    /// the header is looked for in vain, and one load for each field.
    @inlinable @inline(__always)
    public static func frame(
        in waiting: Bytes, dialect: Dialect, bodyLimit: Int, magic: UInt32 = Envelope.magic
    ) throws(DecodeError) -> Frame? {
        let lengthStart = dialect.lengthStart
        let octets = waiting.storage.span.extracting(waiting.range)
        guard octets.count > lengthStart else {
            try checkMagic(of: waiting, magic)
            return nil
        }
        guard word(octets, 0) == magic else { throw wrongMagic() }
        var bodyStart = lengthStart + 1
        var length = Int(octets[lengthStart])
        if length >= 0x80 {
            guard let long = try longLength(of: waiting, at: lengthStart, limit: bodyLimit) else { return nil }
            (length, bodyStart) = long
        }
        guard length <= bodyLimit else { throw tooLong(UInt64(length), bodyLimit) }
        let end = bodyStart + length + signatureBytes
        guard octets.count >= end else { return nil }
        let type = UInt16(octets[4]) << 8 | UInt16(octets[5])
        return Frame(
            code: dialect == .reference ? type : type >> 8, timestamp: word(octets, lengthStart - 4),
            bodyStart: bodyStart, octets: end)
    }

    /// `Secp256k1.signatureBytes`, which inlined code cannot see.
    @inlinable static var signatureBytes: Int { 65 }

    @inlinable @inline(__always)
    static func word(_ octets: borrowing Span<UInt8>, _ index: Int) -> UInt32 {
        UInt32(octets[index]) << 24 | UInt32(octets[index + 1]) << 16 | UInt32(octets[index + 2]) << 8
            | UInt32(octets[index + 3])
    }

    /// Throws when the octets of the magic that are there are wrong.
    @usableFromInline static func checkMagic(of waiting: Bytes, _ magic: UInt32) throws(DecodeError) {
        for index in 0..<min(4, waiting.count) {
            guard waiting[index] == UInt8(truncatingIfNeeded: magic >> UInt32(24 - 8 * index)) else {
                throw wrongMagic()
            }
        }
    }

    /// A length of more than one octet, and where it ends; nil when it is not complete.
    @usableFromInline static func longLength(
        of waiting: Bytes, at start: Int, limit: Int
    ) throws(DecodeError) -> (length: Int, end: Int)? {
        var reader = ByteReader(waiting.dropping(start))
        guard let length = try reader.readUvarintIfComplete("length") else { return nil }
        guard length <= limit else { throw tooLong(length, limit) }
        return (Int(length), start + reader.position)
    }

    @usableFromInline static func wrongMagic() -> DecodeError { .invalid(field: "magic") }

    @usableFromInline static func tooLong(_ length: UInt64, _ limit: Int) -> DecodeError {
        .tooLong(field: "body", length: length, limit: UInt64(limit))
    }
}
