import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// How far an item goes (gossip sections 3.2 and 4.3).
@Suite struct TTLVectorTests {
    /// Two neighbours and two programs that have registered type 9.
    private struct Scene {
        var stage = CoreStage.ready()
        let peers: [ConnectionID]
        let programs: [ConnectionID]

        init(_ change: (inout Gossip.Configuration) -> Void = { _ in }) {
            stage = CoreStage.ready(change)
            peers = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
            programs = [stage.program(9), stage.program(9)]
        }
    }

    private func out(_ vector: Vector) throws -> [UInt8] { vector.has("ttl_out") ? [try vector.uint8("ttl_out")] : [] }

    @Test func `an item of a neighbour is delivered, and after the verdict forwarded with TTL less one`() throws {
        var found = 0
        for vector in try vectors("ttl") where try vector.text("received_from") == "peer" {
            found += 1
            var scene = Scene()
            let asked = scene.stage.say(item("t", ttl: try vector.uint8("ttl_in")), on: scene.peers[0])
            let isDelivered = try vector.flag("deliver_to_subscribers")
            for program in scene.programs {
                #expect(asked.notifications(on: program).count == (isDelivered ? 1 : 0), "\(vector)")
            }
            #expect(asked.items(on: scene.peers[1]).isEmpty, "\(vector)")
            let first = scene.stage.approve(asked, on: scene.programs[0])
            #expect(first.items(on: scene.peers[1]).isEmpty, "\(vector)")
            let second = scene.stage.approve(asked, on: scene.programs[1])
            let expected = try vector.flag("forward_after_valid") ? try out(vector) : []
            #expect(second.items(on: scene.peers[1]).map(\.ttl) == expected, "\(vector)")
            #expect(second.items(on: scene.peers[0]).isEmpty, "\(vector)")
        }
        #expect(found >= 6)
    }

    @Test func `an item of a program is forwarded at once, TTL unchanged, and the others are notified`() throws {
        var found = 0
        for vector in try vectors("ttl") where try vector.text("received_from") == "api" {
            found += 1
            var scene = Scene()
            let effects = scene.stage.announce("t", ttl: try vector.uint8("ttl_in"), on: scene.programs[0])
            #expect(try vector.flag("forward_at_once"), "\(vector)")
            for peer in scene.peers {
                #expect(try effects.items(on: peer).map(\.ttl) == [vector.uint8("ttl_out")], "\(vector)")
            }
            #expect(try vector.text("deliver_to_subscribers") == "other local subscribers", "\(vector)")
            #expect(effects.notifications(on: scene.programs[0]).isEmpty, "\(vector)")
            #expect(effects.notifications(on: scene.programs[1]).count == 1, "\(vector)")
        }
        #expect(found >= 2)
    }

    @Test func `TTL 1 is delivered and not forwarded, every other one is forwarded`() {
        for ttl in 0...255 as ClosedRange<UInt8> {
            var scene = Scene()
            let asked = scene.stage.say(item("t", ttl: ttl), on: scene.peers[0])
            let spread = scene.programs.reduce(into: []) { $0 += scene.stage.approve(asked, on: $1) }
            let expected: [UInt8] = ttl == 1 ? [] : [ttl == 0 ? 0 : ttl - 1]
            #expect(spread.items(on: scene.peers[1]).map(\.ttl) == expected, "TTL \(ttl)")
        }
    }

    @Test func `maxTtl is a cap for items of local programs, 0 is no cap`() {
        for (cap, told, sent) in [
            (5, 0, 5), (5, 9, 5), (5, 5, 5), (5, 3, 3), (0, 0, 0), (0, 255, 255), (255, 0, 255),
        ] as [(UInt8, UInt8, UInt8)] {
            var scene = Scene { $0.maxTTL = cap }
            #expect(
                scene.stage.announce("t", ttl: told, on: scene.programs[0]).items(on: scene.peers[0]).map(\.ttl)
                    == [sent], "cap \(cap), TTL \(told)")
            // Items of neighbours are not concerned.
            let asked = scene.stage.say(item("u", ttl: 99), on: scene.peers[0])
            let spread = scene.programs.reduce(into: []) { $0 += scene.stage.approve(asked, on: $1) }
            #expect(spread.items(on: scene.peers[1]).map(\.ttl) == [98])
        }
    }

    @Test func `TTL n reaches the peers at a distance of up to n`() {
        for (ttl, reached) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (0, 4)] as [(UInt8, Int)] {
            // A chain of five nodes with a program each that finds everything well-formed.
            var mesh = Mesh((0..<5).map { _ in [9] })
            for node in 1..<5 { mesh.join(node, node - 1) }
            mesh.say(item("far", ttl: ttl), at: 0)
            mesh.wait(.seconds(1))
            #expect((1..<5).filter { mesh.notified(at: $0).count == 1 } == Array(1..<1 + reached), "TTL \(ttl)")
        }
    }
}
