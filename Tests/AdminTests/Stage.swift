import Admin
import PeerCore

/// The interface under test, a node that answers by a script, and what each client has received.
struct Stage {
    private(set) var server = AdminServer(AdminServer.Configuration(socket: "d/admin.sock", sliceBytes: 2000))
    private var effects = Effects(logLevel: .trace)
    private var second = 0
    private var inputs: [Input] = []

    /// What the clients received.
    private(set) var received: [ConnectionID: String] = [:]
    /// The commands that were asked, as `target name arguments`.
    private(set) var asked: [String] = []
    /// The names under which they were asked.
    private(set) var commands: [CommandID] = []
    /// All other effects.
    private(set) var others: [Effect] = []
    /// What the node answers at once; nil: nothing yet.
    var script: (Command) -> [Reply]? = { _ in nil }

    init() {
        handle(.start)
    }

    private var now: Moment {
        Moment(instant: Instant(nanoseconds: 0) + .seconds(second), wallClock: WallClock(seconds: 0))
    }

    /// Lets the input happen, and what the script answers to it.
    mutating func handle(_ input: Input) {
        inputs.append(input)
        guard inputs.count == 1 else { return }
        while let input = inputs.first {
            server.handle(input, at: now, into: &effects)
            for effect in effects.take() { carryOut(effect) }
            inputs.removeFirst()
        }
    }

    private mutating func carryOut(_ effect: Effect) {
        switch effect {
        case .send(let bytes, let connection): received[connection, default: ""] += bytes.text ?? "no UTF-8"
        case .ask(let id, let target, let command):
            asked.append("\(target) \(command.name) \(command.arguments.json)")
            commands.append(id)
            for reply in script(command) ?? [] { handle(.answered(id, reply)) }
        case .log(let record) where record.level < .info: break
        default: others.append(effect)
        }
    }

    /// A new client.
    mutating func connect() -> ConnectionID {
        let connection = effects.nextConnectionID()
        handle(.accepted(connection, on: ListenerID("admin"), local: .none, remote: .none))
        return connection
    }

    mutating func send(_ text: String, on connection: ConnectionID) {
        handle(.received(Bytes(utf8: text), on: connection))
    }

    /// All other effects since the last call.
    mutating func takeOthers() -> [Effect] {
        defer { others = [] }
        return others
    }

    /// What the client received since the last call.
    mutating func take(_ connection: ConnectionID) -> String {
        defer { received[connection] = nil }
        return received[connection] ?? ""
    }

    /// Lets time pass; due deadlines are handled.
    mutating func wait(seconds: Int) {
        second += seconds
        if let deadline = server.nextDeadline, deadline <= now.instant { handle(.deadline) }
    }
}
