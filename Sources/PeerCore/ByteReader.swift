/// Reads fields one after the other from bytes that a peer sent.
///
/// Every read checks that the octets are there; a length is checked against its limit before anything is reserved.
public struct ByteReader {
    private let bytes: Bytes
    /// Octets read so far.
    public private(set) var position = 0

    /// Reads `bytes` from their first octet.
    public init(_ bytes: Bytes) {
        self.bytes = bytes
    }

    /// Octets not yet read.
    public var remaining: Int { bytes.count - position }

    /// The next `count` octets, sharing the buffer.
    public mutating func read(count: Int, _ field: @autoclosure () -> String) throws(DecodeError) -> Bytes {
        guard count >= 0, count <= remaining else { throw .truncated(field: field()) }
        defer { position += count }
        return bytes.slice(position..<position + count)
    }

    /// One octet.
    public mutating func readUInt8(_ field: @autoclosure () -> String) throws(DecodeError) -> UInt8 {
        guard remaining >= 1 else { throw .truncated(field: field()) }
        defer { position += 1 }
        return bytes[position]
    }

    /// An unsigned integer of fixed width, most significant octet first.
    public mutating func read<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type, _ field: @autoclosure () -> String
    ) throws(DecodeError) -> Value {
        let width = Value.bitWidth / 8
        guard width <= remaining else { throw .truncated(field: field()) }
        var value: Value = 0
        for index in position..<position + width {
            value = value << 8 | Value(truncatingIfNeeded: bytes[index])
        }
        position += width
        return value
    }

    /// 32 octets.
    public mutating func readBytes32(_ field: @autoclosure () -> String) throws(DecodeError) -> Bytes32 {
        guard remaining >= 32 else { throw .truncated(field: field()) }
        defer { position += 32 }
        return Bytes32(bytes.slice(position..<position + 32))
    }

    /// Everything that is left, sharing the buffer.
    public mutating func readRest() -> Bytes {
        defer { position = bytes.count }
        return bytes.dropping(position)
    }

    /// Throws when octets are left over.
    public func expectEnd() throws(DecodeError) {
        guard remaining == 0 else { throw .trailing(count: remaining) }
    }
}
