import PeerCore
import PeerSimulator

@testable import PPlusTwo

/// Nodes in virtual time, with one core each, and their folders.
final class Lab {
    static let port: UInt16 = 17_000

    let simulator: Simulator

    init(seed: UInt64 = 1, network: NetworkModel = NetworkModel(delay: .milliseconds(5) ... .milliseconds(5))) {
        simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .debug
    }

    /// The address of the node with this number.
    static func ip(_ number: UInt8) -> IPAddress { IPAddress(10, 0, 0, number) }

    static func identity(_ number: UInt8) -> PeerIdentity {
        guard let identity = PeerIdentity(ip(number), port) else { preconditionFailure("\(number)") }
        return identity
    }

    /// A node with an empty folder.
    func node(
        _ number: UInt8, knows: [UInt8] = [], quota: UInt64 = 1 << 30,
        _ change: (inout PPlusTwo.Configuration) -> Void = { _ in }
    ) -> NodeID {
        var configuration = PPlusTwo.Configuration(listen: SocketAddress(Self.ip(number), Self.port), folder: "files")
        configuration.initialPeers = knows.map(Self.identity)
        configuration.minFreeBytes = 0
        change(&configuration)
        let node = simulator.addNode("n\(number)", at: Self.ip(number), "files") { [configuration] seed in
            PPlusTwo(configuration, seed: seed)
        }
        simulator.folder("files", of: node, quota: quota)
        return node
    }

    /// A peer that does as it is told.
    func scripted(_ number: UInt8, _ answer: @escaping ScriptedPeer.Script) -> Recorder {
        let recorder = Recorder()
        simulator.addNode("s\(number)", at: Self.ip(number), "files") { _ in
            ScriptedPeer(ip: Self.ip(number), recorder: recorder, answer: answer)
        }
        return recorder
    }

    func run(_ duration: Duration) throws { try simulator.run(for: duration) }

    func files(_ node: NodeID) -> Folder { simulator.folder("files", of: node) }

    func core(_ node: NodeID) -> PPlusTwo? { simulator.core(PPlusTwo.self, "files", of: node) }

    func ask(_ node: NodeID, _ name: String, _ arguments: Record = [:]) -> PeerSimulator.Question {
        simulator.command(node, "files", Command(name, arguments))
    }

    /// Asks and waits until the answer is complete.
    func answer(
        _ node: NodeID, _ name: String, _ arguments: Record = [:], within duration: Duration = .seconds(300)
    ) throws -> PeerSimulator.Question {
        let question = ask(node, name, arguments)
        _ = try simulator.run(for: duration, until: { question.isAnswered })
        return question
    }

    /// What a bare client of a node's service receives up to the end, and how it ends.
    func call(
        _ node: NodeID, _ number: UInt8, _ service: Service, _ pieces: [Bytes], gap: Duration = .zero,
        halfCloses: Bool = false, within duration: Duration = .seconds(60)
    ) throws -> BareSocket {
        let address = SocketAddress(Self.ip(number), Self.port + service.offset)
        let socket = simulator.openSocket(on: node, to: .ip(address))
        try run(.milliseconds(100))
        for piece in pieces where !socket.hasEnded {
            socket.send(piece)
            if gap > .zero { try run(gap) }
        }
        try run(.milliseconds(1))
        if halfCloses { socket.finish() }
        _ = try simulator.run(for: duration, until: { socket.hasEnded || socket.closed != nil })
        return socket
    }

    /// The fields of all lines of that event.
    func events(_ event: String, of node: NodeID? = nil) -> [Record] {
        simulator.logs.filter { $0.record.event == event && (node == nil || $0.node == node) }.map(\.record.fields)
    }
}

/// What a scripted peer has heard.
final class Recorder {
    struct Line: Equatable {
        let service: Service
        let text: String
        let at: Instant
    }

    var lines: [Line] = []

    func texts(_ service: Service) -> [String] { lines.filter { $0.service == service }.map(\.text) }
}

/// A peer that answers each line as a test wants.
struct ScriptedPeer: PeerProtocol {
    enum Answer {
        /// These octets, then an end in order.
        case bytes(Bytes)
        /// These octets, then a reset.
        case reset(Bytes)
        /// Octets without end.
        case endless
        /// These octets, then nothing.
        case silence(Bytes)

        static func text(_ text: String) -> Answer { .bytes(Bytes(utf8: text)) }
    }

    typealias Script = (Service, String) -> Answer

    let ip: IPAddress
    let recorder: Recorder
    let answer: Script
    private var services: [ConnectionID: Service] = [:]
    private var endless: Set<ConnectionID> = []
    private var resets: [Instant: [ConnectionID]] = [:]

    init(ip: IPAddress, recorder: Recorder, answer: @escaping Script) {
        (self.ip, self.recorder, self.answer) = (ip, recorder, answer)
    }

    mutating func reconfigure(_: Int, at _: Moment, into _: inout Effects) -> [RestartNeeded] { [] }

    var nextDeadline: Instant? { resets.keys.min() }

    func status() -> [Record] { [] }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start:
            for service in Service.allCases {
                let address = SocketAddress(ip, Lab.port + service.offset)
                effects.append(.listen(service.listener, on: .ip(address), .stream))
            }
        case .accepted(let connection, let listener, _, _): services[connection] = Service(listener)
        case .received(let bytes, let connection):
            guard let service = services.removeValue(forKey: connection) else { return }
            let text = String(decoding: bytes, as: UTF8.self)
            recorder.lines.append(Recorder.Line(service: service, text: text, at: now.instant))
            give(answer(service, text), on: connection, at: now.instant, into: &effects)
        case .drained(let connection):
            if endless.contains(connection) { effects.send(Self.flood, on: connection) }
        case .closed(let connection, _, _):
            endless.remove(connection)
            for key in resets.keys { resets[key]?.removeAll { $0 == connection } }
        case .deadline:
            for connection in resets.removeValue(forKey: now.instant) ?? [] {
                effects.append(.abort(connection, .systemError))
            }
        default: break
        }
    }

    private static let flood = Bytes([UInt8](repeating: 7, count: 2 << 20))

    private mutating func give(
        _ answer: Answer, on connection: ConnectionID, at now: Instant, into effects: inout Effects
    ) {
        switch answer {
        case .bytes(let bytes):
            effects.send(bytes, on: connection)
            effects.append(.finish(connection))
        case .reset(let bytes):
            effects.send(bytes, on: connection)
            // What was sent must have arrived before.
            resets[now + .seconds(1), default: []].append(connection)
        case .endless:
            endless.insert(connection)
            effects.send(Self.flood, on: connection)
        case .silence(let bytes): effects.send(bytes, on: connection)
        }
    }
}
