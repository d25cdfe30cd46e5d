internal import PeerCore
internal import PeerCrypto

/// Some items that follow each other in a read buffer, and what they are known by.
///
/// The table of seen items is larger than the caches of a processor. When all keys of some items are known before the
/// first search, the processor fetches their places at once instead of one after the other.
struct Intake {
    /// More than a processor fetches at a time.
    private static let capacity = 24

    private var items: InlineArray<24, (offset: Int32, size: Int32, key: Seen.Key)> =
        .init(repeating: (0, 0, Seen.Key(body: 0, tag: 0)))
    private(set) var count = 0

    /// Takes items from `offset` on, until something else comes or there are enough; gives where they end.
    @inline(__always)
    mutating func gather(
        in bytes: Bytes, at offset: Int, _ fingerprint: (Bytes) -> Fingerprinter.Fingerprint
    ) -> Int {
        var offset = offset
        while count < Self.capacity, bytes.count - offset >= Announce.headBytes,
            bytes.uint16(at: offset + 2) == MessageType.announce
        {
            let size = Int(bytes.uint16(at: offset))
            guard size >= Announce.headBytes, bytes.count - offset >= size else { break }
            let key = Seen.Key(fingerprint(bytes.slice(offset + 5..<offset + size)))
            items[count] = (Int32(offset), Int32(size), key)
            count += 1
            offset += size
        }
        return offset
    }

    @inline(__always)
    subscript(index: Int, in bytes: Bytes) -> (message: Bytes, key: Seen.Key) {
        let item = items[index]
        return (bytes.slice(Int(item.offset)..<Int(item.offset + item.size)), item.key)
    }

    /// Has the places of all keys fetched.
    func touch(_ seen: Seen) -> UInt64 {
        var sum: UInt64 = 0
        for index in 0..<count { sum &+= seen.touch(items[index].key) }
        return sum
    }
}
