import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Datagrams beyond the vectors (RFC 7574 digest).
@Suite struct DatagramTests {
    private let peers: [ChunkMessage] = [
        .peer(SocketAddress(.loopback, 6778)), .peer(SocketAddress(IPAddress(high: 1, low: 2), 6778)),
        .certifiedPeer(Bytes([1, 2, 3])), .certifiedPeer(Bytes()), .peerExchangeRequest,
    ]

    private func ranged(_ range: ChunkRange) -> [ChunkMessage] {
        [.ack(range, delay: .max), .have(range), .request(range), .cancel(range)]
    }

    private func expectSame(_ messages: [ChunkMessage], _ rules: ChunkRules) {
        let datagram = Datagram(channel: 7, messages)
        #expect(DatagramReading(datagram.bytes(rules), rules) == .datagram(datagram), "\(rules)")
    }

    @Test func `every message comes back in every addressing`() {
        for addressing in ChunkAddressing.allCases {
            for function in HashFunction.allCases {
                var rules = ChunkRules(.datagram, addressing, function)
                rules.signatureBytes = 64
                let node = Subtree(layer: 4, offset: 3)
                let hash = Bytes([UInt8](repeating: 5, count: function.octets))
                let signature = Bytes([UInt8](repeating: 6, count: 64))
                let messages: [ChunkMessage] =
                    peers + ranged(node.range) + [
                        .integrity(node, hash: hash), .signedIntegrity(node.range, time: 1, signature: signature),
                        .choke, .unchoke, .data(chunk: 77, time: 8, payload: Bytes([1])),
                    ]
                expectSame(messages, rules)
            }
        }
    }

    @Test func `a range that is no subtree goes as bins of its subtrees`() {
        for addressing in [ChunkAddressing.bins32, .bins64] {
            let rules = ChunkRules(.datagram, addressing, .sha1)
            let octets = Datagram(channel: 7, ranged(ChunkRange(0, 6))).bytes(rules)
            let parts = [ChunkRange(0, 3), ChunkRange(4, 5), ChunkRange(6)]
            let expected = (0..<4).flatMap { kind in parts.map { ranged($0)[kind] } }
            #expect(DatagramReading(octets, rules) == .datagram(Datagram(channel: 7, expected)))
        }
        let highest = ranged(ChunkRange(UInt64(UInt32.max)))
        expectSame(highest, ChunkRules(.datagram, .chunks32, .sha1))
        expectSame(ranged(ChunkRange(ChunkRange.highest)), ChunkRules(.datagram, .bins64, .sha1))
    }

    @Test func `no range is backwards or none`() {
        let cases: [(ChunkAddressing, String)] = [
            (.chunks32, "0300000002" + "00000001"), (.chunks64, "0300000000000000020000000000000001"),
            (.chunks64, "0300000000000000008000000000000000"), (.bins32, "03ffffffff"), (.bins64, "03ffffffffffffffff"),
            (.chunks32, "040000000100000002"), (.chunks32, "010000000000000001000000000000000001"),
        ]
        for (addressing, hex) in cases {
            let octets = Bytes([0, 0, 0, 7] + (Bytes(hex: hex) ?? []).array)
            guard case .broken(_, .invalid) = DatagramReading(octets, ChunkRules(.datagram, addressing, .sha1)) else {
                Issue.record("\(addressing) \(hex)")
                continue
            }
        }
    }

    @Test func `several DATA stand in one datagram when their size is known`() {
        var rules = ChunkRules(.datagram, .chunks32, .sha1)
        rules.chunkSize = 4
        let messages: [ChunkMessage] = [
            .data(chunk: 0, time: 0, payload: Bytes([1, 2, 3, 4])), .data(chunk: 1, time: 0, payload: Bytes([5, 6])),
        ]
        expectSame(messages, rules)
    }

