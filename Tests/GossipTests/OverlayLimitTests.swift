import Bootstrap
import PeerCore
import Testing

@testable import Gossip

/// Gossip section 5.7: the limits of the overlay.
@Suite struct OverlayLimitTests {
    private func address(_ ip: IPAddress, _ port: Int) -> SocketAddress { SocketAddress(ip, UInt16(port)) }

    /// Whether a CONNECT from there is answered by a dial; the dial fails at once.
    private func isDialled(_ source: SocketAddress, _ stage: inout CoreStage) -> Bool {
        let dials = stage.datagram(Guest(7).connect, from: source).dials
        for dial in dials { stage(.closed(dial.connection, .refused, Traffic())) }
        return dials.map(\.destination) == [.address(source)]
    }

    // MARK: - CONNECT

    @Test func `5 CONNECT in 10 s are taken from one IPv4 address, the others are dropped without a word`() {
        var stage = CoreStage.ready()
        let ip = IPAddress(10, 2, 0, 1)
        let taken = (0..<8).map { isDialled(address(ip, 6001 + $0), &stage) }
        #expect(taken == [true, true, true, true, true, false, false, false])
        #expect(stage.datagram(Guest(7).connect, from: address(ip, 7000)).isEmpty)
        #expect(stage.core.counters.connectsRefused == 4)
        #expect(isDialled(address(IPAddress(10, 2, 0, 2), 6001), &stage))
        stage.wait(.milliseconds(10_001))
        #expect(isDialled(address(ip, 6001), &stage))
    }

    @Test func `an IPv6 /64 counts as one address`() {
        var stage = CoreStage.ready(at: SocketAddress(.anyV6, 6001))
        let high: UInt64 = 0x2001_0db8_0000_0001
        let taken = (1...6).map { isDialled(address(IPAddress(high: high, low: $0), 6001), &stage) }
        #expect(taken == [true, true, true, true, true, false])
        #expect(isDialled(address(IPAddress(high: high + 1, low: 1), 6001), &stage))
    }

