import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import BePeer

/// What the operator sees while files come (program.md section 1).
struct ProgressTests {
    private func instant(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func `the rate is that of the last seconds`() {
        var meter = Meter(at: instant(0))
        #expect(meter.rate(at: instant(500)) == 0)
        for second in 1...20 { meter.count(second <= 10 ? 1000 : 5000, at: instant(1000 * Int64(second))) }
        #expect(meter.rate(at: instant(20_900)) == 5000, "the first ten seconds are forgotten")
        #expect((1...4000).contains(meter.rate(at: instant(22_500))), "nothing has come since")
        #expect(meter.rate(at: instant(60_000)) == 0)
    }

    @Test func `what comes at any moment is counted`() {
        var meter = Meter(at: instant(0))
        for moment in 1...30_000 where moment % 7 < 3 { meter.count(10, at: instant(Int64(moment))) }
        let rate = meter.rate(at: instant(30_000))
        #expect((4000...4500).contains(rate), "\(rate), not ten octets three times in seven milliseconds")
    }

    @Test func `what came in less than a second is not taken for more`() {
        var meter = Meter(at: instant(800))
        meter.count(7000, at: instant(900))
        #expect(meter.rate(at: instant(901)) == 7000)
    }

    private func rows(of lab: Lab, _ node: Int) -> [Record] { lab.core(lab.nodes[node])?.status() ?? [] }

    @Test func `a folder tells files, octets, rate and time left`() throws {
        let lab = Lab()
        let large = String(repeating: "0123456789", count: 200_000)
        lab.node(1, files: ["large": large, "small": "small"])
        lab.node(2, peers: [1])
        lab.simulator.network.bandwidth = 100_000
        try lab.run(.seconds(9))
        let row = try #require(rows(of: lab, 1).last)
        #expect(row.string("state") == "fetching" && row.int("ofFiles") == 2 && row.int("doneFiles") == 1)
        let (done, all) = try (#require(row.int("doneBytes")), #require(row.int("ofBytes")))
        #expect(all == 2_000_005 && (600_000...900_000).contains(done), "\(row)")
        let rate = try #require(row.int("bytesPerSecond"))
        #expect((80_000...110_000).contains(rate), "\(row)")
        let left = try #require(row.int("secondsLeft"))
        #expect(abs(left - (all - done) / rate) <= 1, "\(row)")
        try lab.run(.seconds(60))
        #expect(lab.isEqual && rows(of: lab, 1).last?["ofFiles"] == nil, "nothing is under way")
    }

    @Test func `what was here already is no work, and counts as done`() throws {
        let lab = Lab()
        var files: [String: String] = [:]
        for number in 0..<20 { files["f\(number)"] = String(repeating: "\(number)", count: 1000) }
        let large = String(repeating: "0123456789", count: 100_000)
        lab.node(1, files: files.merging(["large": large]) { $1 })
        lab.node(2, peers: [1], files: files)
        lab.simulator.network.bandwidth = 100_000
        try lab.run(.seconds(5))
        let row = try #require(rows(of: lab, 1).last)
        #expect(row.int("doneFiles") == 20 && row.int("ofFiles") == 21)
        #expect(row.int("ofBytes") == Int64(1_000_000 + files.values.reduce(0) { $0 + $1.utf8.count }))
    }

    @Test func `of an old peer's files the sizes are known one by one`() throws {
        let lab = Lab()
        lab.node(1, files: ["a": String(repeating: "a", count: 600_000)]) { $0.extensions = false }
        lab.node(2, peers: [1])
        lab.simulator.network.bandwidth = 100_000
        try lab.run(.seconds(4))
        let row = try #require(rows(of: lab, 1).last)
        #expect(row.int("ofBytes") == 600_000 && row.int("secondsLeft") != nil, "\(row)")
        #expect((100_000...400_000).contains(row.int("doneBytes") ?? 0), "\(row)")
    }
}
