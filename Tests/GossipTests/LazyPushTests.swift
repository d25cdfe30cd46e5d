import PeerCore
import Testing

@testable import Gossip

/// What neighbours tell each other of items instead of sending them (decision 26, `ExtensionMessages.swift`).
@Suite struct LazyPushTests {
    /// A node with a program that finds everything well-formed, one plain and three capable neighbours.
    private struct Scene {
        var stage: CoreStage
        let plain: ConnectionID
        let first: ConnectionID
        let second: ConnectionID
        let third: ConnectionID
        let program: ConnectionID

        init(hasPlain: Bool = true, _ change: (inout Gossip.Configuration) -> Void = { _ in }) {
            stage = CoreStage.ready(change)
            plain = hasPlain ? stage.neighbour(Guest(2)) : ConnectionID(0)
            first = stage.neighbour(Guest(3, [.lazyPush, .haveIt]))
            second = stage.neighbour(Guest(4, [.lazyPush, .haveIt]))
            third = stage.neighbour(Guest(5, [.lazyPush, .haveIt]))
            program = stage.program(9)
            stage.wait(.seconds(2))
        }

        /// An item comes from one neighbour and is approved; gives what is said to the others.
        mutating func spread(_ octets: Bytes, from connection: ConnectionID) -> [Effect] {
            let asked = stage.say(octets, on: connection)
            return asked + stage.approve(asked, on: program) + stage.wait(.milliseconds(20))
        }

        /// So many items come from `early`, and each of them again from `late`.
        mutating func bring(_ count: Int, from early: ConnectionID, late: ConnectionID, _ name: String) -> [Effect] {
            var effects: [Effect] = []
            for number in 0..<count {
                let octets = item("\(name) \(number)")
                effects += spread(octets, from: early) + stage.say(octets, on: late)
            }
            return effects
        }
    }

    private func message(
        _ kind: ExtensionMessage.Kind, _ items: [Bytes] = [], _ type: UInt16 = 9
    ) -> ExtensionMessage {
        ExtensionMessage(kind, dataType: type, keys: items.map(Gossip.name(of:)))
    }

    /// A neighbour wants to be told only.
    private func prune(_ connection: ConnectionID, _ scene: inout Scene) {
        scene.stage.say(message(.prune).bytes, on: connection)
    }

    private static let patience: Duration = .milliseconds(400)

    // MARK: - Who speaks it

    @Test func `capabilities are told in the reserved field of NEIGHBORS, and 0 is what a plain node sends`() {
        for (isLazy, octets, told) in [(true, 4096, 3), (true, 0, 1), (false, 4096, 2), (false, 0, 0)] {
            var stage = CoreStage.ready {
                $0.lazyPush = isLazy
                $0.haveItBytes = octets
            }
            let (connection, effects) = stage.open(direct: Guest(2))
            let later = stage.wait(.seconds(2))
            for message in effects.neighbors(on: connection) + later.neighbors(on: connection) {
                #expect(message.capabilities.rawValue == UInt16(told))
            }
            #expect(later.neighbors(on: connection).count == 1)
        }
    }

    @Test func `plain neighbours never see the extension, and get every item once`() {
        var scene = Scene { $0.eagerLinks = 1 }
        prune(scene.third, &scene)
        var effects = scene.bring(20, from: scene.first, late: scene.second, "a")
        effects += scene.bring(20, from: scene.first, late: scene.plain, "b")
        for number in 0..<20 { effects += scene.spread(item(octets: 9000 + number), from: scene.second) }
        effects += scene.stage(.closed(scene.first, .reset, Traffic())) + scene.stage.wait(.seconds(2))
        effects += scene.stage.announce("c", on: scene.program)
        #expect(effects.extras(on: scene.plain).isEmpty && !effects.extras(on: scene.second).isEmpty)
        #expect(!effects.extras(on: scene.third).isEmpty)
        let items = effects.items(on: scene.plain).map(\.message)
        #expect(Set(items).count == items.count && items.count == 61)
    }

