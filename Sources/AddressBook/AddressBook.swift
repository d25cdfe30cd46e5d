public import PeerCore

/// The addresses of an overlay: bounded, and hard to poison.
///
/// * Strangers cannot name private, reserved, own or denied addresses (`AddressPolicy`).
/// * At most `capacity` entries, seeds and operator's requests not counted against newcomers. When it is full, a
///   newcomer takes the place of an unverified entry: of some that a clock hand meets, the one that failed most often.
///   Verified entries, seeds and operator's requests never make room; they leave by `expire`.
/// * Each source has a quota of unverified entries; above it, it replaces its own.
/// * A failed address rests longer each time, alone (DDRP section 12).
public struct AddressBook: Sendable {
    /// Unverified entries that are compared when room has to be made.
    private static let comparedForEviction = 4
    /// A row is written again for `lastSeen` alone when that has moved by this much: it is heard every few seconds.
    private static let lastSeenGranularity = Duration.seconds(600)
    /// Rest after a dial whose end is not told.
    private static let attemptRest = Duration.seconds(60)

    /// Which addresses are taken. Entries that a new policy refuses leave the book.
    public var policy: AddressPolicy {
        didSet {
            guard policy != oldValue else { return }
            for entry in entries where policy.refusal(of: entry.address, from: entry.source) != nil {
                remove(entry.address)
            }
        }
    }

    private let capacity: Int
    /// In no order; the last one takes the place of one that leaves.
    private var slots: [Entry] = []
    private var slotOf: [SocketAddress: Int] = [:]
    private var due = DuePool()
    private var waiting = WaitingHeap()
    /// The latest instant heard of; what is due at it is in `due`.
    private var clock = Instant(nanoseconds: .min)
    /// Entries that may be evicted, by source.
    private var evictable: [Source: Int] = [:]
    private var evictableCount = 0
    /// Where the next search for a victim begins.
    private var hand = 0
    private var changed: Set<SocketAddress> = []
    /// Keys of stored rows that were not taken over.
    private var discarded: Set<String> = []

    /// An empty book.
    public init(_ policy: AddressPolicy, capacity: Int = 20_000) {
        precondition(capacity > 0, "a book without room")
        self.policy = policy
        self.capacity = capacity
    }

    /// Number of entries.
    public var count: Int { slotOf.count }

    /// The entry of `address`.
    public subscript(address: SocketAddress) -> Entry? { slotOf[address].map { slots[$0] } }

    /// Whether a seed is at `ip`, whatever its port.
    public func hasSeed(at ip: IPAddress) -> Bool { slots.contains { $0.source == .seed && $0.address.ip == ip } }

    /// All entries in order of their addresses.
    public var entries: [Entry] { slots.sorted { $0.address < $1.address } }

    /// The block of addresses of which one outbound connection is enough while there is a choice: /16 of IPv4, /32 of
    /// IPv6; nil for loopback and private ranges, which are exempt.
    public static func group(of ip: IPAddress) -> IPPrefix? {
        ip.isLoopback || ip.isPrivate ? nil : IPPrefix(of: ip, v4: 16, v6: 32)
    }
}

// MARK: - What is heard

extension AddressBook {
    /// Takes up an address that `source` named, with the peer ID that it named, if any.
    ///
    /// What is known stays as it is; but the operator's word makes an entry a seed or a request, due at once, and his
    /// peer ID counts, as does that of a peer which dialled us from there and has proven it.
    @discardableResult
    public mutating func add(
        _ address: SocketAddress, identity: Bytes32?, from source: Source, at now: Moment
    ) -> Addition {
        advance(to: now.instant)
        if let refusal = policy.refusal(of: address, from: source) { return .refused(refusal) }
        if slotOf[address] != nil {
            addKnown(address, identity: identity, from: source, at: now)
            return .known
        }
        return insert(Entry(address, identity: identity, source: source, at: now)) ? .added : .refused(.full)
    }

    private mutating func addKnown(
        _ address: SocketAddress, identity: Bytes32?, from source: Source, at now: Moment
    ) {
        guard let entry = self[address] else { return }
        let isPromoted = source.isTrusted && entry.source != source && entry.source != .seed
        let tellsIdentity = identity != nil && identity != entry.identity && !entry.isVerified
        let isBelieved = entry.identity == nil || source.isTrusted || source == .inbound
        guard isPromoted || tellsIdentity && isBelieved else { return }
        update(address) { entry in
            if isPromoted {
                entry.source = source
                entry.failures = 0
                entry.nextTry = now.instant
            }
            if tellsIdentity { entry.identity = identity }
        }
    }

    /// Takes an address out.
    public mutating func remove(_ address: SocketAddress) {
        guard let slot = slotOf.removeValue(forKey: address) else { return }
        unschedule(slot)
        countEvictable(slot, -1)
        let last = slots.count - 1
        if slot != last {
            unschedule(last)
            slots[slot] = slots[last]
            slotOf[slots[slot].address] = slot
            schedule(slot)
        }
        slots.removeLast()
        changed.insert(address)
    }

