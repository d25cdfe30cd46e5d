/// Bytes of one connection that are not consumed yet.
///
/// A chunk that arrives while nothing waits is looked at where it lies; only the unfinished tail of a message is copied.
public struct ReceiveBuffer: Equatable, Sendable {
    private var chunk = Bytes()
    private var position = 0

    /// An empty buffer.
    public init() {}

    /// Octets that wait.
    public var count: Int { chunk.count - position }

    /// What waits, sharing the buffer.
    public var waiting: Bytes { position == 0 ? chunk : chunk.dropping(position) }

    /// Adds what has arrived.
    public mutating func append(_ bytes: Bytes) {
        guard count > 0 else {
            chunk = bytes
            position = 0
            return
        }
        var joined: [UInt8] = []
        joined.reserveCapacity(count + bytes.count)
        joined.append(contentsOf: waiting.storage[waiting.range])
        joined.append(contentsOf: bytes.storage[bytes.range])
        chunk = Bytes(joined)
        position = 0
    }

    /// Forgets the first `octets` of what waits.
    public mutating func consume(_ octets: Int) {
        precondition(octets >= 0 && octets <= count, "consume \(octets) of \(count)")
        position += octets
        if position == chunk.count {
            chunk = Bytes()
            position = 0
        }
    }
}
