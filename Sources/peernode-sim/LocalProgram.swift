internal import Gossip
internal import PeerCore

/// A program on a simulated node: it registers a data type, finds every item well-formed, and announces when told.
struct LocalProgram: PeerProtocol {
    struct Configuration {}

    /// The data type of all programs.
    static let dataType: UInt16 = 1337

    let node: SocketAddress
    /// How long it takes to judge an item.
    let thinking: Duration
    /// When each item came first.
    private(set) var received: [Bytes: Instant] = [:]
    /// Items that came more than once.
    private(set) var repeated = 0
    private var buffer = ReceiveBuffer()
    private var connection: ConnectionID?
    private var verdicts: [(messageID: UInt16, due: Instant)] = []
    private var nextDial: Instant?

    init(node: SocketAddress, thinking: Duration) {
        self.node = node
        self.thinking = thinking
    }

    var nextDeadline: Instant? { [nextDial, verdicts.first?.due].compactMap(\.self).min() }

    mutating func reconfigure(_ new: Configuration, at now: Moment, into effects: inout Effects) -> [RestartNeeded] {
        []
    }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: connection = effects.connect(to: .address(node))
        case .deadline:
            judge(at: now, into: &effects)
            guard let due = nextDial, due <= now.instant else { return }
            nextDial = nil
            connection = effects.connect(to: .address(node))
        case .connected(let connection, _, _):
            effects.send(Notify(dataType: Self.dataType).bytes, on: connection)
        case .received(let bytes, let connection): take(bytes, connection, at: now, into: &effects)
        case .closed:
            connection = nil
            verdicts = []
            nextDial = now.instant + .seconds(1)
        case .command(let id, let command):
            announce(command.arguments, at: now, into: &effects)
            effects.reply(id, [])
        default: break
        }
    }

    private mutating func take(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        buffer.append(bytes)
        while let (message, octets) = try? APIMessage.next(in: buffer.waiting) {
            buffer.consume(octets)
            guard case .notification(let item) = message else { continue }
            if received.updateValue(now.instant, forKey: item.data) != nil { repeated += 1 }
            verdicts.append((item.messageID, now.instant + thinking))
        }
        judge(at: now, into: &effects)
    }

    private mutating func judge(at now: Moment, into effects: inout Effects) {
        guard let connection else { return }
        while let next = verdicts.first, next.due <= now.instant {
            verdicts.removeFirst()
            effects.send(Validation(messageID: next.messageID, isValid: true).bytes, on: connection)
        }
    }

    private mutating func announce(_ arguments: Record, at now: Moment, into effects: inout Effects) {
        guard let connection, let text = arguments.string("item") else { return }
        var data = Array(text.utf8)
        data += Array(repeating: 0, count: max(0, Int(arguments.int("bytes") ?? 0) - data.count))
        received[Bytes(data)] = now.instant
        effects.send(
            Announce(ttl: 0, dataType: Self.dataType, data: Bytes(data)).message, on: connection)
    }

    func status() -> [Record] { [] }
}
