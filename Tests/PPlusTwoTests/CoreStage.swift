import PeerCore
import TestSupport

@testable import PPlusTwo

/// One core in virtual time, and all that it wanted done.
struct CoreStage {

    private var run: CoreRun<PPlusTwo>

    var core: PPlusTwo {
        get { run.core }
        _modify { yield &run.core }
    }
    var now: Moment { run.now }
    /// Everything since the beginning.
    var history: [(at: Instant, effect: Effect)] { run.history }

    init(_ configuration: PPlusTwo.Configuration) {
        run = CoreRun(PPlusTwo(configuration, seed: Bytes32.zero), logLevel: .trace)
    }

    /// A core that listens on this port of 127.0.0.1 or another host, and has nothing saved.
    static func ready(
        at host: IPAddress = .loopback, knows: [PeerIdentity] = [], _ change: (inout Configuration) -> Void = { _ in }
    ) -> CoreStage {
        let listen = SocketAddress(host, Lab.port)
        var configuration = Configuration(listen: listen, folder: "files")
        configuration.initialPeers = knows
        change(&configuration)
        var stage = CoreStage(configuration)
        stage(.start)
        for service in Service.allCases {
            stage(.listening(service.listener, .ip(SocketAddress(host, listen.port + service.offset))))
        }
        for table in ["files_peers", "files_hashes", "files_parts"] {
            stage(.recalled(table: table, [], more: false))
        }
        return stage
    }

    /// Hands the core an input and gives what it wants done.
    @discardableResult
    mutating func callAsFunction(_ input: Input) -> [Effect] { run(input) }

    /// Lets time pass; the core's deadlines come when they are due. Gives what it wants done meanwhile.
    @discardableResult
    mutating func wait(_ duration: Duration) -> [Effect] { run.wait(duration) }

    /// Somebody calls.
    mutating func accept(_ service: Service, from remote: SocketAddress) -> (ConnectionID, [Effect]) {
        let connection = run.nextConnection()
        let local = SocketAddress(.loopback, Lab.port + service.offset)
        return (connection, self(.accepted(connection, on: service.listener, local: local, remote: remote)))
    }

    /// Somebody calls and says this; gives what it is answered.
    @discardableResult
    mutating func call(_ service: Service, from source: IPAddress, _ line: String) -> String {
        let (connection, _) = accept(service, from: SocketAddress(source, 50_000))
        let effects = self(.received(Bytes(utf8: line), on: connection))
        self(.closed(connection, .finished, Traffic()))
        return effects.sent(on: connection)
    }

    /// The operator's command.
    mutating func command(_ name: String, _ arguments: Record = [:]) -> (id: CommandID, effects: [Effect]) {
        let id = run.nextCommand()
        return (id, self(.command(id, Command(name, arguments))))
    }

    /// Dials so far: when, where to.
    var dials: [(at: Instant, to: Destination, connection: ConnectionID)] {
        history.compactMap {
            if case .connect(let connection, let to, _, _) = $0.effect { ($0.at, to, connection) } else { nil }
        }
    }
}

extension [Effect] {
    /// The text that is sent on a connection.
    func sent(on connection: ConnectionID) -> String {
        compactMap { if case .send(let bytes, connection) = $0 { bytes.text } else { nil } }.joined()
    }

    /// Lines of the log of that event.
    func logged(_ event: String) -> [Record] {
        compactMap { if case .log(let record) = $0, record.event == event { record.fields } else { nil } }
    }

    var aborted: [ConnectionID] {
        compactMap { if case .abort(let connection, _) = $0 { connection } else { nil } }
    }

    var finished: [ConnectionID] {
        compactMap { if case .finish(let connection) = $0 { connection } else { nil } }
    }
}

/// An identity as text, which must be one.
func identity(_ text: String) -> PeerIdentity {
    guard let identity = PeerIdentity(text) else { preconditionFailure("no identity: \(text)") }
    return identity
}
