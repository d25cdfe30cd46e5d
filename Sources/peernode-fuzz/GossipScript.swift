import Bootstrap
import Gossip
import PeerCore
import PeerCrypto

/// A Gossip core with small limits, among programs, peers, servers and an operator that do anything.
struct GossipScript {
    /// On what a script spends most of its steps.
    enum Focus {
        /// Local programs.
        case api
        /// Peers on TCP.
        case link
        /// UDP.
        case datagram
    }

    private static let api = ListenerID("gossip.api")
    private static let peers = ListenerID("gossip")
    private static let datagrams = ListenerID("gossip.udp")
    /// The ports of the defaults.
    private static let own = SocketAddress(.loopback, 6001)
    /// Where the bootstrap server of the script is.
    private static let server = SocketAddress(IPAddress(127, 0, 0, 2), 6000)
    /// More would find nothing that fewer do not.
    private static let maximumSteps = 300

    private var stage: Stage<Gossip>
    private var script: Script
    private let focus: Focus
    private var programs: Set<ConnectionID> = []

    /// Plays the whole script.
    static func run(_ input: Bytes, _ focus: Focus) throws(Violation) {
        var script = Script(input)
        var play = GossipScript(configuration(&script), script, focus)
        try play.stage(.start)
        for listener in [api, peers, datagrams] { try play.stage(.listening(listener, .ip(own))) }
        var steps = 0
        while !play.script.isOver, steps < maximumSteps {
            try play.step()
            try play.checkConnections()
            steps += 1
        }
        try play.stage.checkTables()
        try play.stage(.stop)
        try require(play.stage.connections.isEmpty, "connections outlive the core")
        try play.stage.wait(.seconds(60))
    }

    private init(_ configuration: Gossip.Configuration, _ script: Script, _ focus: Focus) {
        stage = Stage(Gossip(configuration, seed: .zero))
        self.script = script
        self.focus = focus
    }

    private static func configuration(_ script: inout Script) -> Gossip.Configuration {
        let choices = script.octet()
        var configuration = Gossip.Configuration(p2p: own, api: SocketAddress(.loopback, 7001))
        configuration.validation = choices & 1 == 0 ? .all : .first
        configuration.connectMode = choices & 2 == 0 ? .udp : .tcp
        configuration.requireSubscription = choices & 4 != 0
        configuration.isAuthors2017 = choices & 24 == 24
        configuration.lazyPush = choices & 32 == 0
        configuration.bootstrap = choices & 64 == 0 ? [.address(server), .name("server.example", port: 6000)] : []
        configuration.peers = choices & 128 == 0 ? [.address(SocketAddress(IPAddress(127, 0, 0, 3), 6001))] : []
        (configuration.degree, configuration.eagerLinks, configuration.cacheSize) = (3, 1, 8)
        (configuration.maxClients, configuration.maxOpenVotes, configuration.maxSeenKeys) = (4, 16, 64)
        (configuration.maxCandidates, configuration.haveItBytes, configuration.maxQueueBytes) = (16, 16, 4096)
        return configuration
    }

    /// What the core holds are the connections that are open: none is forgotten, none outlives its end.
    private func checkConnections() throws(Violation) {
        let status = stage.core.status().first ?? [:]
        let held = ["peers", "clients", "handshaking"].reduce(0) { $0 + (status.int($1) ?? 0) }
        let open = stage.connections.count
        try require(held == open, "\(open) connections are open, and \(held) are held: \(status.json)")
        try require(status.int("peers") ?? 0 <= 3, "more neighbours than the degree: \(status.json)")
    }
}

// MARK: - Steps

extension GossipScript {
    private mutating func step() throws(Violation) {
        switch script.octet() % 16 {
        case 0: try stage.wait(script.duration())
        case 1: try stage.sleep(script.duration())
        case 2: try accept(Self.api)
        case 3: try accept(Self.peers)
        case 4: try answerDial()
        case 5: try disturb()
        case 6: try operate()
        case 7: try stage(.datagram(datagram(), on: Self.datagrams, from: source()))
        case 8: try receive(fromPrograms: true)
        case 9: try receive(fromPrograms: false)
        default:
            switch focus {
            case .api: try receive(fromPrograms: true)
            case .link: try receive(fromPrograms: false)
            case .datagram: try stage(.datagram(datagram(), on: Self.datagrams, from: source()))
            }
        }
    }

    private mutating func source() -> SocketAddress {
        script.octet() & 3 == 0 ? Self.server : SocketAddress(script.ip(), 6001 + UInt16(script.octet() & 1))
    }

    private mutating func accept(_ listener: ListenerID) throws(Violation) {
        let connection = stage.newConnection()
        if listener == Self.api { programs.insert(connection) }
        try stage(
            .accepted(connection, on: listener, local: Self.own, remote: SocketAddress(script.ip(), 40_000)))
    }

