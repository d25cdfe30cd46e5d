import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Sets of chunks against sets of numbers.
@Suite struct ChunkSetTests {
    /// The same chunks twice.
    private struct Pair {
        var set: ChunkSet
        var plain: Set<UInt64> = []

        init(limit: UInt64) { set = ChunkSet(limit: limit) }

        mutating func insert(_ range: ChunkRange) {
            set.insert(range)
            plain.formUnion((range.first...range.last).filter { $0 < set.limit })
        }

        mutating func remove(_ range: ChunkRange) {
            set.remove(range)
            plain.subtract(range.first...range.last)
        }

        /// What is wrong with the set, if anything.
        func fault() -> String? {
            guard set.count == UInt64(plain.count) else { return "\(set.count) of \(plain.count)" }
            let missing = Set(0..<set.limit).subtracting(plain)
            guard set.ranges().flatMap({ $0.first...$0.last }) == plain.sorted() else { return "ranges" }
            guard set.missingRanges().flatMap({ $0.first...$0.last }) == missing.sorted() else { return "missing" }
            guard set.isComplete == missing.isEmpty, set.isEmpty == plain.isEmpty else { return "whole" }
            for chunk in 0..<set.limit + 2 {
                guard set.contains(chunk) == plain.contains(chunk) else { return "contains \(chunk)" }
            }
            return nil
        }
    }

    private func range(below limit: UInt64, longest: UInt64, _ random: inout SeededRandom) -> ChunkRange {
        let first = UInt64.random(in: 0..<limit, using: &random)
        return ChunkRange(first, first + UInt64.random(in: 0..<longest, using: &random))
    }

    @Test(arguments: [1, 63, 64, 65, 200, 3000])
    func `what goes in and out is what is there`(limit: Int) {
        var random = SeededRandom(UInt64(limit))
        let limit = UInt64(limit)
        var pair = Pair(limit: limit)
        for step in 0..<1500 {
            // Many single chunks make a bitmap of the largest; long runs make runs again.
            let longest: UInt64 = step % 500 < 400 ? 2 : limit
            let range = range(below: limit, longest: longest, &random)
            if random.next() % 3 == 0 { pair.remove(range) } else { pair.insert(range) }
            if step % 50 == 0, let fault = pair.fault() {
                Issue.record("step \(step): \(fault)")
                return
            }
        }
        #expect(pair.fault() == nil)
    }

    @Test func `a set answers what it holds of any range, and where the next and the next missing chunk is`() {
        var random = SeededRandom(2)
        for density in [0, 1, 3, 100] {
            var pair = Pair(limit: 2500)
            for chunk in UInt64(0)..<2500 where Int.random(in: 0..<100, using: &random) < density {
                pair.insert(ChunkRange(chunk))
            }
            if density == 3 { pair.insert(ChunkRange(100, 1900)) }
            for _ in 0..<400 {
                let range = range(below: 2600, longest: 70, &random)
                let chunks = Array(range.first...range.last)
                #expect(pair.set.contains(range) == chunks.allSatisfy(pair.plain.contains))
                #expect(pair.set.intersects(range) == chunks.contains(where: pair.plain.contains))
                #expect(pair.set.first(from: range.first) == pair.plain.filter { $0 >= range.first }.min())
                let missing = (min(range.first, 2500)..<2500).first { !pair.plain.contains($0) }
                #expect(pair.set.firstMissing(from: range.first) == missing)
                let word = (0..<64).reduce(UInt64(0)) {
                    $0 << 1 | (pair.plain.contains(range.first + UInt64($1)) ? 1 : 0)
                }
                #expect(pair.set.word(from: range.first) == word)
            }
        }
    }

    @Test func `union, difference and what one has and another lacks are those of sets`() {
        var random = SeededRandom(3)
        for (sizeA, sizeB) in [(10, 10), (10, 2000), (2000, 10), (2000, 2000)] {
            var (a, b) = (Pair(limit: 6000), Pair(limit: 5000))
            for _ in 0..<sizeA { a.insert(range(below: 6000, longest: 3, &random)) }
            for _ in 0..<sizeB { b.insert(range(below: 5000, longest: 3, &random)) }
            let from = UInt64.random(in: 0..<5000, using: &random)
            #expect(
                a.set.first(notIn: b.set, from: from) == a.plain.subtracting(b.plain).filter { $0 >= from }.min())
            #expect(b.set.first(notIn: b.set) == nil)
            #expect(ChunkSet(all: 6000).first(notIn: ChunkSet(all: 5000)) == 5000)
            for (x, y) in [(a, b), (b, a)] {
                var union = x
                union.set.formUnion(y.set)
                union.plain.formUnion(y.plain.filter { $0 < x.set.limit })
                #expect(union.fault() == nil)
                var rest = x
                rest.set.subtract(y.set)
                rest.plain.subtract(y.plain)
                #expect(rest.fault() == nil)
            }
        }
    }

    @Test func `equal sets are equal in either form`() {
        var (scattered, whole) = (ChunkSet(limit: 5000), ChunkSet(limit: 5000))
        for chunk in stride(from: UInt64(0), to: 5000, by: 2) { scattered.insert(chunk) }
        scattered.remove(ChunkRange(100, 4999))
        for chunk in stride(from: UInt64(0), to: 100, by: 2) { whole.insert(chunk) }
        #expect(scattered == whole)
        #expect(!whole.insert(0) && whole.insert(1) && !whole.insert(5000) && whole.remove(1) && !whole.remove(1))
        whole.removeAll()
        #expect(whole.isEmpty && whole != scattered && whole != ChunkSet(limit: 4999))
    }

    @Test func `a million chunks that come in any order are a bitmap, and then one run`() {
        let limit: UInt64 = 1 << 20
        var set = ChunkSet(limit: limit)
        // An odd step visits every chunk once.
        var chunk: UInt64 = 0
        for _ in 0..<limit {
            set.insert(chunk)
            chunk = (chunk + 655_361) % limit
        }
        #expect(set.isComplete && set == ChunkSet(all: limit))
    }

    @Test func `a stranger cannot make a set without limit larger than 4,096 runs`() {
        var set = ChunkSet()
        for number in (UInt64(0)..<5000).reversed() { set.insert(number << 40) }
        #expect(set.count == 4096 && set.contains(4095 << 40) && !set.contains(4096 << 40))
        set.insert(ChunkRange(0, ChunkRange.highest))
        #expect(set.count == 1 << 63 && set.isComplete)
        #expect(ChunkSet(set, limit: 10) == ChunkSet(all: 10))
        #expect(ChunkSet(limit: 0).isEmpty && ChunkSet(limit: 0).firstMissing() == nil)
    }
}
