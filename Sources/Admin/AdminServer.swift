public import PeerCore

/// The operator's interface on a Unix socket (program, section 5).
///
/// A client sends a JSON object in a line, `{"command":"ddrp.peers","arguments":{"all":true},"id":7}`. What stands
/// before the last dot is the section that is asked; without a dot the node itself is. `arguments` and `id` may be
/// missing. The answer is a line for each record, the last with `"done":true`; a line that has nothing else (but the
/// `id`) ends an answer without, or after, its records. The answer no is `{"error":"…","done":true}`. All lines repeat
/// the request's `id`, a text or a whole number. `done`, and `id` when the request has one, are no fields of a record.
///
/// A client may send several commands at once. They are carried out one after the other and answered in their order;
/// who wants to follow events and ask something else opens a second connection. What is no JSON, or longer than 64 KiB,
/// ends the connection after its error line; what is JSON and no request is only refused. A client that ends its side
/// is still answered for a minute; one that closes withdraws its commands.
public struct AdminServer: PeerProtocol {
    /// What the interface needs to know.
    public struct Configuration: Hashable, Sendable {
        /// The path of the Unix socket.
        public let socket: String
        /// Octets in one send: more than the host's high mark, so that `drained` follows it, and less than the mark at
        /// which the host closes a connection.
        public let sliceBytes: Int

        /// An interface at the path `socket`. The standard slice lies between the host's marks of 1 MiB and 4 MiB.
        public init(socket: String, sliceBytes: Int = 2 << 20) {
            self.socket = socket
            self.sliceBytes = sliceBytes
        }
    }

    /// Clients at one time. More than any operator has terminals, and few enough never to starve the protocols.
    public static let maximumConnections = 64

    /// Time for the answers to a client that ended its side: long enough for any command that ends. One that follows
    /// something never does, and nobody may be there any more.
    public static let lingerTime = Duration.seconds(60)

    private static let listener = ListenerID("admin")

    private let configuration: Configuration
    private var sessions: [ConnectionID: Session] = [:]
    /// Who waits for a command.
    private var clients: [CommandID: ConnectionID] = [:]
    private var deadlines = Deadlines<ConnectionID>()
    private var answered: UInt64 = 0

    /// An interface that does nothing before `.start`.
    public init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// When a client that ended its side has had enough time.
    public var nextDeadline: Instant? { deadlines.next }

    /// One record: path, clients, commands that are being carried out, commands answered so far.
    public func status() -> [Record] {
        [
            [
                "socket": .string(configuration.socket), "connections": .count(sessions.count),
                "running": .count(clients.count), "answered": .count(answered),
            ]
        ]
    }

    /// Another path needs a restart.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        new.socket == configuration.socket ? [] : [RestartNeeded("socket")]
    }

    /// Takes clients and their lines, and what the cores answer.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: effects.append(.listen(Self.listener, on: .unix(path: configuration.socket), .stream))
        case .listening(_, let address):
            effects.log(.info, "listening", ["listener": .text(Self.listener), "address": .text(address)])
        case .refused(_, let error): cannotListen(error, into: &effects)
        case .accepted(let connection, _, _, _): accept(connection, into: &effects)
        case .received(let bytes, let connection):
            sessions[connection]?.received(bytes)
            if sessions[connection]?.isCancelled ?? false { dismiss(connection, "cancelled", into: &effects) }
            proceed(connection, into: &effects)
        case .ended(let connection):
            guard sessions[connection] != nil else { return }
            sessions[connection]?.ended()
            deadlines.set(connection, at: now.instant + Self.lingerTime)
            proceed(connection, into: &effects)
        case .drained(let connection):
            sessions[connection]?.drained()
            proceed(connection, into: &effects)
        case .closed(let connection, _, _): forget(connection, into: &effects)
        case .answered(let command, let reply): pass(reply, to: command, into: &effects)
        case .deadline:
            while let connection = deadlines.pop(due: now.instant) {
                dismiss(connection, "the client ended its side", into: &effects)
            }
        case .stop: stop(into: &effects)
        case .command(let id, let command):
            effects.reply(id, [], .refused("admin has no command \(command.name)"))
        default: break
        }
    }
}

