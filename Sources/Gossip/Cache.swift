internal import PeerCore

/// The items that are kept: the node's knowledge base (gossip section 3.12), from which neighbours that were only told
/// of an item can have it.
struct Cache {
    struct Item {
        var message: Bytes
        /// With which it is forwarded.
        let ttl: UInt8
        let seen: UInt64
        let since: Instant
    }

    private var ring: [Item?] = []
    private var oldest: UInt64 = 0
    private(set) var next: UInt64 = 0
    private(set) var octets = 0
    private let capacity: Int

    /// What neighbours were told of is kept this long at least, several times their patience…
    private static let promise: Duration = .seconds(5)
    /// …up to so many octets.
    private static let promisedBytes = 8 << 20

    init(capacity: Int) {
        self.capacity = capacity
    }

    var count: Int { Int(next - oldest) }

    subscript(number: UInt64) -> Item? { number >= oldest && number < next ? ring[slot(number)] : nil }

    /// The messages and their numbers among the seen items.
    var items: [(message: Bytes, seen: UInt64)] {
        (oldest..<next).compactMap { self[$0] }.map { ($0.message, $0.seen) }
    }

    private func slot(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (ring.count - 1) }

    /// Takes out the oldest item when there are too many; gives its number among the seen items. What neighbours were
    /// told of (`isPromised`) is kept a moment beyond that.
    @inline(__always)
    mutating func takeSurplus(isPromised: Bool, at now: Instant) -> UInt64? {
        guard count >= capacity, let first = self[oldest] else { return nil }
        if isPromised, now - first.since < Self.promise, octets < Self.promisedBytes { return nil }
        drop(oldest)
        return first.seen
    }

    /// Keeps an item; gives its number.
    @inline(__always)
    mutating func keep(_ item: Item) -> UInt64 {
        if count == ring.count { grow() }
        ring[slot(next)] = item
        octets += item.message.count
        next += 1
        return next - 1
    }

    /// Takes one out, wherever it stands.
    @inline(__always)
    mutating func drop(_ number: UInt64) {
        guard let item = self[number] else { return }
        octets -= item.message.count
        ring[slot(number)] = nil
        while oldest < next, ring[slot(oldest)] == nil { oldest += 1 }
    }

    private mutating func grow() {
        let old = ring
        ring = Array(repeating: nil, count: max(16, old.count * 2))
        for number in oldest..<next { ring[slot(number)] = old[Int(truncatingIfNeeded: number) & (old.count - 1)] }
    }
}
