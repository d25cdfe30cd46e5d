internal import PeerCore

// Unsigned numbers of variable length, used as lengths and counts only (PIP-1, DDRP section 2): base 128, least
// significant group first, the high bit set on all octets but the last, at most ten octets, of which the tenth holds
// one bit. Longer forms than needed are read, the shortest is written (decision 11).

/// Groups of seven bits that 64 bits need.
private let maximumOctets = 10

extension ByteReader {
    /// A number of variable length; nil when the octets end inside it. Throws when it does not fit into 64 bits.
    mutating func readUvarintIfComplete(_ field: @autoclosure () -> String) throws(DecodeError) -> UInt64? {
        var value: UInt64 = 0
        for group in 0..<maximumOctets {
            guard remaining > 0 else { return nil }
            let octet = try readUInt8(field())
            guard group < maximumOctets - 1 || octet <= 1 else { throw .invalid(field: field()) }
            value |= UInt64(octet & 0x7f) << UInt64(7 * group)
            if octet < 0x80 { break }
        }
        return value
    }

    /// A number of variable length.
    mutating func readUvarint(_ field: @autoclosure () -> String) throws(DecodeError) -> UInt64 {
        guard let value = try readUvarintIfComplete(field()) else { throw .truncated(field: field()) }
        return value
    }

    /// A byte string of at most `limit` octets: its length, then the octets.
    mutating func readString(limit: Int, _ field: @autoclosure () -> String) throws(DecodeError) -> Bytes {
        let length = try readUvarint(field())
        guard length <= UInt64(limit) else { throw .tooLong(field: field(), length: length, limit: UInt64(limit)) }
        return try read(count: Int(length), field())
    }
}

extension ByteWriter {
    /// A number of variable length, in its shortest form.
    mutating func writeUvarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            write(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        write(UInt8(truncatingIfNeeded: rest))
    }

    /// A byte string: its length, then the octets.
    mutating func writeString(_ octets: Bytes) {
        writeUvarint(UInt64(octets.count))
        write(octets)
    }
}
