public import PeerCore

/// Carries out the effects of cores in virtual time: nodes, the network between them and the disks below them.
///
/// Everything random is drawn from one seed. Two runs with the same seed and the same calls give the same inputs and
/// effects at the same instants, which `traceHash` shows. One step is one event of the outside world with all turns
/// that follow from it at once; one turn is one input, `handle`, its effects in order, then the commit of its rows and
/// one joined write for each connection (architecture.md section 3).
public final class Simulator {
    let world: World
    private var invariants: [(name: String, fault: () -> String?)] = []

    /// An empty world.
    public init(seed: UInt64, network: NetworkModel = NetworkModel()) {
        world = World(seed: seed, network: network)
    }

    deinit {
        world.dissolve()
    }

    /// Checks something after each step that must hold at all times; it gives what is wrong, or nil.
    public func invariant(_ name: String, _ fault: @escaping () -> String?) {
        invariants.append((name, fault))
    }

    /// Fails the run with its seed when something does not hold that must hold now.
    public func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(SimulationFailure) {
        guard !holds else { return }
        throw world.failure(what())
    }
}

// Running.
extension Simulator {
    /// Runs everything that happens until `end`.
    public func run(until end: Instant) throws(SimulationFailure) {
        try check()
        while let next = world.nextEvent, next <= end { try step() }
        world.now = max(world.now, end)
    }

    /// Runs everything that happens in `duration`.
    public func run(for duration: Duration) throws(SimulationFailure) {
        try run(until: now + duration)
    }

    /// Runs until `condition` holds, for `duration` at most; tells whether it holds. It is looked at after each step.
    @discardableResult
    public func run(for duration: Duration, until condition: () -> Bool) throws(SimulationFailure) -> Bool {
        try check()
        let end = now + duration
        var holds = condition()
        while !holds, let next = world.nextEvent, next <= end {
            try step()
            holds = condition()
        }
        if !holds { world.now = max(now, end) }
        return holds
    }

    /// Runs while `condition` holds, for `duration` at most; tells whether it still holds.
    @discardableResult
    public func run(for duration: Duration, while condition: () -> Bool) throws(SimulationFailure) -> Bool {
        try !run(for: duration, until: { !condition() })
    }

    private func step() throws(SimulationFailure) {
        world.step()
        try check()
    }

    private func check() throws(SimulationFailure) {
        if let fault = world.fault { throw world.failure(fault) }
        for invariant in invariants {
            if let fault = invariant.fault() { throw world.failure("\(invariant.name): \(fault)") }
        }
    }
}

// What a run is made of.
extension Simulator {
    /// The seed of the run.
    public var seed: UInt64 { world.seed }

    /// Virtual time since the start of the run.
    public var now: Instant { world.now }

    /// The network and the disks. May be changed between steps.
    public var network: NetworkModel {
        get { world.network }
        set { world.network = newValue }
    }

    /// The host's rules for streams.
    public var limits: StreamLimits {
        get { world.limits }
        set { world.limits = newValue }
    }

    /// What the name service knows, in lower case.
    public var names: [String: [IPAddress]] {
        get { world.names }
        set { world.names = newValue }
    }

    /// Lines of the log below this level are not made by nodes that start from now on.
    public var logLevel: LogLevel {
        get { world.logLevel }
        set { world.logLevel = newValue }
    }
}

// What has come of it.
extension Simulator {
    /// One hash of every time, node, input and effect so far.
    public var traceHash: UInt64 { world.trace.state }

    /// Inputs that all cores together have heard.
    public var inputs: UInt64 { world.inputs }

    /// What became of the datagrams.
    public var datagrams: DatagramCount { world.datagrams }

    /// The lines that the cores logged.
    public var logs: [LogLine] { world.logs }

    /// How many of the last turns a failure tells.
    public var keptTurns: Int {
        get { world.keptTurns }
        set { world.keptTurns = newValue }
    }

    /// Called with each turn.
    public var onTurn: ((Turn) -> Void)? {
        get { world.onTurn }
        set { world.onTurn = newValue }
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
