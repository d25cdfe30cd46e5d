import PeerCore

/// Carries a core through inputs in virtual time and watches what it does with its connections and timers.
struct Stage<Core: PeerProtocol> {
    /// Inputs of one instant after which the core must have set its next deadline later.
    private static var patience: Int { 1000 }
    /// Elements of one table. A script is not long enough to fill one that is bounded.
    private static var maximumElements: Int { 256 }

    private(set) var core: Core
    private(set) var now = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(seconds: 1_795_000_000))
    private var effects = Effects(logLevel: .trace)
    /// Connections that are neither closed by the core nor by the other side, and whether they are established.
    private(set) var connections: [ConnectionID: Bool] = [:]
    /// What the core sent on each connection.
    private(set) var sent: [ConnectionID: [UInt8]] = [:]
    /// Names and commands that wait for their answer.
    private(set) var requests: [RequestID] = []
    private(set) var asked: [CommandID] = []
    /// Work on files, and transfers between files and connections, that have not ended.
    private(set) var operations: [(request: RequestID, operation: StoreOperation)] = []
    private(set) var transfers: [(connection: ConnectionID, file: FileName)] = []

    init(_ core: Core) {
        self.core = core
    }

    /// The connections that are established, or the dials under way.
    func connections(established: Bool) -> [ConnectionID] {
        connections.filter { $0.value == established }.keys.sorted()
    }

    /// A new name for a connection that comes in, or a command.
    mutating func newConnection() -> ConnectionID { effects.nextConnectionID() }
    mutating func newCommand() -> CommandID { effects.nextCommandID() }

    /// Lets `input` happen and gives the effects. What the core closes is closed at once.
    @discardableResult
    mutating func callAsFunction(_ input: Input) throws(Violation) -> [Effect] {
        switch input {
        case .accepted(let connection, _, _, _), .connected(let connection, _, _): connections[connection] = true
        case .closed(let connection, _, _): connections[connection] = nil
        case .resolved(let request, _): requests.removeAll { $0 == request }
        case .stored(let request, _): operations.removeAll { $0.request == request }
        case .transferred(let connection, _, _): transfers.removeAll { $0.connection == connection }
        case .answered(let command, let reply) where reply.outcome != .more: asked.removeAll { $0 == command }
        default: break
        }
        core.handle(input, at: now, into: &effects)
        let list = effects.take()
        var closed: [(ConnectionID, CloseReason)] = []
        for effect in list {
            if let end = try note(effect) { closed.append(end) }
        }
        var answers: [Effect] = []
        for (connection, reason) in closed { answers += try self(.closed(connection, reason, Traffic())) }
        return list + answers
    }

    private mutating func note(_ effect: Effect) throws(Violation) -> (ConnectionID, CloseReason)? {
        switch effect {
        case .connect(let connection, _, _, _):
            try require(connections.updateValue(false, forKey: connection) == nil, "\(connection) was given out twice")
        case .send(let bytes, let connection):
            try require(connections[connection] == true, "octets for \(connection), which is not open")
            sent[connection, default: []] += bytes
        case .finish(let connection):
            try require(connections.removeValue(forKey: connection) != nil, "the end of \(connection), which is none")
            return (connection, .finished)
        case .abort(let connection, let reason):
            try require(connections.removeValue(forKey: connection) != nil, "the end of \(connection), which is none")
            return (connection, reason)
        case .resolve(let request, _): requests.append(request)
        case .store(let request, let operation): operations.append((request, operation))
        case .sendFile(let file, _, _, let connection): try begin(file, connection)
        case .receiveFile(let reception, let connection): try begin(reception.file, connection)
        case .measure(let connection):
            try require(connections[connection] == true, "\(connection) is measured, which is not open")
        case .ask(let command, _, _): asked.append(command)
        case .withdraw(let command):
            try require(asked.contains(command), "\(command) is withdrawn, and was not asked")
            asked.removeAll { $0 == command }
        case .log(let record): _ = record.fields.json
        default: break
        }
        return nil
    }

    private mutating func begin(_ file: FileName, _ connection: ConnectionID) throws(Violation) {
        try require(connections[connection] == true, "\(file) is to go over \(connection), which is not open")
        transfers.append((connection, file))
    }

    /// Lets time pass, with every deadline when it is due.
    mutating func wait(_ duration: Duration) throws(Violation) {
        let end = now.instant + duration
        var (last, inputs) = (now.instant, 0)
        while let due = core.nextDeadline, due <= end {
            pass(max(.zero, due - now.instant))
            inputs = now.instant == last ? inputs + 1 : 0
            last = now.instant
            try require(inputs < Self.patience, "deadlines without end at one instant")
            try self(.deadline)
        }
        pass(end - now.instant)
    }

    /// Lets time pass without a deadline, as if the machine slept, and tells the core.
    mutating func sleep(_ duration: Duration) throws(Violation) {
        pass(duration)
        try self(.resumed(gap: duration))
        try wait(.zero)
    }

    /// Sets the wall clock.
    mutating func set(_ wallClock: WallClock) {
        now = Moment(instant: now.instant, wallClock: wallClock)
    }

    private mutating func pass(_ duration: Duration) {
        now = Moment(instant: now.instant + duration, wallClock: now.wallClock + duration)
    }

    /// Throws when one of the core's tables has grown without bound.
    func checkTables() throws(Violation) {
        try checkTables(of: core, "core", depth: 4)
    }

    private func checkTables(of value: Any, _ name: String, depth: Int) throws(Violation) {
        guard depth > 0, !(value is [UInt8]) else { return }
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .collection, .dictionary, .set:
            try require(mirror.children.count <= Self.maximumElements, "\(name) has \(mirror.children.count) elements")
        default:
            for child in mirror.children {
                try checkTables(of: child.value, "\(name).\(child.label ?? "")", depth: depth - 1)
            }
        }
    }
}
