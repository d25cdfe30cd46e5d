internal import PeerCore

/// One life of a node: from its start to its end, kill or crash. A restart makes another one.
final class Process {
    let machine: Machine
    let world: World
    var seats: [Seat] = []
    private(set) var isAlive = true
    /// The node dies in the middle of a turn, after so many more effects.
    var effectsUntilDeath: (count: Int, death: Death)?

    private var agenda = Agenda()
    private var unsent = Queue<StreamEnd>()
    private var pausedSince: Instant?
    private var isDraining = false
    private var isStopping = false
    private var lastTurn = Instant(nanoseconds: -1)
    private var turnsOfInstant = 0
    /// Rows of the running turn, and the lines of the log that wait for them.
    var stagedRows: [(table: String, key: String, record: Record?)] = []
    var stagedLines: [LogLine] = []
    /// When the last operation on each file ends: those on one file keep their order.
    var fileIsFree: [FileName: Instant] = [:]

    /// A process that takes more turns than this without time going by will never stop.
    private static let mostTurnsOfInstant = 100_000
    /// A gap that the host notices and tells its cores: half a second above its tick of one second.
    private static let noticedGap = Duration.milliseconds(1500)

    init(_ machine: Machine) {
        self.machine = machine
        world = machine.world
    }

    func seat(_ name: String) -> Seat? { seats.first { $0.name == name } }

    func start() {
        for seat in seats { enqueue(.start, for: seat) }
        tellInterfaces()
    }

    func tellInterfaces() {
        for seat in seats {
            enqueue(.interfaces(machine.addresses), for: seat)
            for end in seat.allEnds where end.local != .none {
                end.isStranded = !machine.isLocal(end.local.ip)
            }
        }
        drain()
    }

    func stop() {
        perform { [self] in
            isStopping = true
            for seat in seats { enqueue(.stop, for: seat) }
            world.schedule(at: world.now + world.limits.stop) { [self] in
                if isAlive { machine.die(.process) }
            }
        }
    }

    func die(_ death: Death) {
        isAlive = false
        for seat in seats {
            for (_, end) in seat.connections.sorted(by: { $0.key < $1.key }) { end.vanish(death) }
            for (_, end) in seat.http.ends.sorted(by: { $0.key < $1.key }) { end.vanish(death) }
        }
        dissolve()
    }

    /// Lets go of everything. Ends whose other side lives on are kept by that one, to answer for the dead.
    func dissolve() {
        isAlive = false
        for seat in seats {
            for end in seat.allEnds where end.other?.phase == .closed { end.unlink() }
            seat.connections.removeAll()
            seat.http = HTTPSeat()
            seat.asked.removeAll()
        }
        seats.removeAll()
        agenda = Agenda()
        unsent.removeAll()
    }
}

// Pausing.
extension Process {
    func pause() {
        if pausedSince == nil { pausedSince = world.now }
    }

    func unpause() {
        guard isAlive, let since = pausedSince else { return }
        pausedSince = nil
        let gap = world.now - since
        for seat in seats {
            if gap >= Self.noticedGap { enqueue(.resumed(gap: gap), for: seat) }
        }
        for seat in seats {
            seat.armed = nil
            // A real loop may look at its timers or at its sockets first.
            if let next = seat.core.nextDeadline, next <= world.now, world.chance(0.5) {
                enqueue(.deadline, for: seat)
            }
        }
        drain()
    }

    /// Runs `action` as soon as the process runs, and all turns that follow from it.
    func perform(_ action: @escaping () -> Void) {
        guard isAlive else { return }
        guard pausedSince == nil, agenda.postponed.isEmpty else {
            return agenda.postponed.append(Agenda.Postponed(action: action))
        }
        action()
        drain()
    }
}

// Turns.
extension Process {
    /// Adds an input. One that is about a stream is dropped when the core has let go of that in the meantime.
    func enqueue(_ input: Input, for seat: Seat, about end: StreamEnd? = nil) {
        agenda.inputs.append(Agenda.Heard(seat: seat, input: input, end: end))
    }

