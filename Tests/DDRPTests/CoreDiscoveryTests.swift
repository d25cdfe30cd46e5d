import AddressBook
import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// DDRP section 11: PeerReq and PeerRes.
@Suite struct CoreDiscoveryTests {
    /// Entries for the loopback addresses of these keys.
    private func entries(_ keys: ClosedRange<UInt64>) -> [PeerEntry] {
        keys.map { PeerEntry(ip: Guest.address($0).ip, peerID: identity($0).peerID) }
    }

    private func peerRes(_ peers: [PeerEntry]) -> Message { .peerRes(PeerRes(peers: peers)) }

    @Test func `below the target a peer is asked as soon as its connection opens`() {
        var stage = CoreStage.ready { $0.targetOutbound = 2 }
        for key in 2...3 {
            var guest = Guest(UInt64(key))
            let (connection, effects) = stage.open(inbound: &guest)
            #expect(effects.messages(on: connection).contains(.peerReq))
        }
        var outbound = Guest(4)
        stage.open(outbound: &outbound)
        outbound = Guest(5)
        stage.open(outbound: &outbound)
        var late = Guest(6)
        let (connection, effects) = stage.open(inbound: &late)
        #expect(!effects.messages(on: connection).contains(.peerReq), "the target is reached")
    }

    @Test func `an answer is dialled at once, at most 5 at a time, until the target is reached`() {
        var stage = CoreStage.ready { $0.targetOutbound = 8 }
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        var effects = stage(.received(guest.seal(peerRes(entries(10...39)), at: stage.timestamp), on: connection))
        #expect(effects.lines("peer_exchange").first?.int("new") == 30 && effects.dials.count == 5)
        var waiting = effects.dials
        while let dial = waiting.popLast(), case .address(let address) = dial.destination {
            var other = Guest(UInt64(address.ip.octets[15]))
            effects = stage.answer(dial.connection, as: &other)
            waiting += effects.dials
        }
        #expect(stage.core.counted.count == 8 && stage.history.dials.count == 8)
        #expect(effects.lines("peers_ok").first?.int("have") == 8)
    }

    @Test func `a PeerReq is answered at once, and once in 10 s`() {
        for dialect in Dialect.allCases {
            var stage = CoreStage.ready()
            var guest = Guest(2, dialect)
            let (connection, _) = stage.open(inbound: &guest)
            var answers: [Int] = []
            for second in 0...25 {
                let effects = stage(.received(guest.seal(.peerReq, at: stage.timestamp), on: connection))
                if effects.messages(on: connection, dialect).contains(where: { $0.name == "PeerRes" }) {
                    answers.append(second)
                }
                stage.wait(.seconds(1))
            }
            #expect(answers == [0, 10, 20])
        }
    }

    @Test func `an answer holds others, verified ones first, at most 127, never the asker nor ourselves`() {
        var stage = CoreStage.ready { $0.targetOutbound = 0 }
        var verified = Guest(3)
        stage.open(outbound: &verified)
        for key in 10...209 {
            var inbound = Guest(UInt64(key))
            let (connection, _) = stage.open(inbound: &inbound)
            stage(.closed(connection, .closedByPeer, Traffic()))
        }
        var asker = Guest(2)
        let (connection, _) = stage.open(inbound: &asker)
        for (limit, count) in [(127, 127), (1, 1)] {
            stage.core.configuration.maxSentPeers = limit
            let effects = stage(.received(asker.seal(.peerReq, at: stage.timestamp), on: connection))
            guard case .peerRes(let answer)? = effects.messages(on: connection).first else {
                return #expect(Bool(false), "no answer")
            }
            let peers = answer.peers.map(\.peerID)
            #expect(peers.count == count && peers.contains(verified.peer))
            #expect(!peers.contains(asker.peer) && !peers.contains(identity(1).peerID))
            stage.wait(.seconds(11))
        }
    }

    @Test func `peers on another than the standard port are neither told nor dialled`() {
        var stage = CoreStage.ready()
        var odd = Guest(3, .text, at: SocketAddress(IPAddress(127, 1, 0, 3), 7000))
        stage.open(outbound: &odd)
        stage.core.configuration.dialect = nil
        var asker = Guest(2, .text)
        let (connection, _) = stage.open(inbound: &asker)
        let answer = stage(.received(asker.seal(.peerReq, at: stage.timestamp), on: connection))
        #expect(answer.messages(on: connection, .text) == [peerRes([])])
        let entry = PeerEntry(ip: IPAddress(127, 1, 0, 9), port: 7000, peerID: identity(9).peerID)
        let effects = stage(.received(asker.seal(peerRes([entry]), at: stage.timestamp), on: connection))
        #expect(effects.lines("peer_exchange").first?.int("new") == 0 && effects.dials.isEmpty)
    }