    /// The peer at `address` was heard.
    public mutating func seen(_ address: SocketAddress, at now: Moment) {
        guard let slot = slotOf[address], slots[slot].lastSeen != now.wallClock else { return }
        if let written = slots[slot].writtenLastSeen, written <= now.wallClock,
            now.wallClock - written < Self.lastSeenGranularity
        {
            slots[slot].lastSeen = now.wallClock
        } else {
            update(address) { $0.lastSeen = now.wallClock }
        }
    }

    /// Sets the word about an entry.
    public mutating func note(_ address: SocketAddress, _ note: String) {
        guard let entry = self[address], entry.note != note else { return }
        update(address) { $0.setNote(note) }
    }

    /// Takes out what gave no sign of life for 30 days (DDRP section 12), seeds excepted.
    public mutating func expire(at now: Moment) {
        let old = slots.filter { $0.source != .seed && now.wallClock - $0.lastEvidence >= BackOff.patience }
        for entry in old { remove(entry.address) }
    }
}

// MARK: - What was tried

extension AddressBook {
    /// A dial begins. The entry rests until its end is told, at most a minute.
    public mutating func attempted(_ address: SocketAddress, at now: Moment) {
        postpone(address, until: now.instant + Self.attemptRest)
    }

    /// A dial succeeded and the peer proved `identity`. The entry is verified and due; an unknown address is taken up.
    public mutating func succeeded(_ address: SocketAddress, identity: Bytes32, note: String, at now: Moment) {
        advance(to: now.instant)
        if slotOf[address] == nil {
            guard policy.refusal(of: address, from: .operatorRequest) == nil,
                insert(Entry(address, identity: identity, source: .peer(identity), at: now))
            else { return }
        }
        update(address) { entry in
            entry.identity = identity
            entry.isVerified = true
            entry.successes += 1
            entry.failures = 0
            entry.lastSuccess = now.wallClock
            entry.lastSeen = now.wallClock
            entry.nextTry = now.instant
            entry.setNote(note)
        }
    }

    /// A dial failed. Gives the time until the address may be tried again: 1 min, 4 min, 16 min, 1 h, then hourly; for
    /// a seed 5 s, doubling to 10 min; all spread by 20 % (DDRP section 12). A dial that succeeded to no use goes on
    /// from the failures `before` it.
    @discardableResult
    public mutating func failed(
        _ address: SocketAddress, at now: Moment, before: Int = 0, using random: inout some RandomNumberGenerator
    ) -> Duration {
        advance(to: now.instant)
        let failures = max(self[address]?.failures ?? 0, before) + 1
        let isSeed = self[address]?.source == .seed
        let rest = BackOff.duration(afterFailures: failures, isSeed: isSeed, using: &random)
        update(address) { entry in
            entry.failures = failures
            entry.nextTry = now.instant + rest
        }
        return rest
    }

    /// Lets an address rest until then, or makes it due.
    public mutating func postpone(_ address: SocketAddress, until instant: Instant) {
        guard let slot = slotOf[address] else { return }
        unschedule(slot)
        slots[slot].nextTry = instant
        schedule(slot)
    }

    /// Makes everything due and begins all back-off anew: after a gap in time or a change of the network, earlier
    /// failures were ours.
    public mutating func forgetBackOff() {
        for slot in slots.indices where slots[slot].failures > 0 || slots[slot].nextTry > clock {
            unschedule(slot)
            slots[slot].failures = 0
            slots[slot].nextTry = min(slots[slot].nextTry, clock)
            schedule(slot)
        }
    }
}

// MARK: - What to dial, what to tell

extension AddressBook {
    /// The best address to dial now: due, not excluded, of a group that is not in `groups` while there is a choice;
    /// seeds and verified entries first; of equals a random group, and a random entry of it.
    public mutating func candidate(
        at now: Instant, groups: Set<IPPrefix>, excluding: (Entry) -> Bool,
        using random: inout some RandomNumberGenerator
    ) -> Entry? {
        advance(to: now)
        for skipped in groups.isEmpty ? [groups] : [groups, []] {
            for rank in DuePool.Rank.allCases {
                let slot = due.pick(rank, skipping: skipped, using: &random) { !excluding(slots[$0]) }
                if let slot { return slots[slot] }
            }
        }
        return nil
    }

    /// Whether an entry is left that is not excluded, due or not.
    public func hasCandidates(excluding: (Entry) -> Bool) -> Bool {
        slots.contains { !excluding($0) }
    }

    /// When the next entry that is not excluded becomes due; `now` when one is due; nil when there is none.
    public func nextTry(after now: Instant, excluding: (Entry) -> Bool) -> Instant? {
        if due.contains(where: { !excluding(slots[$0]) }) { return now }
        return waiting.earliest { !excluding(slots[$0]) }.map { max(now, $0) }
    }

