import AddressBook
import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// Peers and machines that would waste our time or spoil our book (DDRP sections 11 and 12, decisions 16 to 19).
@Suite struct CoreAbuseTests {
    private static let seed = Guest.address(2)

    private func ready(_ change: (inout DDRP.Configuration) -> Void = { _ in }) -> CoreStage {
        CoreStage.ready { configuration in
            configuration.seeds = [PeerLocator("\(Self.seed.ip)", standardPort: 9097)].compactMap(\.self)
            configuration.targetOutbound = 1
            change(&configuration)
        }
    }

    @Test func `a peer whose clock is off after the handshake rests longer each time`() throws {
        var stage = CoreStage.ready { $0.targetOutbound = 1 }
        var guest = Guest(2)
        var connection = stage.open(outbound: &guest).connection
        for least in [48, 192, 768] {
            let effects = stage(.received(guest.seal(.ping, at: stage.timestamp - 60), on: connection))
            #expect(effects.lines("peer_down").first?.string("reason") == "clock" && effects.dials.isEmpty)
            #expect(stage.wait(.seconds(least - 1)).dials.isEmpty)
            var again: [Effect] = []
            for _ in 0..<least where again.dials.isEmpty { again = stage.wait(.seconds(1)) }
            connection = try #require(again.dials.first).connection
            stage.answer(connection, as: &guest)
        }
    }

    @Test(arguments: [(2400, 2150, true), (201, 1900, false), (990, 5000, false), (1300, 6000, true)])
    func `a flood is one whatever its rhythm`(burst: Int, milliseconds: Int, isFlood: Bool) {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        var bans: [IPPrefix] = []
        for _ in 0..<6 where bans.isEmpty {
            let envelope = guest.seal(.ping, at: stage.timestamp).array
            bans = stage(.received(Bytes(Array(repeatElement(envelope, count: burst).joined())), on: connection)).bans
            stage.wait(.milliseconds(milliseconds))
        }
        #expect(bans.isEmpty != isFlood)
    }

    @Test func `a told ID keeps nobody from being dialled`() {
        var stage = CoreStage.ready { $0.targetOutbound = 3 }
        var (liar, friend) = (Guest(2), Guest(3))
        let (connection, _) = stage.open(inbound: &liar)
        let lies = (10..<13).map { PeerEntry(ip: Guest.address(UInt64($0)).ip, port: nil, peerID: friend.peer) }
        stage(.received(liar.seal(.peerRes(PeerRes(peers: lies)), at: stage.timestamp), on: connection))
        stage.open(inbound: &friend)
        for dial in stage.history.dials { stage(.closed(dial.connection, .refused, Traffic())) }
        let dialled = Set(stage.history.dials.compactMap { $0.destination })
        #expect(lies.allSatisfy { dialled.contains(.address(SocketAddress($0.ip, 9097))) })
    }

    @Test func `a peernode that dialled us below the target counts when our own dial comes to nothing`() throws {
        var stage = ready()
        let dial = try #require(stage.history.dials.first)
        var guest = Guest(5, agent: "peernode/9")
        stage.open(inbound: &guest)
        #expect(stage.core.counted.isEmpty)
        let effects = stage(.closed(dial.connection, .refused, Traffic()))
        #expect(stage.core.counted.count == 1 && effects.dials.isEmpty)
        #expect(effects.lines("peers_ok").first?.int("have") == 1)
    }

    @Test func `an answer with nothing new makes us ask the next peer at once, no answer after 10 s`() throws {
        var stage = CoreStage.ready { $0.targetOutbound = 1 }
        var counted = Guest(2, agent: "peernode/9")
        let (first, opening) = stage.open(inbound: &counted)
        #expect(opening.messages(on: first).contains(.peerReq))
        var others: [ConnectionID: Guest] = [:]
        for key in 3...5 as ClosedRange<UInt64> {
            var guest = Guest(key)
            others[stage.open(inbound: &guest).connection] = guest
        }
        func asked(_ effects: [Effect]) -> ConnectionID? {
            others.keys.first { effects.messages(on: $0).contains(.peerReq) }
        }
        // All that is in the book is connected, but for the lost one, whose dials fail.
        var effects = stage(.closed(first, .reset, Traffic()))
        while let dial = effects.dials.first { effects = stage(.closed(dial.connection, .refused, Traffic())) }
        let second = try #require(asked(effects + stage.wait(.seconds(1))))
        var guest = try #require(others[second])
        let answer = guest.seal(.peerRes(PeerRes(peers: [])), at: stage.timestamp)
        let third = try #require(asked(stage(.received(answer, on: second))))
        #expect(third != second)
        var later: [Effect] = []
        for _ in 0..<11 {
            let effects = stage.wait(.seconds(1))
            later += effects
            for dial in effects.dials { later += stage(.closed(dial.connection, .refused, Traffic())) }
        }
        let fourth = try #require(asked(later))
        #expect(fourth != second && fourth != third)
    }

