import Bootstrap
import DDRP
import PeerCore
import PeerCrypto

/// A DDRP core with small limits, among peers, servers and an operator that do anything.
struct DDRPScript {
    /// Keys of peers, fixed so that a finding can be replayed.
    private static let identities = (0..<5).compactMap {
        Identity(secret: Bytes32([UInt8](repeating: $0 + 1, count: 32)))
    }
    private static let listeners = [ListenerID("ddrp"), ListenerID("ddrp.udp")]
    /// Where the bootstrap server of the script is.
    private static let server = SocketAddress(.loopback, 9000)
    /// Each decision costs at most some signatures; more would find nothing that fewer do not.
    private static let maximumSteps = 300

    private var stage: Stage<DDRP>
    private var script: Script
    private var sealers = Self.identities.map { Sealer(key: $0.key) }

    /// Plays the whole script.
    static func run(_ input: Bytes) throws(Violation) {
        var script = Script(input)
        var play = DDRPScript(configuration(&script), script)
        try play.stage(.start)
        try play.stage(.listening(listeners[0], .ip(SocketAddress(.loopback, 9097))))
        try play.stage(.listening(listeners[1], .ip(SocketAddress(.loopback, 9097))))
        var steps = 0
        while !play.script.isOver, steps < maximumSteps {
            try play.step()
            try play.checkConnections()
            steps += 1
        }
        try play.stage.checkTables()
        try play.stage(.stop)
        try require(play.stage.connections.isEmpty, "connections outlive the core")
    }

    private init(_ configuration: DDRP.Configuration, _ script: Script) {
        stage = Stage(DDRP(configuration, identity: Self.identities[0], agent: "peernode/fuzz", seed: .zero))
        self.script = script
    }

    private static func configuration(_ script: inout Script) -> DDRP.Configuration {
        let choices = script.octet()
        var configuration = DDRP.Configuration(listen: SocketAddress(.loopback, 9097))
        configuration.dialect = choices & 1 == 0 ? nil : choices & 2 == 0 ? .reference : .text
        configuration.bootstrapServers =
            choices & 4 == 0 ? [.address(server), .name("server.example", port: 9000)] : []
        configuration.dnsSeeds = choices & 8 == 0 ? ["seeds.example"] : []
        configuration.seeds =
            choices & 16 == 0 ? [PeerLocator("203.0.113.1", standardPort: 9097)].compactMap(\.self) : []
        configuration.allowPrivateAddresses = choices & 32 == 0
        (configuration.targetOutbound, configuration.maxInbound, configuration.bookCapacity) = (3, 4, 16)
        (configuration.maxPendingInbound, configuration.maxPendingInboundTotal) = (2, 4)
        return configuration
    }

    /// What the core holds are the connections that are open: none is forgotten, none outlives its end.
    private func checkConnections() throws(Violation) {
        let status = stage.core.status().first ?? [:]
        let held = ["peers", "dialling", "handshaking"].reduce(0) { $0 + (status.int($1) ?? 0) }
        let open = stage.connections.count
        try require(held == open, "\(open) connections are open, and \(held) are held: \(status.json)")
    }
}

// MARK: - Steps

extension DDRPScript {
    private mutating func step() throws(Violation) {
        switch script.octet() % 16 {
        case 0: try accept()
        case 1:
            guard let connection = script.choice(of: stage.connections(established: false)) else { return }
            let remote = SocketAddress(script.ip(), 9097)
            try stage(.connected(connection, local: SocketAddress(.loopback, 50_000), remote: remote))
        case 2, 3, 4: try receive(handshake: true)
        case 5, 6: try receive(handshake: false)
        case 7:
            guard let connection = script.choice(of: stage.connections(established: true)) else { return }
            try stage(.received(script.octets(), on: connection))
        case 8:
            guard let connection = script.choice(of: stage.connections(established: true)) else { return }
            try stage(.ended(connection))
        case 9:
            guard let connection = script.choice(of: stage.connections.keys.sorted()) else { return }
            let reason = script.choice(of: [CloseReason.refused, .reset, .timeout, .banned, .silent]) ?? .reset
            try stage(.closed(connection, reason, Traffic()))
        case 10: try command()
        case 11, 12: try stage.wait(script.duration())
        case 13: try passTimeOddly()
        case 14: try receiveDatagram()
        default: try answer()
        }
    }

    /// A connection that comes in is refused with one line at most; that a limit was hit is said once in a minute.
    private mutating func accept() throws(Violation) {
        let connection = stage.newConnection()
        let remote = SocketAddress(script.ip(), 40_000)
        let effects = try stage(
            .accepted(connection, on: Self.listeners[0], local: SocketAddress(.loopback, 9097), remote: remote))
        let ended = effects.count { if case .abort = $0 { true } else { false } }
        let lines = effects.count {
            if case .log(let line) = $0 { line.level >= .info && line.event != "limit_hit" } else { false }
        }
        try require(lines <= ended, "\(lines) lines for \(ended) refused connections")
    }

    private mutating func receiveDatagram() throws(Violation) {
        let source = script.octet() & 1 == 0 ? Self.server : SocketAddress(script.ip(), 9000)
        let bytes = script.octet() & 1 == 0 ? script.octets() : populate(&script).bytes
        try stage(.datagram(bytes, on: Self.listeners[1], from: source))
    }

