/// One datagram of several that go to one address: what stands before its payload, and the payload, which is a part of
/// a larger buffer that need not be copied for it.
public struct DatagramParts: Hashable, Sendable {
    /// Goes first.
    public let head: Bytes
    /// Follows it; may be empty.
    public let payload: Bytes

    /// A datagram of these octets.
    public init(_ head: Bytes, _ payload: Bytes = Bytes()) {
        self.head = head
        self.payload = payload
    }

    /// Octets in all.
    public var count: Int { head.count + payload.count }
}
