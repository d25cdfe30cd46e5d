import Bootstrap
import PeerCore
import Testing

@testable import Gossip

/// Gossip section 5.7: the life of a link, and of the overlay.
@Suite struct OverlayTests {
    private func heartbeats(_ stage: CoreStage, _ connection: ConnectionID) -> [(at: Instant, message: Neighbors)] {
        stage.timeline(on: connection).compactMap {
            if case .neighbors(let message) = $0.message { ($0.at, message) } else { nil }
        }
    }

    // MARK: - Heartbeats

    @Test func `NEIGHBORS goes out every 10 s, give or take 10 %`() {
        var stage = CoreStage.ready()
        let connection = stage.neighbour(Guest(2))
        stage.wait(.seconds(600))
        // The first one opens the link.
        let times = heartbeats(stage, connection).map(\.at).dropFirst()
        let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(pauses.count >= 54 && pauses.allSatisfy { $0 >= .seconds(9) && $0 <= .seconds(11) })
        #expect(Set(pauses).count > 10)
    }

    @Test func `heartbeatIntervalSeconds sets the pace, and 3.5 times it the silence`() {
        var stage = CoreStage.ready { $0.heartbeatInterval = .seconds(2) }
        let connection = stage.open(direct: Guest(2)).connection
        #expect(stage.wait(.milliseconds(6999)).neighbors(on: connection).count >= 3)
        #expect(stage.neighbours == [connection])
        #expect(stage.wait(.milliseconds(1)).finishes(connection))
    }

    @Test func `a change of the neighbours is told within 1 s`() {
        var stage = CoreStage.ready()
        let connection = stage.neighbour(Guest(2))
        stage.wait(.seconds(5))
        let (other, _) = stage.open(direct: Guest(3))
        let joined = stage.wait(.seconds(1)).neighbors(on: connection)
        #expect(joined.map(\.entries) == [[Guest(3).entry]])
        stage.wait(.seconds(5))
        stage(.closed(other, .reset, Traffic()))
        #expect(stage.wait(.seconds(1)).neighbors(on: connection).last?.entries == [])
    }

