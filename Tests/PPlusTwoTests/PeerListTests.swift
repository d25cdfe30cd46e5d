import PeerCore
import Testing

@testable import PPlusTwo

/// The list of known peers: who is asked when, who is told of, who leaves (P+2 section 4).
struct PeerListTests {
    private let a = identity("127.0.0.1:18000")
    private let b = identity("127.0.0.1:18010")
    private let c = identity("127.0.0.1:18020")

    /// Answers the last dial as a peer does.
    private func answer(_ stage: inout CoreStage, _ text: String) {
        guard let connection = stage.core.exchange?.connection else { return }
        stage(.connected(connection, local: SocketAddress(.loopback, 50_001), remote: SocketAddress(.loopback, 1)))
        stage(.received(Bytes(utf8: text), on: connection))
        stage(.ended(connection))
        stage(.closed(connection, .finished, Traffic()))
    }

    private func refuse(_ stage: inout CoreStage) {
        guard let connection = stage.core.exchange?.connection else { return }
        stage(.closed(connection, .refused, Traffic()))
    }

    private func dials(_ stage: CoreStage) -> [String] {
        stage.dials.map { "\($0.at.nanoseconds / 1_000_000_000) \($0.to)" }
    }

    @Test func `one list is asked for every ten seconds, of the peer that was asked longest ago`() {
        var stage = CoreStage.ready(knows: [a])
        answer(&stage, "\(b)\n\(c)\n")
        for _ in 0..<3 {
            stage.wait(.seconds(10))
            answer(&stage, "")
        }
        #expect(dials(stage) == ["0 \(a)", "10 \(b)", "20 \(c)", "30 \(a)"])
    }

    @Test func `no second dial is begun while one is open, however long that takes`() {
        var stage = CoreStage.ready(knows: [a, b])
        stage.wait(.seconds(25))
        #expect(dials(stage) == ["0 \(a)"])
        refuse(&stage)
        #expect(dials(stage) == ["0 \(a)", "25 \(b)"])
    }

    @Test func `nobody is called before all three ports are open and the saved list is there`() {
        var stage = CoreStage.ready()
        stage = CoreStage(stage.core.configuration)
        stage.core.configuration.initialPeers = [a]
        stage(.start)
        for service in [Service.list, .query] {
            stage(.listening(service.listener, .ip(SocketAddress(.loopback, Lab.port + service.offset))))
        }
        stage(.recalled(table: "files_peers", [], more: false))
        stage.wait(.seconds(30))
        #expect(stage.dials.isEmpty)
        stage(.listening(Service.download.listener, .ip(SocketAddress(.loopback, Lab.port + 2))))
        #expect(stage.dials.count == 1)
    }

    @Test func `who fails leaves the list, is tried after 60 and 300 seconds, and then only brought back by itself`() {
        var stage = CoreStage.ready()
        stage.call(.list, from: .loopback, "\(b)\n")
        #expect(stage.call(.list, from: .loopback, "\n") == "\(b)\n")
        refuse(&stage)
        #expect(stage.call(.list, from: .loopback, "\n") == "")
        stage.wait(.seconds(60))
        refuse(&stage)
        stage.wait(.seconds(300))
        refuse(&stage)
        stage.wait(.seconds(1000))
        #expect(dials(stage) == ["0 \(b)", "60 \(b)", "360 \(b)"])
        #expect(stage.core.peers[b] == nil)
        // Hearsay does not bring it back.
        #expect(stage.core.takeIn([b], from: a, at: stage.now) == 0)
        // Its own word does.
        #expect(stage.call(.list, from: .loopback, "\(b)\n") == "\(b)\n")
        stage.wait(.seconds(10))
        #expect(stage.dials.last?.to == .address(b.address(of: .list)))
    }

    @Test func `a tombstone ends after half an hour`() {
        var stage = CoreStage.ready()
        stage.core.peers.forget(b, at: stage.now.instant)
        stage.wait(.seconds(1799))
        #expect(stage.core.takeIn([b], from: a, at: stage.now) == 0)
        stage.wait(.seconds(2))
        #expect(stage.core.takeIn([b], from: a, at: stage.now) == 1)
    }

    @Test func `an initial peer that is down is tried every minute for ever`() {
        var stage = CoreStage.ready(knows: [a])
        for _ in 0..<5 {
            refuse(&stage)
            stage.wait(.seconds(60))
        }
        #expect(dials(stage) == (0...5).map { "\($0 * 60) \(a)" })
    }

