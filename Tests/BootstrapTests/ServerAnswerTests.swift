import Bootstrap
import PeerCore
import Testing

/// Whom the server tells of, and what it does against misuse (gossip sections 6.2 and 6.3, decision 24).
@Suite struct ServerAnswerTests {
    @Test func `a validated peer gets min(degree, 69) random listed peers, each once, never itself`() throws {
        var stage = ServerStage()
        stage.fill(100)
        let cases = [(0, 0), (1, 1), (3, 3), (30, 30), (69, 69), (70, 69), (65_535, 69)]
        for (number, (degree, expected)) in cases.enumerated() {
            let answer = try stage.joined(peer(200 + number), degree: UInt16(degree))
            #expect(answer.entries.count == expected)
            #expect(Set(answer.entries.map(\.address)).count == expected)
            #expect(!answer.entries.contains { $0.address == peer(200 + number) })
        }
    }

    @Test func `when there are fewer, it gets all others`() throws {
        var stage = ServerStage()
        stage.fill(5)
        let answer = try stage.joined(peer(2), degree: 30)
        #expect(Set(answer.entries.map(\.address)) == Set([0, 1, 3, 4].map { peer($0) }))
    }

    @Test func `every listed peer is told as often as any other`() throws {
        var stage = ServerStage(["maxInitsPerAddress": 100_000])
        stage.fill(50)
        let id = try stage.joined(peer(99)).id
        var told: [SocketAddress: Int] = [:]
        for _ in 0..<500 {
            for entry in try stage.answer(peer(99), degree: 5, id: id).entries {
                told[entry.address, default: 0] += 1
            }
        }
        #expect(told.count == 50)
        #expect(told.values.allSatisfy { (20...90).contains($0) }, "50 on average: \(told.values.sorted())")
    }

    @Test func `an unvalidated source gets at most 3 entries`() throws {
        var stage = ServerStage()
        stage.fill(50)
        #expect(stage.ask(peer(99), degree: 2)?.entries.count == 2)
        #expect(stage.ask(peer(99), degree: 30)?.entries.count == 3)
        #expect(stage.ask(peer(98), degree: 65_535, id: 7)?.entries.count == 3)
    }

    @Test func `at most 64 IDs for an IPv4 address or an IPv6 /64; then ID 0 and up to 3 entries`() throws {
        var stage = ServerStage(["maxInitsPerAddress": 100_000, "unvalidatedBytesPerSecond": 1_000_000])
        stage.fill(10)
        let v6 = try #require(IPAddress("2a00:1450:1:2::"))
        let crowds: [[SocketAddress]] = [
            (0..<70).map { SocketAddress(IPAddress(9, 9, 9, 9), UInt16(1000 + $0)) },
            (0..<70).map { SocketAddress(IPAddress(high: v6.high, low: UInt64($0 * 977)), 6001) },
        ]
        for crowd in crowds {
            let answers = crowd.compactMap { stage.ask($0) }
            #expect(answers.map { $0.id != 0 } == (0..<70).map { $0 < 64 })
            #expect(answers.allSatisfy { $0.entries.count == 3 })
        }
        #expect(stage.count("addressQuota") == 12)
        #expect(stage.ask(SocketAddress(IPAddress(9, 9, 9, 8), 1000))?.id != 0)
        #expect(stage.ask(SocketAddress(IPAddress(high: v6.high + 1, low: 1), 6001))?.id != 0)
    }

    @Test func `at most 1024 IDs for an IPv4 /24 or an IPv6 /48`() throws {
        let v6 = try #require(IPAddress("2a00:1450:1::"))
        let crowds: [[SocketAddress]] = [
            (0..<1100).map { SocketAddress(IPAddress(9, 9, 9, UInt8($0 % 220)), UInt16(1000 + $0 / 220)) },
            (0..<1100).map { SocketAddress(IPAddress(high: v6.high + UInt64($0), low: 1), 6001) },
        ]
        for crowd in crowds {
            var stage = ServerStage()
            let ids = crowd.compactMap { stage.ask($0)?.id }
            #expect(ids.count == 1100 && ids.filter { $0 != 0 }.count == 1024)
            #expect(stage.count("prefixQuota") == 76)
            #expect(stage.ask(peer(0))?.id != 0)
        }
    }

    @Test func `when no ID is left, a newcomer gets ID 0 and up to 3 entries`() throws {
        var stage = ServerStage([
            "maxIdsPerAddress": 65_534, "maxIdsPerPrefix": 65_534, "maxInitsPerAddress": 100_000_000,
            "maxInitsPerSecond": 100_000_000, "entrySeconds": 86_400, "unvalidatedBytesPerSecond": 1_000_000_000,
        ])
        for number in 0..<65_534 {
            let source = SocketAddress(IPAddress(v4: 0x1400_0000 + UInt32(number)), 6001)
            guard stage.join(source, degree: 0)?.id != 0 else {
                Issue.record("no ID for number \(number)")
                return
            }
        }
        let answer = try stage.answer(peer(60_000))
        #expect(answer.id == 0 && answer.entries.count == 3 && stage.count("noID") == 1)
        let leaving = try #require(answer.entries.first)
        _ = stage.say(Disconnect(id: leaving.id).bytes, from: leaving.address)
        stage.advance(.seconds(601))
        #expect(stage.ask(peer(60_000))?.id == leaving.id)
    }

