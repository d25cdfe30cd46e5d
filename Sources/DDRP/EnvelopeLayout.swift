public import PeerCore

extension Envelope {
    /// Where the parts of a complete envelope are.
    ///
    /// Finding them is the hot path of every connection, so it is inlined into the caller, who then need not count a
    /// reference to an envelope that it does not keep; that would cost more than all the rest.
    @usableFromInline struct Layout {
        @usableFromInline let code: UInt16
        @usableFromInline let timestamp: UInt32
        @usableFromInline let bodyStart: Int
        @usableFromInline let end: Int

        /// `Secp256k1.signatureBytes`, which inlined code cannot see.
        @inlinable static var signatureBytes: Int { 65 }

        @inlinable init(code: UInt16, timestamp: UInt32, bodyStart: Int, end: Int) {
            self.code = code
            self.timestamp = timestamp
            self.bodyStart = bodyStart
            self.end = end
        }

        /// Of the envelope that `waiting` begins with; nil and errors as `Envelope.next` has them.
        @inlinable @inline(__always)
        static func of(
            _ waiting: Bytes, _ dialect: Dialect, bodyLimit: Int, magic: UInt32
        ) throws(DecodeError) -> Layout? {
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
            return Layout(
                code: dialect == .reference ? type : type >> 8, timestamp: word(octets, lengthStart - 4),
                bodyStart: bodyStart, end: end)
        }

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
}
