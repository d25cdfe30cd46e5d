/// The effects of one turn, in order.
///
/// It also gives out the IDs of a core's connections, requests and commands, so that they are unique and the same in
/// every replay. One value serves a core for its whole life: `take()` empties the list and keeps the counters.
public struct Effects: Sendable {
    /// What is to be done, first to last.
    public private(set) var list: [Effect] = []
    /// Lines below this level are not made at all.
    public var logLevel: LogLevel

    private var lastConnection: UInt64 = 0
    private var lastRequest: UInt64 = 0
    private var lastCommand: UInt64 = 0

    /// No effects yet.
    public init(logLevel: LogLevel = .info) {
        self.logLevel = logLevel
    }

    /// Adds an effect.
    public mutating func append(_ effect: Effect) {
        list.append(effect)
    }

    /// The effects so far; the list is empty afterwards.
    public mutating func take() -> [Effect] {
        defer { list = [] }
        return list
    }

    /// Takes the room of a list that was carried out for the next turn, so that a turn needs no memory of its own.
    public mutating func reuse(_ spent: consuming [Effect]) {
        guard list.capacity == 0, spent.capacity <= Self.keptRoom else { return }
        if !spent.isEmpty { spent.removeAll(keepingCapacity: true) }
        list = spent
    }

    /// Effects for which room is kept between turns; nearly all turns have fewer.
    private static let keptRoom = 64

    /// A connection ID that was not used yet; the host takes those of accepted connections here.
    public mutating func nextConnectionID() -> ConnectionID {
        lastConnection += 1
        return ConnectionID(lastConnection)
    }

    /// A request ID that was not used yet.
    public mutating func nextRequestID() -> RequestID {
        lastRequest += 1
        return RequestID(lastRequest)
    }

    /// A command ID that was not used yet; the host takes those of the operator's commands here.
    public mutating func nextCommandID() -> CommandID {
        lastCommand += 1
        return CommandID(lastCommand)
    }
}

extension Effects {
    /// Dials and gives the ID of the connection to be.
    public mutating func connect(
        to destination: Destination, from local: IPAddress? = nil, timeout: Duration = .seconds(10)
    ) -> ConnectionID {
        let connection = nextConnectionID()
        append(.connect(connection, to: destination, from: local, timeout: timeout))
        return connection
    }

    /// Looks up a name and gives the ID of the answer.
    public mutating func resolve(_ name: String) -> RequestID {
        let request = nextRequestID()
        append(.resolve(request, name: name))
        return request
    }

    /// Works on files and gives the ID of the answer.
    public mutating func store(_ operation: StoreOperation) -> RequestID {
        let request = nextRequestID()
        append(.store(request, operation))
        return request
    }

    /// Asks an HTTP server and gives the ID of the answer.
    public mutating func fetch(_ fetch: HTTPFetch) -> RequestID {
        let request = nextRequestID()
        append(.fetch(request, fetch))
        return request
    }

    /// Asks another core or the node and gives the ID of the answer.
    public mutating func ask(_ name: String, _ command: Command) -> CommandID {
        let id = nextCommandID()
        append(.ask(id, of: name, command))
        return id
    }

    /// Sends octets.
    public mutating func send(_ bytes: Bytes, on connection: ConnectionID) {
        append(.send(bytes, on: connection))
    }

    /// Answers a command.
    public mutating func reply(_ id: CommandID, _ records: [Record], _ outcome: Reply.Outcome = .done) {
        append(.reply(id, Reply(records, outcome)))
    }

    /// Writes a line of the log. Fields and message are only made when the level is on.
    public mutating func log(
        _ level: LogLevel, _ event: String, _ fields: @autoclosure () -> Record = [:],
        _ message: @autoclosure () -> String = ""
    ) {
        guard level >= logLevel else { return }
        append(.log(LogRecord(level, event, fields(), message())))
    }
}
