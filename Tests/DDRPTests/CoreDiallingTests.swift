import AddressBook
import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// DDRP sections 7 and 12, decisions 18 and 19: whom we dial, when, and in which dialect.
@Suite struct CoreDiallingTests {
    private func seeds(_ keys: ClosedRange<UInt64>) -> [PeerLocator] {
        keys.compactMap { PeerLocator("\(Guest.address($0).ip)", standardPort: 9097) }
    }

    @Test func `nothing is dialled before we listen and the book is recalled`() {
        var configuration = DDRP.Configuration(listen: CoreStage.ownAddress)
        configuration.seeds = seeds(2...2)
        var stage = CoreStage(configuration)
        stage(.start)
        #expect(stage(.recalled(table: "ddrp_book", [], more: false)).dials.isEmpty)
        #expect(stage(.listening(ListenerID("ddrp"), .ip(configuration.listen))).dials.count == 1)
    }

    @Test func `the book is recalled in pages`() {
        var stage = CoreStage()
        stage(.start)
        stage(.listening(ListenerID("ddrp"), .ip(CoreStage.ownAddress)))
        let row = Row(key: "127.1.0.2:9097", record: ["bad": 1])
        let effects = stage(.recalled(table: "ddrp_book", [row], more: true))
        #expect(effects.contains(.recall(table: "ddrp_book", after: row.key, limit: 1000)))
        #expect(!stage.core.life.isBookRecalled)
    }

    @Test func `on loopback we dial from the address that we listen on`() {
        let stage = CoreStage.ready { $0.seeds = self.seeds(2...2) }
        let locals = stage.history.compactMap { if case .connect(_, _, let local, _) = $0 { local } else { nil } }
        #expect(locals == [CoreStage.ownAddress.ip])
    }

