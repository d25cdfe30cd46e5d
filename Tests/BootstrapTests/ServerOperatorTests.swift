import Bootstrap
import PeerCore
import Testing

/// What the operator sees and sets.
@Suite struct ServerOperatorTests {
    @Test func `the standard settings are those of the specification`() {
        let expected: Record = [
            "provisionalSeconds": 15, "maxProvisional": 4096, "entrySeconds": 180, "quarantineSeconds": 600,
            "maxEntries": 69, "maxUnvalidatedEntries": 3, "unvalidatedBytesPerSecond": 100_000,
            "maxIdsPerAddress": 64, "maxIdsPerPrefix": 1024, "maxInitsPerAddress": 5, "initWindowSeconds": 10,
            "maxInitsPerSecond": 2000, "probeIntervalSeconds": 60, "maxProbeFailures": 2, "maxProbesPerSecond": 50,
            "probeAddressIntervalSeconds": 10,
        ]
        let settings = BootstrapServer.Configuration.settings
        for field in expected.fields {
            #expect(settings.first { $0.key == field.name }?.standard == field.value, "\(field.name)")
        }
        #expect(settings.first { $0.standard == nil }?.key == "listen")
        #expect(ServerStage.configuration([:]) == BootstrapServer.Configuration(listen: address("127.0.0.1:6000")))
    }

    @Test func `it listens on UDP and tells where`() {
        var server = BootstrapServer(ServerStage.configuration([:]), seed: .zero)
        var effects = Effects()
        let now = ServerStage().moment
        server.handle(.start, at: now, into: &effects)
        let listen = address("127.0.0.1:6000")
        #expect(effects.take() == [.listen(BootstrapServer.listener, on: .ip(listen), .datagram)])
        server.handle(.refused(BootstrapServer.listener, .addressInUse), at: now, into: &effects)
        server.handle(.listening(BootstrapServer.listener, .ip(listen)), at: now, into: &effects)
        let events = effects.take().map { if case .log(let line) = $0 { line.event } else { "" } }
        #expect(events == ["listen_failed", "listening"])
    }

    @Test func `refusals are told at most once in 10 s, with their reasons`() throws {
        var stage = ServerStage()
        for second in 0..<35 {
            for _ in 0..<10 { stage.ask(peer(0)) }
            _ = stage.say([1, 2, 3], from: peer(1))
            if second == 20 { #expect(stage.lines("init_refused").count == 2) }
            stage.advance(.seconds(1))
        }
        stage.advance(.seconds(30))
        let lines = stage.lines("init_refused")
        #expect(lines.count == 5)
        let total = { (name: String) in lines.compactMap { $0.fields.int(name) }.reduce(0, +) }
        #expect(total("malformed") == 35 && total("sourceRate") == Int64(stage.count("sourceRate")))
        #expect(lines.allSatisfy { $0.fields.int("totalRate") == nil })
        #expect(stage.server.nextDeadline == nil, "nothing is left to do")
    }

    @Test func `a new, a validated and an expired entry are told at debug`() {
        var stage = ServerStage()
        stage.join(peer(0))
        stage.advance(.seconds(200))
        let lines = stage.lines("bootstrap_entry")
        #expect(lines.compactMap { $0.fields.string("change") } == ["new", "validated", "expired"])
        #expect(lines.allSatisfy { $0.level == .debug && $0.fields.string("address") == peer(0).description })
    }

    @Test func `status counts entries by state and refusals by reason`() {
        var stage = ServerStage()
        stage.fill(3)
        stage.ask(peer(10))
        stage.handle(.command(CommandID(1), Command("status")))
        #expect(stage.replies == [Reply(stage.server.status())])
        let counts = ["listed", "provisional", "inits", "answers", "freeIDs", "expired", "noID"].map(stage.count)
        #expect(counts == [3, 1, 7, 7, 65_530, 0, 0])
        stage.handle(.command(CommandID(1), Command("dance")))
        #expect(stage.replies.last?.outcome != .done)
    }

    @Test func `entries lists all peers in pieces`() {
        var stage = ServerStage()
        stage.fill(1200)
        stage.ask(peer(5000))
        stage.handle(.command(CommandID(1), Command("entries")))
        #expect(stage.replies.map(\.outcome) == [.more, .more, .done])
        let rows = stage.replies.flatMap(\.records)
        #expect(rows.count == 1201 && rows.compactMap { $0.int("id") } == rows.compactMap { $0.int("id") }.sorted())
        #expect(rows.filter { $0.string("state") == "echoed" }.count == 1200)
    }

    @Test func `limits change while it runs; the address needs a restart`() throws {
        var stage = ServerStage()
        stage.fill(20)
        #expect(
            stage.reconfigure(["listen": "127.0.0.1:7000", "maxEntries": 5, "maxInitsPerAddress": 7]) == [
                RestartNeeded("listen")
            ])
        #expect(stage.join(peer(50))?.entries.count == 5)
        #expect((0..<20).filter { _ in stage.ask(peer(51)) != nil }.count == 7)
        #expect(stage.reconfigure(["maxEntries": 5]).isEmpty)
        #expect(stage.count("listed") == 21)
    }

    @Test func `after stop it is silent, and its probes are cut`() {
        var stage = ServerStage()
        #expect(stage.reconfigure(["probeTimeoutSeconds": 5]).isEmpty)
        stage.silent = [peer(0)]
        stage.ask(peer(0))
        stage.advance(.seconds(2))
        stage.handle(.stop)
        #expect(stage.strange == [.abort(ConnectionID(1), .shutdown)])
        #expect(stage.ask(peer(1)) == nil && stage.server.nextDeadline == nil)
    }
}
