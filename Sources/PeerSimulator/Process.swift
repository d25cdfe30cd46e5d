internal import PeerCore

/// One life of a node: from its start to its end, kill or crash. A restart makes another one.
final class Process {
    let machine: Machine
    var seats: [Seat] = []
    private(set) var isAlive = true
    /// The node dies in the middle of a turn, after so many more effects.
    var effectsUntilDeath: (count: Int, death: Death)?

    private var queue = Queue<(seat: Seat, input: Input, end: StreamEnd?)>()
    private var readable = Queue<StreamEnd>()
    private var unsent: [StreamEnd] = []
    /// What came while the process was paused, apart from what lies in its sockets.
    private var postponed = Queue<() -> Void>()
    private var pausedSince: Instant?
    private var isDraining = false
    private var isStopping = false
    /// Rows of the running turn, and the lines of the log that wait for them.
    var stagedRows: [(table: String, key: String, record: Record?)] = []
    var stagedLines: [LogLine] = []
    /// When the last operation on each file ends: those on one file keep their order.
    var fileIsFree: [FileName: Instant] = [:]

    /// A gap that the host notices and tells its cores: half a second above its tick of one second.
    private static let noticedGap = Duration.milliseconds(1500)

    init(_ machine: Machine) {
        self.machine = machine
    }

    var simulator: Simulator { machine.simulator }

    func seat(_ name: String) -> Seat? { seats.first { $0.name == name } }

    func start() {
        for seat in seats { enqueue(.start, for: seat) }
        tellInterfaces()
    }

    func tellInterfaces() {
        for seat in seats {
            enqueue(.interfaces(machine.addresses), for: seat)
            for end in seat.connections.values { end.isStranded = !machine.isLocal(end.local.ip) }
        }
        drain()
    }

    func stop() {
        perform { [self] in
            isStopping = true
            for seat in seats { enqueue(.stop, for: seat) }
            simulator.schedule(at: simulator.now + simulator.limits.stop) { [self] in
                if isAlive { machine.die(.process) }
            }
        }
    }

    func die(_ death: Death) {
        isAlive = false
        for seat in seats {
            for (_, end) in seat.connections.sorted(by: { $0.key < $1.key }) { end.vanish(death) }
        }
        dissolve()
    }

    /// Lets go of everything, so that nothing refers to itself any more.
    func dissolve() {
        isAlive = false
        for seat in seats {
            for end in seat.connections.values where end.other?.phase == .closed { end.unlink() }
            seat.connections.removeAll()
            seat.asked.removeAll()
        }
        seats.removeAll()
        queue.removeAll()
        readable.removeAll()
        postponed.removeAll()
        unsent.removeAll()
    }
}

// Pausing.
extension Process {
    func pause() {
        if pausedSince == nil { pausedSince = simulator.now }
    }

    func unpause() {
        guard isAlive, let since = pausedSince else { return }
        pausedSince = nil
        let gap = simulator.now - since
        for seat in seats {
            if gap >= Self.noticedGap { enqueue(.resumed(gap: gap), for: seat) }
        }
        for seat in seats {
            seat.armed = nil
            // A real loop may look at its timers or at its sockets first.
            if let next = seat.core.nextDeadline, next <= simulator.now, simulator.chance(0.5) {
                enqueue(.deadline, for: seat)
            }
        }
        drain()
    }

    /// Runs `action` as soon as the process runs, and all turns that follow from it.
    func perform(_ action: @escaping () -> Void) {
        guard isAlive else { return }
        guard pausedSince == nil, postponed.isEmpty else { return postponed.append(action) }
        action()
        drain()
    }
}

// Turns.
extension Process {
    /// Adds an input. One that is about a stream is dropped when the core has let go of that in the meantime.
    func enqueue(_ input: Input, for seat: Seat, about end: StreamEnd? = nil) {
        queue.append((seat, input, end))
    }

    func wake(_ end: StreamEnd) {
        if !end.isListed, end.canRead {
            end.isListed = true
            readable.append(end)
        }
        drain()
    }

    func sendLater(_ end: StreamEnd) {
        guard !end.isUnsent else { return }
        end.isUnsent = true
        unsent.append(end)
    }

