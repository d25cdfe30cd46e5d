internal import PeerCore
internal import PeerSimulator

/// A core that sends back what it hears, for measuring the simulator: as caller it begins, as callee it listens.
struct Echo: PeerProtocol {
    struct Configuration {}

    let callee: SocketAddress?
    let nextDeadline: Instant? = nil

    /// The echo service (RFC 862).
    private static let port: UInt16 = 7
    private static let message = Bytes([UInt8](repeating: 0x55, count: 64))

    init(calling callee: IPAddress?) {
        self.callee = callee.map { SocketAddress($0, Self.port) }
    }

    mutating func reconfigure(_ new: Configuration, at now: Moment, into effects: inout Effects) -> [RestartNeeded] {
        []
    }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start:
            if let callee {
                _ = effects.connect(to: .address(callee))
            } else {
                effects.append(.listen(ListenerID("echo"), on: .ip(SocketAddress(.anyV4, Self.port)), .stream))
            }
        case .connected(let connection, _, _): effects.send(Self.message, on: connection)
        case .received(let bytes, let connection): effects.send(bytes, on: connection)
        default: break
        }
    }

    func status() -> [Record] { [] }
}

/// Pairs of nodes that send 64 octets to and fro; prints how many inputs the simulator carries in a second.
func echo(_ options: Options) throws {
    let simulator = Simulator(seed: options.seed, network: NetworkModel(delay: .milliseconds(1) ... .milliseconds(2)))
    for pair in 0..<UInt32(options.nodes) / 2 {
        let callee = IPAddress(v4: 0x0a00_0000 + pair * 2 + 1)
        simulator.addNode("callee \(pair)", at: callee, "echo") { _ in Echo(calling: nil) }
        simulator.addNode("caller \(pair)", at: IPAddress(v4: 0x0a00_0000 + pair * 2 + 2), "echo") { _ in
            Echo(calling: callee)
        }
    }
    let elapsed = try ContinuousClock().measure { try simulator.run(for: .seconds(options.seconds)) }
    let rate = Double(simulator.inputs) / elapsed.fractionalSeconds
    print("\(simulator.inputs) inputs in \(elapsed): \(Int(rate)) inputs/s, trace \(simulator.traceHash)")
}
