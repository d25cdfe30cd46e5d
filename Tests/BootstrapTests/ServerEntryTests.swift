import Bootstrap
import PeerCore
import Testing

/// IDs and the life of entries (gossip section 6.2).
@Suite struct ServerEntryTests {
    @Test func `the same source gets the same ID again as long as its entry lives`() throws {
        var stage = ServerStage()
        let id = try stage.answer(peer(0)).id
        #expect(id != 0 && id != .max)
        #expect(stage.ask(peer(0))?.id == id)
        #expect(stage.ask(peer(0), id: id)?.id == id)
        stage.advance(.seconds(100))
        #expect(stage.ask(peer(0))?.id == id)
        #expect(stage.ask(peer(0, port: 6002))?.id != id)
    }

    @Test func `IDs are random, unique, and not the same in every server`() {
        var ids: [[UInt16]] = []
        for seed in 0..<2 {
            var stage = ServerStage(seed: Bytes32([UInt8](repeating: UInt8(seed), count: 32)))
            ids.append((0..<300).compactMap { stage.join(peer($0), degree: 0)?.id })
        }
        for ids in ids {
            #expect(Set(ids).count == 300)
            let steps = Set(zip(ids, ids.dropFirst()).map { Int($1) - Int($0) })
            #expect(steps.count > 250, "IDs that count up can be guessed")
        }
        #expect(Set(ids[0]).intersection(ids[1]).count < 30)
    }

    @Test func `an entry is listed when its source has echoed the ID, not before, and not for another ID`() throws {
        var stage = ServerStage()
        let id = try stage.answer(peer(0)).id
        stage.ask(peer(0), id: id ^ 1)
        stage.ask(peer(1), id: id)
        #expect(stage.count("listed") == 0)
        #expect(stage.ask(peer(2))?.entries == [])
        stage.ask(peer(0), id: id)
        #expect(stage.ask(peer(3))?.entries == [PeerAddress(id: id, address: peer(0))])
        #expect(stage.count("validatedByEcho") == 1)
    }

    @Test func `an entry is listed when its endpoint takes a TCP connection, on which nothing is said`() throws {
        var stage = ServerStage()
        stage.listening = [peer(0)]
        let id = try stage.answer(peer(0)).id
        stage.ask(peer(1))
        stage.advance(.seconds(2))
        #expect(stage.ask(peer(2))?.entries == [PeerAddress(id: id, address: peer(0))])
        #expect(stage.probes.map(\.address).sorted() == [peer(0), peer(1)])
        #expect(stage.finished == 1 && stage.strange.isEmpty)
        #expect(stage.lines("bootstrap_probe").allSatisfy { $0.level == .debug })
    }

    @Test func `who echoes at once is not probed`() {
        var stage = ServerStage()
        for number in 0..<100 { stage.join(peer(number)) }
        stage.advance(.seconds(170))
        #expect(stage.probes.isEmpty)
    }

    @Test func `a provisional entry lives 15 s`() throws {
        var stage = ServerStage()
        stage.silent = [peer(0)]
        stage.ask(peer(0))
        stage.advance(.seconds(14.9))
        #expect(stage.count("provisional") == 1)
        stage.advance(.seconds(1.1))
        #expect(stage.count("provisional") == 0 && stage.count("lapsed") == 1)
        #expect(stage.count("freeIDs") == 65_534, "an ID that nobody was told of is free at once")
    }

    @Test func `at most 4096 entries wait for validation; the oldest makes room`() throws {
        var stage = ServerStage(["maxProbesPerSecond": 1])
        for number in 0..<6000 {
            stage.ask(peer(number), degree: 0)
            if number % 500 == 499 { stage.advance(.seconds(0.5)) }
        }
        #expect(stage.count("provisional") == 4096)
        #expect(stage.state(of: peer(1903)) == nil && stage.state(of: peer(1904)) == "provisional")
    }

    @Test func `an entry lives 180 s after its last renewal`() throws {
        var stage = ServerStage()
        let id = try stage.joined(peer(0)).id
        for _ in 0..<5 {
            stage.advance(.seconds(170))
            #expect(stage.ask(peer(0), id: id)?.id == id)
        }
        stage.advance(.seconds(179))
        #expect(stage.count("listed") == 1)
        stage.advance(.seconds(2))
        #expect(stage.count("listed") == 0 && stage.count("expired") == 1)
    }

    @Test func `an INIT without the ID renews nothing`() throws {
        var stage = ServerStage()
        stage.join(peer(0))
        stage.advance(.seconds(100))
        stage.ask(peer(0))
        stage.advance(.seconds(82))
        #expect(stage.count("listed") == 0)
    }

    @Test func `one that never renews is probed every 60 s and removed after two failures`() throws {
        var stage = ServerStage()
        stage.listening = [peer(0)]
        stage.ask(peer(0))
        stage.advance(.seconds(600))
        #expect(stage.state(of: peer(0)) == "probed")
        let pauses = zip(stage.probes, stage.probes.dropFirst()).map { ($1.at - $0.at).fractionalSeconds }
        #expect(pauses.count >= 9 && pauses.allSatisfy { (60...62).contains($0) }, "\(pauses)")
        func listed(afterProbeOf listening: Set<SocketAddress>) -> Int {
            let before = stage.probes.count
            stage.listening = listening
            while stage.probes.count == before { stage.advance(.seconds(1)) }
            stage.advance(.seconds(1))
            return stage.count("listed")
        }
        #expect([[], [peer(0)], [], []].map(listed) == [1, 1, 1, 0], "one failure is none")
        #expect(stage.count("expired") == 1)
    }