    private mutating func passTimeOddly() throws(Violation) {
        switch script.octet() % 4 {
        case 0: stage.set(stage.now.wallClock + script.duration())
        case 1: stage.set(stage.now.wallClock + (.zero - script.duration()))
        case 2: stage.set(WallClock(seconds: Int64(script.word()) << 18))
        default: try stage.sleep(script.duration())
        }
    }

    /// What the operator asks.
    private mutating func command() throws(Violation) {
        let names = ["peers", "book", "status", "ping", "disconnect", "connect", "drop", "readmit", "nothing"]
        let name = script.choice(of: names) ?? ""
        let ip = script.ip()
        let texts = [
            "\(ip)", "\(ip):9097", "host.example:9097", Self.identities[1].peerID.hex, "\(ip)/24", script.text(),
        ]
        let text = Record.Value.string(script.choice(of: texts) ?? "")
        let arguments = Record([
            ("peer", text), ("address", text), ("prefix", text), ("seconds", script.value()), ("all", script.value()),
        ])
        let id = stage.newCommand()
        let effects = try stage(.command(id, Command(name, arguments)))
        let ends = effects.count { if case .reply(id, let reply) = $0 { reply.outcome != .more } else { false } }
        try require(ends <= 1, "\(name) ends \(ends) times")
        if script.octet() & 7 == 0 { try stage(.cancelled(id)) }
    }

    /// What the store, the name service and the system answer.
    private mutating func answer() throws(Violation) {
        switch script.octet() % 5 {
        case 0:
            let addresses = (0..<script.number(below: 4)).map { _ in script.ip() }
            guard let request = script.choice(of: stage.requests) else { return }
            try stage(.resolved(request, addresses))
        case 1: try stage(.interfaces([script.ip(), script.ip()]))
        case 2: try stage(.refused(Self.listeners[script.number(below: 2)], .addressInUse))
        case 3: try stage(.recalled(table: "ddrp_self", [Row(key: "\(script.ip()):9097", record: [:])], more: false))
        default:
            let keys = [
                "source", "first_seen", "last_seen", "last_success", "successes", "failures", "verified", "note",
            ]
            let rows = (0..<script.number(below: 4)).map { _ in
                Row(key: "\(script.ip()):9097", record: Record(keys.map { ($0, script.value()) }))
            }
            try stage(.recalled(table: "ddrp_book", rows, more: script.octet() & 1 == 1))
        }
    }
}

// MARK: - What peers send

extension DDRPScript {
    /// A signed envelope: what continues the handshake, or anything.
    private mutating func receive(handshake: Bool) throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: true)) else { return }
        let choices = script.octet()
        let ours = Bytes(stage.sent[connection] ?? [])
        let dialect = sniffDialect(ours) ?? (choices & 1 == 0 ? .reference : .text)
        let key = Int(choices >> 1) % Self.identities.count
        let late = choices & 0x80 == 0 ? 0 : Int64(Int8(truncatingIfNeeded: script.octet()))
        let timestamp = UInt32(clamping: stage.now.wallClock.seconds + late)
        let greeting = hello(in: ours, dialect)
        let hello = Hello(
            localNonce: .zero, remoteNonce: greeting?.localNonce ?? .zero,
            publicKey: Self.identities[key].key.publicKey, userAgent: Bytes(utf8: "peernode/fuzz"))
        let ack = Message.helloAck(HelloAck(nonce: greeting?.localNonce ?? .zero))
        let messages: [Message] =
            handshake
            ? (greeting == nil ? [.hello(hello)] : greeting?.remoteNonce == .zero ? [.hello(hello)] : [ack])
            : [.hello(hello), ack, .ping, .peerReq, peers(), .unknown(code: UInt16(script.octet()))]
        guard let message = script.choice(of: messages) else { return }
        var octets = sealers[key].seal(message, timestamp: timestamp, in: dialect).array
        // In R the signature does not cover the body, so that any body can follow it.
        if choices & 0x70 == 0x70 { octets = replacingBody(of: octets, with: script.octets(), in: dialect) }
        try stage(.received(Bytes(octets), on: connection))
    }

    private func hello(in sent: Bytes, _ dialect: Dialect) -> Hello? {
        guard let (envelope, _) = try? Envelope.next(in: sent, dialect: dialect, bodyLimit: sent.count),
            case .hello(let hello)? = try? Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
        else { return nil }
        return hello
    }

    private mutating func peers() -> Message {
        let port: UInt16? = script.octet() & 1 == 0 ? nil : 9097
        return .peerRes(
            PeerRes(
                peers: (0..<script.number(below: 20)).map { _ in
                    PeerEntry(
                        ip: script.ip(), port: port, peerID: Bytes32([UInt8](repeating: script.octet(), count: 32)))
                }))
    }

    private func replacingBody(of envelope: [UInt8], with body: Bytes, in dialect: Dialect) -> [UInt8] {
        let length = [UInt8(truncatingIfNeeded: body.count & 127 | 128), UInt8(truncatingIfNeeded: body.count >> 7)]
        var octets = Array(envelope.prefix(dialect == .reference ? 10 : 9))
        octets += length
        octets += body
        octets += envelope.suffix(Secp256k1.signatureBytes)
        return octets
    }
}