    @Test func `options are in order, known, whole and ended`() {
        func broken(_ hex: String) -> DecodeError? {
            let octets = Bytes(hex: "00000000" + "00" + "00000001" + hex) ?? Bytes()
            guard case .broken(let datagram, let reason) = DatagramReading(octets, .opening) else { return nil }
            #expect(datagram.messages.isEmpty)
            return reason
        }
        #expect(broken("ff") == nil)
        #expect(broken("0001" + "0101" + "ff") == nil)
        #expect(broken("0101" + "0001" + "ff") == .invalid(field: "option order"))
        #expect(broken("0001" + "0001" + "ff") == .invalid(field: "option order"))
        #expect(broken("0a" + "00000000000000000000000000000000" + "ff") == .invalid(field: "option 10"))
        #expect(broken("020000" + "ff") == .invalid(field: "swarm ID length"))
        #expect(broken("07ffffffff" + "ff") == .invalid(field: "discard window"))
        #expect(broken("0604" + "07ffffffff" + "ff") == .truncated(field: "discard window"))
        #expect(broken("0001") == .truncated(field: "option"))
    }

    @Test func `a second handshake, and what follows an addressing that is not spoken, is discarded`() {
        let second = Bytes(hex: "00000000" + "0000000001ff" + "0a" + "0000000001ff") ?? Bytes()
        guard case .broken(let datagram, .invalid(field: "second handshake")) = DatagramReading(second, .opening) else {
            Issue.record("\(DatagramReading(second, .opening))")
            return
        }
        #expect(datagram.messages == [.handshake(Handshake(channel: 1)), .choke])
        for code: UInt8 in [1, 5] {
            var handshake = Handshake(channel: 1)
            handshake.addressing = code
            let alone = Datagram(channel: 0, [.handshake(handshake)])
            let octets = alone.bytes(.opening)
            #expect(DatagramReading(octets, .opening) == .datagram(alone))
            #expect(
                DatagramReading(Bytes(octets.array + [10]), .opening)
                    == .broken(alone, .invalid(field: "chunk addressing")))
        }
    }

    @Test func `what follows a handshake is read as that says`() {
        var handshake = Handshake(channel: 1)
        (handshake.hashFunction, handshake.addressing, handshake.chunkSize) = (0, 4, Handshake.variableChunkSize)
        let hash = Bytes([UInt8](repeating: 9, count: 20))
        let datagram = Datagram(
            channel: 0,
            [.handshake(handshake), .integrity(Subtree(leaf: 1 << 40), hash: hash), .have(ChunkRange(0, 9))])
        #expect(DatagramReading(datagram.bytes(.opening), .opening) == .datagram(datagram))
    }

    @Test func `the dialect before the RFC is told apart`() {
        let root = Bytes([UInt8](repeating: 3, count: 20))
        let old = Bytes([0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff] + root.array + [0, 0, 0, 0, 9])
        #expect(DatagramReading(old, .opening) == .oldDialect(root: root))
        #expect(DatagramReading(Bytes([0, 0, 0, 1] + old.array.dropFirst(4)), .opening) != .oldDialect(root: root))
        guard case .broken = DatagramReading(old.slice(0..<28), .opening) else {
            Issue.record("cut")
            return
        }
    }

    @Test func `a handshake tells which messages are spoken, and closes with channel 0`() {
        var handshake = Handshake(channel: 3)
        #expect(handshake.supports(13) && !handshake.isClose && Handshake.close.isClose)
        handshake.supportedMessages = Bytes([0xff, 0xf0])
        #expect((0...11).allSatisfy(handshake.supports) && !handshake.supports(12) && !handshake.supports(200))
        #expect(Datagram(channel: 5, [.handshake(.close)]).bytes(.opening).hex == "000000050000000000ff")
    }

    @Test func `random octets are never more than broken`() {
        var random = SeededRandom(7)
        for addressing in ChunkAddressing.allCases {
            let rules = ChunkRules(.datagram, addressing, .sha1)
            for _ in 0..<2000 {
                let noise = random.bytes(Int.random(in: 0...60, using: &random)).array
                let octets = Bytes(noise.enumerated().map { $0 == 4 ? $1 % 14 : $1 })
                guard case .datagram(let datagram) = DatagramReading(octets, rules) else { continue }
                #expect(DatagramReading(datagram.bytes(rules), rules) == .datagram(datagram), "\(octets)")
            }
        }
    }
}