    @Test func `one that was probed and begins to renew is probed no more`() throws {
        var stage = ServerStage()
        stage.listening = [peer(0)]
        let id = try stage.answer(peer(0)).id
        stage.advance(.seconds(3))
        #expect(stage.ask(peer(0), id: id)?.id == id)
        stage.advance(.seconds(170))
        #expect(stage.probes.count == 1 && stage.state(of: peer(0)) == "echoed")
    }

    @Test func `DISCONNECT removes an entry, from its own endpoint and with its own ID only`() throws {
        var stage = ServerStage()
        let id = try stage.joined(peer(0)).id
        for (source, named) in [(peer(1), id), (peer(0, port: 6002), id), (peer(0), id ^ 1), (peer(0), 0)] {
            #expect(stage.say(Disconnect(id: named).bytes, from: source).isEmpty)
        }
        #expect(stage.count("listed") == 1)
        #expect(stage.say(Disconnect(id: id).bytes, from: peer(0)).isEmpty)
        #expect(stage.count("listed") == 0 && stage.count("disconnected") == 1)
        #expect(stage.ask(peer(1))?.entries == [])
    }

    @Test func `a released ID that others were told of is given to nobody for 10 minutes`() throws {
        var stage = ServerStage(["maxIdsPerPrefix": 65_534])
        let id = try stage.joined(peer(0)).id
        _ = stage.say(Disconnect(id: id).bytes, from: peer(0))
        #expect(stage.count("freeIDs") == 65_533)
        #expect(stage.ask(peer(0), id: id)?.id != id)
        stage.advance(.seconds(599))
        #expect(stage.count("freeIDs") == 65_533)
        stage.advance(.seconds(2))
        #expect(stage.count("freeIDs") == 65_534)
    }

    @Test func `after a restart a peer that asks for its old ID gets it, when it is free`() throws {
        var stage = ServerStage()
        #expect(stage.ask(peer(0), id: 4711)?.id == 4711)
        #expect(stage.ask(peer(1), id: 4711)?.id != 4711, "it is taken")
        for nobody in [0, UInt16.max] { #expect(stage.ask(peer(2), id: nobody)?.id != nobody) }
        stage.advance(.seconds(181))
        #expect(stage.ask(peer(3), id: 815)?.id != 815, "a server that runs has forgotten nobody")
    }

    @Test func `an ID that the source chose itself proves nothing when it is echoed`() throws {
        var stage = ServerStage()
        stage.fill(10)
        for _ in 0..<3 { #expect(stage.ask(peer(20), id: 4711)?.entries.count == 3) }
        #expect(stage.state(of: peer(20)) == "provisional")
        stage.listening = [peer(21)]
        stage.ask(peer(21), id: 4712)
        stage.advance(.seconds(2))
        #expect(stage.state(of: peer(21)) == "probed")
    }

    @Test func `nobody expires for our being late`() throws {
        var stage = ServerStage()
        stage.join(peer(0))
        stage.ask(peer(1))
        stage.sleep(.seconds(3600))
        stage.advance(.seconds(5))
        #expect(stage.count("listed") == 1 && stage.count("provisional") == 1)
        stage.advance(.seconds(176))
        #expect(stage.count("listed") == 0)
    }

    /// Joining, renewing, leaving and expiring at random, compared with a plain list of who was told of.
    @Test func `whoever is told of was listed, whatever happened before`() throws {
        var stage = ServerStage(["quarantineSeconds": 5, "entrySeconds": 20, "maxInitsPerAddress": 1000])
        var ids: [Int: UInt16] = [:]
        var state: UInt64 = 1
        func draw(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<3000 {
            let number = draw(60)
            switch draw(5) {
            case 0, 1: ids[number] = stage.join(peer(number), degree: 5)?.id
            case 2:
                if let id = ids[number] { _ = stage.say(Disconnect(id: id).bytes, from: peer(number)) }
            case 3: stage.ask(peer(number))
            default: stage.advance(.seconds(Double(draw(40)) / 10))
            }
            let asker = draw(60)
            let answer = stage.ask(peer(asker), degree: 69)
            let entries = try #require(answer).entries
            let isSound =
                Set(entries).count == entries.count && !entries.contains { $0.address == peer(asker) }
                && entries.allSatisfy { entry in (0..<60).contains { peer($0) == entry.address && ids[$0] == entry.id }
                }
            guard isSound else {
                Issue.record("\(entries)")
                return
            }
        }
        #expect(stage.count("expired") > 0 && stage.count("disconnected") > 0)
        stage.advance(.seconds(60))
        #expect(stage.count("freeIDs") == 65_534 && stage.count("listed") == 0 && stage.count("provisional") == 0)
    }
}
