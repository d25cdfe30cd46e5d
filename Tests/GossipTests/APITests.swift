import PeerCore
import Testing

@testable import Gossip

/// Gossip section 3: what local programs can rely on.
@Suite struct APITests {
    /// A node with two neighbours.
    private struct Scene {
        var stage: CoreStage
        let peers: [ConnectionID]

        init(_ change: (inout Gossip.Configuration) -> Void = { _ in }) {
            stage = CoreStage.ready(change)
            peers = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
        }

        /// An item of the first neighbour.
        mutating func item(_ text: String, ttl: UInt8 = 3) -> [Effect] {
            stage.say(GossipTests.item(text, ttl: ttl), on: peers[0])
        }

        var drops: [Drop: Int] { stage.core.counters.drops }
    }

    // MARK: - 1 to 3: subscriptions and announcements

    @Test(arguments: [false, true])
    func `closing the connection removes its subscriptions`(isReset: Bool) {
        var scene = Scene()
        let program = scene.stage.program(9, 10)
        let effects = scene.stage(isReset ? .closed(program, .reset, Traffic()) : .ended(program))
        #expect(effects.finishes(program) != isReset)
        #expect(scene.stage.core.topics.subscriptions.isEmpty && scene.stage.core.clientPlaces.isEmpty)
        #expect(scene.item("nobody").touched.isEmpty && scene.drops[.unregistered] == 1)
        // Its place is another program's, which has registered nothing.
        let other = scene.stage.program()
        #expect(scene.item("still nobody").notifications(on: other).isEmpty)
    }

    @Test func `a subscription is per connection and per data type, and saying it twice changes nothing`() {
        var scene = Scene()
        let programs = [scene.stage.program(9, 9), scene.stage.program(10), scene.stage.program(9, 10)]
        let effects = scene.item("nine")
        #expect(programs.map { effects.notifications(on: $0).count } == [1, 0, 1])
    }

    @Test func `closing the connection takes it out of every open vote`() {
        for isApproved in [false, true] {
            var scene = Scene()
            let (judge, leaver) = (scene.stage.program(9), scene.stage.program(9))
            let asked = (1...3).map { scene.item("\($0)") }
            if isApproved { for effects in asked { scene.stage.approve(effects, on: judge) } }
            let effects = scene.stage(.ended(leaver))
            #expect(effects.items(on: scene.peers[1]).count == (isApproved ? 3 : 0))
            #expect(scene.stage.core.votes.open == (isApproved ? 0 : 3))
            #expect(scene.drops[.gone] == nil)
        }
    }

    @Test func `an item is dropped when nobody is left and nobody said valid`() {
        var scene = Scene()
        let programs = [scene.stage.program(9), scene.stage.program(9)]
        let asked = scene.item("gone")
        for program in programs { scene.stage(.closed(program, .reset, Traffic())) }
        #expect(scene.stage.core.votes.open == 0 && scene.drops[.gone] == 1)
        #expect(scene.stage.wait(.seconds(10)).items(on: scene.peers[1]).isEmpty)
        #expect(asked.notifications(on: programs[1]).count == 1)
    }

