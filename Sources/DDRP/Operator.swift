internal import AddressBook
internal import PeerCore

// MARK: - Commands (program.md section 1)

extension DDRP {
    /// A peer that the operator has disconnected is not dialled for so long.
    static let operatorPause: Duration = .seconds(600)
    /// Digits of a peer ID that may stand for all of it.
    private static let fewestDigits = 4

    /// | command      | arguments             | answer                                               |
    /// |--------------|-----------------------|------------------------------------------------------|
    /// | `peers`      | `all`                 | a row for each peer; with `all` the rest of the book |
    /// | `book`       |                       | a row for each address of the book                   |
    /// | `status`     |                       | how the protocol stands                              |
    /// | `ping`       | `peer`                | age of its last envelope, round trip of its handshake |
    /// | `connect`    | `address`             | its row when the handshake has ended well            |
    /// | `disconnect` | `peer`                | its row                                              |
    /// | `drop`       | `prefix`, `seconds`   | a row for each peer that was disconnected            |
    /// | `readmit`    | `prefix`              | ends what `drop` began                               |
    ///
    /// `peer` is an address, or a peer ID of which four digits may do.
    mutating func carryOut(_ command: Command, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let arguments = command.arguments
        switch command.name {
        case "peers": effects.reply(id, peerRows(all: arguments.bool("all") ?? false, at: now.instant))
        case "book": effects.reply(id, book.entries.map { bookRow($0, at: now.instant) })
        case "status": effects.reply(id, status())
        case "ping", "disconnect":
            switch find(arguments.string("peer") ?? "") {
            case .failure(let problem): effects.reply(id, [], .refused(problem.text))
            case .success(let connection) where command.name == "ping":
                effects.reply(id, [pingRow(connection, at: now.instant)])
            case .success(let connection):
                effects.reply(id, [row(of: connection, at: now.instant)])
                close(connection, Fault(.operatorRequest), at: now, into: &effects)
            }
        case "connect": connect(arguments.string("address") ?? "", id, at: now, into: &effects)
        case "drop": drop(arguments, id, at: now, into: &effects)
        case "readmit": readmit(arguments, id, into: &effects)
        default: effects.reply(id, [], .refused("ddrp has no command \(command.name)"))
        }
    }

    /// A phrase for the operator.
    private struct Problem: Error {
        let text: String
    }

    /// The link of the peer that `text` means.
    private func find(_ text: String) -> Result<ConnectionID, Problem> {
        let found: [ConnectionID]
        if let address = SocketAddress(text) {
            found = links.keys.filter { links[$0]?.remote == address || links[$0]?.listens == address }
        } else if let ip = IPAddress(text) {
            found = links.keys.filter { links[$0]?.remote.ip == ip }
        } else {
            let digits = text.lowercased()
            guard digits.utf8.count >= Self.fewestDigits else {
                return .failure(Problem(text: "\"\(text)\" is no address and too short for a peer ID"))
            }
            found = peers.filter { $0.key.hex.hasPrefix(digits) }.map(\.value)
        }
        guard let first = found.first else { return .failure(Problem(text: "no connected peer is \"\(text)\"")) }
        return found.count == 1 ? .success(first) : .failure(Problem(text: "\"\(text)\" means \(found.count) peers"))
    }

    private mutating func connect(
        _ text: String, _ id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard let locator = PeerLocator(text, standardPort: configuration.standardPort) else {
            return effects.reply(
                id, [], .refused("\"\(text)\" is no address: expected HOST, HOST:PORT or ID@HOST:PORT"))
        }
        if let address = locator.address {
            guard !own.contains(address) else {
                return effects.reply(id, [], .refused("\(address) is this node itself"))
            }
            if let link = links.values.first(where: { $0.listens == address && $0.direction == .outbound }) {
                return effects.reply(id, [], .refused("\(link.peer) is connected already, at \(address)"))
            }
            book.add(address, identity: locator.identity, from: .operatorRequest, at: now)
        }
        // Read once: the optimiser of Swift 6.3.1 breaks off when the closure reads it from `locator`.
        let destination = locator.destination
        let expected = locator.identity
        let under = initiators.keys.sorted().first { connection in
            guard let initiator = initiators[connection], initiator.destination == destination else { return false }
            return expected == nil || initiator.expected == nil || initiator.expected == expected
        }
        if let under {
            if let expected { initiators[under]?.expected = expected }
            initiators[under]?.commands.append(id)
            return
        }
        let dialect = firstDialect(for: locator.address.flatMap { book[$0] })
        let initiator = Initiator(to: locator, dialect: dialect, purpose: .request, commands: [id], at: now.instant)
        dial(initiator, at: now, into: &effects)
    }

    /// Closes all links inside a block, and leaves its addresses alone for some time: part of the node's `ban`.
    private mutating func drop(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let prefix = arguments.string("prefix").flatMap({ IPPrefix($0) }) else {
            return effects.reply(id, [], .refused("expected an address or a block like 192.0.2.0/24"))
        }
        let inside = links.keys.filter { links[$0].map { prefix.contains($0.remote.ip) } ?? false }.sorted()
        let rows = inside.map { row(of: $0, at: now.instant) }
        for connection in inside { close(connection, Fault(.banned), at: now, into: &effects) }
        for connection in responders.keys.sorted() {
            guard let remote = responders[connection]?.remote, prefix.contains(remote.ip) else { continue }
            effects.append(.abort(connection, .banned))
            dropResponder(connection)
        }
        for connection in initiators.keys.sorted() {
            guard let address = initiators[connection]?.address, prefix.contains(address.ip) else { continue }
            effects.append(.abort(connection, .banned))
            dialFailed(connection, Fault(.banned), at: now, into: &effects)
        }
        denials.add(prefix, until: end(after: arguments.double("seconds"), from: now.instant), at: now.instant)
        life.needsSettling = true
        effects.reply(id, rows)
    }

    /// The end of `seconds`, whatever the number: without one, or too late for the clock, it never comes.
    private func end(after seconds: Double?, from now: Instant) -> Instant {
        guard let seconds, let nanoseconds = Int64(exactly: (seconds * 1e9).rounded()) else { return .never }
        return now + .nanoseconds(nanoseconds)
    }

    private mutating func readmit(_ arguments: Record, _ id: CommandID, into effects: inout Effects) {
        guard let prefix = arguments.string("prefix").flatMap({ IPPrefix($0) }) else {
            return effects.reply(id, [], .refused("expected an address or a block like 192.0.2.0/24"))
        }
        denials.remove(prefix)
        life.needsSettling = true
        effects.reply(id, [])
    }
}

// MARK: - Commands that wait for a dial

extension DDRP {
    mutating func forgetCommand(_ id: CommandID) {
        for connection in initiators.keys.sorted() { initiators[connection]?.commands.removeAll { $0 == id } }
    }

    func answerCommands(
        of initiator: Initiator?, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        for command in initiator?.commands ?? [] { effects.reply(command, [row(of: connection, at: now.instant)]) }
    }

    func refuseCommands(of initiator: Initiator?, _ reason: String, into effects: inout Effects) {
        for command in initiator?.commands ?? [] { effects.reply(command, [], .refused(reason)) }
    }

    /// Ends a dial without blaming its address.
    mutating func cancelDial(_ connection: ConnectionID, _ reason: String, into effects: inout Effects) {
        guard let initiator = takeInitiator(connection) else { return }
        refuseCommands(of: initiator, reason, into: &effects)
    }
}
