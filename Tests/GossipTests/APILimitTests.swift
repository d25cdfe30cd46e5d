import PeerCore
import Testing

@testable import Gossip

/// Gossip sections 3.11 and 3.12, decision 25: what local programs cannot have.
@Suite struct APILimitTests {
    // MARK: - Connections

    @Test func `256 programs are served, the next one is refused until one leaves`() {
        var stage = CoreStage.ready()
        let programs = (0..<256).map { _ in stage.program(9) }
        let loopback = SocketAddress(.loopback, 39_999)
        let (refused, effects) = stage.accept(on: "gossip.api", from: loopback)
        #expect(effects.abortion(of: refused) == .limit && stage.core.clientPlaces.count == 256)
        #expect(effects.lines("limit_hit") == [["setting": "/gossip/maxClients", "value": 256]])
        let (again, quiet) = stage.accept(on: "gossip.api", from: loopback)
        #expect(quiet.abortion(of: again) == .limit && quiet.lines("limit_hit").isEmpty)
        #expect(stage(.closed(refused, .limit, Traffic())).isEmpty)
        stage(.ended(programs[100]))
        let newcomer = stage.program(10)
        let heard = stage.announce("room", 10, on: programs[0])
        #expect(heard.notifications(on: newcomer).count == 1)
    }

    @Test func `an idle connection may stay for ever`() {
        var stage = CoreStage.ready()
        let (announcer, idle) = (stage.program(), stage.program(9))
        #expect(stage.wait(.seconds(86_400)).touched.isEmpty)
        #expect(stage.announce("good morning", on: announcer).notifications(on: idle).count == 1)
    }

    // MARK: - Messages that do not end

    @Test func `a message begun but not complete after 30 s closes the connection`() {
        for octets in [1, 4, 11] {
            var stage = CoreStage.ready()
            let (program, other) = (stage.program(), stage.program())
            stage.say(item("slow").slice(0..<octets), on: program)
            #expect(stage.wait(.milliseconds(29_999)).touched.isEmpty)
            let effects = stage.wait(.milliseconds(1))
            #expect(effects.finishes(program) && effects.touched == [program])
            #expect(effects.lines("client_refused").map { $0.string("reason") } == ["timeout"])
            #expect(stage.core.clientPlaces.keys.contains(other))
        }
    }

    @Test func `an octet now and then does not give it more time`() {
        var stage = CoreStage.ready()
        let program = stage.program()
        var closed: Int?
        for (second, octet) in item(octets: 60).enumerated() where closed == nil {
            stage.say([octet], on: program)
            if stage.wait(.seconds(1)).finishes(program) { closed = second + 1 }
        }
        #expect(closed == 30)
    }

    @Test func `every message has 30 s of its own, also when it begins in the octets that end another`() {
        var stage = CoreStage.ready()
        let peer = stage.neighbour(Guest(2))
        let program = stage.program()
        let stream = Bytes((0..<8).flatMap { item("message \($0)").array })
        // A message every 10 s, and always a part of the next one.
        let size = stream.count / 8
        stage.say(stream.slice(0..<5), on: program)
        var effects: [Effect] = []
        for number in 0..<7 {
            effects += stage.wait(.seconds(10))
            effects += stage.say(stream.slice(number * size + 5..<(number + 1) * size + 5), on: program)
        }
        #expect(!effects.finishes(program))
        #expect(effects.items(on: peer).count == 7)
    }

    // MARK: - Programs that do not read

    @Test func `above the limit of its queue a program gets no more notifications, which is counted`() {
        var stage = CoreStage.ready { $0.maxQueueBytes = 65_536 }
        let (announcer, slow, quick) = (stage.program(), stage.program(9), stage.program(9))
        stage(.stalled(slow))
        var quickly: [Effect] = []
        for number in 0..<20 {
            quickly += stage.announce("\(number) " + String(repeating: "x", count: 9990), on: announcer)
        }
        #expect(quickly.notifications(on: quick).count == 20 && quickly.octets(on: slow).isEmpty)
        let waiting = stage.core.clients[stage.core.clientPlaces[slow] ?? 0]
        #expect(waiting.outbox.octets <= 65_536 && waiting.outbox.octets > 50_000)
        #expect(waiting.dropped == 14 && stage.core.counters.unreadDrops == 14)
        // What waits comes in order as soon as there is room, and then everything again.
        let later = stage(.drained(slow)) + stage.settle() + stage.announce("now", on: announcer)
        let numbers = later.notifications(on: slow).compactMap { $0.data.text?.split(separator: " ").first }
        #expect(numbers == ["0", "1", "2", "3", "4", "5", "now"])
    }

    @Test func `the limit of a program's queue is 4 MiB`() {
        var stage = CoreStage.ready()
        let (announcer, slow) = (stage.program(), stage.program(9))
        stage(.stalled(slow))
        for number in 0..<70 { stage.say(item(octets: 65_527, ttl: UInt8(number), 9), on: announcer) }
        let outbox = stage.core.clients[stage.core.clientPlaces[slow] ?? 0].outbox
        #expect(outbox.octets <= 4 << 20 && outbox.octets > 4 << 20 - 65_536)
        #expect(stage.core.counters.unreadDrops == 6)
    }

