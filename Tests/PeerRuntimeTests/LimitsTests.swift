import PeerCore
import Testing

@testable import PeerRuntime

@Suite struct LimitsTests {
    private let host = IPAddress(203, 0, 113, 7)

    @Test func `a further connection from one address is refused at its limit, loopback excepted`() {
        var values = Limits.Values()
        values.maxConnectionsPerAddress = 2
        let limits = Limits(values)
        for _ in 0..<2 {
            #expect(limits.broken(by: host) == nil)
            limits.opened(host, isAccepted: true)
        }
        #expect(limits.broken(by: host)?.key == "maxConnectionsPerAddress")
        #expect(limits.broken(by: IPAddress(203, 0, 113, 8)) == nil)
        for _ in 0..<9 { limits.opened(.loopback, isAccepted: true) }
        #expect(limits.broken(by: .loopback) == nil)
        limits.closed(host)
        #expect(limits.broken(by: host) == nil)
    }

    @Test func `one network cannot take all places`() {
        var values = Limits.Values()
        values.maxConnectionsPerPrefix = 3
        let limits = Limits(values)
        for last in 1...3 { limits.opened(IPAddress(198, 51, 100, UInt8(last)), isAccepted: true) }
        #expect(limits.broken(by: IPAddress(198, 51, 100, 9))?.key == "maxConnectionsPerPrefix")
        #expect(limits.broken(by: host) == nil)
    }

    @Test func `accepts and dials have their rate`() {
        var values = Limits.Values()
        values.acceptsPerSecond = 1
        values.dialsPerSecond = 1
        let limits = Limits(values)
        #expect(limits.takeDial())
        #expect(!limits.takeDial())
        limits.opened(host, isAccepted: true)
        #expect(!limits.mayAccept)
        limits.refill()
        #expect(limits.takeDial())
        #expect(limits.mayAccept)
    }

    @Test func `what was taken above a rate is owed to the next slice`() {
        var rate = Rate(1000)
        #expect(rate.allowance == 100)
        rate.took(250)
        #expect(rate.allowance == -150)
        rate.refill()
        #expect(rate.allowance == -50)
        rate.refill()
        #expect(rate.allowance == 50)
        rate.bytesPerSecond = 0
        rate.took(5000)
        #expect(rate.allowance == .max)
    }

    @Test func `a ban holds for a block until its end`() {
        let bans = BanList()
        let now = WallClock(seconds: 1000)
        let block = IPPrefix("203.0.113.0/24")!
        bans[block] = Ban(until: now + .seconds(10), reason: "test")
        bans[IPPrefix("2001:db8::/32")!] = Ban(until: now + .seconds(10), reason: "test")
        let cases: [(String, Bool)] = [
            ("203.0.113.0", true), ("203.0.113.255", true), ("203.0.114.0", false), ("2001:db8::1", true),
            ("2001:db9::1", false), ("::ffff:203.0.113.9", true),
        ]
        for (text, isBanned) in cases {
            #expect((bans.ban(of: IPAddress(text)!, at: now) != nil) == isBanned, "\(text)")
        }
        #expect(bans.ban(of: host, at: now + .seconds(10)) == nil)
        #expect(bans.removeEnded(at: now + .seconds(10)).count == 2)
        #expect(bans.all.isEmpty)
    }
}