    @Test func `5 INITs in 10 s for a source address, the rest dropped silently`() throws {
        var stage = ServerStage()
        let answers = (0..<20).map { stage.ask(peer(0, port: 6001 + UInt16($0))) }
        #expect(answers.map { $0 != nil } == (0..<20).map { $0 < 5 })
        #expect(stage.count("sourceRate") == 15)
        #expect(stage.ask(peer(1)) != nil)
        stage.advance(.seconds(2))
        #expect(stage.ask(peer(0)) != nil && stage.ask(peer(0)) == nil)
        stage.advance(.seconds(10))
        #expect((0..<20).filter { _ in stage.ask(peer(0)) != nil }.count == 5)
        let total = (0..<100).filter { _ in
            stage.advance(.seconds(1))
            return stage.ask(peer(0)) != nil
        }
        #expect((49...51).contains(total.count), "\(total.count) in 100 s")
    }

    @Test func `2000 INITs in a second for all sources together`() {
        var stage = ServerStage()
        var answered: [Int] = []
        for second in 0..<5 {
            answered.append((0..<5000).filter { stage.ask(peer($0 + second * 5000), degree: 0) != nil }.count)
            stage.advance(.seconds(1.1))
        }
        #expect(answered.allSatisfy { (1500...2000).contains($0) }, "\(answered)")
        #expect(stage.count("totalRate") == 25_000 - answered.reduce(0, +))
    }

    @Test func `while too many ask, those who have proven their address, and those who ask again, go before`() throws {
        var stage = ServerStage()
        let id = try stage.joined(peer(0)).id
        for number in 1000..<4000 { stage.ask(peer(number), degree: 0) }
        #expect(stage.ask(peer(1)) == nil)
        #expect(stage.ask(peer(0), id: id) != nil)
        #expect(stage.ask(peer(1)) != nil, "it asked before and was turned away")
        #expect(stage.ask(peer(2)) == nil)
    }

    @Test func `above 100 kB/s to unvalidated sources they get their ID without entries`() throws {
        var stage = ServerStage()
        stage.fill(10)
        stage.advance(.seconds(1))
        let listed = stage.count("listed")
        var (octets, bare, full) = (0, 0, 0)
        for second in 0..<5 {
            for tenth in 0..<10 {
                for number in 0..<150 {
                    let answer = try stage.answer(peer(100 + (second * 10 + tenth) * 150 + number), degree: 30)
                    #expect(answer.id != 0)
                    octets += 28 + 8 + 20 * answer.entries.count
                    if answer.entries.isEmpty { bare += 1 } else { full += 1 }
                }
                stage.advance(.seconds(0.1))
            }
        }
        #expect(octets <= 500_000 && octets > 350_000 && bare > full && full > 0, "\(octets) \(bare) \(full)")
        #expect(stage.count("listed") == listed)
        #expect(stage.join(peer(90), degree: 30)?.entries.count == 10, "a validated one has its list")
    }

    @Test func `at most 50 probes in a second, and one in 10 s for an address`() {
        var stage = ServerStage()
        for number in 0..<400 { stage.ask(peer(number)) }
        for port in 0..<5 { stage.ask(peer(500, port: 7000 + UInt16(port))) }
        stage.advance(.seconds(40))
        let perSecond = Dictionary(grouping: stage.probes) { $0.at.nanoseconds / 1_000_000_000 }.mapValues(\.count)
        #expect(stage.probes.count == 400 + 2)
        #expect(perSecond.values.allSatisfy { $0 <= 51 }, "\(perSecond)")
        let ofOne = stage.probes.filter { $0.address.ip == peer(500).ip }
        #expect(ofOne.count == 2 && ofOne[1].at - ofOne[0].at >= .seconds(10))
    }

    @Test func `an endpoint that refused is not probed again soon`() {
        var stage = ServerStage()
        for _ in 0..<10 {
            stage.ask(peer(0))
            stage.advance(.seconds(20))
        }
        #expect(stage.probes.count == 1)
        stage.advance(.seconds(600))
        stage.ask(peer(0))
        stage.advance(.seconds(20))
        #expect(stage.probes.count == 2)
    }

    @Test func `nobody is answered who cannot be there`() {
        var stage = ServerStage()
        for text in ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "1.2.3.4:0", "[::]:1", "[ff02::1]:1"] {
            #expect(stage.say(Init(degree: 3).bytes, from: address(text)).isEmpty, "\(text)")
        }
        #expect(stage.count("malformed") == 6)
    }
}
