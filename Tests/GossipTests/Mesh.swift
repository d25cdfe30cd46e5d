import PeerCore

@testable import Gossip

/// Several cores with a program each, joined by a network without delay.
struct Mesh {
    private struct End: Hashable {
        let node: Int
        let connection: ConnectionID
    }

    /// What one node has said to another.
    struct Word: Equatable {
        let from: Int
        let to: Int
        let isDatagram: Bool
        let message: Said
    }

    private(set) var nodes: [CoreStage]
    let programs: [ConnectionID]
    /// Whether programs find everything well-formed.
    var isApproving = true
    /// Datagrams are lost, so that nodes have only the neighbours that the test gives them.
    private let losesDatagrams: Bool
    private var ends: [End: End] = [:]
    private var waiting: [End: Bytes] = [:]
    private var queue: [(node: Int, input: Input)] = []
    /// What programs were sent and nobody has looked at.
    private(set) var inbox: [[Said]]
    private(set) var words: [Word] = []

    static func address(_ node: Int) -> SocketAddress { SocketAddress(IPAddress(10, 0, 0, UInt8(node + 1)), 6001) }

    /// A node for each list of data types, which its program registers.
    init(
        _ types: [[UInt16]], losesDatagrams: Bool = true,
        _ change: (Int, inout Gossip.Configuration) -> Void = { _, _ in }
    ) {
        self.losesDatagrams = losesDatagrams
        var nodes = types.indices.map { node in
            CoreStage.ready(seed: UInt64(node + 1), at: Self.address(node)) { change(node, &$0) }
        }
        programs = nodes.indices.map { node in
            let program = nodes[node].program()
            for type in types[node] { nodes[node].say(Notify(dataType: type).bytes, on: program) }
            return program
        }
        self.nodes = nodes
        inbox = types.map { _ in [] }
        for node in nodes.indices { carryOut(nodes[node].history.map(\.effect), of: node) }
        run()
    }

    /// One node dials another.
    mutating func join(_ node: Int, _ other: Int) {
        let list = nodes[node].command("connect", ["address": .text(Self.address(other))]).effects
        carryOut(list, of: node)
        run()
    }

    /// The program of a node says something.
    mutating func say(_ bytes: Bytes, at node: Int) {
        queue.append((node, .received(bytes, on: programs[node])))
        run()
    }

    /// The next message to the program of a node.
    mutating func next(at node: Int) -> Said? { inbox[node].isEmpty ? nil : inbox[node].removeFirst() }

    /// All that the program of a node was asked about.
    func notified(at node: Int) -> [Notification] {
        inbox[node].compactMap { if case .notification(let question) = $0 { question } else { nil } }
    }

    mutating func wait(_ duration: Duration) {
        guard let start = nodes.first?.now.instant else { return }
        let end = start + duration
        while let due = nodes.compactMap(\.core.nextDeadline).min(), due <= end {
            for node in nodes.indices {
                nodes[node].move(to: max(due, nodes[node].now.instant))
                guard let own = nodes[node].core.nextDeadline, own <= due else { continue }
                carryOut(nodes[node](.deadline), of: node)
            }
            run()
        }
        for node in nodes.indices { nodes[node].move(to: end) }
    }

    private mutating func run() {
        while !queue.isEmpty {
            let (node, input) = queue.removeFirst()
            carryOut(nodes[node](input), of: node)
        }
    }

    private mutating func carryOut(_ effects: [Effect], of node: Int) {
        for effect in effects {
            switch effect {
            case .connect(let connection, .address(let address), _, _): dial(connection, address, from: node)
            case .send(let bytes, let connection): send(bytes, from: End(node: node, connection: connection))
            case .sendDatagram(let bytes, let listener, let address):
                guard !losesDatagrams, let other = nodes.indices.first(where: { Self.address($0) == address })
                else { continue }
                note(bytes, from: node, to: other, isDatagram: true)
                queue.append((other, .datagram(bytes, on: listener, from: Self.address(node))))
            case .finish(let connection), .abort(let connection, _):
                guard let other = ends.removeValue(forKey: End(node: node, connection: connection)) else { continue }
                ends[other] = nil
                queue.append((other.node, .ended(other.connection)))
            default: break
            }
        }
    }

    private mutating func dial(_ connection: ConnectionID, _ address: SocketAddress, from node: Int) {
        guard let other = nodes.indices.first(where: { Self.address($0) == address }) else {
            queue.append((node, .closed(connection, .refused, Traffic())))
            return
        }
        let local = SocketAddress(Self.address(node).ip, 50_000 + UInt16(connection.number))
        let (accepted, effects) = nodes[other].accept(from: local)
        let (mine, theirs) = (End(node: node, connection: connection), End(node: other, connection: accepted))
        (ends[mine], ends[theirs]) = (theirs, mine)
        queue.append((node, .connected(connection, local: local, remote: address)))
        carryOut(effects, of: other)
    }

    private mutating func send(_ bytes: Bytes, from end: End) {
        let octets = Bytes((waiting[end] ?? Bytes()).array + bytes.array)
        let messages = Said.all(in: octets)
        waiting[end] = nil
        if case .rest(let rest)? = messages.last { waiting[end] = rest }
        let whole = messages.filter { if case .rest = $0 { false } else { true } }
        if let other = ends[end] {
            queue.append((other.node, .received(bytes, on: other.connection)))
            words += whole.map { Word(from: end.node, to: other.node, isDatagram: false, message: $0) }
        } else if end.connection == programs[end.node] {
            inbox[end.node] += whole
            guard isApproving else { return }
            for case .notification(let question) in whole {
                let answer = Validation(messageID: question.messageID, isValid: true).bytes
                queue.append((end.node, .received(answer, on: end.connection)))
            }
        }
    }

    private mutating func note(_ bytes: Bytes, from node: Int, to other: Int, isDatagram: Bool) {
        words += Said.all(in: bytes).map { Word(from: node, to: other, isDatagram: isDatagram, message: $0) }
    }
}
