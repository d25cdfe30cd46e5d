import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// DDRP section 8: the handshake of both roles.
@Suite struct CoreHandshakeTests {
    @Test(arguments: Dialect.allCases)
    func `a responder answers Hello with Hello and is open with HelloAck`(dialect: Dialect) {
        var stage = CoreStage.ready()
        var guest = Guest(2, dialect)
        let (connection, effects) = stage.open(inbound: &guest)
        let hello = effects.hello(on: connection, dialect)
        #expect(hello?.remoteNonce == secret(77) && hello?.protocolVersion == 1)
        #expect(hello?.userAgent == Bytes(utf8: "peernode/test") && hello?.localNonce != .zero)
        let line = effects.lines("peer_up")
        #expect(
            line == [
                [
                    "peer": .text(guest.peer), "address": "127.1.0.2:40000", "direction": "inbound", "protocol": "ddrp",
                    "agent": "guest/1", "dialect": .string(dialect.rawValue),
                ]
            ])
        #expect(stage.core.links[connection]?.peer == guest.peer && stage.core.responders.isEmpty)
    }

    @Test(arguments: Dialect.allCases)
    func `an initiator sends Hello and HelloAck and is open`(dialect: Dialect) {
        var stage = CoreStage.ready { $0.dialect = dialect }
        var guest = Guest(2, dialect)
        let (connection, effects) = stage.open(outbound: &guest)
        let messages = effects.messages(on: connection, dialect)
        #expect(messages.count == 3, "Hello, HelloAck, and at once a PeerReq: \(messages.map(\.name))")
        #expect(effects.hello(on: connection, dialect)?.remoteNonce == .zero)
        #expect(messages.dropFirst().first == .helloAck(HelloAck(nonce: secret(77))))
        #expect(effects.lines("peer_up").first?.string("direction") == "outbound")
        #expect(stage.core.links[connection]?.peer == guest.peer && stage.core.initiators.isEmpty)
    }

    @Test func `a text Hello tells where we listen`() {
        var stage = CoreStage.ready()
        var guest = Guest(2, .text)
        let (connection, effects) = stage.open(inbound: &guest)
        #expect(effects.hello(on: connection, .text)?.external == CoreStage.ownAddress)
    }

    @Test func `a handshake and what follows it may come in one segment, or octet by octet`() {
        for isWhole in [true, false] {
            var stage = CoreStage.ready()
            var guest = Guest(2)
            let (connection, _) = stage.accept(from: guest.address)
            let time = stage.timestamp
            func feed(_ bytes: Bytes, _ stage: inout CoreStage) -> [Effect] {
                if isWhole { return stage(.received(bytes, on: connection)) }
                return bytes.indices.flatMap { stage(.received(bytes.slice($0..<$0 + 1), on: connection)) }
            }
            let answer = feed(guest.hello(at: time), &stage)
            guard let hello = answer.hello(on: connection) else { return #expect(Bool(false), "no Hello") }
            let rest = guest.ack(hello.localNonce, at: time).array + guest.seal(.ping, at: time).array
            let effects = feed(Bytes(rest + guest.seal(.peerReq, at: time).array), &stage)
            #expect(effects.messages(on: connection).contains(.peerRes(PeerRes(peers: []))))
            #expect(stage.core.links[connection]?.received.messages == 2)
        }
    }

    /// What is wrong with a responder's input, and what the one line says. A Ping of R looks like a T Hello of 1971.
    private static let refusals:
        [(name: String, step: String, reason: String, spoil: @Sendable (inout Guest, UInt32) -> Bytes)] = [
            ("type", "hello", "clock", { guest, time in guest.seal(.ping, at: time) }),
            ("magic", "hello", "malformed", { _, _ in Bytes(utf8: "GET / HTTP/1.1\r\n") }),
            ("31 s late", "hello", "clock", { guest, time in guest.hello(at: time - 31) }),
            ("31 s early", "hello", "clock", { guest, time in guest.hello(at: time + 31) }),
            (
                "signature", "hello", "bad_signature",
                { guest, time in
                    var other = Guest(99)
                    let key = guest.identity.key.publicKey
                    return other.hello(at: time) { hello in
                        hello = Hello(localNonce: hello.localNonce, publicKey: key, userAgent: hello.userAgent)
                    }
                }
            ),
            ("version", "hello", "version", { guest, time in guest.hello(at: time) { $0.protocolVersion = 2 } }),
            (
                "long body", "hello", "malformed",
                { guest, time in
                    guest.hello(at: time) { $0.userAgent = Bytes(Array(repeating: 65, count: 4000)) }
                }
            ),
        ]

    @Test func `the first check that fails ends the handshake with one line`() {
        for (name, step, reason, spoil) in Self.refusals {
            var stage = CoreStage.ready()
            var guest = Guest(2)
            let (connection, _) = stage.accept(from: guest.address)
            let effects = stage(.received(spoil(&guest, stage.timestamp), on: connection))
            let lines = effects.lines("handshake_refused")
            #expect(lines.count == 1 && lines.first?.string("role") == "responder", "\(name)")
            #expect(lines.first?.string("step") == step && lines.first?.string("reason") == reason, "\(name)")
            #expect(lines.first?.string("address") == "127.1.0.2:9097", "\(name)")
            #expect(effects.abortion(of: connection)?.rawValue == reason && effects.bans.isEmpty, "\(name)")
            #expect(stage.core.responders.isEmpty && stage.core.links.isEmpty, "\(name)")
        }
    }

    @Test func `the limits of the window itself are good, and the offset is logged`() {
        for offset in [-30, 30] {
            var stage = CoreStage.ready()
            var guest = Guest(2)
            let (connection, _) = stage.accept(from: guest.address)
            let time = UInt32(Int(stage.timestamp) + offset)
            #expect(stage(.received(guest.hello(at: time), on: connection)).hello(on: connection) != nil)
        }
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.accept(from: guest.address)
        let effects = stage(.received(guest.hello(at: stage.timestamp - 7190), on: connection))
        #expect(effects.lines("handshake_refused").first?.int("clockOffsetSeconds") == -7190)
    }

    @Test func `a HelloAck is checked for type, signer and nonce`() {
        let cases: [(String, (inout Guest, Bytes32, UInt32) -> Bytes)] = [
            ("protocol_violation", { guest, _, time in guest.seal(.ping, at: time) }),
            ("clock", { guest, nonce, time in guest.ack(nonce, at: time - 31) }),
            (
                "bad_signature",
                { _, nonce, time in
                    var other = Guest(99)
                    return other.ack(nonce, at: time)
                }
            ),
            ("protocol_violation", { guest, _, time in guest.ack(.zero, at: time) }),
        ]
        for (reason, spoil) in cases {
            var stage = CoreStage.ready()
            var guest = Guest(2)
            let (connection, _) = stage.accept(from: guest.address)
            let hello = stage(.received(guest.hello(at: stage.timestamp), on: connection)).hello(on: connection)
            guard let nonce = hello?.localNonce else { return #expect(Bool(false), "no Hello") }
            let effects = stage(.received(spoil(&guest, nonce, stage.timestamp), on: connection))
            let line = effects.lines("handshake_refused").first
            #expect(line?.string("step") == "hello_ack" && line?.string("reason") == reason)
            #expect(line?.string("peer") == guest.peer.hex)
        }
    }

    @Test func `an initiator refuses a Hello that does not carry its nonce`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (id, list) = stage.command("connect", ["address": .text(guest.address)])
        guard let dial = list.dials.first else { return #expect(Bool(false), "no dial") }
        stage(.connected(dial.connection, local: CoreStage.ownAddress, remote: guest.address))
        let effects = stage(.received(guest.hello(remote: secret(5), at: stage.timestamp), on: dial.connection))
        let line = effects.lines("handshake_refused").first
        #expect(line?.string("role") == "initiator" && line?.string("reason") == "protocol_violation")
        #expect(effects.lines("dial_failed").count == 1)
        #expect(
            effects.answer(to: id)?.outcome
                == .refused("no connection with 127.1.0.2:9097: the Hello does not carry our nonce"))
    }

    @Test func `a responder waits 5 s in all, an initiator 2 s for the Hello`() {
        var stage = CoreStage.ready { $0.dialect = .reference }
        let (inbound, _) = stage.accept(from: Guest.address(3))
        #expect(stage.wait(.milliseconds(4999)).abortion(of: inbound) == nil)
        #expect(stage.wait(.milliseconds(1)).abortion(of: inbound) == .timeout)
        let list = stage.command("connect", ["address": "127.1.0.2:9097"]).effects
        guard let dial = list.dials.first else { return #expect(Bool(false), "no dial") }
        stage(.connected(dial.connection, local: CoreStage.ownAddress, remote: Guest.address(2)))
        #expect(stage.wait(.milliseconds(1999)).abortion(of: dial.connection) == nil)
        let effects = stage.wait(.milliseconds(1))
        #expect(effects.abortion(of: dial.connection) == .timeout)
        #expect(effects.lines("handshake_refused").first?.string("reason") == "timeout")
    }

    @Test func `a recorded HelloAck is of no use from another address`() {
        // The body of R is not signed: with the nonce changed, a recorded HelloAck is good for any handshake.
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let first = stage.open(inbound: &guest).connection
        stage(.closed(first, .closedByPeer, Traffic()))
        var thief = Guest(guest.identity, .reference, at: Guest.address(3), agent: "thief")
        #expect(stage.open(inbound: &thief).effects.lines("handshake_refused").count == 1)
        #expect(stage.open(inbound: &guest).effects.lines("peer_up").count == 1)
        stage.wait(.seconds(1))
        guest = Guest(guest.identity, .reference, at: Guest.address(4), agent: "moved")
        let effects = stage.open(inbound: &guest).effects
        #expect(effects.lines("duplicate").count == 1, "another second is another handshake")
    }

    @Test func `a probe of a bootstrap server is logged at debug`() {
        var stage = CoreStage.ready()
        let (connection, _) = stage.accept(from: Guest.address(3))
        let effects = stage(.closed(connection, .closedByPeer, Traffic()))
        guard case .log(let line)? = effects.first else { return #expect(Bool(false), "no line") }
        #expect(line.level == .debug && stage.core.responders.isEmpty)
    }

    @Test func `no more than 12 handshakes from one prefix, and the oldest makes room`() {
        var stage = CoreStage.ready()
        let near = (1...12).map { stage.accept(from: SocketAddress(IPAddress(192, 0, 2, UInt8($0)), 1)).0 }
        let (_, effects) = stage.accept(from: SocketAddress(IPAddress(192, 0, 2, 200), 1))
        #expect(effects.abortion(of: near[0]) == .limit && stage.core.responders.count == 12)
        #expect(effects.lines("limit_hit").first == ["setting": "/ddrp/maxPendingInbound", "value": 12])
        for number in 0..<20 { _ = stage.accept(from: SocketAddress(IPAddress.loopback, 1000 + UInt16(number))) }
        #expect(stage.core.responders.count == 32, "loopback has no prefix limit")
    }

    @Test func `handshakes that ended take no memory while another one lasts`() {
        var stage = CoreStage.ready()
        _ = stage.accept(from: Guest.address(2))
        for number in 0..<1000 {
            let (connection, _) = stage.accept(from: SocketAddress(.loopback, 1000 + UInt16(number)))
            stage(.closed(connection, .closedByPeer, Traffic()))
        }
        let tables = Mirror(reflecting: stage.core.pendingInbound).children.map { Mirror(reflecting: $0.value) }
        #expect(stage.core.responders.count == 1 && tables.contains { $0.displayStyle == .collection })
        #expect(tables.allSatisfy { $0.children.count <= 65 })
    }

    @Test func `no more than 1,024 handshakes in all`() {
        var stage = CoreStage.ready()
        var connections: [ConnectionID] = []
        for number in 0..<1024 {
            let ip = IPAddress(v4: 0x0a00_0000 + UInt32(number) << 8)
            connections.append(stage.accept(from: SocketAddress(ip, 1)).0)
        }
        stage(.closed(connections[0], .reset, Traffic()))
        _ = stage.accept(from: SocketAddress(IPAddress(8, 8, 8, 8), 1))
        let (_, effects) = stage.accept(from: SocketAddress(IPAddress(9, 9, 9, 9), 1))
        #expect(effects.abortion(of: connections[1]) == .limit && stage.core.responders.count == 1024)
    }
}