    @Test func `what plain neighbours say in the extension is skipped`() {
        var scene = Scene()
        for kind in [ExtensionMessage.Kind.prune, .iHave, .iWant, .have] {
            let keys = kind == .prune ? [] : [item("x")]
            let octets = message(kind, keys).bytes
            #expect(
                (scene.stage.say(octets, on: scene.plain) + scene.stage.wait(.seconds(1))).extras(on: scene.plain) == []
            )
        }
        #expect(scene.spread(item("x"), from: scene.first).items(on: scene.plain).count == 1)
    }

    @Test func `a node that is told not to does not speak it`() {
        var scene = Scene {
            $0.lazyPush = false
            $0.haveItBytes = 0
        }
        let effects = scene.bring(20, from: scene.first, late: scene.second, "a")
        for peer in [scene.first, scene.second, scene.third] { #expect(effects.extras(on: peer).isEmpty) }
    }

    @Test func `beyond eagerLinks new neighbours are only told`() {
        var stage = CoreStage.ready { $0.eagerLinks = 2 }
        let peers = (2...5).map { stage.neighbour(Guest($0, .lazyPush)) }
        let plain = stage.neighbour(Guest(6))
        let program = stage.program()
        let effects = stage.announce("one", on: program) + stage.wait(.milliseconds(20))
        #expect(peers.map { effects.items(on: $0).count } == [1, 1, 0, 0] && effects.items(on: plain).count == 1)
        #expect(peers.map { effects.extras(on: $0) == [message(.iHave, [item("one")])] } == [false, false, true, true])
    }

    // MARK: - The tree

    @Test func `a link whose copies come late 8 times in a row is pruned, and told from then on`() {
        var scene = Scene()
        let before = scene.bring(7, from: scene.first, late: scene.second, "a")
        #expect(before.extras(on: scene.second, .prune).isEmpty)
        let eighth = scene.bring(1, from: scene.first, late: scene.second, "b")
        #expect(eighth.extras(on: scene.second, .prune) == [message(.prune)])
        #expect(eighth.extras(on: scene.first).isEmpty && eighth.extras(on: scene.third).isEmpty)
        let next = item("c")
        let effects = scene.spread(next, from: scene.first)
        #expect(effects.items(on: scene.second).isEmpty && effects.items(on: scene.third).count == 1)
        #expect(effects.extras(on: scene.second) == [message(.iHave, [next])])
    }

    @Test func `an item that comes first from a link counts for it`() {
        var scene = Scene()
        for round in 0..<5 {
            #expect(scene.bring(7, from: scene.first, late: scene.second, "a\(round)").extras(on: scene.second) == [])
            #expect(scene.spread(item("b\(round)"), from: scene.second).extras(on: scene.second) == [])
        }
    }

    @Test func `the last eager link is not pruned`() {
        var scene = Scene(hasPlain: false)
        prune(scene.first, &scene)
        prune(scene.second, &scene)
        var effects: [Effect] = []
        for number in 0..<20 {
            effects += scene.stage.announce("\(number)", on: scene.program)
            effects += scene.stage.say(item("\(number)"), on: scene.third) + scene.stage.wait(.milliseconds(400))
        }
        #expect(effects.extras(on: scene.third, .prune).isEmpty && effects.items(on: scene.third).count == 20)
    }

    @Test func `PRUNE is obeyed, and told by IHAVE within 20 ms, all keys of a data type together`() {
        var scene = Scene()
        prune(scene.second, &scene)
        let items = (0..<5).map { item("\($0)") }
        var effects = items.reduce(into: []) { $0 += scene.stage.say($1, on: scene.program) }
        #expect(effects.octets(on: scene.second).isEmpty)
        effects += scene.stage.wait(.milliseconds(20))
        #expect(effects.extras(on: scene.second) == [message(.iHave, items)])
        #expect(effects.items(on: scene.second).isEmpty && effects.items(on: scene.first).count == 5)
    }

    @Test func `more keys than fit go in several IHAVE, and data types do not mix`() {
        var scene = Scene()
        prune(scene.second, &scene)
        scene.stage.say(message(.prune, [], 10).bytes, on: scene.second)
        let items = (0..<300).map { item("\($0)") } + [item("ten", 10)]
        let stream = Bytes(Array(items.map(\.array).joined()))
        let effects = scene.stage.say(stream, on: scene.program) + scene.stage.wait(.milliseconds(20))
        let told = effects.extras(on: scene.second, .iHave)
        #expect(told.map(\.keys.count) == [256, 44, 1] && told.map(\.dataType) == [9, 9, 10])
        #expect(told.flatMap(\.keys) == items.map(Gossip.name(of:)))
    }

    @Test func `PRUNE is of one data type`() {
        var scene = Scene()
        prune(scene.second, &scene)
        #expect(scene.stage.announce("other", 10, on: scene.program).items(on: scene.second).count == 1)
    }

    @Test func `PRUNE of the only eager link is not obeyed`() {
        var scene = Scene(hasPlain: false)
        for peer in [scene.first, scene.second, scene.third] { prune(peer, &scene) }
        let effects = scene.stage.announce("somebody", on: scene.program)
        #expect(effects.items(on: scene.third).count == 1)
    }

    @Test func `items with a small TTL are always sent`() {
        var scene = Scene()
        prune(scene.second, &scene)
        for (ttl, isSent) in [(0, false), (1, true), (2, true), (31, true), (32, false), (255, false)]
            as [(UInt8, Bool)]
        {
            let effects = scene.stage.announce("TTL \(ttl)", ttl: ttl, on: scene.program)
            #expect(effects.items(on: scene.second).count == (isSent ? 1 : 0), "TTL \(ttl)")
        }
        #expect(scene.spread(item("far", ttl: 10), from: scene.first).items(on: scene.second).map(\.ttl) == [9])
        #expect(scene.spread(item("near", ttl: 100), from: scene.first).items(on: scene.second).isEmpty)
    }

    @Test func `late copies with a small TTL prune nobody`() {
        var scene = Scene()
        var effects: [Effect] = []
        for number in 0..<20 {
            let octets = item("\(number)", ttl: 10)
            effects += scene.spread(octets, from: scene.first) + scene.stage.say(octets, on: scene.second)
        }
        #expect(effects.extras(on: scene.second).isEmpty)
    }

    // MARK: - Asking

    @Test func `IWANT is answered with the item, and makes the link eager again`() {
        var scene = Scene()
        prune(scene.second, &scene)
        let one = item("one", ttl: 100)
        #expect(scene.spread(one, from: scene.first).extras(on: scene.second) == [message(.iHave, [one])])
        let answer = scene.stage.say(message(.iWant, [one]).bytes, on: scene.second)
        #expect(answer.items(on: scene.second).map(\.message) == [item("one", ttl: 99)])
        #expect(scene.spread(item("two"), from: scene.first).items(on: scene.second).count == 1)
    }

    @Test func `IWANT without a key only makes the link eager again`() {
        var scene = Scene()
        prune(scene.second, &scene)
        let one = scene.spread(item("one"), from: scene.first)
        #expect(one.items(on: scene.second).isEmpty)
        #expect(scene.stage.say(message(.iWant).bytes, on: scene.second).items(on: scene.second).isEmpty)
        #expect(scene.spread(item("two"), from: scene.first).items(on: scene.second).count == 1)
    }

    @Test func `what is not kept is not sent`() {
        var scene = Scene()
        prune(scene.second, &scene)
        // Its verdict is still awaited, it was found malformed, and it was never here.
        scene.stage.say(item("open"), on: scene.first)
        let bad = scene.stage.say(item("bad"), on: scene.first).notifications(on: scene.program).first?.messageID ?? 0
        scene.stage.judge(bad, false, on: scene.program)
        for text in ["open", "bad", "unknown"] {
            let answer = scene.stage.say(message(.iWant, [item(text)]).bytes, on: scene.second)
            #expect(answer.items(on: scene.second).isEmpty, "\(text)")
        }
    }

    @Test func `an item that was told and does not come is asked for after the patience`() {
        var scene = Scene()
        let one = item("one")
        #expect(scene.stage.say(message(.iHave, [one]).bytes, on: scene.second).isEmpty)
        #expect(scene.stage.wait(Self.patience - .milliseconds(1)).extras(on: scene.second).isEmpty)
        #expect(scene.stage.wait(.milliseconds(1)).extras(on: scene.second) == [message(.iWant, [one])])
        let came = scene.stage.say(one, on: scene.second)
        #expect(scene.stage.approve(came, on: scene.program).items(on: scene.first).count == 1)
        #expect(scene.stage.wait(.seconds(5)).extras(on: scene.second).isEmpty)
    }

    @Test func `the next source is asked when the first is silent, and nobody twice`() {
        var scene = Scene()
        let one = item("one")
        for peer in [scene.second, scene.third, scene.first] { scene.stage.say(message(.iHave, [one]).bytes, on: peer) }
        var asked: [[ConnectionID]] = []
        for _ in 0..<5 {
            let effects = scene.stage.wait(Self.patience)
            asked.append([scene.first, scene.second, scene.third].filter { !effects.extras(on: $0, .iWant).isEmpty })
        }
        #expect(asked == [[scene.second], [scene.third], [scene.first], [], []])
        #expect(scene.stage.core.lazyPush.wanted.isEmpty && scene.stage.core.lazyPush.order.count == 0)
    }

    @Test func `an item that comes in time is not asked for`() {
        var scene = Scene()
        let one = item("one")
        scene.stage.say(message(.iHave, [one]).bytes, on: scene.second)
        scene.stage.wait(.milliseconds(300))
        scene.stage.say(one, on: scene.first)
        #expect(scene.stage.wait(.seconds(2)).extras(on: scene.second, .iWant).isEmpty)
    }

    @Test func `an item that is here already is not asked for`() {
        var scene = Scene()
        let one = item("one")
        _ = scene.spread(one, from: scene.first)
        scene.stage.say(message(.iHave, [one]).bytes, on: scene.second)
        #expect(scene.stage.wait(.seconds(2)).extras(on: scene.second, .iWant).isEmpty)
    }

    @Test func `nobody asks for items that no program wants`() {
        var scene = Scene()
        scene.stage.say(message(.iHave, [item("one", 10)], 10).bytes, on: scene.second)
        #expect(scene.stage.wait(.seconds(2)).extras(on: scene.second).isEmpty)
    }

    @Test func `a source that has left is not asked`() {
        var scene = Scene()
        let one = item("one")
        for peer in [scene.second, scene.third] { scene.stage.say(message(.iHave, [one]).bytes, on: peer) }
        scene.stage(.closed(scene.second, .reset, Traffic()))
        #expect(scene.stage.wait(Self.patience).extras(on: scene.third, .iWant) == [message(.iWant, [one])])
    }

    // MARK: - A neighbour is gone

    @Test func `a lost eager neighbour is replaced by one that was only told`() {
        var scene = Scene(hasPlain: false)
        prune(scene.second, &scene)
        prune(scene.third, &scene)
        let effects = scene.stage(.closed(scene.first, .reset, Traffic()))
        let called = [scene.second, scene.third].filter { effects.extras(on: $0) == [message(.iWant)] }
        #expect(called.count == 1)
        let next = scene.stage.announce("next", on: scene.program)
        #expect(called.map { next.items(on: $0).count } == [1])
    }

    @Test func `also for data types that nobody has spoken of`() {
        var stage = CoreStage.ready { $0.eagerLinks = 1 }
        let (eager, told) = (stage.neighbour(Guest(3, .lazyPush)), stage.neighbour(Guest(4, .lazyPush)))
        let program = stage.program()
        stage(.closed(eager, .reset, Traffic()))
        #expect(stage.announce("new", 77, on: program).items(on: told).count == 1)
    }

    // MARK: - HAVE

    @Test func `HAVE before or after a large item comes keeps its copy away`() {
        for isBefore in [true, false] {
            var scene = Scene()
            let large = item(octets: 5000)
            var asked: [Effect] = []
            if !isBefore { asked = scene.stage.say(large, on: scene.first) }
            scene.stage.say(message(.have, [large]).bytes, on: scene.second)
            if isBefore { asked = scene.stage.say(large, on: scene.first) }
            let effects = scene.stage.approve(asked, on: scene.program)
            #expect(effects.items(on: scene.second).isEmpty, "before: \(isBefore)")
            #expect(effects.items(on: scene.third).count == 1 && effects.items(on: scene.plain).count == 1)
        }
    }

    @Test func `a large item is told at once to neighbours whose copies have crossed ours, not to its sender`() {
        var scene = Scene()
        _ = scene.bring(1, from: scene.first, late: scene.second, "crossing")
        let large = item(octets: 4097)
        let effects = scene.stage.say(large, on: scene.first)
        #expect(effects.extras(on: scene.second) == [message(.have, [large])])
        for peer in [scene.first, scene.third, scene.plain] { #expect(effects.extras(on: peer).isEmpty) }
        #expect(scene.stage.say(item(octets: 4096), on: scene.first).extras(on: scene.second).isEmpty)
    }
}
