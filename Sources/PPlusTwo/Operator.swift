internal import PeerCore

// MARK: - Commands (program.md section 1)

extension PPlusTwo {
    /// Rows of one reply; more come in further ones.
    private static let rowsAtOnce = 1000

    /// | command      | arguments                          | answer                                                |
    /// |--------------|------------------------------------|-------------------------------------------------------|
    /// | `search`     | `text`, `words`, `ignoreCase`, `peer`, `limit` | rows as peers answer, then a summary      |
    /// | `download`   | `number`, or `name` and `peer`; `into` | rows of progress, then what the file is called here |
    /// | `share`      | `text`, `limit`                    | a row for each shared file whose name contains `text` |
    /// | `peers`      | `all`                              | a row for each live peer; with `all` the others too   |
    /// | `status`     |                                    | how the protocol stands                               |
    /// | `connect`    | `address`                          | its row; its list is asked for in its turn            |
    /// | `disconnect` | `peer`                             | its row; hearsay does not bring it back for a while   |
    /// | `drop`       | `prefix`                           | a row for each peer that was taken out                |
    /// | `readmit`    | `prefix`                           | nothing: the ban itself is the host's                 |
    ///
    /// `search` says `text` to the peers and, of what they answer, takes the names that contain all `words`, in any
    /// case with `ignoreCase`. It gives a row for each match (`number`, `name`, `peer`, from peers that know the
    /// extension `size` and `modified`, and `octets` in hexadecimal when the name is no text) and one for each peer
    /// that failed (`peer`, `failed`); the last row has `asked`, `failed`, `matches` and `notShown`. `download` gives
    /// rows with `bytes` and, when it is known, `total`; the last one has `path`, `bytes`, `ms` and `complete`.
    mutating func carryOut(_ command: Command, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let arguments = command.arguments
        guard !life.isStopping else { return effects.reply(id, [], .refused("the node stops")) }
        switch command.name {
        case "search": search(arguments, id, at: now, into: &effects)
        case "download": download(arguments, id, at: now, into: &effects)
        case "share": tellShare(arguments, id, into: &effects)
        case "peers": effects.reply(id, peerRows(all: arguments.bool("all") ?? false, at: now.instant))
        case "status": effects.reply(id, status())
        case "connect": connect(arguments.string("address") ?? "", id, at: now, into: &effects)
        case "disconnect": disconnect(arguments.string("peer") ?? "", id, at: now, into: &effects)
        case "drop": drop(arguments, id, at: now, into: &effects)
        case "readmit": effects.reply(id, [])
        default: effects.reply(id, [], .refused("files has no command \(command.name)"))
        }
    }

    private func tellShare(_ arguments: Record, _ id: CommandID, into effects: inout Effects) {
        guard configuration.listen != nil else {
            return effects.reply(id, [], .refused("this node does not listen, so it shares nothing"))
        }
        let limit = arguments.int("limit").map { Int(clamping: max(0, $0)) } ?? .max
        var rows = sharedRows(arguments.string("text") ?? "", limit: limit)[...]
        while rows.count > Self.rowsAtOnce {
            effects.reply(id, Array(rows.prefix(Self.rowsAtOnce)), .more)
            rows = rows.dropFirst(Self.rowsAtOnce)
        }
        effects.reply(id, Array(rows))
    }

    private mutating func connect(_ text: String, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let identity = PeerIdentity(text) else {
            return effects.reply(
                id, [], .refused("\"\(text)\" is no peer: expected IP:PORT, its port of the peer list"))
        }
        guard !own.contains(identity) else { return effects.reply(id, [], .refused("\(identity) is this node itself")) }
        guard configuration.access.allows(identity.ip) else {
            return effects.reply(id, [], .refused("\(identity) is kept out by /files/peerAllow or /files/peerDeny"))
        }
        let outcome = peers.learn(identity, isShared: true, isDirect: true, at: now.instant)
        guard outcome != .full, let entry = peers[identity] else {
            return effects.reply(id, [], .refused("the list is full: /files/maxPeers is \(configuration.maxPeers)"))
        }
        life.needsSettling = true
        effects.reply(id, [row(of: entry, at: now.instant)])
    }

    private mutating func disconnect(_ text: String, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let identity = PeerIdentity(text), let entry = peers[identity] else {
            return effects.reply(id, [], .refused("no known peer is \"\(text)\""))
        }
        effects.reply(id, [row(of: entry, at: now.instant)])
        peers.forget(identity, at: now.instant)
        life.needsSettling = true
        effects.log(.info, "peer_forgotten", ["peer": .text(identity), "reason": "operator"])
    }

    /// Part of the node's `ban`: the host keeps the block away from now on.
    private mutating func drop(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let prefix = arguments.string("prefix").flatMap({ IPPrefix($0) }) else {
            return effects.reply(id, [], .refused("expected an address or a block like 192.0.2.0/24"))
        }
        let inside = peers.all.filter { prefix.contains($0.identity.ip) }
        let rows = inside.map { row(of: $0, at: now.instant) }
        for entry in inside { peers.forget(entry.identity, at: now.instant) }
        for connection in callers.keys.sorted() {
            guard let remote = callers[connection]?.remote, prefix.contains(remote.ip) else { continue }
            effects.append(.abort(connection, .banned))
        }
        life.needsSettling = true
        effects.reply(id, rows)
    }

    /// Nobody waits for the answer any more.
    mutating func cancel(_ id: CommandID, at now: Moment, into effects: inout Effects) {
        cancelSearch(id, into: &effects)
        earlyDownloads.removeAll { $0.id == id }
        for number in downloads.keys.sorted() where downloads[number]?.command == id {
            fail(number, .cancelled, at: now, into: &effects)
        }
    }
}