    @Test func `in no 10 s more than 5 CONNECT are taken from one address`() {
        var stage = CoreStage.ready()
        let ip = IPAddress(10, 2, 0, 1)
        var taken: [Instant] = []
        for (number, pause) in [0, 9900, 0, 0, 0, 100, 0, 0, 0, 0, 9000, 0, 0, 0, 0].enumerated() {
            stage.wait(.milliseconds(pause))
            if isDialled(address(ip, 6001 + number), &stage) { taken.append(stage.now.instant) }
        }
        #expect(taken.count >= 5)
        for (first, sixth) in zip(taken, taken.dropFirst(5)) { #expect(sixth - first >= .seconds(10)) }
    }

    @Test func `100 CONNECT are taken in a second from all together`() {
        var stage = CoreStage.ready { $0.degree = 120 }
        let taken = (0..<150).map { isDialled(address(IPAddress(10, 3, 0, UInt8($0)), 6001), &stage) }
        #expect(taken.count { $0 } == 100 && taken.prefix(100).allSatisfy { $0 })
        stage.wait(.milliseconds(1001))
        #expect(isDialled(address(IPAddress(10, 4, 0, 1), 6001), &stage))
    }

    @Test func `from loopback every socket counts for itself`() {
        var stage = CoreStage.ready(at: SocketAddress(.loopback, 6001))
        let taken = (0..<20).map { isDialled(address(.loopback, 7000 + $0), &stage) }
        #expect(taken.allSatisfy { $0 })
    }

    // MARK: - Room

    @Test func `neighbours never exceed degree`() {
        var stage = CoreStage.ready { $0.degree = 3 }
        for number in 0..<12 as Range<UInt16> {
            let guest = Guest(100 + number)
            _ = number % 2 == 0 ? stage.open(direct: guest) : stage.open(callingUs: guest)
            #expect(stage.neighbours.count == min(3, Int(number) + 1))
        }
    }

    /// A full node: one neighbour has three others, one has one.
    private func full() -> (stage: CoreStage, rich: ConnectionID, poor: ConnectionID) {
        var stage = CoreStage.ready { $0.degree = 2 }
        let rich = stage.neighbour(Guest(2, neighbours: 3))
        let poor = stage.neighbour(Guest(3, neighbours: 1))
        return (stage, rich, poor)
    }

    @Test func `a full node drops its best-connected neighbour for a peer that has none`() {
        var (stage, rich, poor) = full()
        let guest = Guest(4)
        // Only NEIGHBORS tells that it has none: a CONNECT by UDP is answered with DISCONNECT.
        let refusal = stage.datagram(guest.connect, from: guest.endpoint)
        #expect(refusal.datagrams(to: guest.endpoint) == [Greeting.bytes(513, id: stage.id)])
        let (connection, effects) = stage.open(direct: guest)
        #expect(stage.neighbours == [poor, connection])
        #expect(effects.said(on: rich).last == .disconnect(stage.id) && effects.finishes(rich))
        #expect(effects.lines("peer_down").map { $0.string("reason") } == ["replaced"])
        #expect(effects.datagrams(to: guest.endpoint).isEmpty)
    }

    @Test func `a peer without neighbours that is refused by UDP asks once more by TCP`() throws {
        let guest = Guest(2)
        var stage = CoreStage.ready { $0.peers = [.address(guest.endpoint)] }
        let dial = try #require(stage.datagram(guest.disconnect, from: guest.endpoint).dials.first)
        #expect(dial.destination == .address(guest.endpoint))
        _ = stage.answer(dial.connection, as: guest)
        #expect(stage.neighbours == [dial.connection])
    }

    @Test func `a full node drops nobody for a peer that has neighbours`() {
        var (stage, rich, poor) = full()
        let guest = Guest(4, neighbours: 1)
        let (connection, effects) = stage.open(direct: guest)
        #expect(stage.neighbours == [rich, poor])
        #expect(effects.said(on: connection).last == .disconnect(stage.id) && effects.finishes(connection))
    }

    @Test func `a newcomer cannot make a full node drop one neighbour after the other`() {
        var (stage, _, _) = full()
        for number in 0..<20 as Range<UInt16> { _ = stage.open(direct: Guest(100 + number)) }
        #expect(stage.history.map(\.effect).lines("peer_down").count == 1)
    }

    // MARK: - Items

    @Test func `items above itemRate are dropped and counted, and the link stays`() {
        var stage = CoreStage.ready { $0.itemRate = 10 }
        let program = stage.program(9)
        let (loud, quiet) = (stage.neighbour(Guest(2)), stage.neighbour(Guest(3)))
        let burst = (0..<1000).map { item("\($0)", ttl: 3).array }
        let effects = stage.say(Bytes(Array(burst.joined())), on: loud)
        #expect(effects.notifications(on: program).count == 10 && effects.touched == [program])
        #expect(stage.core.counters.drops[.rate] == 990 && stage.neighbours == [loud, quiet])
        #expect(stage.say(item("other link", ttl: 3), on: quiet).notifications(on: program).count == 1)
        stage.wait(.seconds(1))
        #expect(stage.say(item("next second", ttl: 3), on: loud).notifications(on: program).count == 1)
    }

    @Test func `there is no limit for items by default`() {
        var stage = CoreStage.ready()
        let program = stage.program(9)
        let link = stage.neighbour(Guest(2))
        let burst = (0..<2000).map { item("\($0)", ttl: 3).array }
        #expect(stage.say(Bytes(Array(burst.joined())), on: link).notifications(on: program).count == 2000)
    }

    // MARK: - The queue of a link

    @Test func `above 4 MiB the oldest items of a link are dropped, never heartbeats`() {
        var stage = CoreStage.ready()
        let (slow, quick) = (stage.neighbour(Guest(2)), stage.neighbour(Guest(3)))
        let program = stage.program()
        stage.wait(.seconds(2))
        stage(.stalled(slow))
        var reached = 0
        for number in 0..<100 {
            reached +=
                stage.announce("\(number) " + String(repeating: "x", count: 65_000), on: program).items(on: quick).count
            let waiting = stage.core.linkPlaces[slow].flatMap { stage.core.links[$0]?.outbox.octets } ?? 0
            #expect(waiting <= 4 << 20)
        }
        #expect(reached == 100)
        stage.wait(.seconds(25))
        let lost = stage.core.counters.unsentDrops
        #expect(lost >= 36 && lost < 40)
        let effects = stage(.drained(slow)) + stage.settle()
        let numbers = effects.items(on: slow).compactMap { $0.data.text?.split(separator: " ").first }.compactMap {
            Int($0)
        }
        #expect(numbers == Array(lost..<100))
        // Of several heartbeats only the last one matters.
        #expect(effects.neighbors(on: slow).count >= 1)
    }

    @Test func `small items are dropped oldest first as well`() {
        var stage = CoreStage.ready { $0.maxQueueBytes = 100_000 }
        let slow = stage.neighbour(Guest(2))
        let program = stage.program()
        stage(.stalled(slow))
        for number in 0..<5000 { stage.announce("\(number) " + String(repeating: "x", count: 80), on: program) }
        let effects = stage(.drained(slow)) + stage.settle()
        let numbers = effects.items(on: slow).compactMap { $0.data.text?.split(separator: " ").first }.compactMap {
            Int($0)
        }
        #expect(numbers == Array(stage.core.counters.unsentDrops..<5000))
        #expect((500...1100).contains(numbers.count))
    }

    @Test func `heartbeats that were due while a link was stalled go out when it has room`() {
        var stage = CoreStage.ready()
        let slow = stage.neighbour(Guest(2))
        stage.wait(.seconds(2))
        stage(.stalled(slow))
        #expect(stage.wait(.seconds(12)).octets(on: slow).isEmpty)
        #expect((stage(.drained(slow)) + stage.settle()).neighbors(on: slow).count >= 1)
    }

    @Test func `what a link is told while it is stalled comes before the items that wait`() {
        var stage = CoreStage.ready()
        let slow = stage.neighbour(Guest(2))
        let program = stage.program()
        stage.wait(.seconds(2))
        stage(.stalled(slow))
        for number in 0..<3 { stage.announce("\(number)", on: program) }
        stage.wait(.seconds(12))
        let said = (stage(.drained(slow)) + stage.settle()).said(on: slow)
        guard case .neighbors? = said.first else { return #expect(Bool(false), "first \(said.prefix(1))") }
        #expect(
            said.suffix(3).compactMap { if case .item(let item) = $0 { item.data.text } else { nil } } == [
                "0", "1", "2",
            ])
    }

    @Test func `a neighbour that takes nothing does not slow the others`() {
        var stage = CoreStage.ready()
        let peers = (2...4).map { stage.neighbour(Guest($0)) }
        let program = stage.program()
        stage(.stalled(peers[0]))
        for number in 0..<50 {
            let effects = stage.announce("\(number)", on: program)
            #expect(effects.items(on: peers[0]).isEmpty)
            #expect(effects.items(on: peers[1]).count == 1 && effects.items(on: peers[2]).count == 1)
        }
    }

    // MARK: - What the operator sees

    @Test func `the end of a link is one line with peer, reason and seconds`() {
        var stage = CoreStage.ready()
        let guest = Guest(2)
        let connection = stage.open(direct: guest).connection
        stage.wait(.seconds(5))
        let lines = stage(.closed(connection, .reset, Traffic())).lines("peer_down")
        #expect(lines.count == 1 && lines.first?.string("reason") == "reset")
        #expect(lines.first?.double("seconds") == 5 && lines.first?.string("peer") == "2@\(guest.endpoint)")
    }
}
