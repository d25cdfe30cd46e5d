internal import PeerCore
internal import PeerCrypto
internal import PeerSimulator
import Testing
internal import TestSupport

/// A core that talks at random: to whom, when, and how much comes from its seed.
private struct Chatter: PeerProtocol {
    struct Configuration {
        var pause: Duration
    }

    private var random: SeededRandom
    private var pause = Duration.milliseconds(100)
    private var open: [ConnectionID] = []
    private(set) var nextDeadline: Instant?
    private(set) var received = 0

    init(_ seed: Bytes32) {
        random = SeededRandom(seed: seed)
    }

    mutating func reconfigure(_ new: Configuration, at now: Moment, into effects: inout Effects) -> [RestartNeeded] {
        pause = new.pause
        nextDeadline = now.instant + pause
        return [RestartNeeded("port")]
    }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start:
            effects.append(.listen(ListenerID("door"), on: .ip(SocketAddress(.anyV4, 4000)), .stream))
            nextDeadline = now.instant + random.duration(in: .zero...pause)
        case .deadline:
            nextDeadline = now.instant + random.duration(in: .zero...pause)
            let target = SocketAddress(IPAddress(10, 0, 0, .random(in: 1...5, using: &random)), 4000)
            if open.count < 4 { _ = effects.connect(to: .address(target)) }
            for connection in open {
                effects.send(Bytes(random.nextBytes32().array), on: connection)
            }
            if let oldest = open.first, open.count == 4 { effects.append(.finish(oldest)) }
        case .accepted(let connection, _, _, _), .connected(let connection, _, _): open.append(connection)
        case .ended(let connection): effects.append(.finish(connection))
        case .closed(let connection, _, _): open.removeAll { $0 == connection }
        case .received(let bytes, _): received += bytes.count
        default: break
        }
    }

    func status() -> [Record] { [["received": .count(received)]] }
}

/// One seed says everything.
@Suite(.oneAtOnce) struct SeedTests {
    private func world(seed: UInt64, recordings: [Recording<Chatter>] = []) -> (Simulator, [NodeID]) {
        let simulator = Simulator(seed: seed, network: .hostile)
        let nodes = (1...5 as ClosedRange<UInt8>).map { number in
            simulator.addNode("n\(number)", at: IPAddress(10, 0, 0, number), "chatter") { seed in
                guard number <= recordings.count else { return Chatter(seed) }
                return Recorder(Chatter(seed), into: recordings[Int(number) - 1])
            }
        }
        return (simulator, nodes)
    }

    private func live(_ simulator: Simulator, _ nodes: [NodeID]) throws {
        try simulator.run(for: .seconds(5))
        simulator.partition([[nodes[0], nodes[1]]])
        simulator.pause(nodes[2])
        try simulator.run(for: .seconds(5))
        simulator.heal()
        simulator.unpause(nodes[2])
        simulator.restart(nodes[3])
        simulator.kill(nodes[4], .power)
        try simulator.run(for: .seconds(5))
        simulator.restart(nodes[4])
        try simulator.run(for: .seconds(5))
    }

    @Test func `two runs of one seed are equal in every input and effect, and another seed's is not`() throws {
        var hashes: [UInt64] = []
        for seed in [1, 1, 2] as [UInt64] {
            let (simulator, nodes) = world(seed: seed)
            try live(simulator, nodes)
            #expect(simulator.inputs > 5_000)
            hashes.append(simulator.traceHash)
        }
        #expect(hashes[0] == hashes[1] && hashes[0] != hashes[2])
    }

    @Test func `the trace is the same in every process`() throws {
        let (simulator, nodes) = world(seed: 7)
        try live(simulator, nodes)
        // An earlier process found it. It may change with the simulator, never by itself.
        #expect(simulator.traceHash == 7_951_673_080_079_171_711)
    }

    @Test func `looking at a run does not change it`() throws {
        let (plain, nodes) = world(seed: 3)
        try live(plain, nodes)
        let (watched, same) = world(seed: 3)
        watched.keptTurns = 10
        var turns = 0
        watched.onTurn = { _ in turns += 1 }
        watched.invariant("nothing") { nil }
        try live(watched, same)
        #expect(watched.traceHash == plain.traceHash)
        #expect(turns > 5_000)
    }

    @Test func `a recorded dialogue, played to a fresh core, gives the same effects`() throws {
        let recording = Recording<Chatter>()
        let (simulator, nodes) = world(seed: 5, recordings: [recording])
        try simulator.run(for: .seconds(5))
        simulator.reconfigure(Recorder<Chatter>.self, "chatter", of: nodes[0], .init(pause: .milliseconds(10)))
        try simulator.run(for: .seconds(5))
        var seed: Bytes32?
        _ = Simulator(seed: 5).addNode("n1", at: IPAddress(10, 0, 0, 1), "chatter") { given in
            seed = given
            return Chatter(given)
        }
        #expect(recording.entries.count > 500)
        #expect(recording.replay(into: Chatter(try #require(seed))) == nil)
        let divergence = try #require(recording.replay(into: Chatter(.zero)))
        #expect(divergence.turn == 0 && divergence.description.contains("start"))
    }

