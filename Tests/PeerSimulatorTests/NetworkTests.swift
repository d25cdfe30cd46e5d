internal import PeerCore
internal import PeerSimulator
import Testing
internal import TestSupport

/// The network as a value: what loopback does not show.
struct NetworkTests {
    private func ms(_ instant: Instant) -> Int64 { instant.nanoseconds / 1_000_000 }

    @Test func `a dial takes one way there and one way back`() throws {
        let stage = Stage(network: NetworkModel(delay: .milliseconds(30) ... .milliseconds(30)))
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .stream))
        stage.give(
            stage.a, .connect(a1001, to: .address(Stage.door), from: nil, timeout: .seconds(10)))
        _ = stage.heard(stage.b)
        var told: [String: Int64] = [:]
        stage.simulator.onTurn = { turn in
            switch turn.input {
            case .connected: told["connected"] = turn.moment.instant.nanoseconds / 1_000_000
            case .accepted: told["accepted"] = turn.moment.instant.nanoseconds / 1_000_000
            default: break
            }
        }
        try stage.simulator.run(for: .seconds(1))
        #expect(told == ["connected": 60, "accepted": 90])
    }

    @Test func `each direction has a delay of its own within the range, the same for all packets`() throws {
        var delays: Set<Int64> = []
        for seed in 1...10 as ClosedRange<UInt64> {
            let stage = Stage(seed: seed, network: NetworkModel(delay: .milliseconds(10) ... .milliseconds(90)))
            stage.openDatagrams()
            var took: [NodeID: Set<Int64>] = [:]
            for node in [stage.a, stage.b] {
                let other = node == stage.a ? Stage.door : SocketAddress(Stage.ipOfA, 4000)
                for _ in 0..<3 {
                    let sent = stage.simulator.now
                    var arrived: Instant?
                    stage.simulator.onTurn = { turn in
                        if case .datagram = turn.input { arrived = turn.moment.instant }
                    }
                    stage.give(node, .sendDatagram(text("x"), from: Stage.post, to: other))
                    try stage.simulator.run(for: .seconds(1))
                    took[node, default: []].insert(((try #require(arrived)) - sent).nanoseconds)
                }
            }
            try #require(took[stage.a]?.count == 1 && took[stage.b]?.count == 1 && took[stage.a] != took[stage.b])
            delays.formUnion(took.values.joined())
        }
        #expect(delays.count == 20 && delays.allSatisfy { (10_000_000...90_000_000).contains($0) })
    }

    @Test func `datagrams are lost, doubled and overtaken as often as the model says`() throws {
        var network = NetworkModel(delay: .milliseconds(10) ... .milliseconds(10), jitter: .milliseconds(5))
        network.loss = 0.1
        network.duplication = 0.05
        network.reordering = 0.02
        let stage = Stage(network: network)
        stage.openDatagrams()
        for number in 0..<10_000 {
            stage.give(stage.a, .sendDatagram(text("\(number)"), from: Stage.post, to: Stage.door))
            try stage.simulator.run(for: .milliseconds(1))
        }
        let numbers = try stage.heard(stage.b, in: .seconds(1)).compactMap { input -> Int? in
            if case .datagram(let bytes, _, _) = input { bytes.text.flatMap { Int($0) } } else { nil }
        }
        let overtaken = zip(numbers, numbers.dropFirst()).count { $0 > $1 }
        #expect((8_700...9_300).contains(Set(numbers).count))
        #expect((350...600).contains(numbers.count - Set(numbers).count))
        #expect(overtaken > 500)
        #expect(stage.simulator.datagrams.sent == 10_000)
        #expect(stage.simulator.datagrams.delivered == UInt64(numbers.count))
    }

    @Test func `octets of a stream stay whole and in order under any split`() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            let stage = Stage(seed: seed, network: .hostile)
            try stage.connect()
            let all = Bytes((0..<5000).map { UInt8(truncatingIfNeeded: $0 * 7) })
            for start in stride(from: 0, to: 5000, by: 500) {
                stage.give(stage.a, .send(all.slice(start..<start + 500), on: a1001))
            }
            var chunks: [Int] = []
            var received: [UInt8] = []
            for input in try stage.heard(stage.b, in: .seconds(2)) {
                guard case .received(let bytes, b1) = input else { continue }
                received += bytes
                chunks.append(bytes.count)
            }
            #expect(Bytes(received) == all)
            #expect(chunks.contains { $0 != 500 }, "seed \(seed): no split, no join")
        }
    }

    @Test func `a node with little bandwidth takes its time`() throws {
        var network = NetworkModel()
        network.bandwidth = 1_000_000
        let stage = Stage(network: network)
        try stage.connect()
        let start = stage.simulator.now
        stage.give(stage.a, .send(zeros(900_000), on: a1001))
        var received = 0
        stage.simulator.onTurn = { turn in
            if case .received(let bytes, _) = turn.input { received += bytes.count }
        }
        #expect(try stage.simulator.run(for: .seconds(9), until: { received == 900_000 }))
        #expect((900...1200).contains(ms(stage.simulator.now) - ms(start)))
    }

    @Test func `a dial that nobody answers fails after its time-out`() throws {
        let stage = Stage()
        let nowhere = SocketAddress(IPAddress(10, 9, 9, 9), 1)
        stage.give(stage.a, .connect(a1001, to: .address(nowhere), from: nil, timeout: .seconds(3)))
        #expect(try stage.heard(stage.a, in: .milliseconds(2999)) == [])
        #expect(try stage.heard(stage.a, in: .milliseconds(1)) == [.closed(a1001, .timeout, Traffic())])
    }

    @Test func `a dial to a family that the machine has no address of is unreachable`() throws {
        let stage = Stage()
        let address = try #require(SocketAddress("[2001:db8::1]:1"))
        stage.give(stage.a, .connect(a1001, to: .address(address), from: nil, timeout: .seconds(3)))
        #expect(try stage.heard(stage.a, in: .zero) == [.closed(a1001, .unreachable, Traffic())])
    }

    @Test func `names come from the table, after the time of a look-up`() throws {
        let stage = Stage()
        stage.simulator.names["b.example"] = [Stage.ipOfB, IPAddress(10, 0, 0, 9)]
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .stream))
        stage.give(
            stage.a, .resolve(RequestID(1), name: "B.Example"), .resolve(RequestID(2), name: "none.example"),
            .connect(a1001, to: .name("b.example", port: 4000), from: nil, timeout: .seconds(3)),
            .connect(ConnectionID(1002), to: .name("none.example", port: 1), from: nil, timeout: .seconds(3)))
        #expect(stage.heard(stage.a) == [])
        let heard = Set(try stage.heard(stage.a, in: .seconds(1)).map { "\($0)".prefix(12) })
        #expect(heard == ["resolved(r1,", "resolved(r2,", "connected(c1", "closed(c1002"])
    }

    @Test func `a dial is answered when the network heals before its time-out`() throws {
        let stage = Stage()
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .stream))
        stage.simulator.partition([[stage.a]])
        try stage.dial(1001)
        #expect(stage.heard(stage.a) == [])
        stage.simulator.heal()
        let heard = try stage.heard(stage.a, in: .seconds(4))
        guard case .connected = heard.first else { throw Unexpected(inputs: heard) }
    }

    @Test func `a partition holds streams back and loses datagrams, until it heals`() throws {
        let stage = Stage()
        try stage.connect()
        stage.openDatagrams()
        stage.simulator.partition([[stage.a], [stage.b]])
        stage.give(
            stage.a, .send(text("one "), on: a1001), .sendDatagram(text("lost"), from: Stage.post, to: Stage.door))
        try stage.simulator.run(for: .seconds(60))
        stage.give(stage.a, .send(text("two"), on: a1001))
        #expect(try stage.heard(stage.b, in: .seconds(60)) == [])
        stage.simulator.heal()
        let heard = try stage.heard(stage.b, in: .seconds(3))
        #expect(heard == [.received(text("one two"), on: b1)] || heard.count == 2)
        #expect(stage.simulator.datagrams.lost == 1)
    }

    @Test func `a stream that gets nothing through for a quarter of an hour times out`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.partition([[stage.a]])
        stage.give(stage.a, .send(text("hello?"), on: a1001))
        #expect(try stage.heard(stage.a, in: .seconds(924)) == [])
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.closed(a1001, .timeout, traffic(sent: 6))])
        stage.simulator.heal()
        #expect(try stage.heard(stage.b, in: .seconds(10)) == [.received(text("hello?"), on: b1)])
        stage.give(stage.b, .send(text("answer"), on: b1))
        #expect(
            try stage.heard(stage.b, in: .seconds(1)) == [.closed(b1, .reset, traffic(received: 6, sent: 6))])
    }

    @Test func `a node with new addresses hears of them, and its connections get nothing through`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.setAddresses(of: stage.a, to: [IPAddress(10, 0, 0, 7)])
        #expect(stage.heard(stage.a) == [.interfaces([IPAddress(10, 0, 0, 7)])])
        stage.give(stage.a, .send(text("from the old address"), on: a1001))
        #expect(try stage.heard(stage.b, in: .seconds(60)) == [])
        try stage.dial(1002)
        guard case .connected(_, let local, _) = stage.heard(stage.a).first else { throw Unexpected(inputs: []) }
        #expect(local.ip == IPAddress(10, 0, 0, 7))
    }

    struct Unexpected: Error {
        let inputs: [Input]
    }
}