    private mutating func answerDial() throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: false)) else { return }
        if script.octet() & 3 == 0 {
            try stage(.closed(connection, .refused, Traffic()))
        } else {
            try stage(.connected(connection, local: Self.own, remote: SocketAddress(script.ip(), 6001)))
        }
    }

    /// What the other side and the host do to a connection.
    private mutating func disturb() throws(Violation) {
        guard let connection = script.choice(of: stage.connections(established: true)) else { return }
        switch script.octet() % 4 {
        case 0: try stage(.stalled(connection))
        case 1: try stage(.drained(connection))
        case 2: try stage(.ended(connection))
        default: try stage(.closed(connection, .reset, Traffic()))
        }
    }

    private mutating func operate() throws(Violation) {
        let names = ["peers", "clients", "status", "connect", "disconnect", "drop", "readmit", "other"]
        let value: Record.Value = script.octet() & 1 == 0 ? .text(SocketAddress(script.ip(), 6001)) : script.value()
        let command = Command(
            script.choice(of: names) ?? "", ["address": value, "peer": value, "prefix": value, "all": true])
        let id = stage.newCommand()
        try stage(.command(id, command))
        if script.octet() & 1 == 0 { try stage(.cancelled(id)) }
        if let request = script.choice(of: stage.requests) {
            try stage(.resolved(request, script.octet() & 1 == 0 ? [] : [script.ip()]))
        }
    }

    private mutating func receive(fromPrograms: Bool) throws(Violation) {
        let connections = stage.connections(established: true).filter { programs.contains($0) == fromPrograms }
        guard let connection = script.choice(of: connections) else { return }
        var octets: [UInt8] = []
        for _ in 0...script.number(below: 4) {
            octets += fromPrograms ? programMessage(on: connection) : peerMessage()
        }
        // Cut anywhere.
        let cut = script.number(below: octets.count + 1)
        try stage(.received(Bytes(Array(octets[..<cut])), on: connection))
        guard stage.connections[connection] == true, cut < octets.count else { return }
        try stage(.received(Bytes(Array(octets[cut...])), on: connection))
    }
}

// MARK: - Messages

extension GossipScript {
    private mutating func programMessage(on connection: ConnectionID) -> [UInt8] {
        switch script.octet() % 8 {
        case 0: script.octets().array
        case 1, 2: Notify(dataType: UInt16(script.octet() & 1)).bytes.array
        case 3, 4: item().array
        default:
            Validation(
                messageID: lastQuestion(on: connection) ?? script.word(), isValid: script.octet() & 3 != 0
            ).bytes.array
        }
    }

    /// The message ID of the last notification, as far as it can be told from the end of what was sent.
    private func lastQuestion(on connection: ConnectionID) -> UInt16? {
        var rest = Bytes(stage.sent[connection] ?? [])
        var last: UInt16?
        while let (message, count) = try? APIMessage.next(in: rest) {
            if case .notification(let question) = message { last = question.messageID }
            rest = rest.dropping(count)
        }
        return last
    }

    private mutating func item() -> Bytes {
        let data = Bytes([UInt8](repeating: script.octet() & 7, count: script.octet() & 1 == 0 ? 4 : 40))
        return Announce(
            ttl: script.octet() & 3, salt: script.octet() & 1, dataType: UInt16(script.octet() & 1), data: data
        ).message
    }

    private mutating func peerMessage() -> [UInt8] {
        let id = UInt16(script.octet() & 3) + 1
        switch script.octet() % 12 {
        case 0: return script.octets().array
        case 1: return message(512, id, [])
        case 2: return message(513, id, [])
        case 3, 4: return neighbors(id)
        case 5, 6: return extended()
        case 7: return message(504, UInt16(script.octet()), [0, 1])
        case 8: return message(505, 1, [127, 0, 0, script.octet()])
        default: return item().array
        }
    }

    /// A header, two octets, and the rest, filled up to eight.
    private func message(_ type: UInt16, _ word: UInt16, _ rest: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        let rest = rest + [UInt8](repeating: 0, count: max(0, (type == 505 ? 0 : 2) - rest.count))
        writer.write(UInt16(6 + rest.count))
        writer.write(type)
        writer.write(word)
        writer.write(rest)
        return writer.array
    }

    private mutating func neighbors(_ id: UInt16) -> [UInt8] {
        var rest: [UInt8] = [0, script.octet() & 3]
        for number in 0..<script.number(below: 4) {
            var writer = ByteWriter()
            writer.write(number == 0 ? id : UInt16(script.octet()))
            writer.write(UInt16(6001))
            rest += writer.array + (number == 0 ? IPAddress.anyV6 : script.ip()).octets
        }
        return message(514, id, rest)
    }

    /// IHAVE, IWANT, HAVE, PRUNE and an unknown one, with the names of items that there may be.
    private mutating func extended() -> [UInt8] {
        let type = 515 + UInt16(script.octet() % 5)
        var rest: [UInt8] = [0, 0, 0, script.octet() & 1]
        for _ in 0..<script.number(below: 3) { rest += blake2b256(item().dropping(5)).array }
        return message(type, 0, Array(rest.dropFirst(2)))
    }

    private mutating func datagram() -> Bytes {
        switch script.octet() % 6 {
        case 0: script.octets()
        case 1: Bytes(message(513, UInt16(script.octet() & 3), []))
        case 2: populate(&script).bytes
        case 3: Bytes(message(505, 1, [127, 0, 0, script.octet()]))
        default: Bytes(message(512, UInt16(script.octet() & 3) + 1, []))
        }
    }
}
