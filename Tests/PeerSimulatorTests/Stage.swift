internal import PeerCore
internal import PeerSimulator
internal import TestSupport

/// Two nodes with a puppet on each, A at 10.0.0.1 and B at 10.0.0.2.
final class Stage {
    static let ipOfA = IPAddress(10, 0, 0, 1)
    static let ipOfB = IPAddress(10, 0, 0, 2)
    /// Where B listens.
    static let door = SocketAddress(ipOfB, 4000)
    static let listener = ListenerID("door")
    static let post = ListenerID("post")

    let simulator: Simulator
    private(set) lazy var a = add("a", at: Self.ipOfA)
    private(set) lazy var b = add("b", at: Self.ipOfB)
    private var newest = Puppet.Strings()
    private var strings: [NodeID: Puppet.Strings] = [:]
    private var taken: [NodeID: Int] = [:]

    init(seed: UInt64 = 1, network: NetworkModel = NetworkModel()) {
        simulator = Simulator(seed: seed, network: network)
        _ = (a, b)
    }

    /// Adds a node with a puppet, whose first two inputs are taken.
    func add(_ name: String, at address: IPAddress) -> NodeID {
        let node = simulator.addNode(name, at: address, "puppet") { [unowned self] _ in
            newest = Puppet.Strings()
            return Puppet(newest)
        }
        adopt(node)
        return node
    }

    /// Takes the strings of the puppet that `node` has just started.
    private func adopt(_ node: NodeID) {
        strings[node] = newest
        taken[node] = 2
    }

    func restart(_ node: NodeID) {
        simulator.restart(node)
        adopt(node)
    }

    /// The puppet wants these effects, in one turn.
    func give(_ node: NodeID, _ effects: Effect..., wakeAfter: Duration? = nil) {
        strings[node]?.prepare(effects, wakeAfter: wakeAfter)
        simulator.command(node, "puppet", Puppet.pull)
    }

    /// What the puppet has heard since the last time.
    func heard(_ node: NodeID) -> [Input] {
        let all = strings[node]?.heard ?? []
        defer { taken[node] = all.count }
        return Array(all[min(taken[node] ?? 0, all.count)...])
    }

    /// What the puppet hears in so much time.
    func heard(_ node: NodeID, in duration: Duration) throws -> [Input] {
        try simulator.run(for: duration)
        return heard(node)
    }

    /// B listens and A dials it: connection 1001 of A is connection 1 of B.
    func connect() throws {
        give(b, .listen(Self.listener, on: .ip(Self.door), .stream))
        try dial(1001)
        _ = heard(a)
        _ = heard(b)
    }

    func dial(_ number: UInt64, timeout: Duration = .seconds(10)) throws {
        give(a, .connect(ConnectionID(number), to: .address(Self.door), from: nil, timeout: timeout))
        try simulator.run(for: .seconds(1))
    }

    /// Both open a socket for datagrams.
    func openDatagrams() {
        give(a, .listen(Self.post, on: .ip(SocketAddress(Self.ipOfA, 4000)), .datagram))
        give(b, .listen(Self.post, on: .ip(Self.door), .datagram))
        _ = heard(a)
        _ = heard(b)
    }
}

let a1001 = ConnectionID(1001)
let b1 = ConnectionID(1)

func text(_ text: String) -> Bytes { Bytes(utf8: text) }

func zeros(_ count: Int) -> Bytes { Bytes([UInt8](repeating: 0, count: count)) }

func traffic(received: UInt64 = 0, sent: UInt64 = 0) -> Traffic { Traffic(received: received, sent: sent) }
