import Bootstrap
import PeerCore

/// A bootstrap client alone in virtual time; the test is its servers and its name service.
struct ClientStage {
    var client: BootstrapClient
    private(set) var now = Instant(nanoseconds: 0)
    private(set) var logs: [LogRecord] = []
    /// Everything that it sent.
    private(set) var sent: [(message: BootstrapMessage?, to: SocketAddress, at: Instant)] = []
    /// Names that were looked up.
    private(set) var lookups: [String] = []
    /// What the name service knows.
    var names: [String: [IPAddress]] = [:]

    private var effects = Effects(logLevel: .trace)

    init(_ servers: [String], degree: UInt16 = 30, seed: UInt8 = 1) {
        client = BootstrapClient(
            servers: servers.compactMap { Destination($0) }, listener: ListenerID("udp"), degree: degree,
            seed: Bytes32([UInt8](repeating: seed, count: 32)))
    }

    var moment: Moment {
        Moment(instant: now, wallClock: WallClock(seconds: 1_767_225_600) + (now - Instant(nanoseconds: 0)))
    }

    /// The INITs sent so far.
    var questions: [Init] {
        sent.compactMap { if case .initialization(let question) = $0.message { question } else { nil } }
    }

    /// Pauses between what was sent, in seconds.
    var pauses: [Double] { zip(sent, sent.dropFirst()).map { ($1.at - $0.at).fractionalSeconds } }

    private mutating func carryOutAll() {
        for effect in effects.take() {
            switch effect {
            case .sendDatagram(let octets, ListenerID("udp"), let address):
                sent.append((try? BootstrapMessage(decoding: octets), address, now))
            case .resolve(let request, let name):
                lookups.append(name)
                _ = client.resolved(request, names[name] ?? [], at: moment, into: &effects)
                carryOutAll()
            case .log(let record): logs.append(record)
            default: break
            }
        }
    }

    mutating func start() {
        client.start(at: moment, into: &effects)
        carryOutAll()
    }

    mutating func stop() {
        client.stop(into: &effects)
        carryOutAll()
    }

    mutating func resume() {
        client.resumed(at: moment, into: &effects)
        carryOutAll()
    }

    mutating func want(_ wanting: Bool) {
        client.setWanting(wanting, at: moment, into: &effects)
        carryOutAll()
    }

    mutating func receive(_ octets: Bytes, from source: SocketAddress) -> [PeerAddress]? {
        let entries = client.datagram(octets, from: source, at: moment, into: &effects)
        carryOutAll()
        return entries
    }

    @discardableResult
    mutating func populate(_ id: UInt16, _ entries: [PeerAddress] = [], from source: SocketAddress) -> [PeerAddress]? {
        receive(Populate(id: id, entries: entries).bytes, from: source)
    }

    /// Lets time pass.
    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let next = client.nextDeadline, next <= end {
            now = max(now, next)
            client.deadline(at: moment, into: &effects)
            carryOutAll()
        }
        now = end
    }

    /// Forgets what was sent.
    mutating func forget() { sent = [] }

    /// Log lines of an event.
    func lines(_ event: String) -> [LogRecord] { logs.filter { $0.event == event } }
}
