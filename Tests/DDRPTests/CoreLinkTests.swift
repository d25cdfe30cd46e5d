import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// DDRP sections 9, 10 and 12: open connections, and how they end.
@Suite struct CoreLinkTests {
    private static let signatureBytes = 65

    @Test func `a Ping goes out every 5 s, the first 5 s after opening`() {
        for dialect in Dialect.allCases {
            var stage = CoreStage.ready()
            var guest = Guest(2, dialect)
            let (connection, _) = stage.open(inbound: &guest)
            var pings: [Int64] = []
            for second in 1...16 {
                let messages = stage.wait(.seconds(1)).messages(on: connection, dialect)
                if messages.contains(.ping) { pings.append(Int64(second)) }
                stage(.received(guest.seal(.ping, at: stage.timestamp), on: connection))
            }
            #expect(pings == [5, 10, 15])
        }
    }

    @Test func `a peer is down 30 to 31.5 s after its last valid envelope, whatever it was`() {
        let messages: [Message] = [.ping, .peerReq, .unknown(code: 99), .helloAck(HelloAck(nonce: .zero))]
        for message in messages {
            var stage = CoreStage.ready()
            var guest = Guest(2)
            let (connection, _) = stage.open(inbound: &guest)
            stage.wait(.seconds(20))
            stage(.received(guest.seal(message, at: stage.timestamp), on: connection))
            #expect(stage.wait(.seconds(30)).lines("peer_down").isEmpty)
            let effects = stage.wait(.milliseconds(1500))
            #expect(effects.abortion(of: connection) == .silent)
            let line = effects.lines("peer_down").first
            #expect(line?.string("reason") == "silent" && line?.double("seconds") == 50.5)
        }
    }