    @Test func `only what was asked for, once and within 10 s, is used`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage.wait(.milliseconds(10_001))
        var effects = stage(.received(guest.seal(peerRes(entries(10...11)), at: stage.timestamp), on: connection))
        #expect(effects.lines("peers_unsolicited").count == 1 && effects.dials.isEmpty)
        #expect(stage.wait(.seconds(2)).messages(on: connection).contains(.peerReq), "the first round, after 11 s")
        for isFirst in [true, false] {
            effects = stage(.received(guest.seal(peerRes(entries(10...11)), at: stage.timestamp), on: connection))
            #expect(effects.lines(isFirst ? "peer_exchange" : "peers_unsolicited").count == 1)
        }
        #expect(stage.core.links[connection] != nil)
    }

    @Test func `an answer may not lead us to ourselves, to the connected, or nowhere`() {
        var stage = CoreStage.ready { $0.allowPrivateAddresses = false }
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        let addresses = [
            IPAddress(0, 0, 0, 0), IPAddress(224, 0, 0, 1), IPAddress(255, 255, 255, 255), IPAddress(127, 0, 0, 9),
            IPAddress(10, 1, 2, 3), IPAddress(192, 168, 0, 1), IPAddress.anyV6,
        ]
        var told = addresses.map { PeerEntry(ip: $0, peerID: identity(50).peerID) }
        told.append(PeerEntry(ip: IPAddress(8, 8, 8, 8), peerID: identity(1).peerID))
        told.append(PeerEntry(ip: IPAddress(8, 8, 4, 4), peerID: guest.peer))
        told.append(PeerEntry(ip: IPAddress(9, 9, 9, 9), peerID: identity(51).peerID))
        let effects = stage(.received(guest.seal(peerRes(told), at: stage.timestamp), on: connection))
        #expect(effects.lines("peer_exchange").first?.int("new") == 1)
        #expect(effects.dials.map(\.destination) == [.address(SocketAddress(IPAddress(9, 9, 9, 9), 9097))])
    }

    @Test func `below the target three random peers are asked every 60 s`() {
        var stage = CoreStage.ready { $0.maxEnvelopesPerSecond = 1000 }
        var guests: [(ConnectionID, Guest)] = []
        for key in 2...7 {
            var guest = Guest(UInt64(key))
            guests.append((stage.open(inbound: &guest).connection, guest))
        }
        var rounds: [Int: Int] = [:]
        for second in 1...140 {
            let effects = stage.wait(.seconds(1))
            for index in guests.indices {
                let connection = guests[index].0
                let asked = effects.messages(on: connection).contains(.peerReq)
                if asked { rounds[second, default: 0] += 1 }
                stage(.received(guests[index].1.seal(.ping, at: stage.timestamp), on: connection))
            }
        }
        #expect(rounds.filter { $0.value > 1 } == [11: 3, 71: 3, 131: 3], "\(rounds)")
    }

    @Test func `below the target, when nothing is left to dial, the next peer is asked at once`() {
        var stage = CoreStage.ready { $0.targetOutbound = 1 }
        var asked = Guest(2)
        let (first, _) = stage.open(inbound: &asked)
        stage(.received(asked.seal(peerRes([]), at: stage.timestamp), on: first))
        var outbound = Guest(3)
        let (connection, _) = stage.open(outbound: &outbound)
        var next = Guest(4)
        let (other, opening) = stage.open(inbound: &next)
        #expect(!opening.messages(on: other).contains(.peerReq))
        stage.wait(.seconds(6))
        let lost = stage(.closed(connection, .reset, Traffic()))
        #expect(lost.dials.count > 0, "the lost peer first")
        guard let dial = lost.dials.first else { return }
        // Other inbound peers are in the book too; when all have failed, there is nobody left to dial.
        var failing = [dial.connection]
        var effects: [Effect] = []
        while let connection = failing.popLast() {
            effects = stage(.closed(connection, .refused, Traffic()))
            failing += effects.dials.map(\.connection)
        }
        #expect(effects.messages(on: other).contains(.peerReq))
    }
}
