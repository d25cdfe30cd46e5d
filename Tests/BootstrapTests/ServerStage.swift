import Bootstrap
import PeerCore
import Testing

/// A bootstrap server alone in virtual time, with sources that say what the test wants, and endpoints that take TCP
/// connections, refuse them, or are silent.
struct ServerStage {
    var server: BootstrapServer
    private(set) var now = Instant(nanoseconds: 0)
    private(set) var logs: [LogRecord] = []
    private(set) var replies: [Reply] = []
    /// Everything that it sent.
    private(set) var sent: [(octets: Bytes, to: SocketAddress)] = []
    /// Its TCP connection attempts.
    private(set) var probes: [(address: SocketAddress, at: Instant)] = []
    /// Connections that it ended in order.
    private(set) var finished = 0
    /// Effects that a bootstrap server must not have.
    private(set) var strange: [Effect] = []
    /// Endpoints that take a TCP connection. All others refuse it.
    var listening: Set<SocketAddress> = []
    /// Endpoints that answer nothing at all.
    var silent: Set<SocketAddress> = []

    private var effects = Effects(logLevel: .trace)
    private var pending: [(at: Instant, input: Input)] = []

    /// A server with the standard settings but for these.
    init(_ settings: Record = [:], seed: Bytes32 = .zero) {
        server = BootstrapServer(Self.configuration(settings), seed: seed)
        handle(.start)
        handle(.listening(BootstrapServer.listener, .ip(SocketAddress(.loopback, 6000))))
    }

    static func configuration(_ settings: Record) -> BootstrapServer.Configuration {
        var values = Record()
        for setting in BootstrapServer.Configuration.settings { values[setting.key] = setting.standard }
        values["listen"] = "127.0.0.1:6000"
        for field in settings.fields { values[field.name] = field.value }
        return BootstrapServer.Configuration(values)
    }

    var moment: Moment {
        Moment(instant: now, wallClock: WallClock(seconds: 1_767_225_600) + (now - Instant(nanoseconds: 0)))
    }

    /// The record of `status`.
    var status: Record { server.status().first ?? [:] }

    /// A number of the status, or how often INIT was refused for that reason.
    func count(_ name: String) -> Int {
        Int(status.int(name) ?? status.record("refused")?.int(name) ?? -1)
    }

    mutating func handle(_ input: Input) {
        server.handle(input, at: moment, into: &effects)
        for effect in effects.take() { carryOut(effect) }
    }

    private mutating func carryOut(_ effect: Effect) {
        switch effect {
        case .sendDatagram(let octets, BootstrapServer.listener, let address): sent.append((octets, address))
        case .connect(let connection, .address(let address), from: _, let timeout):
            probes.append((address, now))
            guard !silent.contains(address) else {
                pending.append((now + timeout, .closed(connection, .timeout, Traffic())))
                return
            }
            let local = SocketAddress(.loopback, 40_000)
            let result: Input =
                listening.contains(address)
                ? .connected(connection, local: local, remote: address) : .closed(connection, .refused, Traffic())
            pending.append((now + .milliseconds(20), result))
        case .finish(let connection):
            finished += 1
            pending.append((now + .milliseconds(20), .closed(connection, .finished, Traffic())))
        case .log(let record): logs.append(record)
        case .reply(_, let reply): replies.append(reply)
        case .listen: break
        default: strange.append(effect)
        }
    }

    /// Lets time pass.
    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while true {
            let input = pending.indices.min { pending[$0].at < pending[$1].at }
            let next = [server.nextDeadline, input.map { pending[$0].at }].compactMap { $0 }.min()
            guard let next, next <= end else { break }
            now = max(now, next)
            if let input, pending[input].at <= now {
                handle(pending.remove(at: input).input)
            } else {
                handle(.deadline)
            }
        }
        now = end
    }

    /// Lets time pass without anybody telling the server, as when the machine sleeps.
    mutating func sleep(_ duration: Duration) {
        now += duration
        handle(.resumed(gap: duration))
    }
}

extension ServerStage {
    /// Sends octets from `source`. Gives what the server sends at once.
    mutating func say(_ octets: Bytes, from source: SocketAddress) -> [(octets: Bytes, to: SocketAddress)] {
        let before = sent.count
        handle(.datagram(octets, on: BootstrapServer.listener, from: source))
        return Array(sent[before...])
    }

    /// Sends INIT from `source`. Gives the POPULATE that comes back, if any.
    @discardableResult
    mutating func ask(_ source: SocketAddress, degree: UInt16 = 30, id: UInt16 = 0) -> Populate? {
        let answers = say(Init(degree: degree, id: id).bytes, from: source)
        guard answers.count == 1, answers[0].to == source,
            case .populate(let populate)? = try? BootstrapMessage(decoding: answers[0].octets)
        else { return nil }
        return populate
    }

    /// The same, where an answer must come.
    mutating func answer(_ source: SocketAddress, degree: UInt16 = 30, id: UInt16 = 0) throws -> Populate {
        guard let answer = ask(source, degree: degree, id: id) else { throw NoAnswer(source: source) }
        return answer
    }

    /// Asks and echoes the ID, as a client does. Gives the second answer.
    @discardableResult
    mutating func join(_ source: SocketAddress, degree: UInt16 = 30) -> Populate? {
        ask(source, degree: degree).flatMap { ask(source, degree: degree, id: $0.id) }
    }

    /// The same, where an answer must come.
    mutating func joined(_ source: SocketAddress, degree: UInt16 = 30) throws -> Populate {
        guard let answer = join(source, degree: degree) else { throw NoAnswer(source: source) }
        return answer
    }

    /// Lets `count` peers join, slowly enough for all limits.
    mutating func fill(_ count: Int) {
        for number in 0..<count {
            join(peer(number), degree: 0)
            if number % 500 == 499 { advance(.seconds(1.1)) }
        }
    }

    /// The state of an endpoint's entry; nil: it has none.
    mutating func state(of address: SocketAddress) -> String? {
        handle(.command(CommandID(1), Command("entries")))
        let rows = replies.flatMap(\.records)
        replies = []
        return rows.first { $0.string("address") == address.description }?.string("state")
    }

    mutating func reconfigure(_ settings: Record) -> [RestartNeeded] {
        server.reconfigure(Self.configuration(settings), at: moment, into: &effects)
    }

    /// Log lines of an event.
    func lines(_ event: String) -> [LogRecord] { logs.filter { $0.event == event } }
}

/// The server did not answer.
struct NoAnswer: Error {
    let source: SocketAddress
}

/// Peer number `number`, each in a /24 of its own.
func peer(_ number: Int, port: UInt16 = 6001) -> SocketAddress {
    SocketAddress(IPAddress(v4: UInt32(0x1400_0001 + number << 8)), port)
}

/// The address that a text says.
func address(_ text: String) -> SocketAddress { SocketAddress(text) ?? .none }
