import PeerCore
import PeerCrypto
import PeerSimulator

@testable import PPSP

/// Nodes in virtual time that share contents.
final class Lab {
    let simulator: Simulator
    private(set) var nodes: [NodeID] = []

    init(seed: UInt64 = 1, network: NetworkModel = NetworkModel(delay: .milliseconds(5) ... .milliseconds(5))) {
        simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .debug
    }

    /// The address of the node with this number.
    static func ip(_ number: Int) -> IPAddress { IPAddress(10, 0, UInt8(number / 250), UInt8(number % 250 + 1)) }

    /// Where its peers connect.
    static func address(_ number: Int) -> SocketAddress { SocketAddress(ip(number), PPSP.standardPort) }

    /// The key of that node, and the ID that it has by it.
    static func key(_ number: Int) -> Bytes32 { Bytes32([UInt8](repeating: UInt8(number % 256), count: 32)) }
    static func peerID(_ number: Int) -> Bytes32 { Certificate.peerID(of: Ed25519.publicKey(seed: key(number))) }

    /// Adds a node; its number is how many there were before it.
    @discardableResult
    func node(_ change: (inout PPSP.Configuration) -> Void = { _ in }) -> Int { node(change) { $0 } }

    /// Adds a node with a core around the one that is known.
    func node(
        _ change: (inout PPSP.Configuration) -> Void, _ wrapped: @escaping (PPSP) -> any PeerProtocol
    ) -> Int {
        let number = nodes.count
        var configuration = PPSP.Configuration(listen: Self.address(number))
        change(&configuration)
        let key = Self.key(number)
        let node = simulator.addNode("n\(number)", at: Self.ip(number), "content") { [configuration] seed in
            wrapped(PPSP(configuration, key: key, software: "test", seed: seed))
        }
        simulator.folder("content", of: node)
        nodes.append(node)
        return number
    }

    func core(_ number: Int) -> PPSP? { simulator.core(PPSP.self, "content", of: nodes[number]) }

    func run(_ duration: Duration) throws { try simulator.run(for: duration) }

    /// Runs until the condition holds, for `duration` at most.
    func settle(within duration: Duration, _ what: String, _ condition: () -> Bool) throws {
        let end = simulator.now + duration
        while !condition(), simulator.now < end { try run(.milliseconds(100)) }
        try simulator.require(condition(), what)
    }

    /// Octets that no two places of which are equal.
    static func octets(_ count: Int, seed: UInt8 = 1) -> Bytes {
        var random = SeededRandom(seed: Bytes32([UInt8](repeating: seed, count: 32)))
        return Bytes(
            (0..<(count + 7) / 8).flatMap { _ in
                let word: UInt64 = random.next()
                return (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
            }.prefix(count))
    }

    /// Makes a content of octets at a node; its swarm.
    func add(
        _ octets: Bytes, at number: Int, chunkBytes: Int = 1024, hash: String = "sha256", name: String = "content"
    ) throws -> String {
        simulator.folder(at: "/files", of: nodes[number])[name] = octets
        let rows = try ask(
            number, "add",
            ["path": .string("/files/\(name)"), "chunkBytes": .count(chunkBytes), "hash": .string(hash)])
        try simulator.require(rows.last?.string("swarm") != nil, "no content was made: \(rows)")
        return rows.last?.string("swarm") ?? ""
    }

    /// Lets a node fetch a swarm.
    func fetch(_ swarm: String, at number: Int, from others: [Int], _ more: Record = [:]) throws {
        let addresses = others.map { Record.Value.string(Self.address($0).description) }
        let arguments: Record = [
            "swarm": .string(swarm), "from": .list(addresses), "into": "/files/content", "wait": false,
        ]
        _ = try ask(number, "fetch", arguments.appending(more))
    }

    /// Asks a node, and waits for its answer.
    func ask(_ number: Int, _ command: String, _ arguments: Record = [:]) throws -> [Record] {
        let question = simulator.command(nodes[number], "content", Command(command, arguments))
        try settle(within: .seconds(60), "\(command) is not answered") { question.isAnswered }
        return question.records
    }

    /// What a node has of the content.
    func content(_ number: Int) -> Bytes? { simulator.folder(at: "/files", of: nodes[number])["content"] }

    /// The fields of all lines of that event.
    func events(_ event: String, of number: Int? = nil) -> [Record] {
        simulator.logs.filter { line in
            line.record.event == event && (number.map { nodes[$0] == line.node } ?? true)
        }.map(\.record.fields)
    }
}