    @Test(arguments: [CloseReason.limit, .systemError])
    func `a dial that fails for our own sake spoils no address`(reason: CloseReason) throws {
        var stage = ready()
        let dial = try #require(stage.history.dials.first)
        let effects = stage(.closed(dial.connection, reason, Traffic()))
        #expect(effects.dials.isEmpty && stage.core.book[Self.seed]?.failures == 0)
        #expect(stage.wait(.milliseconds(900)).dials.isEmpty)
        #expect(stage.wait(.milliseconds(200)).dials.count == 1)
    }

    @Test func `a change of the machine's addresses makes all failures ours`() throws {
        var stage = CoreStage.ready { $0.targetOutbound = 1 }
        stage(.interfaces([IPAddress(192, 0, 2, 1)]))
        var guest = Guest(2)
        let (connection, _) = stage.open(outbound: &guest)
        var effects = stage(.closed(connection, .reset, Traffic()))
        while let dial = effects.dials.first { effects = stage(.closed(dial.connection, .refused, Traffic())) }
        #expect(stage.wait(.seconds(6)).dials.count <= 1)
        for dial in stage.history.dials { stage(.closed(dial.connection, .refused, Traffic())) }
        #expect(stage.wait(.seconds(20)).dials.isEmpty)
        #expect(stage(.interfaces([IPAddress(192, 0, 2, 2)])).dials.count == 1)
    }

    @Test func `a peer that comes back is not answered more often`() {
        var stage = CoreStage.ready()
        var answers = 0
        for _ in 0..<5 {
            var guest = Guest(2)
            let (connection, _) = stage.open(inbound: &guest)
            let effects = stage(.received(guest.seal(.peerReq, at: stage.timestamp), on: connection))
            answers += effects.messages(on: connection).count { if case .peerRes = $0 { true } else { false } }
            stage(.closed(connection, .closedByPeer, Traffic()))
            stage.wait(.seconds(2))
        }
        #expect(answers == 1)
    }

    @Test func `the address of a seed is never banned`() {
        var stage = ready()
        var bans: [IPPrefix] = []
        for _ in 0..<4 {
            var guest = Guest(2)
            let (connection, _) = stage.open(inbound: &guest)
            bans += stage(.received(Bytes([0]), on: connection)).bans
        }
        #expect(bans.isEmpty && stage.history.lines("violation").count == 4)
    }

    @Test func `whoever is refused has a line with step and reason`() {
        var stage = CoreStage.ready { $0.maxInbound = 1 }
        let own = stage.accept(from: CoreStage.ownAddress).1.lines("handshake_refused").first
        #expect(own?.string("step") == "accept" && own?.string("reason") == "self")
        var (first, second) = (Guest(2), Guest(3))
        let (late, _) = stage.accept(from: SocketAddress(second.address.ip, 40_000))
        stage.open(inbound: &first)
        let full = stage.accept(from: Guest.address(4)).1.lines("handshake_refused").first
        #expect(full?.string("step") == "accept" && full?.string("reason") == "limit")
        let answer = stage(.received(second.hello(at: stage.timestamp), on: late))
        guard let hello = answer.hello(on: late) else { return #expect(Bool(false), "no Hello") }
        let effects = stage(.received(second.ack(hello.localNonce, at: stage.timestamp), on: late))
        let proven = effects.lines("handshake_refused").first
        #expect(proven?.string("step") == "identity" && proven?.string("reason") == "limit")
        #expect(proven?.string("peer") == second.peer.description)
    }
}