    @Test func `who announces somebody else from a public address is echoed, and others are not told`() {
        var stage = CoreStage.ready(at: IPAddress(5, 5, 5, 5))
        let other = identity("8.8.8.8:4000")
        #expect(stage.call(.list, from: IPAddress(9, 9, 9, 9), "\(other)\n") == "\(other)\n")
        #expect(stage.call(.list, from: IPAddress(9, 9, 9, 8), "\n") == "")
        _ = stage.core.peers.met(other, at: stage.now.instant)
        #expect(stage.call(.list, from: IPAddress(9, 9, 9, 8), "\n") == "\(other)\n")
    }

    @Test func `one public address announces 32 others in an hour`() {
        var stage = CoreStage.ready(at: IPAddress(5, 5, 5, 5))
        for number in 0..<40 { stage.call(.list, from: IPAddress(9, 9, 9, 9), "8.8.8.\(number):4000\n") }
        #expect(stage.core.peers.all.count == 32)
        stage.wait(.seconds(3601))
        stage.call(.list, from: IPAddress(9, 9, 9, 9), "8.8.9.1:4000\n")
        #expect(stage.core.peers[identity("8.8.9.1:4000")] != nil)
    }

    @Test func `ourselves is never in the list, under whatever name`() {
        var stage = CoreStage.ready()
        stage(.interfaces([.loopback, IPAddress(10, 1, 1, 1)]))
        for own in ["127.0.0.1:17000", "127.9.9.9:17000", "10.1.1.1:17000"] {
            #expect(stage.call(.list, from: .loopback, own + "\n") == "", "\(own)")
        }
        #expect(stage.core.peers.all.isEmpty)
    }

    @Test(arguments: [true, false]) func `a dial that leads to ourselves is remembered`(acceptedFirst: Bool) {
        var stage = CoreStage.ready(knows: [a])
        let connection = stage.dials[0].connection
        let local = SocketAddress(.loopback, 50_001)
        let connected = Input.connected(connection, local: local, remote: a.address(of: .list))
        if acceptedFirst {
            _ = stage.accept(.list, from: local)
            stage(connected)
        } else {
            stage(connected)
            _ = stage.accept(.list, from: local)
        }
        #expect(stage.core.own.contains(a) && stage.core.peers[a] == nil)
        #expect(stage.history.map(\.effect).aborted == [connection])
    }

    @Test func `a full list drops its oldest that was never met, and else refuses`() {
        var stage = CoreStage.ready { $0.maxPeers = 2 }
        for peer in [a, b, c] { stage.call(.list, from: .loopback, "\(peer)\n") }
        #expect(stage.core.peers.all.map(\.identity) == [b, c])
        _ = stage.core.peers.met(b, at: stage.now.instant)
        _ = stage.core.peers.met(c, at: stage.now.instant)
        stage.call(.list, from: .loopback, "\(a)\n")
        #expect(stage.core.peers.all.map(\.identity) == [b, c])
    }

    @Test func `an answer has at most 256 lines, the caller's among them`() {
        var stage = CoreStage.ready()
        for number in 0..<400 {
            let peer = identity("10.0.\(number / 250).\(number % 250):4000")
            _ = stage.core.peers.learn(peer, isShared: true, isDirect: true, at: stage.now.instant)
        }
        let lines = stage.call(.list, from: .loopback, "\(a)\n").split(separator: "\n")
        #expect(lines.count == 256 && lines.last.map(String.init) == a.description)
    }

    @Test func `the list is saved after half a minute and at the end, and comes back as candidates`() {
        var stage = CoreStage.ready()
        stage.call(.list, from: .loopback, "\(b)\n")
        answer(&stage, "")
        let saved = stage.wait(.seconds(31)).rows
        #expect(saved.map(\.key) == [b.description])
        var next = CoreStage(stage.core.configuration)
        next(.start)
        next(.recalled(table: "files_peers", saved, more: false))
        #expect(next.core.peers[b]?.state == .candidate && next.core.peers[b]?.isShared == true)
        stage.core.peers.remove(b)
        #expect(stage(.stop).contains(.forget(table: "files_peers", key: b.description)))
    }

    @Test func `denied addresses are neither heard nor called`() {
        var stage = CoreStage.ready { $0.access.denied = [IPPrefix(IPAddress(127, 0, 0, 1))] }
        let (connection, effects) = stage.accept(.query, from: SocketAddress(.loopback, 50_000))
        #expect(effects.aborted == [connection])
        #expect(effects.logged("reject").map { $0.string("reason") } == ["scope"])
        #expect(stage.command("connect", ["address": .text(a)]).effects.refusals.count == 1)
    }
}

extension [Effect] {
    /// Rows that are written.
    var rows: [Row] {
        compactMap { if case .remember(_, let key, let record) = $0 { Row(key: key, record: record) } else { nil } }
    }

    /// What the operator is refused.
    var refusals: [String] {
        compactMap {
            if case .reply(_, let reply) = $0, case .refused(let text) = reply.outcome { text } else { nil }
        }
    }
}
