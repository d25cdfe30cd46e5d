import PeerCore
import PeerCrypto
import TestSupport

@testable import DDRP

/// One core in virtual time, and all that it wanted done.
struct CoreStage {
    static let start = CoreRun<DDRP>.start
    static let ownAddress = SocketAddress(IPAddress(127, 0, 0, 1), 9097)

    private var run: CoreRun<DDRP>

    var core: DDRP {
        get { run.core }
        _modify { yield &run.core }
    }
    var now: Moment { run.now }
    /// Everything since the beginning.
    var history: [Effect] { run.history.map(\.effect) }

    init(
        _ configuration: DDRP.Configuration = DDRP.Configuration(listen: Self.ownAddress), key: UInt64 = 1,
        at start: Moment = Self.start
    ) {
        let core = DDRP(configuration, identity: identity(key), agent: "peernode/test", seed: secret(key))
        run = CoreRun(core, at: start, logLevel: .debug)
    }

    /// A core that listens, has recalled an empty book, and may dial.
    static func ready(
        key: UInt64 = 1, at start: Moment = Self.start, rows: [Row] = [],
        _ change: (inout DDRP.Configuration) -> Void = { _ in }
    ) -> CoreStage {
        var configuration = DDRP.Configuration(listen: ownAddress)
        change(&configuration)
        var stage = CoreStage(configuration, key: key, at: start)
        stage(.start)
        stage(.listening(ListenerID("ddrp"), .ip(configuration.listen)))
        stage(.recalled(table: "ddrp_self", [], more: false))
        stage(.recalled(table: "ddrp_book", rows, more: false))
        return stage
    }

    /// Hands the core an input and gives what it wants done.
    @discardableResult
    mutating func callAsFunction(_ input: Input) -> [Effect] { run(input) }

    /// Lets time pass; the core's deadlines come when they are due. Gives what it wants done meanwhile.
    @discardableResult
    mutating func wait(_ duration: Duration) -> [Effect] { run.wait(duration) }

    /// Moves the clocks without a word to the core.
    mutating func move(to instant: Instant) { run.move(to: instant) }

    /// The next connection that comes in.
    mutating func accept(from remote: SocketAddress) -> (ConnectionID, [Effect]) {
        let connection = run.nextConnection()
        let local = core.configuration.listen
        return (connection, self(.accepted(connection, on: ListenerID("ddrp"), local: local, remote: remote)))
    }

    /// Seconds since 1970.
    var timestamp: UInt32 { UInt32(now.wallClock.seconds) }
}

/// A secret that is as good as any: `number` in the last eight octets.
func secret(_ number: UInt64) -> Bytes32 {
    var writer = ByteWriter()
    writer.write(Bytes(Array(repeating: 0, count: 24)))
    writer.write(number)
    return Bytes32(writer.bytes)
}

func identity(_ number: UInt64) -> Identity {
    guard let identity = Identity(secret: secret(number)) else { preconditionFailure("no key \(number)") }
    return identity
}

// MARK: - A peer that the test plays

/// The other end of a connection.
struct Guest {
    let identity: Identity
    let dialect: Dialect
    let address: SocketAddress
    var agent = "guest/1"
    private var sealer: Sealer

    init(_ key: UInt64, _ dialect: Dialect = .reference, at address: SocketAddress? = nil, agent: String = "guest/1") {
        self.init(DDRPTests.identity(key), dialect, at: address ?? Guest.address(key), agent: agent)
    }

    init(_ identity: Identity, _ dialect: Dialect, at address: SocketAddress, agent: String) {
        self.identity = identity
        self.dialect = dialect
        self.address = address
        self.agent = agent
        sealer = Sealer(key: identity.key)
    }

    /// Another loopback address for each key.
    static func address(_ key: UInt64) -> SocketAddress {
        SocketAddress(IPAddress(127, 1, UInt8(key >> 8 & 255), UInt8(key & 255)), 9097)
    }

    var peer: Bytes32 { identity.peerID }

    mutating func seal(_ message: Message, at timestamp: UInt32) -> Bytes {
        sealer.seal(message, timestamp: timestamp, in: dialect)
    }