    @Test func `changes are told at most once a second`() {
        var stage = CoreStage.ready()
        let connection = stage.neighbour(Guest(2))
        stage.wait(.seconds(3))
        let start = stage.now.instant
        for number in 0..<40 {
            _ = stage.neighbour(Guest(UInt16(10 + number)))
            for (link, guest) in stage.alive where guest.id >= 10 && number % 4 == 3 {
                stage(.closed(link, .reset, Traffic()))
                stage.alive[link] = nil
            }
            stage.wait(.milliseconds(100))
        }
        let times = heartbeats(stage, connection).map(\.at).filter { $0 > start }
        #expect(times.count >= 3 && times.count <= 5)
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= .seconds(1) })
    }

    @Test func `NEIGHBORS tells the present neighbours without the receiver, 64 at most, by random choice`() {
        var stage = CoreStage.ready { $0.degree = 120 }
        let connections = (0..<70).map { stage.neighbour(Guest(UInt16(100 + $0))) }
        let effects = stage.wait(.seconds(2))
        let all = Set((0..<70).map { Guest(UInt16(100 + $0)).entry })
        for (index, connection) in connections.enumerated() {
            let told = effects.neighbors(on: connection).last?.entries ?? []
            #expect(told.count == 64 && Set(told).count == 64 && all.isSuperset(of: told))
            #expect(!told.contains(Guest(UInt16(100 + index)).entry))
        }
        let sets = Set(connections.map { Set(effects.neighbors(on: $0).last?.entries ?? []) })
        #expect(sets.count > 35)
        let newcomer = stage.open(direct: Guest(300))
        let first = newcomer.effects.neighbors(on: newcomer.connection).first
        #expect(first?.entries.first?.id == stage.id && first?.others.count == 64)
    }

    // MARK: - Silence

    @Test func `a link is dead after 35 s without a complete message, and closed with DISCONNECT`() {
        var stage = CoreStage.ready()
        let connection = stage.open(direct: Guest(2)).connection
        #expect(!stage.wait(.milliseconds(34_999)).finishes(connection))
        let effects = stage.wait(.milliseconds(1))
        #expect(effects.said(on: connection).last == .disconnect(stage.id) && effects.finishes(connection))
        #expect(effects.lines("peer_down").map { $0.string("reason") } == ["silent"])
    }

    @Test func `a complete message of any kind is a sign of life, a part of one is none`() {
        let guest = Guest(2, [.lazyPush, .haveIt])
        let signs: [(String, Bytes, Bool)] = [
            ("heartbeat", guest.heartbeat, true), ("item", item("x"), true), ("extension", [0, 4, 2, 7], true),
            ("IHAVE", ExtensionMessage(.iHave, dataType: 9).bytes, true),
            ("part", guest.heartbeat.slice(0..<7), false),
            ("large part", item(octets: 60_000).slice(0..<50_000), false),
        ]
        for (name, octets, isSign) in signs {
            var stage = CoreStage.ready()
            let connection = stage.open(direct: guest).connection
            stage.wait(.seconds(30))
            stage.say(octets, on: connection)
            #expect(stage.wait(.milliseconds(5001)).finishes(connection) == !isSign, "\(name)")
            #expect(stage.wait(.seconds(30)).finishes(connection) == isSign, "\(name)")
        }
    }

    @Test func `the time by which we were late is given to the neighbours`() {
        var stage = CoreStage.ready()
        let connection = stage.open(direct: Guest(2)).connection
        stage.wait(.seconds(10))
        stage.move(to: stage.now.instant + .seconds(60))
        #expect(!stage(.resumed(gap: .seconds(60))).finishes(connection))
        #expect(!stage(.deadline).finishes(connection) && !stage.wait(.seconds(24)).finishes(connection))
    }

    @Test func `DISCONNECT is the last message of a link; whoever receives it just closes`() {
        var stage = CoreStage.ready()
        let program = stage.program(9)
        let guest = Guest(2)
        let connection = stage.neighbour(guest)
        let effects = stage.say(Bytes(guest.disconnect.array + item("too late").array), on: connection)
        #expect(effects.finishes(connection) && effects.octets(on: connection).isEmpty)
        #expect(effects.notifications(on: program).isEmpty && stage.neighbours.isEmpty)
        #expect(stage.say(item("later still"), on: connection).isEmpty)
    }

    @Test func `CONNECT is for the first message only, the types of local programs and of UDP are for no link`() {
        for type in [501, 502, 503, 504, 505, 510, 511, 512, 520] as [UInt16] {
            var stage = CoreStage.ready()
            let connection = stage.neighbour(Guest(2))
            let effects = stage.say(Greeting.bytes(type, id: 2), on: connection)
            #expect(effects.finishes(connection) && effects.octets(on: connection).isEmpty, "\(type)")
            #expect(effects.lines("peer_down").map { $0.string("reason") } == ["malformed"], "\(type)")
        }
    }

    // MARK: - Candidates

    /// A node with one neighbour that has told of the guests.
    private func told(
        of guests: [Guest], degree: Int = 30, isRepeating: Bool = false
    ) -> (stage: CoreStage, teller: ConnectionID, effects: [Effect]) {
        var stage = CoreStage.ready { $0.degree = degree }
        let teller = stage.neighbour(Guest(2))
        if isRepeating { stage.alive[teller]?.others = guests.map(\.entry) }
        let effects = stage.say(Neighbors(id: 2, entries: guests.map(\.entry)).bytes, on: teller)
        return (stage, teller, effects)
    }

    @Test func `while neighbours are missing CONNECT goes to that many candidates`() {
        let guests = (10..<30).map { Guest($0) }
        for degree in [1, 2, 5, 30] {
            let effects = told(of: guests, degree: degree).effects
            #expect(effects.calls.count == min(20, degree - 1) && Set(effects.calls).count == effects.calls.count)
        }
    }

    @Test func `a candidate that fails is called again after 60 s, doubling to 1 h`() throws {
        let guest = Guest(10)
        var (stage, _, effects) = told(of: [guest], isRepeating: true)
        var pauses: [Double] = []
        for _ in 0..<8 {
            #expect(effects.calls.contains(guest.endpoint))
            let dial = try #require(stage.wait(.seconds(5)).dials.first)
            stage(.closed(dial.connection, .refused, Traffic()))
            let failed = stage.now.instant
            effects = []
            for _ in 0..<4000 where effects.calls.isEmpty { effects = stage.wait(.seconds(1)) }
            pauses.append((stage.now.instant - failed).fractionalSeconds)
        }
        // It is looked at every 10 s.
        for (pause, least) in zip(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600] as [Double]) {
            #expect(pause >= least && pause <= least + 11, "\(pauses)")
        }
    }

    @Test func `a candidate that is not heard of for 10 min is forgotten`() {
        var (stage, teller, _) = told(of: [Guest(10)], degree: 1)
        #expect(stage.core.candidates.id(of: Guest(10).endpoint) == 10)
        stage.wait(.seconds(590))
        #expect(stage.core.candidates.id(of: Guest(10).endpoint) == 10)
        stage.wait(.seconds(80))
        #expect(stage.core.candidates.id(of: Guest(10).endpoint) == nil && stage.neighbours == [teller])
    }

    @Test func `at most 64 candidates are taken from one neighbour, however it tells them`() {
        var stage = CoreStage.ready { $0.degree = 2 }
        let teller = stage.neighbour(Guest(2))
        for round in 0..<5 {
            let entries = (0..<100).map { Guest(UInt16(1000 + round * 100 + $0)).entry }
            stage.say(Neighbors(id: 2, entries: entries).bytes, on: teller)
        }
        #expect(stage.core.candidates.count == 64 + 1)
        let other = stage.neighbour(Guest(3))
        stage.say(Neighbors(id: 3, entries: [Guest(5000).entry]).bytes, on: other)
        #expect(stage.core.candidates.id(of: Guest(5000).endpoint) == 5000)
    }

    @Test func `the candidate table holds 1024 endpoints`() {
        var stage = CoreStage.ready { $0.degree = 40 }
        for teller in 0..<20 {
            let connection = stage.neighbour(Guest(UInt16(100 + teller)))
            let entries = (0..<64).map { Guest(UInt16(10_000 + teller * 64 + $0)).entry }
            stage.say(Neighbors(id: UInt16(100 + teller), entries: entries).bytes, on: connection)
        }
        #expect(stage.core.candidates.count == 1024)
    }

    @Test func `loopback entries are used only by a node that itself listens on loopback`() {
        let entry = PeerAddress(id: 9, address: SocketAddress(IPAddress(127, 0, 0, 9), 6001))
        for own in [CoreStage.ownAddress, SocketAddress(.loopback, 6001)] {
            var stage = CoreStage.ready(at: own)
            let teller = stage.neighbour(Guest(2))
            let calls = stage.say(Neighbors(id: 2, entries: [entry]).bytes, on: teller).calls
            #expect(calls == (own.ip.isLoopback ? [entry.address] : []))
        }
    }

    @Test func `link-local entries are skipped`() {
        for ip in [IPAddress(169, 254, 1, 1), IPAddress(high: 0xfe80_0000_0000_0000, low: 1)] {
            let guest = Guest(9, at: SocketAddress(ip, 6001))
            #expect(told(of: [guest, Guest(10)]).effects.calls == [Guest(10).endpoint])
        }
    }
}
