public import PeerCore

/// A command that the operator gave, and what came back.
public final class Question {
    /// The answers so far.
    public internal(set) var replies: [Reply] = []
    let id: CommandID
    let seat: Seat?

    init(_ id: CommandID, _ seat: Seat?) {
        self.id = id
        self.seat = seat
    }

    /// Whether the last answer has come.
    public var isAnswered: Bool { replies.last.map { $0.outcome != .more } ?? false }

    /// The rows of all answers.
    public var records: [Record] { replies.flatMap(\.records) }
}

// The operator.
extension Simulator {
    /// Gives a command to a core; what it answers at once is in the question already. A paused node takes it later.
    @discardableResult
    public func command(_ node: NodeID, _ core: String, _ command: Command) -> Question {
        guard let process = machine(node).process, let seat = process.seat(core) else {
            let question = Question(CommandID(0), nil)
            question.replies.append(Reply([], .refused("\(node) runs no \(core)")))
            return question
        }
        let question = Question(seat.effects.nextCommandID(), seat)
        seat.commands[question.id] = .operatorRequest(question)
        process.perform { process.enqueue(.command(question.id, command), for: seat) }
        return question
    }

    /// The operator does not wait any more.
    public func cancel(_ question: Question) {
        guard let seat = question.seat, seat.commands.removeValue(forKey: question.id) != nil else { return }
        seat.perform { seat.enqueue(.cancelled(question.id)) }
    }

    /// What the node itself answers to its cores' `ask(of: "node")`.
    public func setAnswers(of node: NodeID, _ answer: @escaping (Command) -> Reply) {
        machine(node).answer = answer
    }

    /// Opens a bare socket on the node's machine, beside its cores, to where one of them listens.
    public func openSocket(on node: NodeID, to address: ListenAddress) -> BareSocket {
        let socket = BareSocket(machine(node))
        let end = StreamEnd(socket, local: .none, remote: .none)
        socket.end = end
        world.bareSockets.append(socket)
        switch address {
        case .ip(let address): end.dial(.address(address), from: nil, timeout: .seconds(10))
        case .unix(let path): end.dial(path: path)
        }
        return socket
    }
}

/// A stream in a test's own hands: the operator's tool on a Unix socket, or a peer that does what no core would.
public final class BareSocket: StreamOwner {
    /// What came, in order.
    public private(set) var received: [UInt8] = []
    /// Whether the other side has sent all.
    public private(set) var hasEnded = false
    /// Why it is closed; nil while it is not.
    public private(set) var closed: CloseReason?
    /// Whether it takes what comes. One that does not makes the other side's queue grow.
    public var reads = true {
        didSet { if let end { wake(end) } }
    }

    let machine: Machine
    fileprivate(set) var end: StreamEnd?

    init(_ machine: Machine) {
        self.machine = machine
    }

    /// Sends octets.
    public func send(_ bytes: Bytes) {
        end?.send(bytes)
        end?.flush()
    }

    /// Ends this side only; what comes is still taken.
    public func finish() {
        end?.endSendingOnly()
    }

    /// Closes it with a reset.
    public func reset() {
        end?.close(.operatorRequest, resetting: true)
    }

    func dissolve() {
        end?.unlink()
        end = nil
    }

    var isAlive: Bool { true }

    /// A program without a host's rules.
    var limits: StreamLimits {
        var limits = StreamLimits()
        limits.high = .max
        limits.hard = .max
        return limits
    }

    func perform(_ action: @escaping () -> Void) { action() }

    func enqueue(_ input: Input, about end: StreamEnd?) {
        switch input {
        case .received(let bytes, _): received += bytes.slice
        case .ended: hasEnded = true
        case .closed(_, let reason, _): closed = reason
        default: break
        }
    }

    func wake(_ end: StreamEnd) {
        while reads, end.canRead { end.readOne() }
    }

    func sendLater(_ end: StreamEnd) {}

    func admit(_ end: StreamEnd) -> ConnectionID { end.connection }

    func forget(_ end: StreamEnd) {}
}