    @Test func `settings reach a running core, and its effects are carried out`() throws {
        let (simulator, nodes) = world(seed: 5)
        let restarts = simulator.reconfigure(Chatter.self, "chatter", of: nodes[0], .init(pause: .seconds(60)))
        #expect(restarts == [RestartNeeded("port")])
        #expect(simulator.nextDeadline("chatter", of: nodes[0]) == Instant(nanoseconds: 60_000_000_000))
        try simulator.run(for: .seconds(5))
        #expect(try #require(simulator.core(Chatter.self, "chatter", of: nodes[0])).received > 0)
        #expect(simulator.status("chatter", of: nodes[0]).count == 1)
        #expect(simulator.connections("chatter", of: nodes[0]) > 0)
    }

    @Test func `an invariant that breaks ends the run with the seed, the time and the last turns`() throws {
        let (simulator, _) = world(seed: 42)
        simulator.keptTurns = 3
        simulator.invariant("few inputs") { simulator.inputs > 100 ? "\(simulator.inputs) inputs" : nil }
        let failure = #expect(throws: SimulationFailure.self) { try simulator.run(for: .seconds(60)) }
        let text = try #require(failure).description
        #expect(text.hasPrefix("seed 42, ") && text.contains("few inputs: 101 inputs"))
        #expect(try #require(failure).turns.count == 3 && text.split(separator: "\n").count == 4)
    }

    @Test func `what must hold at the end is required, and fails with the seed`() throws {
        let (simulator, _) = world(seed: 42)
        try simulator.require(true, "never said")
        #expect(throws: SimulationFailure.self) { try simulator.require(false, "all are connected") }
    }

    @Test func `run ends when its condition holds, or its time is over`() throws {
        let (simulator, _) = world(seed: 1)
        #expect(try simulator.run(for: .seconds(60), until: { simulator.inputs >= 100 }))
        #expect(simulator.inputs == 100 && simulator.now < Instant(nanoseconds: 60_000_000_000))
        let before = simulator.now
        #expect(try simulator.run(for: .seconds(1), while: { simulator.inputs > 0 }))
        #expect(simulator.now == before + .seconds(1))
        try simulator.run(until: Instant(nanoseconds: 0))
        #expect(simulator.now == before + .seconds(1))
    }

    @Test(arguments: [
        (
            [Effect.listen(ListenerID("x"), on: .unix(path: "x"), .stream)],
            "x is open already"
        ),
        (
            [.connect(ConnectionID(9), to: .address(Stage.door), from: nil, timeout: .seconds(9))], "c9 is in use"
        ),
        ([.remember(table: "t", key: "k", ["list": [1]])], "a row of t has no place for list"),
    ])
    func `a core that breaks a rule of its host is told on`(_ effects: [Effect], _ fault: String) throws {
        let stage = Stage()
        for effect in effects + effects { stage.give(stage.a, effect) }
        let failure = #expect(throws: SimulationFailure.self) { try stage.simulator.run(for: .seconds(60)) }
        #expect(try #require(failure).what == "a puppet: " + fault)
    }

    @Test func `octets for a connection that is not connected yet are told on`() throws {
        let stage = Stage()
        stage.give(
            stage.a, .connect(a1001, to: .address(Stage.door), from: nil, timeout: .seconds(9)),
            .send(text("too early"), on: a1001))
        #expect(throws: SimulationFailure.self) { try stage.simulator.run(for: .seconds(60)) }
    }

    @Test func `a core that never stops at one instant is told on`() throws {
        let stage = Stage()
        stage.give(stage.a, wakeAfter: .seconds(1))
        let simulator = stage.simulator
        simulator.addNode("mill", at: IPAddress(10, 0, 0, 3), "mill") { _ in Mill() }
        let failure = #expect(throws: SimulationFailure.self) { try simulator.run(for: .seconds(60)) }
        #expect(try #require(failure).what.contains("turns without time going by"))
    }
}

/// A core whose deadline is always now.
private struct Mill: PeerProtocol {
    private(set) var nextDeadline: Instant? = Instant(nanoseconds: 0)

    mutating func reconfigure(_ new: Int, at now: Moment, into effects: inout Effects) -> [RestartNeeded] { [] }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        nextDeadline = now.instant
    }

    func status() -> [Record] { [] }
}