    /// At most `count` random entries to tell another peer of: verified ones first.
    public func sample(
        _ count: Int, excluding: (Entry) -> Bool, using random: inout some RandomNumberGenerator
    ) -> [Entry] {
        var verified: [Int] = []
        var others: [Int] = []
        for slot in slots.indices where !excluding(slots[slot]) {
            if slots[slot].isVerified { verified.append(slot) } else { others.append(slot) }
        }
        var chosen: [Entry] = []
        for var group in [verified, others] {
            while chosen.count < count, !group.isEmpty {
                group.swapAt(Int.random(in: group.indices, using: &random), group.count - 1)
                chosen.append(slots[group.removeLast()])
            }
        }
        return chosen
    }
}

// MARK: - Rows

extension AddressBook {
    /// Rows to remember, or to forget (nil), since the last call, in order of their addresses. The key is the address.
    public mutating func takeChanges() -> [(key: String, record: Record?)] {
        defer {
            changed = []
            discarded = []
        }
        return discarded.sorted().map { ($0, nil) } + changed.sorted().map { ($0.description, self[$0]?.record) }
    }

    /// Takes over stored rows and gives the number of good ones. Rows that cannot be, or that the policy refuses, or
    /// for which there is no room, are skipped and will be forgotten.
    @discardableResult
    public mutating func restore(_ rows: [Row], at now: Moment) -> Int {
        advance(to: now.instant)
        var restored = 0
        for row in rows {
            if restore(row, at: now) { restored += 1 } else { discarded.insert(row.key) }
        }
        return restored
    }

    private mutating func restore(_ row: Row, at now: Moment) -> Bool {
        guard let entry = Entry(row, at: now), policy.refusal(of: entry.address, from: entry.source) == nil,
            entry.address.description == row.key
        else { return false }
        guard slotOf[entry.address] == nil else {
            update(entry.address) { $0.adoptHistory(of: entry) }
            return true
        }
        guard insert(entry) else { return false }
        changed.remove(entry.address)
        return true
    }
}

// MARK: - Places

extension AddressBook {
    private mutating func insert(_ entry: Entry) -> Bool {
        guard makeRoom(for: entry) else { return false }
        let slot = slots.count
        slots.append(entry)
        slotOf[entry.address] = slot
        schedule(slot)
        countEvictable(slot, 1)
        changed.insert(entry.address)
        return true
    }

    private mutating func makeRoom(for entry: Entry) -> Bool {
        if entry.isEvictable, evictable[entry.source, default: 0] >= entry.source.quota(of: capacity) {
            return evict { $0.source == entry.source }
        }
        if count < capacity { return true }
        return evict { _ in true } || entry.source.isTrusted
    }

    /// Takes out one entry of those that may be, beginning where the last search ended, so about the oldest.
    private mutating func evict(where matches: (Entry) -> Bool) -> Bool {
        guard evictableCount > 0 else { return false }
        var victim: Int?
        var compared = 0
        let start = hand
        for step in 0..<slots.count where compared < Self.comparedForEviction {
            let slot = (start + step) % slots.count
            guard slots[slot].isEvictable, matches(slots[slot]) else { continue }
            if slots[slot].failures > (victim.map { slots[$0].failures } ?? -1) { victim = slot }
            compared += 1
            hand = slot + 1
        }
        guard let victim else { return false }
        remove(slots[victim].address)
        return true
    }

    private mutating func countEvictable(_ slot: Int, _ change: Int) {
        guard slots[slot].isEvictable else { return }
        evictableCount += change
        let number = evictable[slots[slot].source, default: 0] + change
        evictable[slots[slot].source] = number > 0 ? number : nil
    }

    private mutating func update(_ address: SocketAddress, _ change: (inout Entry) -> Void) {
        guard let slot = slotOf[address] else { return }
        unschedule(slot)
        countEvictable(slot, -1)
        change(&slots[slot])
        slots[slot].writtenLastSeen = slots[slot].lastSeen
        countEvictable(slot, 1)
        schedule(slot)
        changed.insert(address)
    }

    private mutating func schedule(_ slot: Int) {
        let entry = slots[slot]
        if entry.nextTry <= clock {
            due.insert(slot, entry.rank, Self.group(of: entry.address.ip))
        } else {
            waiting.insert(slot, at: entry.nextTry)
        }
    }

    private mutating func unschedule(_ slot: Int) {
        if due.contains(slot) {
            due.remove(slot, slots[slot].rank, Self.group(of: slots[slot].address.ip))
        } else {
            waiting.remove(slot)
        }
    }

    private mutating func advance(to now: Instant) {
        clock = max(clock, now)
        while let slot = waiting.pop(due: clock) { schedule(slot) }
    }
}
