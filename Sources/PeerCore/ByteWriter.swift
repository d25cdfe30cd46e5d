/// Writes fields one after the other. What cannot be encoded cannot be built, so writing never fails.
public struct ByteWriter {
    @usableFromInline var octets: [UInt8] = []

    /// A writer that expects about `capacity` octets.
    @inlinable public init(capacity: Int = 0) {
        octets.reserveCapacity(capacity)
    }

    /// The octets written so far.
    public var array: [UInt8] { octets }

    /// Number of octets written.
    public var count: Int { octets.count }

    /// The octets written so far, sharing the buffer.
    public var bytes: Bytes { Bytes(octets) }

    /// An unsigned integer of fixed width, most significant octet first.
    @inlinable public mutating func write<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        var shift = Value.bitWidth - 8
        while shift >= 0 {
            octets.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
            shift -= 8
        }
    }

    /// The octets as they are.
    @inlinable public mutating func write(_ octets: some Collection<UInt8>) {
        self.octets.append(contentsOf: octets)
    }

    /// The octets as they are, copied at once.
    @inlinable public mutating func write(_ octets: Bytes) {
        self.octets.append(octets)
    }

    /// 32 octets.
    public mutating func write(_ value: Bytes32) {
        for word in [value.word0, value.word1, value.word2, value.word3] { write(word) }
    }
}
