internal import PeerCore
internal import PeerCrypto

/// The items that were here within the seen window, oldest out first (gossip section 4.2, decision 25).
///
/// A ring of entries in the order of their coming, and a table that finds them by key (linear probing). The table holds
/// a part of the key, so that a search touches the ring only where it ends. Both grow with what they hold: 16 octets
/// for an entry, 4 for its tag, and 8 for its two places in the table.
struct Seen {
    /// What an item is known by: 96 bits of its fingerprint, or of its seen key.
    struct Key: Hashable {
        /// In the entry.
        let body: UInt64
        /// In the table.
        let tag: UInt32

        init(body: UInt64, tag: UInt32) {
            (self.body, self.tag) = (body, tag)
        }

        @inline(__always)
        init(_ fingerprint: Fingerprinter.Fingerprint) {
            self.init(body: fingerprint.first, tag: UInt32(truncatingIfNeeded: fingerprint.last))
        }
    }

    /// What became of an item.
    enum State: UInt8 {
        /// It is no longer kept.
        case gone
        /// Its verdict is awaited: `item` is the number of its vote.
        case voting
        /// `item` is its number in the cache.
        case kept
    }

    struct Entry {
        fileprivate var body: UInt64
        /// The low half of the number of its vote, or of its place in the cache.
        var item: UInt32 = 0
        fileprivate let second: UInt16
        /// The best TTL with which it was forwarded.
        var ttl: UInt8
        /// State in bits 0 and 1, validity in bit 2, forwards from bit 3 on.
        private var bits: UInt8 = 0

        fileprivate init(body: UInt64, second: UInt16, ttl: UInt8) {
            (self.body, self.second, self.ttl) = (body, second, ttl)
        }

        var state: State {
            get { State(rawValue: bits & 3) ?? .gone }
            set { bits = bits & ~3 | newValue.rawValue }
        }

        /// Local programs found it well-formed, or announced it.
        var isValid: Bool {
            get { bits & 4 != 0 }
            set { bits = newValue ? bits | 4 : bits & ~4 }
        }

        /// How often it was forwarded, at most 31 times.
        var forwards: UInt8 {
            get { bits >> 3 }
            set { bits = bits & 7 | min(newValue, 31) << 3 }
        }
    }

    private var ring: [Entry] = []
    /// The tags of the ring's entries, to find their places again.
    private var tags: [UInt32] = []
    /// The place in the ring and one in the low `indexBits`, those bits of the tag above that are there; 0: free.
    private var table: [UInt32] = []
    private var indexBits: UInt32 = 0
    private var oldest: UInt64 = 0
    /// The number of the next entry; they are counted from 0 and never used again.
    private(set) var next: UInt64 = 0
    private let capacity: Int
    private let window: UInt16
    private let retention: UInt16
    /// How much longer they stay: who announces an item again must know it for longer than all others.
    static let standardMargin: Duration = .seconds(10)

    /// The first size of the ring, and how much larger the next one is.
    private static let smallest = 64
    private static let growth = 8

    /// Keeps at most `capacity` keys, each for `window` and a `margin` in which they are no longer current.
    init(capacity: Int, window: Duration, margin: Duration = Self.standardMargin) {
        self.capacity = capacity
        self.window = UInt16(clamping: window.nanoseconds / 1_000_000_000)
        retention = UInt16(clamping: (window + margin).nanoseconds / 1_000_000_000)
    }

    /// Keys that are kept.
    var count: Int { Int(next - oldest) }

    /// The entry with a number that `find` or `insert` gave; nil when it has left.
    subscript(number: UInt64) -> Entry? {
        number >= oldest && number < next ? ring[slot(number)] : nil
    }

    /// Changes an entry in place, if it has not left.
    @inline(__always)
    mutating func update(_ number: UInt64, _ change: (inout Entry) -> Void) {
        guard number >= oldest, number < next else { return }
        change(&ring[slot(number)])
    }