    /// Goes on until nothing is left to do at this instant; then sets the timers.
    func drain() {
        guard isAlive, pausedSince == nil, !isDraining else { return }
        isDraining = true
        while isAlive, takeStep() {}
        isDraining = false
        for seat in seats { arm(seat) }
        if isAlive, isStopping, seats.allSatisfy({ $0.connections.isEmpty }) { machine.die(.process) }
    }

    private func takeStep() -> Bool {
        if let next = queue.removeFirst() {
            if next.end?.isHeard ?? true { turn(of: next.seat, next.input) }
        } else if let end = readable.removeFirst() {
            end.isListed = false
            end.readOne()
            wake(end)
        } else if let action = postponed.removeFirst() {
            action()
        } else {
            return false
        }
        return true
    }

    private func turn(of seat: Seat, _ input: Input) {
        guard simulator.countTurn(of: seat) else {
            queue.removeAll()
            readable.removeAll()
            return
        }
        simulator.inputs += 1
        seat.core.handle(input, at: machine.moment, into: &seat.effects)
        finishTurn(of: seat, input)
    }

    /// Carries out the effects of a turn in order, commits its rows, and sends what it wants sent.
    func finishTurn(of seat: Seat, _ input: Input?) {
        let effects = seat.effects.take()
        simulator.note(input, effects, of: seat, at: machine.moment)
        for effect in effects {
            if let (count, death) = effectsUntilDeath {
                if count <= 0 { return machine.die(death) }
                effectsUntilDeath = (count - 1, death)
            }
            carryOut(effect, of: seat)
        }
        commit()
        for end in unsent {
            end.isUnsent = false
            end.flush()
        }
        unsent.removeAll(keepingCapacity: true)
    }

    private func commit() {
        guard !stagedRows.isEmpty else { return }
        for row in stagedRows { machine.rows.set(row.table, row.key, row.record) }
        simulator.logs += stagedLines
        stagedRows.removeAll(keepingCapacity: true)
        stagedLines.removeAll(keepingCapacity: true)
    }

    private func arm(_ seat: Seat) {
        let next = seat.core.nextDeadline
        guard next != seat.armed else { return }
        seat.armed = next
        guard let next else { return }
        simulator.schedule(at: next) { [self] in
            guard isAlive, pausedSince == nil, seat.armed == next else { return }
            seat.armed = nil
            enqueue(.deadline, for: seat)
            drain()
        }
    }
}

/// The place of one core in a process.
final class Seat: StreamOwner {
    enum Asker {
        case operatorRequest(Question)
        case core(Seat, CommandID)
    }

    let name: String
    let index: Int
    let process: Process
    var core: any PeerProtocol
    var effects: Effects
    var connections: [ConnectionID: StreamEnd] = [:]
    var listeners: [ListenerID: Socket] = [:]
    /// Who waits for the answer to a command that this core has.
    var commands: [CommandID: Asker] = [:]
    /// What this core asked others.
    var asked: [CommandID: (seat: Seat, id: CommandID)] = [:]
    /// The deadline for which an event is planned.
    var armed: Instant?
    /// Answers to `recall` keep their order.
    var recallIsFree = Instant(nanoseconds: 0)

    init(_ name: String, _ index: Int, _ core: any PeerProtocol, _ process: Process, _ logLevel: LogLevel) {
        self.name = name
        self.index = index
        self.core = core
        self.process = process
        effects = Effects(logLevel: logLevel)
    }

    var machine: Machine { process.machine }

    var isAlive: Bool { process.isAlive }
    var limits: StreamLimits { process.simulator.limits }

    func perform(_ action: @escaping () -> Void) { process.perform(action) }

    func enqueue(_ input: Input, about end: StreamEnd? = nil) { process.enqueue(input, for: self, about: end) }

    func wake(_ end: StreamEnd) { process.wake(end) }

    func sendLater(_ end: StreamEnd) { process.sendLater(end) }

    func admit(_ end: StreamEnd) -> ConnectionID {
        let connection = effects.nextConnectionID()
        connections[connection] = end
        return connection
    }

    func forget(_ end: StreamEnd) { connections[end.connection] = nil }
}
