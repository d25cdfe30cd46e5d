internal import PeerCore

// MARK: - Commands (program.md section 1)

extension Gossip {
    /// | command      | arguments | answer                                                        |
    /// |--------------|-----------|---------------------------------------------------------------|
    /// | `peers`      | `all`     | a row for each neighbour; with `all` the other candidates too |
    /// | `clients`    |           | a row for each local program                                  |
    /// | `status`     |           | how the protocol stands                                       |
    /// | `connect`    | `address` | its row when it is a neighbour                                |
    /// | `disconnect` | `peer`    | its row                                                       |
    /// | `drop`       | `prefix`  | a row for each neighbour that was dropped                     |
    /// | `readmit`    | `prefix`  | nothing: the ban itself is the host's                         |
    ///
    /// `peer` is an address, or an ID.
    mutating func carryOut(_ command: Command, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let arguments = command.arguments
        switch command.name {
        case "peers": effects.reply(id, peerRows(all: arguments.bool("all") ?? false, at: now.instant))
        case "clients": effects.reply(id, clientRows(at: now.instant))
        case "status": effects.reply(id, status())
        case "connect": connect(arguments.string("address") ?? "", id, at: now, into: &effects)
        case "disconnect": disconnect(arguments.string("peer") ?? "", id, at: now, into: &effects)
        case "drop": drop(arguments, id, at: now, into: &effects)
        case "readmit": effects.reply(id, [])
        default: effects.reply(id, [], .refused("gossip has no command \(command.name)"))
        }
    }

    private mutating func connect(_ text: String, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let address = SocketAddress(text), address.port != 0 else {
            return effects.reply(id, [], .refused("\"\(text)\" is no address: expected IP:PORT"))
        }
        guard !own.contains(address) else { return effects.reply(id, [], .refused("\(address) is this node itself")) }
        if let place = open.places.first(where: { links[$0]?.endpoint == address }) {
            return effects.reply(id, [row(of: place, at: now.instant)])
        }
        guard open.count < configuration.degree else {
            return effects.reply(id, [], .refused("this node has \(open.count) neighbours, as many as /gossip/degree"))
        }
        candidates.add(address, id: nil, .operator, at: now.instant)
        forgetCall(address)
        dial(address, .direct, commands: [id], at: now, into: &effects)
    }

    private mutating func disconnect(_ text: String, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let found = open.places.filter { place in
            guard let link = links[place] else { return false }
            return link.name == text || "\(link.peerID)" == text || "\(link.remote)" == text
                || link.endpoint.map { "\($0)" == text } ?? false || "\(link.remote.ip)" == text
        }
        guard let place = found.first else {
            return effects.reply(id, [], .refused("no neighbour is \"\(text)\""))
        }
        guard found.count == 1 else {
            return effects.reply(id, [], .refused("\"\(text)\" means \(found.count) neighbours"))
        }
        effects.reply(id, [row(of: place, at: now.instant)])
        close(place, .operatorRequest, at: now, into: &effects)
    }

    /// Part of the node's `ban`: the host keeps the block away from now on.
    private mutating func drop(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let prefix = arguments.string("prefix").flatMap({ IPPrefix($0) }) else {
            return effects.reply(id, [], .refused("expected an address or a block like 192.0.2.0/24"))
        }
        let inside = open.places.filter { links[$0].map { prefix.contains($0.remote.ip) } ?? false }
        let rows = inside.map { row(of: $0, at: now.instant) }
        for place in inside { close(place, .banned, at: now, into: &effects) }
        for (connection, state) in pending.sorted(by: { $0.key < $1.key }) where prefix.contains(state.remote.ip) {
            end(connection, .banned, at: now, into: &effects)
        }
        for address in candidates.table.keys where prefix.contains(address.ip) { candidates.remove(address) }
        effects.reply(id, rows)
    }

    /// Nobody waits for the answer any more.
    mutating func forgetCommand(_ id: CommandID) {
        for connection in pending.keys { pending[connection]?.commands.removeAll { $0 == id } }
    }
}
