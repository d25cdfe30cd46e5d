import Bootstrap
import PeerCore
import PeerCrypto
import TestSupport

@testable import Gossip

/// One core in virtual time, and all that it wanted done.
struct CoreStage {
    static let start = CoreRun<Gossip>.start
    static let ownAddress = SocketAddress(IPAddress(10, 0, 0, 1), 6001)
    static let apiAddress = SocketAddress(.loopback, 7001)

    private var run: CoreRun<Gossip>

    var core: Gossip {
        get { run.core }
        _modify { yield &run.core }
    }
    var now: Moment { run.now }
    /// Neighbours that send a heartbeat every 5 s while time passes.
    var alive: [ConnectionID: Guest] = [:]
    /// Everything since the beginning.
    var history: [(at: Instant, effect: Effect)] { run.history }
    private var programs: UInt16 = 0

    init(_ configuration: Gossip.Configuration, seed number: UInt64 = 1) {
        run = CoreRun(Gossip(configuration, seed: seed(number)), logLevel: .trace)
    }

    /// A core that listens everywhere.
    static func ready(
        seed number: UInt64 = 1, at address: SocketAddress = Self.ownAddress,
        _ change: (inout Gossip.Configuration) -> Void = { _ in }
    ) -> CoreStage {
        var configuration = Gossip.Configuration(p2p: address, api: apiAddress)
        change(&configuration)
        var stage = CoreStage(configuration, seed: number)
        stage(.start)
        stage(.listening(ListenerID("gossip.api"), .ip(configuration.apiAddress)))
        stage(.listening(ListenerID("gossip"), .ip(configuration.p2pAddress)))
        stage(.listening(ListenerID("gossip.udp"), .ip(configuration.p2pAddress)))
        return stage
    }

    /// By which our neighbours know us.
    var id: UInt16 { core.bootstrap.id }

    /// Hands the core an input and gives what it wants done.
    @discardableResult
    mutating func callAsFunction(_ input: Input) -> [Effect] { run(input) }

    /// Lets time pass; the core's deadlines come when they are due. Gives what it wants done meanwhile.
    @discardableResult
    mutating func wait(_ duration: Duration) -> [Effect] {
        let end = now.instant + duration
        var list: [Effect] = []
        while now.instant < end {
            list += run.wait(alive.isEmpty ? end - now.instant : min(end - now.instant, .seconds(5)))
            for (connection, guest) in alive.sorted(by: { $0.key < $1.key }) where core.linkPlaces[connection] != nil {
                list += self(.received(guest.heartbeat, on: connection))
            }
        }
        return list
    }

    /// Does what is due at this very moment.
    @discardableResult
    mutating func settle() -> [Effect] { run.wait(.zero) }

    /// Moves the clocks without a word to the core.
    mutating func move(to instant: Instant) { run.move(to: instant) }

    /// The next connection that comes in.
    mutating func accept(on listener: String = "gossip", from remote: SocketAddress) -> (ConnectionID, [Effect]) {
        let connection = run.nextConnection()
        let local = listener == "gossip" ? core.configuration.p2pAddress : core.configuration.apiAddress
        return (connection, self(.accepted(connection, on: ListenerID(listener), local: local, remote: remote)))
    }

    /// Octets come on a connection.
    @discardableResult
    mutating func say(_ bytes: Bytes, on connection: ConnectionID) -> [Effect] {
        self(.received(bytes, on: connection))
    }

    /// A datagram comes.
    @discardableResult
    mutating func datagram(_ bytes: Bytes, from source: SocketAddress) -> [Effect] {
        self(.datagram(bytes, on: ListenerID("gossip.udp"), from: source))
    }

    /// The operator's command.
    mutating func command(_ name: String, _ arguments: Record = [:]) -> (id: CommandID, effects: [Effect]) {
        let id = run.nextCommand()
        return (id, self(.command(id, Command(name, arguments))))
    }
}

/// A seed that is as good as any: `number` in the last eight octets.
func seed(_ number: UInt64) -> Bytes32 {
    var writer = ByteWriter()
    writer.write(Bytes(Array(repeating: 0, count: 24)))
    writer.write(number)
    return Bytes32(writer.bytes)
}

// MARK: - Local programs

extension CoreStage {
    /// A program connects and registers data types.
    mutating func program(_ types: UInt16...) -> ConnectionID {
        programs += 1
        let (connection, _) = accept(on: "gossip.api", from: SocketAddress(.loopback, 40_000 + programs))
        for type in types { say(Notify(dataType: type).bytes, on: connection) }
        return connection
    }

    /// A program announces.
    @discardableResult
    mutating func announce(
        _ text: String, ttl: UInt8 = 0, _ type: UInt16 = 9, on connection: ConnectionID
    ) -> [Effect] {
        say(item(text, ttl: ttl, type), on: connection)
    }

    /// A program answers.
    @discardableResult
    mutating func judge(_ id: UInt16, _ isValid: Bool = true, on connection: ConnectionID) -> [Effect] {
        say(Validation(messageID: id, isValid: isValid).bytes, on: connection)
    }