    func wake(_ end: StreamEnd) {
        if !end.isListed, end.canRead {
            end.isListed = true
            agenda.readable.append(end)
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
        if isAlive, isStopping, seats.allSatisfy({ $0.connections.isEmpty && $0.http.ends.isEmpty }) {
            machine.die(.process)
        }
    }

    private func takeStep() -> Bool {
        switch agenda.next() {
        case .hear(let heard):
            if heard.end?.isHeard ?? true { turn(of: heard.seat, heard.input) }
        case .read(let end):
            end.isListed = false
            end.readOne()
            wake(end)
        case .act(let postponed): postponed.action()
        case .nothing: return false
        }
        return true
    }

    private func turn(of seat: Seat, _ input: Input) {
        guard countTurn(of: seat) else { return agenda = Agenda() }
        let moment = machine.moment
        seat.core.handle(input, at: moment, into: &seat.effects)
        finishTurn(of: seat, input, at: moment)
    }

    /// False when time stands still while the cores go on and on.
    private func countTurn(of seat: Seat) -> Bool {
        world.inputs += 1
        turnsOfInstant = lastTurn == world.now ? turnsOfInstant + 1 : 1
        lastTurn = world.now
        guard turnsOfInstant > Self.mostTurnsOfInstant else { return true }
        world.blame(seat, "\(turnsOfInstant) turns without time going by")
        return false
    }

    /// Carries out the effects of a turn in order, commits its rows, and sends what it wants sent.
    func finishTurn(of seat: Seat, _ input: Input?, at moment: Moment) {
        let effects = seat.effects.take()
        world.note(input, effects, of: seat, at: moment)
        for effect in effects {
            if let (count, death) = effectsUntilDeath {
                if count <= 0 { return machine.die(death) }
                effectsUntilDeath = (count - 1, death)
            }
            carryOut(effect, of: seat)
        }
        commit()
        while let end = unsent.removeFirst() {
            end.isUnsent = false
            end.flush()
        }
    }

    private func commit() {
        guard !stagedRows.isEmpty else { return }
        for row in stagedRows { machine.rows.set(row.table, row.key, row.record) }
        world.logs += stagedLines
        stagedRows.removeAll(keepingCapacity: true)
        stagedLines.removeAll(keepingCapacity: true)
    }

    private func arm(_ seat: Seat) {
        let next = seat.core.nextDeadline
        guard next != seat.armed else { return }
        seat.armed = next
        guard let next else { return }
        world.schedule(at: next) { [self] in
            guard isAlive, pausedSince == nil, seat.armed == next else { return }
            seat.armed = nil
            enqueue(.deadline, for: seat)
            drain()
        }
    }
}

/// What a process has to do at this instant.
struct Agenda {
    /// An input on its way to a core; one that is about a stream may be dropped.
    struct Heard {
        let seat: Seat
        let input: Input
        let end: StreamEnd?
    }

    struct Postponed {
        let action: () -> Void
    }

    enum Item {
        case hear(Heard)
        case read(StreamEnd)
        case act(Postponed)
        case nothing
    }

    var inputs = Queue<Heard>()
    var readable = Queue<StreamEnd>()
    /// What came while the process was paused, apart from what lies in its sockets.
    var postponed = Queue<Postponed>()

    mutating func next() -> Item {
        if let heard = inputs.removeFirst() { return .hear(heard) }
        if let end = readable.removeFirst() { return .read(end) }
        if let action = postponed.removeFirst() { return .act(action) }
        return .nothing
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
    let machine: Machine
    var core: any PeerProtocol
    var effects: Effects
    var connections: [ConnectionID: StreamEnd] = [:]
    var listeners: [ListenerID: Socket] = [:]
    /// Requests and fetches.
    var http = HTTPSeat()
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
        machine = process.machine
        effects = Effects(logLevel: logLevel)
    }

    /// Ends of its own and of its requests and fetches.
    var allEnds: [StreamEnd] { Array(connections.values) + http.ends.values }

    var isAlive: Bool { process.isAlive }
    var limits: StreamLimits { process.world.limits }

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
