public import PeerCore
internal import PeerCrypto

/// Carries out the effects of cores in virtual time: nodes, the network between them and the disks below them.
///
/// Everything random is drawn from one seed. Two runs with the same seed and the same calls give the same inputs and
/// effects at the same instants, which `traceHash` shows. One step is one event of the outside world with all turns
/// that follow from it at once; one turn is one input, `handle`, its effects in order, then the commit of its rows and
/// one joined write for each connection (architecture.md section 3).
public final class Simulator {
    /// The seed of the run.
    public let seed: UInt64
    /// Virtual time since the start of the run.
    public internal(set) var now = Instant(nanoseconds: 0)
    /// The network and the disks. May be changed between steps.
    public var network: NetworkModel {
        didSet { baseDelays.removeAll() }
    }
    /// The host's rules for streams.
    public var limits = StreamLimits()
    /// What the name service knows, in lower case.
    public var names: [String: [IPAddress]] = ["localhost": [.loopback]]
    /// Lines of the log below this level are not made.
    public var logLevel = LogLevel.info
    /// The lines that the cores logged.
    public internal(set) var logs: [LogLine] = []
    /// How many of the last turns a failure tells.
    public var keptTurns = 0
    /// Called with each turn.
    public var onTurn: ((Turn) -> Void)?
    /// Inputs that all cores together have heard.
    public internal(set) var inputs: UInt64 = 0
    /// What became of the datagrams.
    public internal(set) var datagrams = DatagramCount()

    /// One hash of every time, node, input and effect so far.
    public var traceHash: UInt64 { trace.state }

    var trace = TraceHash()
    var random: SeededRandom
    var machines: [Machine] = []
    var machineOfAddress: [IPAddress: Machine] = [:]
    var baseDelays: [Int: Int64] = [:]
    /// For each machine the number of its part of the network; nil: the network is whole.
    var parts: [Int]?
    /// Ends of streams to which something was lost on the way.
    var stalled: [StreamEnd] = []
    /// The wall clock at the start of the run: 2026-01-01 00:00 UTC (decisions.md, 10).
    let epoch = WallClock(seconds: 1_767_225_600)

    private var events = EventQueue()
    private var invariants: [(name: String, fault: () -> String?)] = []
    private var fault: String?
    private var lastTurns = Queue<Turn>()
    private var turnsOfInstant = 0
    /// A core that takes more turns than this without time going by will never stop.
    private static let mostTurnsOfInstant = 1_000_000

    /// An empty world.
    public init(seed: UInt64, network: NetworkModel = NetworkModel()) {
        self.seed = seed
        self.network = network
        random = SeededRandom(seed: blake2b256(Bytes(utf8: "simulator \(seed)")))
    }

    deinit {
        for machine in machines { machine.process?.dissolve() }
    }

    /// Checks something after each step that must hold at all times; it gives what is wrong, or nil.
    public func invariant(_ name: String, _ fault: @escaping () -> String?) {
        invariants.append((name, fault))
    }

    /// Fails the run with its seed when something does not hold that must hold now.
    public func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(SimulationFailure) {
        guard !holds else { return }
        throw failure(what())
    }
}

// Running.
extension Simulator {
    /// Runs everything that happens until `end`.
    public func run(until end: Instant) throws(SimulationFailure) {
        while let next = events.next, next <= end { try step() }
        now = max(now, end)
    }

    /// Runs everything that happens in `duration`.
    public func run(for duration: Duration) throws(SimulationFailure) {
        try run(until: now + duration)
    }

    /// Runs until `condition` holds, for `duration` at most; tells whether it holds. It is looked at after each step.
    @discardableResult
    public func run(for duration: Duration, until condition: () -> Bool) throws(SimulationFailure) -> Bool {
        let end = now + duration
        var holds = condition()
        while !holds, let next = events.next, next <= end {
            try step()
            holds = condition()
        }
        if !holds { now = max(now, end) }
        return holds
    }

    /// Runs while `condition` holds, for `duration` at most; tells whether it still holds.
    @discardableResult
    public func run(for duration: Duration, while condition: () -> Bool) throws(SimulationFailure) -> Bool {
        try !run(for: duration, until: { !condition() })
    }

    private func step() throws(SimulationFailure) {
        guard let event = events.pop() else { return }
        if event.instant > now {
            now = event.instant
            turnsOfInstant = 0
        }
        event.action()
        if let fault { throw failure(fault) }
        for invariant in invariants {
            if let fault = invariant.fault() { throw failure("\(invariant.name): \(fault)") }
        }
    }

    private func failure(_ what: String) -> SimulationFailure {
        var turns: [Turn] = []
        while let turn = lastTurns.removeFirst() { turns.append(turn) }
        return SimulationFailure(seed: seed, instant: now, what: what, turns: turns)
    }
}

// What the parts of the world use.
extension Simulator {
    /// Plans something for later; nothing that is planned runs within the turn that plans it.
    func schedule(after nanoseconds: Int64, _ action: @escaping () -> Void) {
        events.add(at: Instant(nanoseconds: now.nanoseconds &+ max(0, nanoseconds)), action)
    }

    func schedule(at instant: Instant, _ action: @escaping () -> Void) {
        events.add(at: max(now, instant), action)
    }

    /// Notes that a core broke the rules of its host: the run fails after this step.
    func blame(_ seat: Seat, _ what: String) {
        if fault == nil { fault = "\(seat.process.machine.id) \(seat.name): \(what)" }
    }

    /// False when time stands still while cores go on and on.
    func countTurn(of seat: Seat) -> Bool {
        turnsOfInstant += 1
        guard turnsOfInstant > Self.mostTurnsOfInstant else { return true }
        blame(seat, "\(turnsOfInstant) turns without time going by")
        return false
    }

    func note(_ input: Input?, _ effects: [Effect], of seat: Seat, at moment: Moment) {
        trace.add(UInt64(bitPattern: moment.instant.nanoseconds))
        trace.add(UInt64(bitPattern: moment.wallClock.milliseconds))
        trace.add(UInt64(seat.process.machine.id.index) << 32 | UInt64(seat.index))
        input.trace(into: &trace)
        effects.trace(into: &trace)
        guard keptTurns > 0 || onTurn != nil else { return }
        let turn = Turn(
            moment: moment, node: seat.process.machine.id, core: seat.name, input: input, effects: effects)
        onTurn?(turn)
        if keptTurns > 0 { lastTurns.append(turn) }
        while lastTurns.count > keptTurns { _ = lastTurns.removeFirst() }
    }

    /// True in `share` of all cases.
    func chance(_ share: Double) -> Bool {
        share > 0 && Double.random(in: 0..<1, using: &random) < share
    }

    /// Nanoseconds in a range of durations.
    func draw(_ range: ClosedRange<Duration>) -> Int64 {
        let (low, high) = (range.lowerBound.nanoseconds, range.upperBound.nanoseconds)
        return low == high ? low : Int64.random(in: low...high, using: &random)
    }
}

/// What became of the datagrams of a run.
public struct DatagramCount: Hashable, Sendable {
    /// Sent by cores.
    public var sent: UInt64 = 0
    /// Heard by cores, copies counted.
    public var delivered: UInt64 = 0
    /// Lost on the way, or with nobody there to take them.
    public var lost: UInt64 = 0
}