    /// A Hello, to be spoilt by `change`.
    mutating func hello(
        nonce: Bytes32 = secret(77), remote: Bytes32 = .zero, at timestamp: UInt32,
        _ change: (inout Hello) -> Void = { _ in }
    ) -> Bytes {
        var hello = Hello(
            localNonce: nonce, remoteNonce: remote, publicKey: identity.key.publicKey, userAgent: Bytes(utf8: agent))
        change(&hello)
        return seal(.hello(hello), at: timestamp)
    }

    mutating func ack(_ nonce: Bytes32, at timestamp: UInt32) -> Bytes {
        seal(.helloAck(HelloAck(nonce: nonce)), at: timestamp)
    }
}

// MARK: - Reading effects

extension [Effect] {
    /// What is sent on a connection, message by message.
    func messages(on connection: ConnectionID, _ dialect: Dialect = .reference) -> [Message] {
        var octets: [UInt8] = []
        for case .send(let bytes, on: connection) in self { octets += bytes }
        var waiting = Bytes(octets)
        var messages: [Message] = []
        while let (envelope, count) = try? Envelope.next(in: waiting, dialect: dialect, bodyLimit: 1 << 18) {
            if let message = try? Message(decoding: envelope.body, code: envelope.code, dialect: dialect) {
                messages.append(message)
            }
            waiting = waiting.dropping(count)
        }
        return messages
    }

    /// The first Hello on a connection.
    func hello(on connection: ConnectionID, _ dialect: Dialect = .reference) -> Hello? {
        for case .hello(let hello) in messages(on: connection, dialect) { return hello }
        return nil
    }

    /// Why a connection is aborted.
    func abortion(of connection: ConnectionID) -> CloseReason? {
        for case .abort(connection, let reason) in self { return reason }
        return nil
    }

    func finishes(_ connection: ConnectionID) -> Bool { contains(.finish(connection)) }

    /// Log lines of an event.
    func lines(_ event: String) -> [Record] {
        compactMap { if case .log(let line) = $0, line.event == event { line.fields } else { nil } }
    }

    /// The connections that are dialled, with their destinations.
    var dials: [(connection: ConnectionID, destination: Destination)] {
        compactMap { if case .connect(let id, let destination, _, _) = $0 { (id, destination) } else { nil } }
    }

    /// Prefixes that are banned.
    var bans: [IPPrefix] {
        compactMap { if case .ban(let prefix, _, _) = $0 { prefix } else { nil } }
    }

    /// The last answer to a command.
    func answer(to id: CommandID) -> Reply? {
        compactMap { if case .reply(id, let reply) = $0 { reply } else { nil } }.last
    }
}

// MARK: - Whole handshakes

extension CoreStage {
    /// The guest dials us and completes the handshake.
    @discardableResult
    mutating func open(inbound guest: inout Guest) -> (connection: ConnectionID, effects: [Effect]) {
        let remote = SocketAddress(guest.address.ip, 40_000)
        let (connection, before) = accept(from: remote)
        let answer = self(.received(guest.hello(at: timestamp), on: connection))
        guard let hello = answer.hello(on: connection, guest.dialect) else { return (connection, before + answer) }
        return (
            connection, before + answer + self(.received(guest.ack(hello.localNonce, at: timestamp), on: connection))
        )
    }

    /// The guest answers a dial of ours. Gives what the core does from the connecting on.
    @discardableResult
    mutating func answer(_ connection: ConnectionID, as guest: inout Guest) -> [Effect] {
        let local = SocketAddress(core.configuration.listen.ip, 50_000)
        let greeting = self(.connected(connection, local: local, remote: guest.address))
        guard let hello = greeting.hello(on: connection, guest.dialect) else { return greeting }
        let answer = guest.hello(remote: hello.localNonce, at: timestamp)
        return greeting + self(.received(answer, on: connection))
    }

    /// The operator asks for a connection to the guest, which answers.
    @discardableResult
    mutating func open(outbound guest: inout Guest) -> (connection: ConnectionID, effects: [Effect]) {
        let list = command("connect", ["address": .text(guest.address)]).effects
        guard let dial = list.dials.first else { return (ConnectionID(0), list) }
        return (dial.connection, list + answer(dial.connection, as: &guest))
    }

    /// The operator's command.
    mutating func command(_ name: String, _ arguments: Record = [:]) -> (id: CommandID, effects: [Effect]) {
        let id = run.nextCommand()
        return (id, self(.command(id, Command(name, arguments))))
    }
}