    @Test func `seeds are tried again after 5 s, doubling to 10 min`() {
        var stage = CoreStage.ready { $0.seeds = self.seeds(2...2) }
        guard var dial = stage.history.dials.last else { return #expect(Bool(false), "no dial") }
        for base in [5.0, 10, 20, 40, 80, 160, 320, 600, 600] {
            let line = stage(.closed(dial.connection, .refused, Traffic())).lines("dial_failed").first
            guard let rest = line?.double("nextTrySeconds") else { return #expect(Bool(false), "no line") }
            #expect((base * 0.8...base * 1.2).contains(rest) && line?.string("reason") == "refused")
            #expect(stage.wait(.nanoseconds(Int64(rest * 1e9) - 2_000_000)).dials.isEmpty)
            guard let next = stage.wait(.milliseconds(4)).dials.first else { return #expect(Bool(false), "no dial") }
            dial = next
        }
    }

    @Test func `when an R Hello is answered by nothing at all, T is tried, once in an hour`() {
        for reason in [CloseReason.closedByPeer, .reset, .timeout] {
            var stage = CoreStage.ready { $0.seeds = self.seeds(2...2) }
            func fail(_ connection: ConnectionID, _ stage: inout CoreStage) -> [Effect] {
                let local = SocketAddress(CoreStage.ownAddress.ip, 50_000)
                stage(.connected(connection, local: local, remote: Guest.address(2)))
                return reason == .timeout ? stage.wait(.seconds(2)) : stage(.closed(connection, reason, Traffic()))
            }
            guard let first = stage.history.dials.last else { return #expect(Bool(false), "no dial") }
            let second = fail(first.connection, &stage)
            #expect(second.dials.count == 1 && second.lines("dial_failed").isEmpty)
            guard let text = second.dials.first?.connection else { return }
            #expect(stage.core.initiators[text]?.dialect == .text)
            #expect(fail(text, &stage).lines("dial_failed").count == 1)
            guard let third = stage.wait(.seconds(6)).dials.first?.connection else { return #expect(Bool(false)) }
            #expect(stage.core.initiators[third]?.dialect == .reference)
            #expect(fail(third, &stage).lines("dial_failed").count == 1, "not within the hour")
        }
    }

    @Test(arguments: [(CloseReason.timeout, 1), (.closedByPeer, 0)])
    func `while a silent peer is asked in T another one is dialled`(reason: CloseReason, others: Int) {
        var stage = CoreStage.ready {
            $0.seeds = self.seeds(2...3)
            $0.targetOutbound = 1
        }
        guard let first = stage.history.dials.last else { return #expect(Bool(false), "no dial") }
        let remote = SocketAddress(CoreStage.ownAddress.ip, 9097)
        stage(.connected(first.connection, local: CoreStage.ownAddress, remote: remote))
        let effects =
            reason == .timeout ? stage.wait(.seconds(2)) : stage(.closed(first.connection, reason, Traffic()))
        let dialects = effects.dials.compactMap { stage.core.initiators[$0.connection]?.dialect }
        #expect(dialects.count { $0 == .text } == 1 && dialects.count { $0 == .reference } == others)
    }

    @Test func `what worked is remembered in the book`() {
        var stage = CoreStage.ready { $0.seeds = self.seeds(2...2) }
        guard let first = stage.history.dials.last else { return #expect(Bool(false), "no dial") }
        stage(.connected(first.connection, local: CoreStage.ownAddress, remote: Guest.address(2)))
        guard let text = stage(.closed(first.connection, .closedByPeer, Traffic())).dials.first else {
            return #expect(Bool(false), "no dial")
        }
        var guest = Guest(2, .text)
        #expect(stage.answer(text.connection, as: &guest).lines("peer_up").first?.string("dialect") == "text")
        stage.wait(.seconds(6))
        guard let again = stage(.closed(text.connection, .closedByPeer, Traffic())).dials.first else {
            return #expect(Bool(false), "no dial")
        }
        #expect(stage.core.initiators[again.connection]?.dialect == .text)
        // When that fails too, R is worth a try again.
        stage(.connected(again.connection, local: CoreStage.ownAddress, remote: Guest.address(2)))
        stage(.closed(again.connection, .closedByPeer, Traffic()))
        guard let last = stage.wait(.seconds(7)).dials.first else { return #expect(Bool(false), "no dial") }
        #expect(stage.core.initiators[last.connection]?.dialect == .reference)
    }

    @Test func `an inbound peernode counts for the target while it is not reached, others do not`() {
        var stage = CoreStage.ready { $0.targetOutbound = 1 }
        var other = Guest(2, agent: "ddrpd/0.2.2")
        stage.open(inbound: &other)
        #expect(stage.core.counted.isEmpty)
        var peernode = Guest(3, agent: "peernode/1.0")
        let (connection, _) = stage.open(inbound: &peernode)
        var second = Guest(4, agent: "peernode/1.0")
        stage.open(inbound: &second)
        #expect(stage.core.counted == [connection])
    }

    @Test func `peers_low comes 5 s after the start and then every minute, with the attempts by outcome`() {
        var stage = CoreStage.ready { $0.seeds = self.seeds(2...3) }
        for dial in stage.history.dials { stage(.closed(dial.connection, .refused, Traffic())) }
        let line = stage.wait(.seconds(5)).lines("peers_low").first
        #expect(line?.int("have") == 0 && line?.int("want") == 8)
        #expect(line?.record("attempts")?.int("refused") ?? 0 >= 2)
        #expect(stage.wait(.seconds(61)).lines("peers_low").count == 1)
    }

    @Test func `peers_ok is said below the target too, when no candidate is left, and peers_low when one is lost`() {
        var stage = CoreStage.ready { $0.seeds = self.seeds(2...3) }
        var connections: [ConnectionID] = []
        var effects: [Effect] = []
        for (dial, key) in zip(stage.history.dials, [UInt64(2), 3]) {
            guard case .address(let address) = dial.destination else { continue }
            var guest = Guest(UInt64(address.ip.octets[15]))
            _ = key
            effects = stage.answer(dial.connection, as: &guest)
            connections.append(dial.connection)
        }
        let line = effects.lines("peers_ok").first
        #expect(line?.int("have") == 2 && line?.int("want") == 8 && line?.int("candidates") == 0)
        stage.wait(.seconds(6))
        let lost = stage(.closed(connections[0], .reset, Traffic()))
        #expect(lost.lines("peers_low").first?.int("have") == 1 && lost.dials.count == 1)
        let failed = stage(.closed(lost.dials[0].connection, .refused, Traffic()))
        #expect(failed.lines("peers_ok").first?.int("have") == 1)
    }

    @Test func `a lost outbound peer is replaced at once`() {
        var stage = CoreStage.ready {
            $0.seeds = self.seeds(2...9)
            $0.targetOutbound = 3
        }
        var dials = stage.history.dials
        #expect(dials.count == 3)
        for dial in dials {
            guard case .address(let address) = dial.destination else { continue }
            var guest = Guest(UInt64(address.ip.octets[15]))
            stage.answer(dial.connection, as: &guest)
        }
        dials = stage(.closed(dials[0].connection, .closedByPeer, Traffic())).dials
        #expect(dials.count == 1)
    }

    @Test func `a lost good peer is probed every 30 s for 10 minutes`() {
        var stage = CoreStage.ready { $0.seeds = [] }
        var guest = Guest(2)
        let (connection, _) = stage.open(outbound: &guest)
        for _ in 0..<70 {
            stage.wait(.seconds(1))
            stage(.received(guest.seal(.ping, at: stage.timestamp), on: connection))
        }
        var pending = stage(.closed(connection, .reset, Traffic())).dials
        var count = 0
        for _ in 0..<20 {
            for dial in pending { stage(.closed(dial.connection, .refused, Traffic())) }
            pending = stage.wait(.seconds(30)).dials
            count += pending.isEmpty ? 0 : 1
        }
        #expect(count == 20)
    }

    @Test func `a probe that succeeds at the target is kept in place of the youngest`() {
        var stage = CoreStage.ready { $0.targetOutbound = 2 }
        var guests: [ConnectionID: Guest] = [:]
        func stay(_ seconds: Int, _ stage: inout CoreStage) -> [Effect] {
            (0..<seconds).flatMap { _ in
                let effects = stage.wait(.seconds(1))
                for connection in guests.keys.sorted() {
                    guard let ping = guests[connection]?.seal(.ping, at: stage.timestamp) else { continue }
                    stage(.received(ping, on: connection))
                }
                return effects
            }
        }
        for key in [UInt64(2), 3] {
            var guest = Guest(key)
            guests[stage.open(outbound: &guest).connection] = guest
            _ = stay(61, &stage)
        }
        // The first falls silent; another takes its place.
        guard let lost = guests.keys.min() else { return #expect(Bool(false)) }
        guests[lost] = nil
        let silence = stay(32, &stage)
        #expect(silence.lines("peer_down").first?.string("reason") == "silent")
        for dial in silence.dials { stage(.closed(dial.connection, .timeout, Traffic())) }
        var third = Guest(4)
        let (youngest, _) = stage.open(outbound: &third)
        guests[youngest] = third
        let probes = stay(35, &stage).dials
        guard let probe = probes.first else { return #expect(Bool(false), "no probe") }
        var again = Guest(2)
        let effects = stage.answer(probe.connection, as: &again)
        #expect(effects.lines("peer_up").count == 1 && effects.finishes(youngest))
        #expect(effects.lines("peer_down").first?.string("reason") == "replaced")
        #expect(stage.core.counted.count == 2)
    }

    @Test func `names of dnsSeeds are dialled like seeds`() {
        var stage = CoreStage.ready { $0.dnsSeeds = ["seeds.example.org"] }
        let requests = stage.history.compactMap { effect -> RequestID? in
            if case .resolve(let id, "seeds.example.org") = effect { id } else { nil }
        }
        guard let request = requests.first else { return #expect(Bool(false), "not looked up") }
        let dials = stage(.resolved(request, [Guest.address(2).ip])).dials
        #expect(dials.map(\.destination) == [.address(Guest.address(2))])
    }
}
