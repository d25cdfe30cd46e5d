/// Bytes of one connection that are not consumed yet.
///
/// A chunk that arrives while nothing waits is looked at where it lies; only the unfinished tail of a message is
/// copied, once, however small the pieces are in which the rest comes.
public struct ReceiveBuffer: Sendable {
    private var octets: [UInt8] = []
    /// The part of `octets` that waits.
    private var start = 0
    private var end = 0

    /// An empty buffer.
    public init() {}

    /// Octets that wait.
    public var count: Int { end - start }

    /// What waits, sharing the buffer. Let go of it before the next `append`, which copies what somebody holds.
    public var waiting: Bytes { Bytes(storage: octets, start: start, count: count) }

    /// Adds what has arrived.
    public mutating func append(_ bytes: Bytes) {
        if count == 0 {
            (octets, start, end) = (bytes.storage, bytes.range.lowerBound, bytes.range.upperBound)
            return
        }
        if end < octets.count { octets.removeSubrange(end...) }
        if start > count {
            octets.removeFirst(start)
            start = 0
        }
        octets.append(bytes)
        end = octets.count
    }

    /// Forgets the first `octets` of what waits.
    public mutating func consume(_ octets: Int) {
        precondition(octets >= 0 && octets <= count, "consume \(octets) of \(count)")
        start += octets
        if start == end { self = ReceiveBuffer() }
    }
}

extension ReceiveBuffer: Equatable {
    /// Equal octets wait.
    public static func == (a: ReceiveBuffer, b: ReceiveBuffer) -> Bool { a.waiting == b.waiting }
}