    @Test func `a program whose queue is full leaves the vote`() {
        var stage = CoreStage.ready { $0.maxQueueBytes = 65_536 }
        let peers = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
        let (slow, judge) = (stage.program(9), stage.program(9))
        stage(.stalled(slow))
        var last: [Effect] = []
        for number in 0..<7 { last = stage.say(item("\(number)" + String(repeating: "x", count: 9990)), on: peers[0]) }
        #expect(last.notifications(on: judge).count == 1)
        // The judge's yes alone is enough.
        #expect(stage.approve(last, on: judge).items(on: peers[1]).count == 1)
        // And with nobody to ask, nobody can say yes.
        stage(.ended(judge))
        let before = stage.core.votes.open
        #expect(stage.say(item("x" + String(repeating: "y", count: 9990)), on: peers[0]).items(on: peers[1]).isEmpty)
        #expect(stage.core.votes.open == before && stage.core.counters.drops[.gone] == 1)
    }

    @Test func `a program that reads nothing for 60 s is closed`() {
        var stage = CoreStage.ready()
        let (slow, other) = (stage.program(9), stage.program(9))
        stage(.stalled(slow))
        #expect(stage.wait(.milliseconds(59_999)).touched.isEmpty)
        let effects = stage.wait(.milliseconds(1))
        #expect(effects.abortion(of: slow) == .tooSlow && effects.touched == [slow])
        #expect(effects.lines("client_refused").map { $0.string("reason") } == ["too_slow"])
        #expect(Set(stage.core.clientPlaces.keys) == [other])
    }

    @Test func `a program that reads in time is not closed`() {
        var stage = CoreStage.ready()
        let slow = stage.program(9)
        for _ in 0..<5 {
            stage(.stalled(slow))
            #expect(stage.wait(.seconds(59)).touched.isEmpty)
            stage(.drained(slow))
            #expect(stage.wait(.seconds(10)).touched.isEmpty)
        }
    }

    // MARK: - Programs that outrun the network (decision 25)

    /// A node whose only neighbour does not take what a program announces.
    private func blocked() -> (stage: CoreStage, peer: ConnectionID, program: ConnectionID, effects: [Effect]) {
        var stage = CoreStage.ready { $0.maxQueueBytes = 1 << 20 }
        let peer = stage.neighbour(Guest(2))
        let program = stage.program()
        stage(.stalled(peer))
        var effects: [Effect] = []
        for _ in 0..<12 { effects += stage.say(item(octets: 60_000), on: program) }
        return (stage, peer, program, effects)
    }

    @Test func `a program that outruns the slowest link is slowed until the link has room`() {
        var (stage, peer, program, effects) = blocked()
        #expect(effects.filter { $0 == .hold(program) }.count == 1)
        let later = stage(.drained(peer)) + stage.settle()
        #expect(later.contains(.release(program)) && later.items(on: peer).count == 12)
        #expect(stage.core.counters.unsentDrops == 0)
    }

    @Test func `a neighbour that takes nothing does not hold programs up for ever`() {
        var (stage, _, program, effects) = blocked()
        #expect(effects.contains(.hold(program)))
        #expect(stage.wait(.seconds(5)).contains(.release(program)))
        // From now on it loses the oldest items instead.
        for _ in 0..<12 { #expect(!stage.say(item(octets: 60_000), on: program).contains(.hold(program))) }
        #expect(stage.core.counters.unsentDrops > 0)
    }

    @Test func `nor does one that took a little and then stopped again`() {
        var (stage, peer, program, effects) = blocked()
        effects += stage(.drained(peer))
        effects += stage(.stalled(peer))
        #expect(!effects.contains(.release(program)))
        #expect(stage.wait(.seconds(10)).contains(.release(program)))
    }

    @Test func `programs are released when the neighbour that held them up is gone`() {
        var (stage, peer, program, _) = blocked()
        #expect(stage(.closed(peer, .reset, Traffic())).contains(.release(program)))
    }

    // MARK: - What is kept

    @Test func `cacheSize is the number of items kept, the oldest leave first`() {
        var stage = CoreStage.ready { $0.cacheSize = 3 }
        let program = stage.program()
        for number in 0..<5 { stage.announce("\(number)", on: program) }
        #expect(stage.core.cache.count == 3)
        let kept = (0..<5).filter { number in
            guard let entry = stage.core.seen.find(stage.core.key(of: item("\(number)"))) else { return false }
            return stage.core.seen[entry]?.state == .kept
        }
        #expect(kept == [2, 3, 4])
    }

    @Test func `new subscribers do not get old items`() {
        var stage = CoreStage.ready()
        let program = stage.program(9)
        for number in 0..<5 { stage.announce("\(number)", on: program) }
        let newcomer = stage.program(9)
        #expect(stage.wait(.seconds(10)).octets(on: newcomer).isEmpty)
        #expect(stage.history.map(\.effect).octets(on: newcomer).isEmpty)
    }

    @Test func `an open vote that must make room for another is dropped`() {
        var stage = CoreStage.ready { $0.maxOpenVotes = 2 }
        let peers = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
        let judge = stage.program(9)
        let asked = (0..<3).map { stage.say(item("\($0)", ttl: 3), on: peers[0]) }
        #expect(stage.core.votes.open == 2 && stage.core.counters.drops[.votes] == 1)
        let spread = asked.reduce(into: []) { $0 += stage.approve($1, on: judge) }
        #expect(spread.items(on: peers[1]).map(\.data) == [Bytes(utf8: "1"), Bytes(utf8: "2")])
    }
}