// Clients come and go.
extension AdminServer {
    private func cannotListen(_ error: SystemError, into effects: inout Effects) {
        effects.log(
            .error, "listen_failed",
            [
                "listener": .text(Self.listener), "address": .string(configuration.socket), "error": .text(error),
            ], "the operator's commands cannot reach this node")
    }

    private mutating func accept(_ connection: ConnectionID, into effects: inout Effects) {
        var session = Session(sliceBytes: configuration.sliceBytes)
        if sessions.count >= Self.maximumConnections {
            session.close()
            session.refuse("\(Self.maximumConnections) clients are connected; end one of them", id: nil)
            effects.log(
                .warn, "limit_hit", ["value": .count(Self.maximumConnections)],
                "a client of the admin socket was turned away")
        }
        sessions[connection] = session
        proceed(connection, into: &effects)
    }

    private mutating func forget(_ connection: ConnectionID, into effects: inout Effects) {
        withdraw(connection, into: &effects)
        deadlines.cancel(connection)
        sessions[connection] = nil
    }

    /// Nobody waits for the command any more.
    private mutating func withdraw(_ connection: ConnectionID, into effects: inout Effects) {
        guard let running = sessions[connection]?.running else { return }
        clients[running.command] = nil
        effects.append(.withdraw(running.command))
    }

    /// Ends a client's connection and says why when it waits for an answer.
    private mutating func dismiss(_ connection: ConnectionID, _ reason: String, into effects: inout Effects) {
        withdraw(connection, into: &effects)
        if let running = sessions[connection]?.running { sessions[connection]?.refuse(reason, id: running.id) }
        sessions[connection]?.close()
        proceed(connection, into: &effects)
    }

    private mutating func stop(into effects: inout Effects) {
        effects.append(.unlisten(Self.listener))
        for connection in sessions.keys.sorted() { dismiss(connection, "the node stops", into: &effects) }
    }
}

// Commands and answers.
extension AdminServer {
    /// Carries out the next line when nothing else is, and sends what there is room for.
    private mutating func proceed(_ connection: ConnectionID, into effects: inout Effects) {
        guard var session = sessions[connection] else { return }
        while let next = session.next() {
            switch next {
            case .success(let request): session.running = ask(request, for: connection, into: &effects)
            case .failure(let error): session.refuse(error.message, id: error.id)
            }
        }
        if let slice = session.takeSlice() { effects.send(slice, on: connection) }
        sessions[connection] = session
        if session.isTooSlow {
            effects.append(.abort(connection, .tooSlow))
            forget(connection, into: &effects)
        } else if session.isFinished {
            effects.append(.finish(connection))
            forget(connection, into: &effects)
        }
    }

    private mutating func ask(
        _ request: Request, for connection: ConnectionID, into effects: inout Effects
    ) -> Session.Running {
        effects.log(.debug, "command", ["target": .string(request.target), "name": .string(request.command.name)])
        let command = effects.ask(request.target, request.command)
        clients[command] = connection
        return Session.Running(command: command, id: request.id)
    }

    private mutating func pass(_ reply: Reply, to command: CommandID, into effects: inout Effects) {
        guard let connection = clients[command], var session = sessions[connection], let running = session.running
        else { return }
        let id = running.id
        switch reply.outcome {
        case .more: session.answer(reply.records, isLast: false, id: id)
        case .done: session.answer(reply.records.isEmpty ? [[:]] : reply.records, isLast: true, id: id)
        case .refused(let reason):
            session.answer(reply.records, isLast: false, id: id)
            session.refuse(reason, id: id)
        }
        if reply.outcome != .more {
            session.running = nil
            clients[command] = nil
            answered += 1
        }
        sessions[connection] = session
        proceed(connection, into: &effects)
    }
}
