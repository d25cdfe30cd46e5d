import AddressBook
import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// DDRP section 12 and decision 16: one connection for each pair of peers, none with ourselves.
@Suite struct CoreDuplicateTests {
    @Test func `a second connection of a peer is closed, the first stays`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (first, _) = stage.open(inbound: &guest)
        let (second, effects) = stage.open(inbound: &guest)
        #expect(effects.finishes(second) && effects.lines("peer_up").isEmpty && effects.lines("peer_down").isEmpty)
        #expect(effects.lines("duplicate").first?.string("kept") == "first")
        #expect(stage.core.links.keys.sorted() == [first])
    }

    @Test func `of two peernodes that dial each other at once the lower ID's connection stays`() {
        let low = identity(1).peerID < identity(2).peerID ? (UInt64(1), UInt64(2)) : (2, 1)
        for ownKey in [low.0, low.1] {
            for inboundFirst in [true, false] {
                var stage = CoreStage.ready(key: ownKey)
                var guest = Guest(ownKey == low.0 ? low.1 : low.0, agent: "peernode/other")
                let first = inboundFirst ? stage.open(inbound: &guest) : stage.open(outbound: &guest)
                let second = inboundFirst ? stage.open(outbound: &guest) : stage.open(inbound: &guest)
                let outbound = inboundFirst ? second.connection : first.connection
                let inbound = inboundFirst ? first.connection : second.connection
                let (kept, closed) = ownKey == low.0 ? (outbound, inbound) : (inbound, outbound)
                #expect(stage.core.links.keys.sorted() == [kept] && second.effects.finishes(closed))
                #expect(second.effects.lines("peer_down").isEmpty && stage.core.counted == [kept])
                #expect(stage.core.inboundCount == (kept == inbound ? 1 : 0))
            }
        }
    }

    @Test func `of connections that were not dialled at once, or with other programs, the first stays`() {
        for (agent, pause) in [("peernode/other", 6), ("ddrpd/0.2", 1)] {
            for ownKey in [UInt64(1), 2] {
                var stage = CoreStage.ready(key: ownKey)
                var guest = Guest(3 - ownKey, agent: agent)
                let (first, _) = stage.open(inbound: &guest)
                stage.wait(.seconds(pause))
                stage.open(outbound: &guest)
                #expect(stage.core.links.keys.sorted() == [first])
            }
        }
    }

    @Test func `a peer that comes back takes the place of its silent connection`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (first, _) = stage.open(inbound: &guest)
        stage.wait(.seconds(11))
        let (second, effects) = stage.open(inbound: &guest)
        #expect(effects.finishes(first) && stage.core.links.keys.sorted() == [second])
        let events = effects.compactMap { if case .log(let line) = $0 { line.event } else { nil } }
        #expect(events.filter { $0.hasPrefix("peer_") && $0 != "peers_low" } == ["peer_down", "peer_up"])
    }

    @Test func `a node that meets itself remembers the address and does not dial it again`() {
        var stage = CoreStage.ready()
        var ourselves = Guest(1)
        let address = ourselves.address
        let (connection, effects) = stage.open(outbound: &ourselves)
        #expect(effects.abortion(of: connection) == .selfConnection && stage.core.links.isEmpty)
        #expect(effects.lines("handshake_refused").first?.string("reason") == "self")
        let isRemembered = effects.contains {
            if case .remember("ddrp_self", address.description, _) = $0 { true } else { false }
        }
        #expect(isRemembered && stage.core.book[address] == nil)
        #expect(stage.command("connect", ["address": .text(address)]).effects.dials.isEmpty)
        var inbound = CoreStage.ready()
        let second = inbound.open(inbound: &ourselves)
        #expect(second.effects.abortion(of: second.connection) == .selfConnection)
    }

    @Test func `remembered own addresses are recalled, and connections from our listen address refused`() {
        var stage = CoreStage(key: 1)
        stage(.start)
        stage(.listening(ListenerID("ddrp"), .ip(CoreStage.ownAddress)))
        stage(.recalled(table: "ddrp_self", [Row(key: "192.0.2.7:9097", record: [:])], more: false))
        stage(.recalled(table: "ddrp_book", [], more: false))
        #expect(stage.command("connect", ["address": "192.0.2.7"]).effects.dials.isEmpty)
        let (connection, effects) = stage.accept(from: CoreStage.ownAddress)
        #expect(effects.abortion(of: connection) == .selfConnection)
    }

    @Test func `an address that proves another ID than a seed says is closed`() {
        let seed = PeerLocator("\(identity(9).peerID)@127.1.0.2", standardPort: 9097)
        var stage = CoreStage.ready { $0.seeds = [seed].compactMap { $0 } }
        guard let dial = stage.history.dials.first else { return #expect(Bool(false), "no dial") }
        var guest = Guest(2)
        let effects = stage.answer(dial.connection, as: &guest)
        #expect(effects.abortion(of: dial.connection) == .wrongIdentity && stage.core.links.isEmpty)
        #expect(effects.lines("dial_failed").first?.string("reason") == "wrong_identity")
    }

    @Test func `another ID than a peer told is kept, and the book corrected`() {
        var stage = CoreStage.ready()
        var teller = Guest(5)
        let (told, _) = stage.open(inbound: &teller)
        let entry = PeerEntry(ip: Guest.address(2).ip, peerID: identity(9).peerID)
        let list = stage(.received(teller.seal(.peerRes(PeerRes(peers: [entry])), at: stage.timestamp), on: told))
        guard let dial = list.dials.last else { return #expect(Bool(false), "no dial") }
        var guest = Guest(2)
        #expect(stage.answer(dial.connection, as: &guest).lines("peer_up").count == 1)
        #expect(stage.core.book[guest.address]?.identity == guest.peer)
    }

    @Test func `a connection lost soon after opening is dialled again after 0 to 5 s, but not every time`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (first, _) = stage.open(outbound: &guest)
        #expect(stage(.closed(first, .closedByPeer, Traffic())).dials.isEmpty)
        let dials = stage.wait(.seconds(5)).dials
        guard let second = dials.first?.connection, dials.count == 1 else { return #expect(Bool(false), "\(dials)") }
        stage.answer(second, as: &guest)
        #expect(stage(.closed(second, .closedByPeer, Traffic())).dials.isEmpty)
        #expect(stage.wait(.seconds(15)).dials.isEmpty)
    }
}
