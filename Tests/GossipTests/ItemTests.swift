import PeerCore
import Testing

@testable import Gossip

/// Gossip sections 4.2 and 4.3: an item is handled once, wherever its copies come from.
@Suite struct ItemTests {
    /// Three neighbours and a program that has registered type 9.
    private struct Scene {
        var stage: CoreStage
        let peers: [ConnectionID]
        let program: ConnectionID

        init() {
            var stage = CoreStage.ready()
            peers = (2...4).map { stage.neighbour(Guest($0)) }
            program = stage.program(9)
            self.stage = stage
        }

        /// Who gets an item, with which TTL.
        func items(_ effects: [Effect]) -> [[UInt8]] { peers.map { effects.items(on: $0).map(\.ttl) } }
    }

    @Test func `an item goes to all neighbours but the one it came from`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 3), on: scene.peers[0])
        #expect(scene.items(scene.stage.approve(asked, on: scene.program)) == [[], [2], [2]])
    }

    @Test func `nor to one that has sent a copy meanwhile`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 3), on: scene.peers[0])
        #expect(scene.stage.say(item("a", ttl: 3), on: scene.peers[1]).touched.isEmpty)
        #expect(scene.items(scene.stage.approve(asked, on: scene.program)) == [[], [], [2]])
        #expect(scene.stage.core.counters.duplicates == 1)
    }

    @Test func `a copy that is already seen is dropped and counted, whatever became of the item`() {
        for verdict in [true, false, nil] {
            var scene = Scene()
            let asked = scene.stage.say(item("a", ttl: 3), on: scene.peers[0])
            let question = asked.notifications(on: scene.program).first?.messageID ?? 0
            if let verdict { scene.stage.judge(question, verdict, on: scene.program) }
            for peer in scene.peers { #expect(scene.stage.say(item("a", ttl: 3), on: peer).touched.isEmpty) }
            #expect(scene.stage.core.counters.duplicates == 3)
        }
    }

    @Test func `an item without a subscriber is remembered all the same`() {
        var scene = Scene()
        scene.stage.say(item("a", 10), on: scene.peers[0])
        scene.stage.say(Notify(dataType: 10).bytes, on: scene.program)
        #expect(scene.stage.say(item("a", 10), on: scene.peers[1]).touched.isEmpty)
        #expect(scene.stage.say(item("b", 10), on: scene.peers[1]).notifications(on: scene.program).count == 1)
    }

    @Test func `an item is known again for 120 s, and is new after that`() {
        var scene = Scene()
        scene.stage.say(item("a"), on: scene.peers[0])
        scene.stage.wait(.seconds(119))
        #expect(scene.stage.say(item("a"), on: scene.peers[1]).notifications(on: scene.program).isEmpty)
        scene.stage.wait(.seconds(20))
        #expect(scene.stage.say(item("a"), on: scene.peers[1]).notifications(on: scene.program).count == 1)
    }

    @Test func `a copy with a better TTL is forwarded once more, at most three times, without a notification`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 2), on: scene.peers[0])
        #expect(scene.items(scene.stage.approve(asked, on: scene.program)) == [[], [1], [1]])
        for (ttl, expected) in [(2, []), (5, [4]), (4, []), (5, []), (9, [8]), (0, [0]), (255, [])]
            as [(UInt8, [UInt8])]
        {
            let effects = scene.stage.say(item("a", ttl: ttl), on: scene.peers[1])
            #expect(scene.items(effects) == [expected, [], expected], "TTL \(ttl)")
            #expect(effects.notifications(on: scene.program).isEmpty, "TTL \(ttl)")
        }
        var other = Scene()
        let again = other.stage.say(item("b", ttl: 2), on: other.peers[0])
        other.stage.approve(again, on: other.program)
        let forwarded = (3...20).count { ttl in
            other.stage.say(item("b", ttl: UInt8(ttl)), on: other.peers[1]).items(on: other.peers[2]).count == 1
        }
        #expect(forwarded == 3)
    }

    @Test func `while the verdict is awaited the best TTL counts`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 1), on: scene.peers[0])
        scene.stage.say(item("a", ttl: 7), on: scene.peers[1])
        scene.stage.say(item("a", ttl: 3), on: scene.peers[1])
        #expect(scene.items(scene.stage.approve(asked, on: scene.program)) == [[], [], [6]])
    }

    @Test func `a better copy of an item that was found malformed goes nowhere`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 2), on: scene.peers[0])
        let question = asked.notifications(on: scene.program).first?.messageID ?? 0
        scene.stage.judge(question, false, on: scene.program)
        #expect(scene.stage.say(item("a", ttl: 200), on: scene.peers[1]).touched.isEmpty)
    }

    @Test func `the salt of a neighbour's item is carried unchanged, and makes it another item`() {
        var scene = Scene()
        for salt in [0, 1, 255] as [UInt8] {
            let asked = scene.stage.say(item("a", ttl: 3, salt: salt), on: scene.peers[0])
            let spread = scene.stage.approve(asked, on: scene.program)
            #expect(spread.items(on: scene.peers[1]).map(\.salt) == [salt])
        }
    }

    @Test func `the k-th repetition of an announcement carries salt k mod 256`() {
        var scene = Scene()
        let announcer = scene.stage.program()
        var salts: [UInt8] = []
        for _ in 0..<260 {
            let effects = scene.stage.announce("again", ttl: 4, on: announcer)
            salts += effects.items(on: scene.peers[0]).map(\.salt)
        }
        #expect(salts.prefix(256).elementsEqual(0...255) && salts.count == 260)
        #expect(scene.stage.announce("other", ttl: 4, on: announcer).items(on: scene.peers[0]).map(\.salt) == [0])
        scene.stage.wait(.seconds(600))
        #expect(scene.stage.announce("again", ttl: 4, on: announcer).items(on: scene.peers[0]).map(\.salt) == [0])
    }

    @Test func `an announcement that comes back is a copy`() {
        var scene = Scene()
        let announcer = scene.stage.program()
        scene.stage.announce("mine", on: announcer)
        #expect(scene.stage.say(item("mine"), on: scene.peers[0]).touched.isEmpty)
        #expect(scene.stage.core.counters.duplicates == 1)
    }

    @Test func `a program announces what a neighbour has brought before as its repetition`() {
        var scene = Scene()
        let announcer = scene.stage.program()
        scene.stage.say(item("same", ttl: 3), on: scene.peers[0])
        let effects = scene.stage.announce("same", ttl: 3, on: announcer)
        #expect(effects.items(on: scene.peers[0]).map(\.salt) == [1])
    }

    @Test func `an item of a neighbour that has left is still judged and forwarded`() {
        var scene = Scene()
        let asked = scene.stage.say(item("a", ttl: 3), on: scene.peers[0])
        scene.stage(.closed(scene.peers[0], .reset, Traffic()))
        // Another takes its place.
        let other = scene.stage.open(direct: Guest(9)).connection
        let spread = scene.stage.approve(asked, on: scene.program)
        #expect(spread.items(on: scene.peers[1]).count == 1 && spread.items(on: other).count == 1)
    }
}
