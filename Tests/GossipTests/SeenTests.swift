import PeerCore
import PeerCrypto
import Testing

@testable import Gossip

/// The items that were here (gossip section 4.2), against a dictionary and a list.
@Suite struct SeenTests {
    /// Keys stay so many seconds longer than the window.
    private static let margin: Int64 = 10

    /// The same in the simplest way.
    private struct Model {
        struct Item {
            let key: Seen.Key
            let number: UInt64
            let second: Int64
            var ttl: UInt8
            var state = Seen.State.gone
            var isValid = false
            var forwards: UInt8 = 0
            var item: UInt32 = 0
        }

        let capacity: Int
        let window: Int64
        var list: [Item] = []
        var numbers: [Seen.Key: UInt64] = [:]
        var next: UInt64 = 0

        mutating func expire(_ second: Int64) {
            while let first = list.first, second - first.second > window { removeFirst() }
        }

        mutating func removeFirst() { numbers[list.removeFirst().key] = nil }

        mutating func insert(_ key: Seen.Key, ttl: UInt8, _ second: Int64) -> UInt64 {
            expire(second)
            if list.count == capacity { removeFirst() }
            list.append(Item(key: key, number: next, second: second, ttl: ttl))
            numbers[key] = next
            next += 1
            return next - 1
        }

        func place(_ number: UInt64) -> Int? {
            guard let first = list.first, number >= first.number, number < next else { return nil }
            return Int(number - first.number)
        }
    }

    /// Keys of which many meet in the same places of the table.
    private static func key(_ number: UInt64) -> Seen.Key {
        let tag =
            number % 3 == 0 ? UInt32(truncatingIfNeeded: number &* 2_654_435_761) : 0xffff_fff0 | UInt32(number & 31)
        return Seen.Key(body: number, tag: tag)
    }

    private func check(_ seen: Seen, _ model: Model, _ number: UInt64) {
        guard let place = model.place(number) else { return #expect(seen[number] == nil) }
        let (entry, item) = (seen[number], model.list[place])
        #expect(entry?.ttl == item.ttl && entry?.state == item.state && entry?.item == item.item)
        #expect(entry?.isValid == item.isValid && entry?.forwards == item.forwards)
    }

    @Test(arguments: [512, 300, 1], [120, 2])
    func `20,000 random operations leave what a dictionary and a list leave`(capacity: Int, window: Int) {
        var random = SeededRandom(seed: seed(UInt64(capacity * 1000 + window)))
        var seen = Seen(capacity: capacity, window: .seconds(window))
        var model = Model(capacity: capacity, window: Int64(window) + Self.margin)
        var now = Instant(nanoseconds: 0)
        for _ in 0..<20_000 {
            let key = Self.key(.random(in: 0..<2000, using: &random))
            let second = now.nanoseconds / 1_000_000_000
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0...4:
                let ttl = UInt8.random(in: 0...255, using: &random)
                if seen.find(key) == nil {
                    #expect(seen.insert(key, ttl: ttl, at: now) == model.insert(key, ttl: ttl, second))
                }
            case 5, 6:
                let number = UInt64.random(in: 0...model.next, using: &random)
                let (forwards, item) = (
                    UInt8.random(in: 0...40, using: &random), UInt32.random(in: 0...9, using: &random)
                )
                seen.update(number) { entry in
                    (entry.state, entry.isValid, entry.item) = (.kept, !entry.isValid, item)
                    entry.forwards = forwards
                }
                if let place = model.place(number) {
                    (model.list[place].state, model.list[place].item) = (.kept, item)
                    model.list[place].isValid.toggle()
                    model.list[place].forwards = min(31, forwards)
                }
                check(seen, model, number)
            case 7: check(seen, model, .random(in: 0...model.next, using: &random))
            case 8:
                seen.expire(at: now)
                model.expire(second)
            default: now = now + random.duration(in: .zero ... .milliseconds(400))
            }
            #expect(seen.find(key) == model.numbers[key])
            #expect(seen.count == model.list.count && seen.next == model.next)
        }
        for number in 0..<2000 as Range<UInt64> {
            #expect(seen.find(Self.key(number)) == model.numbers[Self.key(number)])
        }
        #expect(model.next > 1000)
    }

    @Test func `a key is an item's for the window, and then no longer`() {
        var seen = Seen(capacity: 1000, window: .seconds(120))
        let (key, start) = (Self.key(7), Instant(nanoseconds: 0))
        #expect(seen.insert(key, ttl: 0, at: start) == 0)
        #expect(seen.findCurrent(key, at: start + .seconds(120)) == 0)
        #expect(seen.findCurrent(key, at: start + .seconds(121)) == nil && seen.find(key) == nil)
        #expect(seen.insert(key, ttl: 0, at: start + .seconds(121)) == 1)
        #expect(seen.findCurrent(key, at: start + .seconds(241)) == 1)
    }

    @Test func `the oldest leave first`() {
        var seen = Seen(capacity: 1000, window: .seconds(110))
        let start = Instant(nanoseconds: 0)
        for number in 0..<10 as Range<UInt64> {
            _ = seen.insert(Self.key(number), ttl: 0, at: start + .seconds(Int(number)))
        }
        seen.expire(at: start + .seconds(120))
        #expect(seen.count == 10)
        seen.expire(at: start + .seconds(124))
        #expect(seen.count == 6 && seen.find(Self.key(3)) == nil && seen.find(Self.key(4)) == 4)
    }

    @Test func `it works on for days`() {
        var seen = Seen(capacity: 100, window: .seconds(120))
        var now = Instant(nanoseconds: 0)
        for number in 0..<40_000 as Range<UInt64> {
            now = now + .seconds(30)
            #expect(seen.insert(Self.key(number), ttl: 0, at: now) == number)
            #expect(seen.count == min(Int(number) + 1, 5))
            seen.expire(at: now)
        }
    }

    @Test func `at least a million keys are known by default`() {
        let configuration = CoreStage.ready().core.configuration
        #expect(configuration.maxSeenKeys >= 1_000_000 && configuration.seenTTL == .seconds(120))
    }

    @Test func `the whole of a number is found again from its low half`() {
        for next in [1, 1000, 1 << 32, 1 << 32 + 5, 1 << 40 + 7] as [UInt64] {
            for back in [1, 2, 5, 1000, 1 << 31] as [UInt64] where back <= next {
                #expect(whole(UInt32(truncatingIfNeeded: next - back), below: next) == next - back, "\(next) \(back)")
            }
        }
    }
}
