/// Reads fields one after the other from bytes that a peer sent.
///
/// Every read checks that the octets are there; a length is checked against its limit before anything is reserved.
public struct ByteReader {
    @usableFromInline let bytes: Bytes
    @usableFromInline var offset = 0

    /// Reads `bytes` from their first octet.
    @inlinable public init(_ bytes: Bytes) {
        self.bytes = bytes
    }

    /// Octets read so far.
    @inlinable public var position: Int { offset }

    /// Octets not yet read.
    @inlinable public var remaining: Int { bytes.count - offset }

    /// The next `count` octets, sharing the buffer.
    @inlinable public mutating func read(count: Int, _ field: @autoclosure () -> String) throws(DecodeError) -> Bytes {
        guard count >= 0, count <= remaining else { throw .truncated(field: field()) }
        defer { offset += count }
        return bytes.slice(offset..<offset + count)
    }

    /// One octet.
    @inlinable public mutating func readUInt8(_ field: @autoclosure () -> String) throws(DecodeError) -> UInt8 {
        guard remaining >= 1 else { throw .truncated(field: field()) }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// An unsigned integer of fixed width, most significant octet first.
    @inlinable public mutating func read<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type, _ field: @autoclosure () -> String
    ) throws(DecodeError) -> Value {
        let width = Value.bitWidth / 8
        guard width <= remaining else { throw .truncated(field: field()) }
        var value: Value = 0
        for index in offset..<offset + width {
            value = value << 8 | Value(truncatingIfNeeded: bytes[index])
        }
        offset += width
        return value
    }

    /// 32 octets.
    @inlinable public mutating func readBytes32(_ field: @autoclosure () -> String) throws(DecodeError) -> Bytes32 {
        guard remaining >= 32 else { throw .truncated(field: field()) }
        defer { offset += 32 }
        return Bytes32(bytes.slice(offset..<offset + 32))
    }

    /// Everything that is left, sharing the buffer.
    public mutating func readRest() -> Bytes {
        defer { offset = bytes.count }
        return bytes.dropping(offset)
    }

    /// Throws when octets are left over.
    public func expectEnd() throws(DecodeError) {
        guard remaining == 0 else { throw .trailing(count: remaining) }
    }
}