    @Test func `an announcement goes to every other connection that has registered the type, not to the announcer`() {
        var scene = Scene()
        let (announcer, others) = (scene.stage.program(9), [scene.stage.program(9), scene.stage.program(9)])
        let stranger = scene.stage.program(10)
        let effects = scene.stage.announce("hello", ttl: 4, on: announcer)
        for peer in scene.peers { #expect(effects.items(on: peer).map(\.message) == [item("hello", ttl: 4)]) }
        for other in others { #expect(effects.notifications(on: other).map(\.data) == [Bytes(utf8: "hello")]) }
        #expect(effects.octets(on: announcer).isEmpty && effects.octets(on: stranger).isEmpty)
    }

    @Test func `the reserved octet of a program is ignored, and an item without data is one`() {
        var scene = Scene()
        let program = scene.stage.program()
        let effects = scene.stage.say(item("", ttl: 4, salt: 0xff), on: program)
        #expect(effects.items(on: scene.peers[0]).map(\.message) == [item("", ttl: 4)])
    }

    @Test func `a verdict on a local item has no effect on spreading, and a no removes it from the cache`() {
        for isValid in [true, false] {
            var scene = Scene()
            let (announcer, judge) = (scene.stage.program(), scene.stage.program(9))
            let announced = scene.stage.announce("mine", on: announcer)
            #expect(scene.stage.core.cache.count == 1)
            let question = announced.notifications(on: judge).first
            #expect(question.map { scene.stage.judge($0.messageID, isValid, on: judge).touched } == [])
            #expect(scene.stage.core.cache.count == (isValid ? 1 : 0))
            #expect(announced.items(on: scene.peers[0]).count == 1 && announced.items(on: scene.peers[1]).count == 1)
            #expect(scene.stage.wait(.seconds(6)).items(on: scene.peers[0]).isEmpty)
        }
    }

    @Test func `silence about a local item leaves it in the cache`() {
        var scene = Scene()
        let (announcer, _) = (scene.stage.program(), scene.stage.program(9))
        scene.stage.announce("mine", on: announcer)
        scene.stage.wait(.seconds(6))
        #expect(scene.stage.core.cache.count == 1 && scene.stage.core.votes.open == 0)
    }

    @Test func `announcing without having subscribed is allowed, unless requireSubscription says otherwise`() {
        for isRequired in [false, true] {
            var scene = Scene { $0.requireSubscription = isRequired }
            let (stranger, member) = (scene.stage.program(10), scene.stage.program(9))
            let effects = scene.stage.announce("s", on: stranger)
            #expect(effects.finishes(stranger) == isRequired)
            #expect(effects.items(on: scene.peers[0]).count == (isRequired ? 0 : 1))
            #expect(scene.stage.announce("m", on: member).items(on: scene.peers[0]).count == 1)
        }
    }

    // MARK: - 5: message IDs

    @Test func `message IDs are unique among the open questions of a connection, and never 0 or 65535`() {
        var stage = CoreStage.ready { $0.maxOpenVotes = 60_000 }
        let (announcer, judge) = (stage.program(), stage.program(9))
        var open: Set<UInt16> = []
        for round in 0..<200 {
            let burst = (0..<100).map { item("\(round).\($0)").array }
            let effects = stage.say(Bytes(Array(burst.joined())), on: announcer)
            for question in effects.notifications(on: judge) {
                #expect(open.insert(question.messageID).inserted, "\(question.messageID) twice")
                // Every fourth is answered, and its ID is free again.
                guard question.messageID % 4 == 0 else { continue }
                stage.judge(question.messageID, on: judge)
                open.remove(question.messageID)
            }
        }
        #expect(open.count > 12_000 && !open.contains(0) && !open.contains(.max))
        #expect(stage.core.counters.unknownVerdicts == 0)
    }

    @Test func `message IDs are random`() {
        var stage = CoreStage.ready()
        let (announcer, judge) = (stage.program(), stage.program(9))
        let burst = (0..<100).map { item("\($0)").array }
        let ids = stage.say(Bytes(Array(burst.joined())), on: announcer).notifications(on: judge).map(\.messageID)
        let (ascending, high) = (zip(ids, ids.dropFirst()).count { $0 < $1 }, ids.count { $0 >= 1 << 15 })
        #expect(ids.count == 100 && (25...75).contains(ascending) && (25...75).contains(high))
    }

    // MARK: - 6 and 7: verdicts

    @Test func `all: spread when every notified connection has answered yes`() {
        var scene = Scene()
        let programs = (0..<3).map { _ in scene.stage.program(9) }
        let asked = scene.item("all")
        for (index, program) in programs.enumerated() {
            let effects = scene.stage.approve(asked, on: program)
            #expect(effects.items(on: scene.peers[1]).count == (index == 2 ? 1 : 0))
            #expect(effects.items(on: scene.peers[0]).isEmpty)
        }
    }

    @Test func `all: one no drops it at once, and a later yes does not help`() {
        var scene = Scene()
        let programs = [scene.stage.program(9), scene.stage.program(9)]
        let asked = scene.item("veto")
        let question = asked.notifications(on: programs[0]).first?.messageID ?? 0
        #expect(scene.stage.judge(question, false, on: programs[0]).touched.isEmpty)
        #expect(scene.drops[.invalid] == 1 && scene.stage.core.votes.open == 0)
        #expect(scene.stage.approve(asked, on: programs[1]).items(on: scene.peers[1]).isEmpty)
    }

    @Test func `first: the first answer decides`() {
        for isValid in [true, false] {
            var scene = Scene { $0.validation = .first }
            let programs = [scene.stage.program(9), scene.stage.program(9)]
            let asked = scene.item("first")
            let ids = programs.map { asked.notifications(on: $0).first?.messageID ?? 0 }
            let effects = scene.stage.judge(ids[0], isValid, on: programs[0])
            #expect(effects.items(on: scene.peers[1]).count == (isValid ? 1 : 0))
            #expect(scene.stage.judge(ids[1], !isValid, on: programs[1]).touched.isEmpty)
            #expect(scene.stage.core.votes.open == 0)
        }
    }

    @Test func `after 5 s the silent ones are taken out; without a yes the item is dropped`() {
        for isApproved in [true, false] {
            var scene = Scene()
            let (judge, silent) = (scene.stage.program(9), scene.stage.program(9))
            let asked = scene.item("silence")
            #expect(asked.notifications(on: silent).count == 1)
            scene.stage.wait(.seconds(1))
            if isApproved { scene.stage.approve(asked, on: judge) }
            #expect(scene.stage.wait(.milliseconds(3999)).items(on: scene.peers[1]).isEmpty)
            #expect(scene.stage.wait(.milliseconds(1)).items(on: scene.peers[1]).count == (isApproved ? 1 : 0))
            #expect(scene.drops[.silence] == (isApproved ? nil : 1) && scene.stage.core.votes.open == 0)
        }
    }

    @Test func `every vote has its own 5 s`() {
        var scene = Scene { $0.validationTimeout = .seconds(5) }
        let (judge, _) = (scene.stage.program(9), scene.stage.program(9))
        for second in 0..<4 {
            let asked = scene.item("\(second)")
            scene.stage.approve(asked, on: judge)
            scene.stage.wait(.seconds(1))
        }
        let start = CoreStage.start.instant
        scene.stage.wait(.seconds(10))
        let spread = scene.stage.timeline(on: scene.peers[1]).filter {
            if case .item = $0.message { true } else { false }
        }
        #expect(spread.map { $0.at - start } == [5, 6, 7, 8].map { .seconds($0) })
    }

    @Test func `an unknown message ID is ignored and counted`() {
        var scene = Scene()
        let program = scene.stage.program(9)
        for id in [0, 1, 77, .max] as [UInt16] { #expect(scene.stage.judge(id, on: program).isEmpty) }
        #expect(scene.stage.core.counters.unknownVerdicts == 4 && scene.stage.core.clientPlaces.count == 1)
    }

    @Test func `a repeated message ID is ignored and counted`() {
        var scene = Scene()
        let programs = [scene.stage.program(9), scene.stage.program(9)]
        let asked = scene.item("twice")
        for _ in 0..<3 { #expect(scene.stage.approve(asked, on: programs[0]).touched.isEmpty) }
        #expect(scene.stage.core.counters.unknownVerdicts == 2 && scene.stage.core.votes.open == 1)
        #expect(scene.stage.approve(asked, on: programs[1]).items(on: scene.peers[1]).count == 1)
    }

    @Test func `a late message ID is ignored and counted`() {
        var scene = Scene()
        let program = scene.stage.program(9)
        let asked = scene.item("late")
        scene.stage.wait(.seconds(6))
        #expect(scene.stage.approve(asked, on: program).touched.isEmpty)
        #expect(scene.stage.core.counters.unknownVerdicts == 1 && scene.stage.core.clientPlaces.count == 1)
    }

    @Test func `a verdict counts only on the connection that was asked`() {
        var scene = Scene()
        let (judge, other) = (scene.stage.program(9), scene.stage.program())
        let question = scene.item("mine to judge").notifications(on: judge).first?.messageID ?? 0
        #expect(scene.stage.judge(question, false, on: other).isEmpty && scene.stage.core.votes.open == 1)
        #expect(scene.stage.judge(question, on: judge).items(on: scene.peers[1]).count == 1)
    }

    // MARK: - 8 and 9: order and the end of the stream

    @Test func `items announced on one connection leave in that order on every link, and are notified in order`() {
        var scene = Scene()
        let (announcer, judge) = (scene.stage.program(), scene.stage.program(9))
        // Small and large ones, in turns of one and of several messages, cut anywhere.
        let messages = (0..<60).map { number in
            item("\(number) " + String(repeating: "x", count: [0, 10, 3000, 60_000][number % 4]))
        }
        let stream = Bytes(Array(messages.map(\.array).joined()))
        var effects: [Effect] = []
        for start in stride(from: 0, to: stream.count, by: 40_001) {
            effects += scene.stage.say(stream.slice(start..<min(start + 40_001, stream.count)), on: announcer)
            effects += scene.stage.settle()
        }
        for peer in scene.peers { #expect(effects.items(on: peer).map(\.message) == messages) }
        #expect(effects.notifications(on: judge).map(\.data) == messages.map { $0.dropping(8) })
    }

    @Test func `the order stands when a neighbour and a program were stalled meanwhile`() {
        var scene = Scene()
        let (announcer, judge) = (scene.stage.program(), scene.stage.program(9))
        let messages = (0..<40).map { item("\($0) " + String(repeating: "y", count: $0 % 3 * 2500)) }
        var effects: [Effect] = []
        for (number, message) in messages.enumerated() {
            if number == 10 { for connection in [scene.peers[0], judge] { scene.stage(.stalled(connection)) } }
            if number == 30 {
                for connection in [scene.peers[0], judge] { effects += scene.stage(.drained(connection)) }
            }
            effects += scene.stage.say(message, on: announcer) + scene.stage.settle()
        }
        #expect(effects.items(on: scene.peers[0]).map(\.message) == messages)
        #expect(effects.notifications(on: judge).map(\.data) == messages.map { $0.dropping(8) })
    }

    @Test func `all complete messages before FIN are carried out, a partial one is discarded`() {
        var scene = Scene()
        let (announcer, judge) = (scene.stage.program(), scene.stage.program(9))
        let octets = item("whole", ttl: 4).array + item("half", ttl: 4).dropping(0).prefix(9)
        let effects = scene.stage.say(Bytes(octets), on: announcer) + scene.stage(.ended(announcer))
        #expect(effects.items(on: scene.peers[0]).map(\.data) == [Bytes(utf8: "whole")])
        #expect(effects.notifications(on: judge).map(\.data) == [Bytes(utf8: "whole")])
        #expect(effects.finishes(announcer) && effects.logs.allSatisfy { $0.level < .info })
        #expect(scene.stage.wait(.seconds(40)).items(on: scene.peers[0]).isEmpty)
    }

    // MARK: - 10: errors

    @Test func `every type but 500, 501 and 503 closes the connection`() {
        for type in [0, 1, 499, 502] + Array(504...520) + [600, 0x5420, .max] as [UInt16] {
            var scene = Scene()
            let (faulty, other) = (scene.stage.program(9), scene.stage.program(9))
            var writer = ByteWriter()
            writer.write(UInt16(8))
            writer.write(type)
            writer.write(UInt32(1))
            let effects = scene.stage.say(Bytes(writer.array + item("behind it").array), on: faulty)
            #expect(effects.finishes(faulty) && effects.touched == [faulty], "\(type)")
            #expect(effects.lines("client_refused").count == 1, "\(type)")
            #expect(scene.item("for the other").notifications(on: other).count == 1, "\(type)")
        }
    }

    @Test func `what came before an error on the same connection stands`() {
        var scene = Scene()
        let program = scene.stage.program()
        let octets = item("before").array + [0, 8, 0, 0, 0, 0, 0, 0] + item("after").array
        let effects = scene.stage.say(Bytes(octets), on: program)
        #expect(effects.items(on: scene.peers[0]).map(\.data) == [Bytes(utf8: "before")])
        #expect(effects.finishes(program))
    }
}
