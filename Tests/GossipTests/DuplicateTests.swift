import Bootstrap
import PeerCore
import Testing

@testable import Gossip

/// Gossip sections 5.5 and 5.7: two links to one peer, and links to oneself.
@Suite struct DuplicateTests {
    /// Two IDs beside our own: a lower and a higher one.
    private func ids(beside id: UInt16) -> [UInt16] { [id - 1, id + 1] }

    @Test(arguments: [0, 1], [false, true])
    func `both at once: both sides keep the link that the lower ID has dialled`(index: Int, isOursFirst: Bool) throws {
        var stage = CoreStage.ready()
        let guest = Guest(ids(beside: stage.id)[index])
        let areWeLower = stage.id < guest.id
        var links: [Bool: (connection: ConnectionID, effects: [Effect])] = [:]
        for isOurs in [isOursFirst, !isOursFirst] {
            links[isOurs] = isOurs ? openOurs(guest, &stage) : stage.open(direct: guest)
        }
        let kept = try #require(links[areWeLower]).connection
        let closed = try #require(links[!areWeLower]).connection
        #expect(stage.neighbours == [kept])
        let effects = stage.history.map(\.effect)
        #expect(effects.said(on: closed).last == .disconnect(stage.id) && effects.finishes(closed))
        #expect(!effects.finishes(kept) && effects.said(on: kept).last != .disconnect(stage.id))
    }

    /// A dial of ours, which CONNECT by UDP asked for or not.
    private func openOurs(
        _ guest: Guest, _ stage: inout CoreStage
    ) -> (connection: ConnectionID, effects: [Effect]) {
        if stage.neighbours.isEmpty { return stage.open(callingUs: guest) }
        // Who is a neighbour is not dialled again: this dial is as old as the link.
        let dial = stage.dial(guest)
        return (dial, stage.answer(dial, as: guest))
    }

    @Test func `both at once with equal IDs: the numerically lower address decides`() {
        for (ip, areWeLower) in [(IPAddress(10, 0, 0, 2), true), (IPAddress(9, 255, 255, 255), false)] {
            var stage = CoreStage.ready()
            let guest = Guest(stage.id, at: SocketAddress(ip, 6001))
            let ours = stage.open(callingUs: guest).connection
            let theirs = stage.open(direct: guest).connection
            #expect(stage.neighbours == [areWeLower ? ours : theirs])
        }
    }

    @Test func `of two links that the same side has dialled the older one stays`() {
        var stage = CoreStage.ready()
        let guest = Guest(2)
        let old = stage.open(direct: guest).connection
        let new = stage.open(direct: guest)
        #expect(stage.neighbours == [old])
        #expect(new.effects.said(on: new.connection).last == .disconnect(stage.id))
    }

    @Test func `two peers are the same only if ID and endpoint agree`() {
        var stage = CoreStage.ready()
        let one = stage.open(direct: Guest(2)).connection
        // Another server may have given the same ID.
        let other = stage.open(direct: Guest(2, at: Guest(3).endpoint)).connection
        // Another process of the same machine.
        let third = stage.open(direct: Guest(4, at: SocketAddress(Guest(2).endpoint.ip, 6002))).connection
        #expect(stage.neighbours == [one, other, third])
    }

    @Test func `a link to oneself is closed and the endpoint is remembered`() throws {
        let anywhere = SocketAddress(.anyV4, 6001)
        var stage = CoreStage.ready(at: anywhere)
        let mine = IPAddress(10, 0, 0, 1)
        let teller = stage.neighbour(Guest(2))
        // Told before we know that this address is ours.
        let endpoint = SocketAddress(mine, 6001)
        let told = stage.say(Neighbors(id: 2, entries: [PeerAddress(id: 9, address: endpoint)]).bytes, on: teller)
        #expect(told.calls == [endpoint])
        stage(.interfaces([mine]))
        let (connection, _) = stage.accept(from: SocketAddress(mine, 50_000))
        let effects = stage.say(
            Bytes(Greeting.bytes(512, id: stage.id).array + Guest(stage.id, at: endpoint).first.array), on: connection)
        #expect(effects.finishes(connection) && stage.neighbours == [teller])
        #expect(stage.core.own.met == [endpoint])
        stage(.interfaces([]))
        // What was begun before comes to its end.
        stage.wait(.seconds(20))
        for _ in 0..<20 { #expect(stage.wait(.seconds(60)).calls.isEmpty) }
    }

    @Test func `a peer with our ID elsewhere is not ourselves`() {
        var stage = CoreStage.ready()
        let connection = stage.open(direct: Guest(stage.id)).connection
        #expect(stage.neighbours == [connection])
    }

    @Test func `a CONNECT from our own address is ignored, and our own entry is no candidate`() {
        var stage = CoreStage.ready()
        let teller = stage.neighbour(Guest(2))
        #expect(stage.datagram(Guest(9).connect, from: CoreStage.ownAddress).isEmpty)
        let entry = PeerAddress(id: stage.id, address: CoreStage.ownAddress)
        #expect(stage.say(Neighbors(id: 2, entries: [entry]).bytes, on: teller).calls.isEmpty)
    }
}

extension CoreStage {
    /// A dial in direct mode that began whatever is connected already.
    fileprivate mutating func dial(_ guest: Guest) -> ConnectionID {
        var effects = Effects(logLevel: .trace)
        // IDs that this test has not used.
        for _ in 0..<1000 { _ = effects.nextConnectionID() }
        core.dial(guest.endpoint, .direct, at: now, into: &effects)
        return effects.take().dials.first?.connection ?? ConnectionID(0)
    }
}
