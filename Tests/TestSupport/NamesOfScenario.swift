internal import PeerCore

/// Turns the names of a scenario into those of the world it is played in, and back.
struct NamesOfScenario {
    /// Real ports by the scenario's, and the other way around.
    private var ports: [UInt16: UInt16] = [:]
    private var scenarioPorts: [UInt16: UInt16] = [:]
    /// Commands of the operator that came to each puppet, in order.
    private var commands: [PuppetName: [CommandID]] = [:]
    private let unixPath: (String) -> String
    private var unixNames: [String: String] = [:]

    /// Ports below are the scenario's own.
    private static let ownPorts: UInt16 = 100
    /// Times of change before this were set by a step: 2010-01-01 UTC.
    private static let newest = WallClock(seconds: 1_262_304_000)

    init(unixPath: @escaping (String) -> String) {
        self.unixPath = unixPath
    }

    mutating func reset() {
        ports = [:]
        scenarioPorts = [:]
        commands = [:]
    }

    // Outgoing.

    func outgoing(_ address: SocketAddress) -> SocketAddress {
        SocketAddress(address.ip, ports[address.port] ?? address.port)
    }

    func outgoing(_ address: ListenAddress) -> ListenAddress {
        switch address {
        case .ip(let address): .ip(outgoing(address))
        case .unix(let name): .unix(path: unixPath(name))
        }
    }

    func outgoing(_ effect: Effect, of name: PuppetName) -> Effect {
        switch effect {
        case .listen(let listener, .ip(let address), let kind):
            // A port that no listener has yet is the system's to choose.
            .listen(listener, on: .ip(SocketAddress(address.ip, ports[address.port] ?? 0)), kind)
        case .listen(let listener, let address, let kind):
            .listen(listener, on: outgoing(address), kind)
        case .connect(let connection, .address(let address), let local, let timeout):
            .connect(connection, to: .address(outgoing(address)), from: local, timeout: timeout)
        case .connect(let connection, .name(let name, let port), let local, let timeout):
            .connect(connection, to: .name(name, port: ports[port] ?? port), from: local, timeout: timeout)
        case .sendDatagram(let bytes, let listener, let address):
            .sendDatagram(bytes, from: listener, to: outgoing(address))
        case .sendDatagrams(let list, let listener, let address):
            .sendDatagrams(list, from: listener, to: outgoing(address))
        case .fetch(let request, let fetch): .fetch(request, outgoing(fetch))
        case .reply(let id, let reply):
            .reply(commands[name]?[Int(id.number) - 1] ?? id, reply)
        default: effect
        }
    }

    private func outgoing(_ fetch: HTTPFetch) -> HTTPFetch {
        var own = HTTPFetch(
            fetch.method, of: outgoing(fetch.server), fetch.target, fields: fetch.fields, body: fetch.body,
            into: fetch.sink, digest: fetch.digest)
        own.from = fetch.from
        own.connectTime = fetch.connectTime
        own.stallTime = fetch.stallTime
        return own
    }

    // Incoming.

    /// Each host adds fields of its own.
    private func incoming(_ fields: [HTTPField]) -> [HTTPField] { fields.filter { $0.name.hasPrefix("X-") } }

    private func incoming(_ address: SocketAddress) -> SocketAddress {
        guard address != .none else { return address }
        return SocketAddress(
            address.ip, scenarioPorts[address.port] ?? (address.port < Self.ownPorts ? address.port : 0))
    }

    mutating func incoming(_ input: Input, _ name: PuppetName) -> Input {
        switch input {
        case .listening(let listener, .ip(let address)): return listening(listener, address)
        case .listening(let listener, .unix(let path)):
            return .listening(listener, .unix(path: path.split(separator: "/").last.map(String.init) ?? path))
        case .accepted(let connection, let listener, let local, let remote):
            return .accepted(connection, on: listener, local: incoming(local), remote: incoming(remote))
        case .connected(let connection, let local, let remote):
            return .connected(connection, local: incoming(local), remote: incoming(remote))
        case .datagram(let bytes, let listener, let source):
            return .datagram(bytes, on: listener, from: incoming(source))
        case .requested(let id, let request, let listener, let source):
            let own = HTTPRequest(request.method, request.target, fields: incoming(request.fields), body: request.body)
            return .requested(id, own, on: listener, from: incoming(source))
        case .fetched(let request, .success(let answer)):
            let own = HTTPAnswer(
                answer.status, fields: incoming(answer.fields), body: answer.body, octets: answer.octets,
                digest: answer.digest)
            return .fetched(request, .success(own))
        case .interfaces: return .interfaces([])
        case .resolved(let request, let addresses):
            return .resolved(request, addresses.filter { $0.v4 != nil })
        case .stored(let request, let result): return .stored(request, incoming(result))
        case .command(let id, let command): return .command(number(id, name), command)
        case .cancelled(let id): return .cancelled(number(id, name))
        default: return input
        }
    }

    private mutating func listening(_ listener: ListenerID, _ address: SocketAddress) -> Input {
        guard let port = UInt16(listener.name) else { return .listening(listener, .ip(address)) }
        if scenarioPorts[address.port] == nil {
            ports[port] = address.port
            scenarioPorts[address.port] = port
        }
        return .listening(listener, .ip(incoming(address)))
    }

    private func incoming(_ result: StoreResult) -> StoreResult {
        switch result {
        case .space(let octets): .space(min(octets, 1))
        case .entries(let entries, let more, let leftOut):
            .entries(
                entries.map {
                    let modified = $0.modified < Self.newest ? $0.modified : WallClock(milliseconds: 0)
                    return FileEntry(path: $0.path, isFolder: $0.isFolder, size: $0.size, modified: modified)
                }, more: more, leftOut: leftOut.sorted { $0.name < $1.name })
        default: result
        }
    }

    private mutating func number(_ id: CommandID, _ name: PuppetName) -> CommandID {
        let index: Int
        if let known = commands[name, default: []].firstIndex(of: id) {
            index = known
        } else {
            index = commands[name, default: []].count
            commands[name, default: []].append(id)
        }
        return CommandID(UInt64(index + 1))
    }
}
