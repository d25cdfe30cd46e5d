internal import PeerCore
internal import PeerSimulator
internal import TestSupport

/// Plays scenarios in a simulated node.
final class SimulatedNode: ScenarioRunner {
    let simulator: Simulator
    private var puppets: [PuppetName: Puppet] = [:]
    private var node: NodeID?
    private(set) var failure: SimulationFailure?

    init(seed: UInt64, network: NetworkModel) {
        simulator = Simulator(seed: seed, network: network)
    }

    func start(_ puppets: [PuppetName: Puppet]) {
        self.puppets = puppets
        if let node { return simulator.restart(node) }
        let blueprints = PuppetName.allCases.map { name in
            CoreBlueprint(name.rawValue) { [unowned self] _ in self.puppets[name] ?? Puppet(Puppet.Strings()) }
        }
        let node = simulator.addNode("node", at: IPAddress(10, 0, 0, 1), cores: blueprints)
        simulator.folder("files", of: node)
        simulator.folder("other", of: node)
        self.node = node
    }

    private var started: NodeID {
        guard let node else { preconditionFailure("the node is not started") }
        return node
    }

    func stop() { simulator.stop(started) }

    func ask(_ name: PuppetName, _ command: Command) -> any ScenarioQuestion {
        SimulatedQuestion(simulator, simulator.command(started, name.rawValue, command))
    }

    func openSocket(to address: ListenAddress, reading: Bool) -> any ScenarioSocket {
        let socket = simulator.openSocket(on: started, to: address)
        socket.reads = reading
        return SimulatedSocket(socket)
    }

    func change(_ path: String, _ bytes: Bytes?) { simulator.folder("files", of: started)[path] = bytes }

    func link(_ path: String) { simulator.folder("files", of: started).makeLink(path) }

    func log(of name: PuppetName) -> [LogRecord] {
        simulator.logs.filter { $0.core == name.rawValue }.map(\.record)
    }

    func unixPath(_ name: String) -> String { "/run/" + name }

    func run(atMost limit: Duration, until condition: () -> Bool) {
        do throws(SimulationFailure) {
            try simulator.run(for: limit, until: condition)
        } catch {
            failure = error
        }
    }
}

private final class SimulatedQuestion: ScenarioQuestion {
    private let simulator: Simulator
    private let question: Question

    init(_ simulator: Simulator, _ question: Question) {
        self.simulator = simulator
        self.question = question
    }

    var replies: [Reply] { question.replies }

    func cancel() { simulator.cancel(question) }
}

private final class SimulatedSocket: ScenarioSocket {
    private let socket: BareSocket

    init(_ socket: BareSocket) {
        self.socket = socket
    }

    var received: [UInt8] { socket.received }
    var hasEnded: Bool { socket.hasEnded }
    var wasReset: Bool { socket.closed == .reset }

    func send(_ bytes: Bytes) { socket.send(bytes) }

    func finish() { socket.finish() }

    func reset() { socket.reset() }
}
