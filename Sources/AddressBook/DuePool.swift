internal import PeerCore

/// Slots of the entries that may be dialled now, by rank and group.
///
/// The pick is a random group first and then a random entry of it: many addresses of one network weigh no more than
/// one of another.
struct DuePool: Sendable {
    /// What is dialled first.
    enum Rank: Int, CaseIterable, Sendable {
        /// Seeds and verified entries.
        case preferred
        /// What was only heard of.
        case other
    }

    private struct Bucket: Sendable {
        let group: IPPrefix?
        var slots: [Int]
    }

    private struct Key: Hashable {
        let rank: Rank
        let group: IPPrefix?
    }

    private var buckets: [[Bucket]] = Rank.allCases.map { _ in [] }
    private var numbers: [Key: Int] = [:]
    /// Place of a slot in its bucket.
    private var places: [Int: Int] = [:]

    func contains(_ slot: Int) -> Bool { places[slot] != nil }

    mutating func insert(_ slot: Int, _ rank: Rank, _ group: IPPrefix?) {
        let key = Key(rank: rank, group: group)
        let number = numbers[key] ?? buckets[rank.rawValue].count
        if number == buckets[rank.rawValue].count {
            buckets[rank.rawValue].append(Bucket(group: group, slots: []))
            numbers[key] = number
        }
        places[slot] = buckets[rank.rawValue][number].slots.count
        buckets[rank.rawValue][number].slots.append(slot)
    }

    mutating func remove(_ slot: Int, _ rank: Rank, _ group: IPPrefix?) {
        let key = Key(rank: rank, group: group)
        guard let place = places.removeValue(forKey: slot), let number = numbers[key] else { return }
        let last = buckets[rank.rawValue][number].slots.removeLast()
        if last != slot {
            buckets[rank.rawValue][number].slots[place] = last
            places[last] = place
        }
        if buckets[rank.rawValue][number].slots.isEmpty { removeBucket(number, key) }
    }

    private mutating func removeBucket(_ number: Int, _ key: Key) {
        numbers[key] = nil
        let last = buckets[key.rank.rawValue].removeLast()
        guard number < buckets[key.rank.rawValue].count else { return }
        buckets[key.rank.rawValue][number] = last
        numbers[Key(rank: key.rank, group: last.group)] = number
    }

    /// A random slot of `rank` that is `good`, of a group that is not in `skipped`.
    func pick(
        _ rank: Rank, skipping skipped: Set<IPPrefix>, using random: inout some RandomNumberGenerator,
        where good: (Int) -> Bool
    ) -> Int? {
        let candidates = buckets[rank.rawValue]
        return firstFromRandom(candidates.count, using: &random) { number, random in
            let bucket = candidates[number]
            if let group = bucket.group, skipped.contains(group) { return nil }
            return firstFromRandom(bucket.slots.count, using: &random) { place, _ in
                good(bucket.slots[place]) ? bucket.slots[place] : nil
            }
        }
    }

    /// Goes once around `0..<count` from a random start until `find` finds something.
    private func firstFromRandom<Random: RandomNumberGenerator>(
        _ count: Int, using random: inout Random, _ find: (Int, inout Random) -> Int?
    ) -> Int? {
        guard count > 0 else { return nil }
        let start = Int.random(in: 0..<count, using: &random)
        for number in start..<start + count {
            if let found = find(number % count, &random) { return found }
        }
        return nil
    }

    /// Whether any slot is `good`.
    func contains(where good: (Int) -> Bool) -> Bool {
        buckets.contains { $0.contains { $0.slots.contains(where: good) } }
    }
}
