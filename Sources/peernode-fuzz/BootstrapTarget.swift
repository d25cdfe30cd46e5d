import Bootstrap
import PeerCore

/// What decodes is equal when it is encoded and decoded again; the server and the client stand any script.
func checkBootstrap(_ input: Bytes) throws(Violation) {
    if let message = try? BootstrapMessage(decoding: input) {
        let again = try? BootstrapMessage(decoding: message.bytes)
        try require(again == message, "\(message) becomes \(String(describing: again))")
    }
    var script = Script(input)
    if script.octet() & 1 == 0 {
        try play(&script, BootstrapServer(.init(listen: SocketAddress(.loopback, 9000)), seed: .zero), isServer: true)
    } else {
        try play(&script, ClientCore(), isServer: false)
    }
}

private func play(_ script: inout Script, _ core: some PeerProtocol, isServer: Bool) throws(Violation) {
    var stage = Stage(core)
    try stage(.start)
    while !script.isOver {
        switch script.octet() % 10 {
        case 0: try stage.wait(script.duration())
        case 1: try stage.sleep(script.duration())
        case 2: try stage(.command(stage.newCommand(), Command(script.choice(of: ["peers", "status"]) ?? "")))
        case 3:
            guard let connection = script.choice(of: stage.connections(established: false)) else { continue }
            try stage(.connected(connection, local: .none, remote: .none))
        case 4:
            guard let connection = script.choice(of: stage.connections.keys.sorted()) else { continue }
            try stage(.closed(connection, .refused, Traffic()))
        case 5:
            guard let request = script.choice(of: stage.requests) else { continue }
            try stage(.resolved(request, script.octet() & 1 == 0 ? [] : [script.ip()]))
        default:
            let source = SocketAddress(script.ip(), 9000 + UInt16(script.octet() & 3))
            let answers = try stage(.datagram(datagram(&script), on: ClientCore.listener, from: source))
            try check(answers, to: source, isServer)
        }
    }
    try stage(.stop)
}

private func datagram(_ script: inout Script) -> Bytes {
    switch script.octet() % 4 {
    case 0: script.octets()
    case 1: Disconnect(id: script.word()).bytes
    case 2: Init(degree: script.word(), id: script.word()).bytes
    default: populate(&script).bytes
    }
}

/// A list of up to seven entries.
func populate(_ script: inout Script) -> Populate {
    let count = script.number(below: 8)
    let id = script.word()
    let entries = (0..<count).map { _ in
        PeerAddress(id: UInt16(script.octet()), address: SocketAddress(script.ip(), script.octet() & 1 == 0 ? 9097 : 0))
    }
    return Populate(id: id, entries: entries)
}

/// One datagram is answered by one at most, to where it came from, and never by more than a packet holds.
private func check(_ effects: [Effect], to source: SocketAddress, _ isServer: Bool) throws(Violation) {
    var answers = 0
    for case .sendDatagram(let bytes, _, let address) in effects {
        answers += 1
        try require(address == source && bytes.count <= 1400, "\(bytes.count) octets to \(address) for \(source)")
    }
    try require(answers <= 1, "\(answers) answers to one datagram")
}

/// The client by itself, as a core.
private struct ClientCore: PeerProtocol {
    static let listener = ListenerID("bootstrap")

    var client = BootstrapClient(
        servers: [.address(SocketAddress(.loopback, 9000)), .name("server.example", port: 9001)], listener: listener,
        degree: 16, seed: .zero)

    var nextDeadline: Instant? { client.nextDeadline }
    func status() -> [Record] { client.status() }

    mutating func reconfigure(_ new: Void, at now: Moment, into effects: inout Effects) -> [RestartNeeded] { [] }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .start: client.start(at: now, into: &effects)
        case .deadline: client.deadline(at: now, into: &effects)
        case .resumed: client.resumed(at: now, into: &effects)
        case .resolved(let request, let addresses):
            _ = client.resolved(request, addresses, at: now, into: &effects)
        case .datagram(let bytes, _, let source):
            _ = client.datagram(bytes, from: source, at: now, into: &effects)
        case .command: client.setWanting(status().count.isMultiple(of: 2), at: now, into: &effects)
        case .stop: client.stop(into: &effects)
        default: break
        }
    }
}
