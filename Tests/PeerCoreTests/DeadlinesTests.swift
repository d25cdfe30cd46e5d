import PeerCore
import Testing

@Suite struct DeadlinesTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func `the earliest deadline comes first, equal ones in the order in which they were set`() {
        var deadlines = Deadlines<String>()
        for (timer, second) in [("c", 3), ("a1", 1), ("b", 2), ("a2", 1), ("a3", 1)] as [(String, Int64)] {
            deadlines.set(timer, at: at(second))
        }
        #expect(deadlines.next == at(1))
        var fired: [String] = []
        while let timer = deadlines.pop(due: at(2)) { fired.append(timer) }
        #expect(fired == ["a1", "a2", "a3", "b"])
        #expect(deadlines.next == at(3))
    }

    @Test func `a timer that is set again moves, a cancelled one does not fire`() {
        var deadlines = Deadlines<String>()
        deadlines.set("x", at: at(1))
        deadlines.set("y", at: at(2))
        deadlines.set("x", at: at(3))
        deadlines.cancel("y")
        deadlines.cancel("z")
        #expect(deadlines.next == at(3))
        #expect(deadlines.pop(due: at(2)) == nil)
        #expect(deadlines.pop(due: at(3)) == "x")
        #expect(deadlines.next == nil)
        #expect(deadlines.count == 0)
    }

    @Test func `a timer that only ever moves does not fill memory, and the order is that of a sorted list`() {
        var deadlines = Deadlines<Int>()
        var expected: [Int: Int64] = [:]
        var state: UInt64 = 1
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let timer = Int(state >> 33) % 50
            let second = Int64(state >> 40) % 1000
            if state >> 60 == 0 {
                deadlines.cancel(timer)
                expected[timer] = nil
            } else {
                deadlines.set(timer, at: at(second))
                expected[timer] = second
            }
            #expect(deadlines.next == expected.values.min().map(at) && deadlines.count == expected.count)
        }
        var last: Int64 = 0
        while let timer = deadlines.pop(due: at(1000)) {
            let second = expected.removeValue(forKey: timer)
            #expect(second != nil && second! >= last)
            last = second ?? last
        }
        #expect(expected.isEmpty)
    }
}
