import PeerCore
import Testing

@testable import PPSP

/// The window of a channel (RFC 6817; RFC 7574 digest, section 7).
struct LedbatTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// A window past its slow start, after so much delay over what the way takes.
    private func settled(queue: UInt64) -> Ledbat {
        var ledbat = Ledbat(segment: 1000)
        ledbat.sample(5000, at: at(0))
        for _ in 0..<100 { ledbat.acknowledge(1000, of: Int(ledbat.window)) }
        ledbat.lose(at: at(0), roundTrip: .milliseconds(100))
        for _ in 0..<8 { ledbat.sample(5000 + queue, at: at(1)) }
        return ledbat
    }

    @Test func `it begins with two segments and doubles in a round trip until a queue shows`() {
        var ledbat = Ledbat(segment: 1000)
        #expect(ledbat.window == 2000 && ledbat.isSlowStart)
        ledbat.sample(70_000, at: at(0))
        ledbat.acknowledge(2000, of: 2000)
        #expect(ledbat.window == 4000)
        ledbat.acknowledge(4000, of: 4000)
        #expect(ledbat.window == 8000)
        for _ in 0..<8 { ledbat.sample(70_000 + 20_000, at: at(1)) }
        ledbat.acknowledge(8000, of: 8000)
        #expect(!ledbat.isSlowStart && ledbat.window < 9000)
    }

    @Test func `an empty queue lets it grow by one segment in a round trip at most`() {
        var ledbat = settled(queue: 0)
        let before = ledbat.window
        var acknowledged = 0.0
        while acknowledged < before {
            ledbat.acknowledge(1000, of: Int(before))
            acknowledged += 1000
        }
        #expect(ledbat.window > before + 900 && ledbat.window <= before + 1000)
    }

    @Test func `it stays at the target and shrinks beyond it`() {
        for (queue, sign) in [(UInt64(24_999), 0.0), (50_000, -1), (500_000, -1)] {
            var ledbat = settled(queue: queue)
            let before = ledbat.window
            for _ in 0..<10 { ledbat.acknowledge(1000, of: Int(before)) }
            #expect(sign == 0 ? abs(ledbat.window - before) < 1 : ledbat.window < before, "\(queue)")
        }
    }

    @Test func `it never grows far beyond what is used`() {
        var ledbat = settled(queue: 0)
        let before = ledbat.window
        for _ in 0..<1000 { ledbat.acknowledge(1000, of: 1000) }
        #expect(ledbat.window == before)
    }

    @Test func `a loss halves it, once in a round trip, and two segments stay`() {
        var ledbat = settled(queue: 0)
        let before = ledbat.window
        ledbat.lose(at: at(1000), roundTrip: .milliseconds(100))
        ledbat.lose(at: at(1050), roundTrip: .milliseconds(100))
        #expect(ledbat.window == before / 2)
        for time in 0..<20 as Range<Int64> { ledbat.lose(at: at(2000 + time * 1000), roundTrip: .milliseconds(100)) }
        #expect(ledbat.window == 2000)
        ledbat.silence(at: at(30_000))
        #expect(ledbat.window == 1000)
    }

    @Test func `clocks may differ by anything, and what was least ten minutes ago is forgotten`() throws {
        var ledbat = Ledbat(segment: 1000)
        let offset = UInt64(bitPattern: -1_795_000_000_000_000)
        ledbat.sample(offset, at: at(0))
        for _ in 0..<8 { ledbat.sample(offset &+ 30_000, at: at(10)) }
        #expect(try abs(#require(ledbat.queueing) - 30_000) < 1)
        for minute in 1...11 as ClosedRange<Int64> {
            for _ in 0..<8 { ledbat.sample(offset &+ 30_000, at: at(minute * 61_000)) }
        }
        #expect(ledbat.queueing == 0)
        for value in [0, UInt64.max, UInt64(Int64.max), 1 << 63] { ledbat.sample(value, at: at(1_000_000)) }
        ledbat.acknowledge(.max / 4, of: .max / 4)
        #expect(ledbat.window <= Ledbat.most)
    }

    @Test func `a chunk may take the mean and four times what it varies by`() {
        var trip = RoundTrip()
        #expect(trip.timeout == .seconds(1))
        trip.measure(.milliseconds(400))
        #expect(trip.timeout == .milliseconds(1200))
        trip.double()
        #expect(trip.timeout == .milliseconds(2400))
        for _ in 0..<100 { trip.measure(.milliseconds(10)) }
        #expect(trip.timeout == .milliseconds(300))
    }
}
