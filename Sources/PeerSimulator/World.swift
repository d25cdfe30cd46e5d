internal import PeerCore
internal import PeerCrypto

/// Everything that there is in one run. `Simulator` is its outside.
final class World {
    let seed: UInt64
    var now = Instant(nanoseconds: 0)
    var network: NetworkModel {
        didSet { baseDelays.removeAll() }
    }
    var limits = StreamLimits()
    var names: [String: [IPAddress]] = ["localhost": [.loopback]]
    var logLevel = LogLevel.info
    var logs: [LogLine] = []
    var keptTurns = 0
    var onTurn: ((Turn) -> Void)?
    var inputs: UInt64 = 0
    var datagrams = DatagramCount()
    var random: SeededRandom
    var machines: [Machine] = []
    var machineOfAddress: [IPAddress: Machine] = [:]
    /// Nanoseconds one way between two machines, by both their numbers.
    var baseDelays: [Int: Int64] = [:]
    /// For each machine the number of its part of the network; nil: the network is whole.
    var parts: [Int]?
    /// Whether every machine is reached by every other: what mostly is so, and costs nothing to ask.
    var isWhole = true
    var bareSockets: [BareSocket] = []
    /// Ends of streams to which something was lost on the way.
    var stalled: [StreamEnd] = []
    /// The first rule that a core broke.
    private(set) var fault: String?

    private(set) var trace = TraceHash()
    private var events = EventQueue()
    private var lastTurns = Queue<Turn>()

    /// The wall clock at the start of the run: 2026-01-01 00:00 UTC (decisions.md, 10).
    static let epoch = WallClock(seconds: 1_767_225_600)

    init(seed: UInt64, network: NetworkModel) {
        self.seed = seed
        self.network = network
        random = SeededRandom(seed: blake2b256(Bytes(utf8: "simulator \(seed)")))
    }

    /// Lets go of everything, so that nothing refers to itself any more.
    func dissolve() {
        for machine in machines { machine.dissolve() }
        for socket in bareSockets { socket.dissolve() }
        bareSockets.removeAll()
        machines.removeAll()
        machineOfAddress.removeAll()
        stalled.removeAll()
        events = EventQueue()
    }

    /// When the next event happens.
    var nextEvent: Instant? { events.next }

    /// Lets one event happen, and all turns that follow from it at once.
    func step() {
        guard let event = events.pop() else { return }
        now = event.instant
        event.action()
    }

    func failure(_ what: String) -> SimulationFailure {
        var turns: [Turn] = []
        while let turn = lastTurns.removeFirst() { turns.append(turn) }
        return SimulationFailure(seed: seed, instant: now, what: what, turns: turns)
    }

    /// Notes that ways have come or gone, and lets streams go on that have one again.
    func waysChanged() {
        isWhole = parts == nil && machines.allSatisfy { $0.isOn && !$0.hasMoved }
        let ends = stalled
        stalled.removeAll()
        for end in ends { end.retransmitLost() }
    }
}

// What the parts of the world use.
extension World {
    /// Plans something for later; nothing that is planned runs within the turn that plans it.
    func schedule(after nanoseconds: Int64, _ action: @escaping () -> Void) {
        events.add(at: Instant(nanoseconds: now.nanoseconds &+ max(0, nanoseconds)), action)
    }

    func schedule(at instant: Instant, _ action: @escaping () -> Void) {
        events.add(at: max(now, instant), action)
    }

    /// Notes that a core broke the rules of its host: the run fails after this step.
    func blame(_ seat: Seat, _ what: String) {
        if fault == nil { fault = "\(seat.machine.id) \(seat.name): \(what)" }
    }

    func note(_ input: Input?, _ effects: [Effect], of seat: Seat, at moment: Moment) {
        var trace = trace
        trace.add(UInt64(bitPattern: moment.instant.nanoseconds))
        trace.add(UInt64(bitPattern: moment.wallClock.milliseconds))
        trace.add(UInt64(seat.machine.id.index) << 32 | UInt64(seat.index))
        input.trace(into: &trace)
        effects.trace(into: &trace)
        self.trace = trace
        guard keptTurns > 0 || onTurn != nil else { return }
        let turn = Turn(moment: moment, node: seat.machine.id, core: seat.name, input: input, effects: effects)
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

    /// What the name service answers.
    func addresses(of name: String) -> [IPAddress] {
        if let address = IPAddress(name) { return [address] }
        return names[name.lowercased()] ?? []
    }
}