    /// The number of the entry of `key`.
    @inline(__always)
    func find(_ key: Key) -> UInt64? {
        guard !table.isEmpty else { return nil }
        let mask = table.count - 1
        var place = Int(key.tag) & mask
        while table[place] != 0 {
            let entry = table[place]
            if entry >> indexBits == key.tag >> indexBits {
                let index = self.index(in: entry)
                if ring[index].body == key.body { return oldest + UInt64((index - slot(oldest)) & (ring.count - 1)) }
            }
            place = (place + 1) & mask
        }
        return nil
    }

    /// The same, when its window has not ended; when it has, the key is forgotten.
    @inline(__always)
    mutating func findCurrent(_ key: Key, at now: Instant) -> UInt64? {
        guard let number = find(key) else { return nil }
        guard Self.second(now) &- ring[slot(number)].second > window else { return number }
        ring[slot(number)].body = ~key.body
        return nil
    }

    /// Looks at where `key` would stand, without a search.
    @inline(__always)
    func touch(_ key: Key) -> UInt64 {
        table.isEmpty ? 0 : UInt64(table[Int(key.tag) & (table.count - 1)])
    }

    /// Enters a key that is not there, and lets the oldest leave for it.
    @inline(__always)
    mutating func insert(_ key: Key, ttl: UInt8, at now: Instant) -> UInt64 {
        let second = Self.second(now)
        expire(second)
        if count == capacity { removeOldest() }
        if count == ring.count { grow() }
        let index = slot(next)
        ring[index] = Entry(body: key.body, second: second, ttl: ttl)
        tags[index] = key.tag
        enter(index)
        next += 1
        return next - 1
    }

    /// Lets those leave whose window has ended.
    mutating func expire(at now: Instant) { expire(Self.second(now)) }

    @inline(__always)
    private mutating func expire(_ second: UInt16) {
        while oldest < next, second &- ring[slot(oldest)].second > retention { removeOldest() }
    }

    @inline(__always)
    private static func second(_ instant: Instant) -> UInt16 {
        UInt16(truncatingIfNeeded: instant.nanoseconds / 1_000_000_000)
    }

    @inline(__always)
    private func slot(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (ring.count - 1) }

    @inline(__always)
    private mutating func enter(_ index: Int) {
        let mask = table.count - 1
        var place = Int(tags[index]) & mask
        while table[place] != 0 { place = (place + 1) & mask }
        table[place] = (tags[index] >> indexBits) << indexBits | UInt32(index + 1)
    }

    @inline(__always)
    private func index(in entry: UInt32) -> Int { Int(entry & (1 << indexBits - 1)) - 1 }

    private mutating func removeOldest() {
        let index = slot(oldest)
        let mask = table.count - 1
        var hole = Int(tags[index]) & mask
        while self.index(in: table[hole]) != index { hole = (hole + 1) & mask }
        // Those behind it move up, unless that would bring them before their home.
        var other = (hole + 1) & mask
        while table[other] != 0 {
            let home = Int(tags[self.index(in: table[other])]) & mask
            if (other - home) & mask >= (other - hole) & mask {
                table[hole] = table[other]
                hole = other
            }
            other = (other + 1) & mask
        }
        table[hole] = 0
        oldest += 1
    }

    private mutating func grow() {
        let (old, oldTags) = (ring, tags)
        var size = Self.smallest
        // Seldom, since everything is entered anew.
        while size <= old.count || size < min(old.count * Self.growth, capacity) { size *= 2 }
        ring = Array(repeating: Entry(body: 0, second: 0, ttl: 0), count: size)
        tags = Array(repeating: 0, count: size)
        table = Array(repeating: 0, count: size * 2)
        // A place in the ring and one: up to `size`.
        indexBits = UInt32(size.trailingZeroBitCount + 1)
        for number in oldest..<next {
            let from = Int(truncatingIfNeeded: number) & (old.count - 1)
            ring[slot(number)] = old[from]
            tags[slot(number)] = oldTags[from]
            enter(slot(number))
        }
    }
}

/// The number below `next` whose low half is `low`: numbers that differ by 2^32 do not live together.
@inline(__always)
func whole(_ low: UInt32, below next: UInt64) -> UInt64 {
    next &- UInt64(UInt32(truncatingIfNeeded: next) &- low)
}