    @Test func `half an envelope is no sign of life`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage.wait(.seconds(10))
        stage(.received(guest.seal(.ping, at: stage.timestamp).slice(0..<40), on: connection))
        #expect(stage.wait(.milliseconds(21_500)).lines("peer_down").count == 1)
    }

    @Test func `the time by which we were late is given to the peers`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage.wait(.seconds(4))
        let stamp = stage.timestamp
        stage.move(to: stage.now.instant + .seconds(40))
        stage(.resumed(gap: .seconds(40)))
        #expect(stage(.deadline).lines("peer_down").isEmpty)
        // What waited for us was stamped before the gap.
        #expect(stage(.received(guest.seal(.ping, at: stamp + 1), on: connection)).lines("peer_down").isEmpty)
        #expect(stage.wait(.seconds(30)).lines("peer_down").isEmpty)
        #expect(stage.wait(.milliseconds(1500)).lines("peer_down").count == 1)
    }

    @Test func `envelopes that are stale because they were stopped end the connection with reason clock, never a ban`()
    {
        var stage = CoreStage.ready()
        for _ in 0..<4 {
            var guest = Guest(2)
            let (connection, _) = stage.open(inbound: &guest)
            let effects = stage(.received(guest.seal(.ping, at: stage.timestamp - 31), on: connection))
            let line = effects.lines("peer_down").first
            #expect(line?.string("reason") == "clock" && line?.int("clockOffsetSeconds") == -31)
            #expect(effects.bans.isEmpty && effects.lines("violation").isEmpty)
            stage.wait(.seconds(1))
        }
    }

    @Test func `the third violation within an hour bans the address for 10 minutes`() {
        let spoils: [(String, @Sendable (Bytes) -> Bytes)] = [
            ("malformed", { Bytes([0] + $0.dropping(1).array) }),
            (
                "bad_signature",
                { Bytes(Array($0.prefix($0.count - Self.signatureBytes)) + Array(repeating: 0, count: 65)) }
            ),
        ]
        for (reason, spoil) in spoils {
            var stage = CoreStage.ready()
            for round in 1...3 {
                var guest = Guest(2)
                let (connection, _) = stage.open(inbound: &guest)
                let effects = stage(.received(spoil(guest.seal(.ping, at: stage.timestamp)), on: connection))
                #expect(effects.abortion(of: connection)?.rawValue == reason)
                #expect(effects.lines("violation").first?.int("count") == Int64(round))
                #expect(effects.bans == (round == 3 ? [IPPrefix(guest.address.ip)] : []))
                stage.wait(.seconds(60))
            }
            guard case .ban(_, let until, _)? = stage.history.last(where: { if case .ban = $0 { true } else { false } })
            else { return #expect(Bool(false), "no ban") }
            #expect(until == stage.now.wallClock + .seconds(540))
        }
    }

    @Test func `violations more than an hour apart do not ban`() {
        var stage = CoreStage.ready()
        for _ in 1...4 {
            var guest = Guest(2)
            let (connection, _) = stage.open(inbound: &guest)
            #expect(stage(.received(Bytes(utf8: "nonsense"), on: connection)).bans.isEmpty)
            stage.wait(.seconds(1801))
        }
    }

    @Test func `more than 200 envelopes a second for 5 s is flooding, a burst is not`() {
        var stage = CoreStage.ready { $0.maxEnvelopesPerSecond = 20 }
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        func ping(_ count: Int, _ stage: inout CoreStage) -> [Effect] {
            let envelope = guest.seal(.ping, at: stage.timestamp).array
            let burst = Bytes(Array(repeatElement(envelope, count: count).joined()))
            return stage(.received(burst, on: connection))
        }
        #expect(ping(200, &stage).bans.isEmpty)
        stage.wait(.seconds(3))
        for _ in 0..<8 {
            #expect(ping(10, &stage).bans.isEmpty)
            stage.wait(.milliseconds(500))
        }
        for _ in 0..<10 {
            #expect(ping(11, &stage).bans.isEmpty)
            stage.wait(.milliseconds(500))
        }
        let effects = ping(11, &stage)
        #expect(effects.bans == [IPPrefix(guest.address.ip)] && effects.abortion(of: connection) == .flooding)
    }

    @Test func `an UpdateReq is answered with NilUpdate in R, and ignored in T`() throws {
        guard let name = BlobName(Bytes(utf8: "alphaname")) else { return #expect(Bool(false), "no name") }
        for dialect in Dialect.allCases {
            var stage = CoreStage.ready()
            var guest = Guest(2, dialect)
            let (connection, _) = stage.open(inbound: &guest)
            let effects = stage(
                .received(guest.seal(.updateReq(UpdateReq(name: name)), at: stage.timestamp), on: connection))
            let answer: [Message] = dialect == .reference ? [.nilUpdate(NilUpdate(name: name))] : []
            #expect(effects.messages(on: connection, dialect) == answer)
        }
    }

    @Test func `unknown types are ignored and counted`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage(.received(guest.seal(.unknown(code: 12), at: stage.timestamp), on: connection))
        stage(.received(guest.seal(.unknown(code: 99), at: stage.timestamp), on: connection))
        #expect(stage.core.links[connection] != nil && stage.core.status().first?.int("unknownMessages") == 2)
    }

    @Test func `the end of a connection is one line with reason, seconds and octets both ways`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage.wait(.seconds(5))
        let sent = stage.history.reduce(into: 0) { sum, effect in
            if case .send(let bytes, on: connection) = effect { sum += bytes.count }
        }
        let effects = stage(.ended(connection))
        #expect(effects.finishes(connection))
        #expect(
            effects.lines("peer_down") == [
                [
                    "peer": .text(guest.peer), "address": "127.1.0.2:40000", "reason": "closed_by_peer", "seconds": 5.0,
                    "received": 293, "sent": .count(sent),
                ]
            ])
        #expect(stage(.closed(connection, .finished, Traffic())).isEmpty)
    }

    @Test func `no more than maxInbound connections, and the limit is told once a minute`() {
        var stage = CoreStage.ready { $0.maxInbound = 2 }
        for key in 2...3 {
            var guest = Guest(UInt64(key))
            stage.open(inbound: &guest)
        }
        let (fourth, effects) = stage.accept(from: Guest.address(4))
        #expect(effects.abortion(of: fourth) == .limit)
        #expect(effects.lines("limit_hit") == [["setting": "/ddrp/maxInbound", "value": 2]])
        #expect(stage.accept(from: Guest.address(5)).1.lines("limit_hit").isEmpty)
    }

    @Test func `a stop says goodbye to all and saves the book`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        let (pending, _) = stage.accept(from: Guest.address(3))
        let effects = stage(.stop)
        #expect(effects.finishes(connection) && effects.abortion(of: pending) == .shutdown)
        #expect(effects.lines("peer_down").first?.string("reason") == "shutdown")
        #expect(effects.lines("book_saved").count == 1 && stage.core.nextDeadline == nil)
    }
}
