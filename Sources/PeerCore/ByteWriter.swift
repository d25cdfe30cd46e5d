/// Writes fields one after the other. What cannot be encoded cannot be built, so writing never fails.
public struct ByteWriter {
    /// The octets written so far.
    public private(set) var array: [UInt8] = []

    /// A writer that expects about `capacity` octets.
    public init(capacity: Int = 0) {
        array.reserveCapacity(capacity)
    }

    /// Number of octets written.
    public var count: Int { array.count }

    /// The octets written so far, sharing the buffer.
    public var bytes: Bytes { Bytes(array) }

    /// An unsigned integer of fixed width, most significant octet first.
    public mutating func write<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        var shift = Value.bitWidth - 8
        while shift >= 0 {
            array.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
            shift -= 8
        }
    }

    /// The octets as they are.
    public mutating func write(_ octets: some Collection<UInt8>) {
        array.append(contentsOf: octets)
    }

    /// 32 octets.
    public mutating func write(_ value: Bytes32) {
        for word in [value.word0, value.word1, value.word2, value.word3] { write(word) }
    }
}