    /// A program finds everything well-formed that it is asked about in `effects`.
    @discardableResult
    mutating func approve(_ effects: [Effect], on connection: ConnectionID) -> [Effect] {
        effects.notifications(on: connection).reduce(into: []) { $0 += judge($1.messageID, on: connection) }
    }
}

/// An item on a link, or what a program announces.
func item(_ text: String, ttl: UInt8 = 0, _ type: UInt16 = 9, salt: UInt8 = 0) -> Bytes {
    Announce(ttl: ttl, salt: salt, dataType: type, data: Bytes(utf8: text)).message
}

/// An item of so many octets of data.
func item(octets: Int, _ letter: Character = "x", ttl: UInt8 = 0, _ type: UInt16 = 9) -> Bytes {
    item(String(repeating: letter, count: octets), ttl: ttl, type)
}

// MARK: - A peer that the test plays

/// The other end of a link.
struct Guest {
    let id: UInt16
    let endpoint: SocketAddress
    var capabilities: Capabilities
    /// Its neighbours, as it tells them.
    var others: [PeerAddress] = []

    init(_ id: UInt16, _ capabilities: Capabilities = [], at endpoint: SocketAddress? = nil) {
        self.id = id
        self.endpoint = endpoint ?? SocketAddress(IPAddress(10, 1, UInt8(id >> 8), UInt8(id & 255)), 6001)
        self.capabilities = capabilities
    }

    /// Has so many neighbours that nobody can reach from here.
    init(_ id: UInt16, neighbours: Int) {
        self.init(id)
        let address = SocketAddress(IPAddress(169, 254, 0, 1), 6001)
        others = (0..<neighbours).map { PeerAddress(id: UInt16(60_000 + $0), address: address) }
    }

    var connect: Bytes { Greeting.bytes(MessageType.connect, id: id) }
    var disconnect: Bytes { Greeting.bytes(MessageType.disconnect, id: id) }
    /// Its first NEIGHBORS.
    var first: Bytes {
        let own = PeerAddress(id: id, address: SocketAddress(.anyV6, endpoint.port))
        return Neighbors(id: id, capabilities: capabilities, entries: [own] + others).bytes
    }
    var heartbeat: Bytes { Neighbors(id: id, capabilities: capabilities, entries: others).bytes }
    var entry: PeerAddress { PeerAddress(id: id, address: endpoint) }
    /// Where its dials come from.
    var dialling: SocketAddress { SocketAddress(endpoint.ip, 50_000) }
}

extension CoreStage {
    /// The guest dials us in direct mode: CONNECT, NEIGHBORS (gossip section 5.6).
    mutating func open(direct guest: Guest) -> (connection: ConnectionID, effects: [Effect]) {
        let (connection, before) = accept(from: guest.dialling)
        return (connection, before + say(guest.connect, on: connection) + say(guest.first, on: connection))
    }

    /// The guest sends CONNECT by UDP and we dial back (gossip section 5.5). Connection 0: we did not.
    mutating func open(callingUs guest: Guest) -> (connection: ConnectionID, effects: [Effect]) {
        let before = datagram(guest.connect, from: guest.endpoint)
        guard let dial = before.dials.first(where: { $0.destination == .address(guest.endpoint) }) else {
            return (ConnectionID(0), before)
        }
        return (dial.connection, before + answer(dial.connection, as: guest))
    }

    /// The guest has our CONNECT and dials back (gossip section 5.5, step 3).
    mutating func open(dialBackOf guest: Guest) -> (connection: ConnectionID, effects: [Effect]) {
        let (connection, before) = accept(from: guest.dialling)
        return (connection, before + say(guest.first, on: connection))
    }

    /// The guest answers a dial of ours.
    mutating func answer(_ connection: ConnectionID, as guest: Guest) -> [Effect] {
        let local = SocketAddress(core.configuration.p2pAddress.ip, 50_000)
        let greeting = self(.connected(connection, local: local, remote: guest.endpoint))
        return greeting + say(guest.first, on: connection)
    }

    /// A neighbour that stays.
    mutating func neighbour(_ guest: Guest) -> ConnectionID {
        let connection = open(direct: guest).connection
        alive[connection] = guest
        return connection
    }

    /// The neighbours' connections.
    var neighbours: Set<ConnectionID> { Set(core.linkPlaces.keys) }
}

// MARK: - Reading effects

/// A message of any channel.
enum Said: Equatable {
    case item(Announce)
    case notify(Notify)
    case notification(Notification)
    case validation(Validation)
    case authors(AuthorsMessage)
    case connect(UInt16)
    case disconnect(UInt16)
    case neighbors(Neighbors)
    case extra(ExtensionMessage)
    case unknown(UInt16)
    /// Octets that are no whole message.
    case rest(Bytes)

