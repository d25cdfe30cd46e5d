import Bootstrap
import PeerCore
import Testing

@testable import Gossip

/// Gossip sections 5.5 and 5.6: how two peers become neighbours.
@Suite struct HandshakeTests {
    private static let start = CoreStage.start.instant

    /// A node that calls the guest.
    private func calling(_ guest: Guest) -> CoreStage {
        CoreStage.ready { $0.peers = [.address(guest.endpoint)] }
    }

    /// The moments of all CONNECT to an address.
    private func calls(to address: SocketAddress, in stage: CoreStage) -> [Duration] {
        stage.history.filter { [$0.effect].calls == [address] }.map { $0.at - Self.start }
    }

    private func wasDialled(_ guest: Guest, _ effects: [Effect]) -> Bool {
        effects.dials.contains { $0.destination == .address(guest.endpoint) }
    }

    // MARK: - The caller

    @Test func `CONNECT goes out at once, after 1 s and after 3 s, and after 5 s direct mode begins`() throws {
        let guest = Guest(2)
        var stage = calling(guest)
        #expect(stage.history.map(\.effect).datagrams(to: guest.endpoint) == [Greeting.bytes(512, id: stage.id)])
        #expect(!wasDialled(guest, stage.wait(.milliseconds(4999))))
        #expect(calls(to: guest.endpoint, in: stage) == [.zero, .seconds(1), .seconds(3)])
        let dial = try #require(stage.wait(.milliseconds(1)).dials.first)
        #expect(dial.destination == .address(guest.endpoint))
        let remote = guest.endpoint
        let said = stage(.connected(dial.connection, local: CoreStage.ownAddress, remote: remote)).said(
            on: dial.connection)
        let own = PeerAddress(id: stage.id, address: SocketAddress(.anyV6, 6001))
        #expect(said.count == 2 && said.first == .connect(stage.id))
        guard case .neighbors(let message)? = said.last else { return #expect(Bool(false), "no NEIGHBORS") }
        #expect(message.id == stage.id && message.entries == [own])
        stage.say(guest.first, on: dial.connection)
        #expect(stage.neighbours == [dial.connection])
        #expect(stage.wait(.seconds(20)).calls.isEmpty)
    }

    @Test func `connectMode tcp is direct mode at once`() throws {
        let guest = Guest(2)
        var stage = CoreStage.ready {
            $0.peers = [.address(guest.endpoint)]
            $0.connectMode = .tcp
        }
        let dial = try #require(stage.history.map(\.effect).dials.first)
        #expect(stage.answer(dial.connection, as: guest).said(on: dial.connection).first == .connect(stage.id))
        #expect(stage.neighbours == [dial.connection] && calls(to: guest.endpoint, in: stage).isEmpty)
    }

    @Test func `the TCP connect has 5 s`() throws {
        let guest = Guest(2)
        var stage = calling(guest)
        let timeouts = stage.wait(.seconds(5)).compactMap { effect -> Duration? in
            if case .connect(_, _, _, let timeout) = effect { timeout } else { nil }
        }
        #expect(timeouts == [.seconds(5)])
    }

    @Test func `a connection from where CONNECT went is taken, and answered with NEIGHBORS`() {
        for seconds in [0, 2, 4, 9] {
            let guest = Guest(2)
            var stage = calling(guest)
            stage.wait(.seconds(seconds))
            let (connection, effects) = stage.open(dialBackOf: guest)
            let own = PeerAddress(id: stage.id, address: SocketAddress(.anyV6, 6001))
            #expect(stage.neighbours == [connection], "\(seconds) s")
            #expect(effects.neighbors(on: connection).map(\.entries) == [[own]], "\(seconds) s")
            #expect(effects.said(on: connection).count == 1, "\(seconds) s")
        }
    }

    @Test func `a connection from where CONNECT went more than 10 s ago is not taken`() {
        let guest = Guest(2)
        var stage = calling(guest)
        // The direct dial hangs.
        stage.wait(.milliseconds(10_001))
        let (connection, effects) = stage.open(dialBackOf: guest)
        #expect(stage.neighbours.isEmpty && effects.finishes(connection) && effects.octets(on: connection).isEmpty)
    }

    @Test func `a dial back within 10 s is taken although the direct dial has failed`() throws {
        let guest = Guest(2)
        var stage = calling(guest)
        let dial = try #require(stage.wait(.seconds(5)).dials.first)
        stage(.closed(dial.connection, .refused, Traffic()))
        stage.move(to: stage.now.instant + .milliseconds(500))
        let (connection, _) = stage.open(dialBackOf: guest)
        #expect(stage.neighbours == [connection])
    }

    @Test func `a connection from somewhere else that does not begin with CONNECT is closed without an answer`() {
        var stage = calling(Guest(2))
        let (connection, effects) = stage.open(dialBackOf: Guest(3))
        #expect(stage.neighbours.isEmpty && effects.finishes(connection) && effects.octets(on: connection).isEmpty)
    }

    @Test func `the first NEIGHBORS must carry the expected ID when one was told`() {
        let (liar, friend) = (Guest(77, at: Guest(5).endpoint), Guest(5))
        for guest in [liar, friend] {
            var stage = CoreStage.ready()
            let teller = stage.neighbour(Guest(2))
            let call = stage.say(Neighbors(id: 2, entries: [friend.entry]).bytes, on: teller)
            #expect(call.calls == [friend.endpoint])
            let (connection, effects) = stage.open(dialBackOf: guest)
            #expect(stage.neighbours.contains(connection) == (guest.id == friend.id))
            #expect(effects.finishes(connection) == (guest.id != friend.id))
        }
    }

    @Test func `DISCONNECT by UDP ends the attempts, from whom CONNECT went to, and from nobody else`() {
        for isRight in [true, false] {
            var stage = CoreStage.ready()
            let teller = stage.neighbour(Guest(2))
            let guest = Guest(5)
            stage.say(Neighbors(id: 2, entries: [guest.entry]).bytes, on: teller)
            let source = isRight ? guest.endpoint : SocketAddress(guest.endpoint.ip, 6002)
            stage.datagram(guest.disconnect, from: source)
            let effects = stage.wait(.seconds(6))
            #expect(effects.calls.count == (isRight ? 0 : 2) && wasDialled(guest, effects) != isRight)
        }
    }

    @Test func `DISCONNECT by UDP does not end a link`() {
        var stage = CoreStage.ready()
        let guest = Guest(2)
        let connection = stage.neighbour(guest)
        #expect(stage.datagram(guest.disconnect, from: guest.endpoint).isEmpty)
        #expect(stage.neighbours == [connection])
    }

    // MARK: - Who is called

    @Test func `CONNECT is answered by a dial to the source address and port, and NEIGHBORS first`() {
        var stage = CoreStage.ready()
        let old = stage.neighbour(Guest(2))
        stage.wait(.seconds(2))
        let guest = Guest(3, at: SocketAddress(IPAddress(10, 7, 7, 7), 7007))
        let (connection, effects) = stage.open(callingUs: guest)
        let own = PeerAddress(id: stage.id, address: SocketAddress(.anyV6, 6001))
        #expect(effects.neighbors(on: connection).map(\.entries) == [[own, Guest(2).entry]])
        #expect(effects.said(on: connection).count == 1 && effects.datagrams(to: guest.endpoint).isEmpty)
        #expect(stage.neighbours == [old, connection])
        #expect(stage.core.linkPlaces[connection].flatMap { stage.core.links[$0]?.endpoint } == guest.endpoint)
    }

    @Test func `a CONNECT that is repeated while we dial changes nothing`() {
        var stage = CoreStage.ready()
        let guest = Guest(2)
        #expect(stage.datagram(guest.connect, from: guest.endpoint).dials.count == 1)
        stage.wait(.seconds(1))
        #expect(stage.datagram(guest.connect, from: guest.endpoint).touched.isEmpty)
        #expect(stage.core.pending.count == 1)
    }

    @Test func `wrong ID, wrong first message or nothing within 5 s closes the dialled connection`() throws {
        let guest = Guest(2)
        let spoils: [(String, Bytes?)] = [
            ("wrong ID", Guest(3).first), ("an item", item("too early")), ("DISCONNECT", guest.disconnect),
            ("CONNECT", guest.connect), ("PRUNE", ExtensionMessage(.prune, dataType: 9).bytes), ("nothing", nil),
            ("half of it", guest.first.slice(0..<20)),
        ]
        for (name, octets) in spoils {
            var stage = CoreStage.ready()
            let dial = try #require(stage.datagram(guest.connect, from: guest.endpoint).dials.first)
            stage(.connected(dial.connection, local: CoreStage.ownAddress, remote: guest.endpoint))
            var effects = octets.map { stage.say($0, on: dial.connection) } ?? []
            if octets == nil || name == "half of it" {
                effects += stage.wait(.milliseconds(4999))
                #expect(effects.isEmpty, "\(name)")
                effects += stage.wait(.milliseconds(1))
            }
            #expect(effects.finishes(dial.connection) && stage.core.pending.isEmpty, "\(name)")
            #expect(stage.neighbours.isEmpty && effects.octets(on: dial.connection).isEmpty, "\(name)")
        }
    }

    @Test func `direct mode is always accepted: CONNECT, then NEIGHBORS, and no dial back`() {
        for mode in [Gossip.Configuration.ConnectMode.udp, .tcp] {
            var stage = CoreStage.ready { $0.connectMode = mode }
            let (connection, effects) = stage.open(direct: Guest(2))
            let own = PeerAddress(id: stage.id, address: SocketAddress(.anyV6, 6001))
            #expect(stage.neighbours == [connection] && effects.dials.isEmpty)
            #expect(effects.neighbors(on: connection).map(\.entries) == [[own]])
            #expect(stage.wait(.seconds(20)).dials.isEmpty)
        }
    }

    @Test func `an inbound connection is closed when its NEIGHBORS does not come, or is another's`() {
        let guest = Guest(2)
        for (octets, seconds) in [
            (Bytes(), 5), (guest.connect, 5), (Bytes(guest.connect.array + Guest(3).first.array), 0),
        ] {
            var stage = CoreStage.ready()
            let (connection, _) = stage.accept(from: guest.dialling)
            var effects = stage.say(octets, on: connection)
            if seconds > 0 { #expect(!stage.wait(.milliseconds(seconds * 1000 - 1)).finishes(connection)) }
            effects += stage.wait(.milliseconds(1))
            #expect(effects.finishes(connection) && stage.neighbours.isEmpty && stage.core.pending.isEmpty)
        }
    }

    @Test func `an item before the first NEIGHBORS closes the connection without DISCONNECT`() {
        var stage = CoreStage.ready()
        let program = stage.program(9)
        let (connection, _) = stage.accept(from: Guest(2).dialling)
        let effects = stage.say(Bytes(Guest(2).connect.array + item("early").array), on: connection)
        #expect(effects.finishes(connection) && effects.touched == [connection])
        #expect(effects.octets(on: connection).isEmpty && effects.notifications(on: program).isEmpty)
    }

    // MARK: - No room

    @Test func `a full node answers CONNECT with DISCONNECT by UDP, 8 octets for 8`() {
        var stage = CoreStage.ready { $0.degree = 2 }
        let links: Set = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
        let effects = stage.datagram(Guest(4).connect, from: Guest(4).endpoint)
        #expect(effects.datagrams(to: Guest(4).endpoint) == [Greeting.bytes(513, id: stage.id)])
        #expect(effects.dials.isEmpty && stage.neighbours == links)
    }

    @Test func `a full node answers direct mode with DISCONNECT`() {
        var stage = CoreStage.ready { $0.degree = 2 }
        let links: Set = [stage.neighbour(Guest(2)), stage.neighbour(Guest(3))]
        let (connection, effects) = stage.open(direct: Guest(4))
        #expect(effects.said(on: connection) == [.disconnect(stage.id)] && effects.finishes(connection))
        #expect(stage.neighbours == links)
    }

    @Test func `a node that is shutting down answers CONNECT with DISCONNECT`() {
        var stage = CoreStage.ready()
        stage(.stop)
        let effects = stage.datagram(Guest(2).connect, from: Guest(2).endpoint)
        #expect(effects.datagrams(to: Guest(2).endpoint) == [Greeting.bytes(513, id: stage.id)])
        #expect(effects.dials.isEmpty)
    }

    @Test func `a stop says DISCONNECT to all neighbours and to the bootstrap server, and closes all`() {
        let server = SocketAddress(IPAddress(10, 9, 9, 9), 6000)
        var stage = CoreStage.ready { $0.bootstrap = [.address(server)] }
        stage.datagram(Populate(id: 500, entries: []).bytes, from: server)
        let (link, program) = (stage.neighbour(Guest(2)), stage.program(9))
        let (pending, _) = stage.accept(from: Guest(3).dialling)
        let effects = stage(.stop)
        #expect(effects.said(on: link).last == .disconnect(500) && effects.finishes(link))
        #expect(effects.datagrams(to: server) == [Disconnect(id: 500).bytes])
        #expect(effects.finishes(program) && effects.finishes(pending))
        #expect(effects.contains(.unlisten(ListenerID("gossip"))))
        #expect(effects.contains(.unlisten(ListenerID("gossip.api"))))
        #expect(effects.lines("peer_down").map { $0.string("reason") } == ["shutdown"])
        #expect(stage.neighbours.isEmpty && stage.core.nextDeadline == nil)
    }
}