    /// The first message and its octets; nil when it is not complete.
    static func next(in bytes: Bytes) throws(DecodeError) -> (message: Said, octets: Int)? {
        guard let frame = try Frame.next(in: bytes, at: 0, { _, _ in true }) else { return nil }
        return (try Said(frame), frame.message.count)
    }

    private init(_ frame: Frame) throws(DecodeError) {
        let octets = frame.message
        switch frame.type {
        case MessageType.announce: self = .item(try Announce(decoding: octets))
        case MessageType.notify: self = .notify(try Notify(decoding: octets))
        case MessageType.notification: self = .notification(try Notification(decoding: octets))
        case MessageType.validation: self = .validation(try Validation(decoding: octets))
        case MessageType.hello, MessageType.peerList: self = .authors(try AuthorsMessage(decoding: octets))
        case MessageType.connect: self = .connect(try Greeting.id(decoding: octets))
        case MessageType.disconnect: self = .disconnect(try Greeting.id(decoding: octets))
        case MessageType.neighbors: self = .neighbors(try Neighbors(decoding: octets))
        default: self = try ExtensionMessage(decoding: frame).map(Said.extra) ?? .unknown(frame.type)
        }
    }

    /// All messages of a stream; octets that are none come last.
    static func all(in bytes: Bytes) -> [Said] {
        var waiting = bytes
        var list: [Said] = []
        while let (message, octets) = try? next(in: waiting) {
            list.append(message)
            waiting = waiting.dropping(octets)
        }
        return waiting.isEmpty ? list : list + [.rest(waiting)]
    }
}

extension [Effect] {
    /// What is sent on a connection.
    func octets(on connection: ConnectionID) -> Bytes {
        var octets: [UInt8] = []
        for case .send(let bytes, on: connection) in self { octets += bytes }
        return Bytes(octets)
    }

    /// What is sent on a connection, message by message.
    func said(on connection: ConnectionID) -> [Said] { Said.all(in: octets(on: connection)) }

    func items(on connection: ConnectionID) -> [Announce] {
        said(on: connection).compactMap { if case .item(let item) = $0 { item } else { nil } }
    }

    func notifications(on connection: ConnectionID) -> [Notification] {
        said(on: connection).compactMap { if case .notification(let question) = $0 { question } else { nil } }
    }

    func neighbors(on connection: ConnectionID) -> [Neighbors] {
        said(on: connection).compactMap { if case .neighbors(let message) = $0 { message } else { nil } }
    }

    func extras(on connection: ConnectionID, _ kind: ExtensionMessage.Kind? = nil) -> [ExtensionMessage] {
        said(on: connection).compactMap { if case .extra(let message) = $0 { message } else { nil } }
            .filter { kind == nil || $0.kind == kind }
    }

    /// The datagrams to an address.
    func datagrams(to address: SocketAddress) -> [Bytes] {
        compactMap { if case .sendDatagram(let bytes, _, address) = $0 { bytes } else { nil } }
    }

    /// The addresses to which CONNECT goes by UDP.
    var calls: [SocketAddress] {
        compactMap { effect in
            guard case .sendDatagram(let bytes, _, let address) = effect, bytes.uint16(at: 2) == MessageType.connect
            else { return nil }
            return address
        }
    }

    /// Why a connection is aborted.
    func abortion(of connection: ConnectionID) -> CloseReason? {
        for case .abort(connection, let reason) in self { return reason }
        return nil
    }

    func finishes(_ connection: ConnectionID) -> Bool { contains(.finish(connection)) }

    var logs: [LogRecord] { compactMap { if case .log(let line) = $0 { line } else { nil } } }

    /// Log lines of an event.
    func lines(_ event: String) -> [Record] { logs.filter { $0.event == event }.map(\.fields) }

    /// The connections that are dialled, with their destinations.
    var dials: [(connection: ConnectionID, destination: Destination)] {
        compactMap { if case .connect(let id, let destination, _, _) = $0 { (id, destination) } else { nil } }
    }

    /// The connections of which anything is wanted.
    var touched: Set<ConnectionID> {
        Set(
            compactMap { effect in
                switch effect {
                case .send(_, let connection), .finish(let connection), .abort(let connection, _),
                    .hold(let connection), .release(let connection):
                    connection
                default: nil
                }
            })
    }

    /// The last answer to a command.
    func answer(to id: CommandID) -> Reply? {
        compactMap { if case .reply(id, let reply) = $0 { reply } else { nil } }.last
    }
}

extension CoreStage {
    /// When messages were sent on a connection, each with its moment.
    func timeline(on connection: ConnectionID) -> [(at: Instant, message: Said)] {
        var waiting = Bytes()
        var list: [(at: Instant, message: Said)] = []
        for (at, effect) in history {
            guard case .send(let bytes, on: connection) = effect else { continue }
            waiting = Bytes(waiting.array + bytes.array)
            while let (message, octets) = try? Said.next(in: waiting) {
                list.append((at, message))
                waiting = waiting.dropping(octets)
            }
        }
        return list
    }
}
