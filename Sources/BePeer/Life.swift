internal import PeerCore

/// How far the protocol is between its start and its end.
struct Life {
    /// The listeners that are open.
    var listening: Set<ListenerID> = []
    /// The port of the file server, once it is known.
    var httpPort: UInt16?
    var messagePort: UInt16?
    var recalled: Set<String> = []
    /// What the operator has asked before the rows were there.
    var early: [(id: CommandID, command: Command)] = []
    /// Whether all rows are there.
    var isComplete: Bool { recalled.count == Rows.tables }
    var isStopping = false
}

// MARK: - Start and end

extension BePeer {
    mutating func start(at now: Moment, into effects: inout Effects) {
        if let address = configuration.messageAddress {
            effects.append(.listen(Self.messages, on: .ip(address), .stream))
        }
        effects.append(.listen(Self.http, on: .ip(configuration.httpAddress), .http(configuration.httpLimits)))
        life.httpPort = configuration.httpAddress.port
        life.messagePort = configuration.messageAddress?.port
        effects.append(.recall(table: Rows.folders, after: nil, limit: Rows.page))
    }

    mutating func listening(_ listener: ListenerID, _ address: ListenAddress, into effects: inout Effects) {
        life.listening.insert(listener)
        if case .ip(let address) = address {
            if listener == Self.http { life.httpPort = address.port } else { life.messagePort = address.port }
        }
        effects.log(.info, "listening", ["listener": .text(listener), "address": .text(address)])
    }

    mutating func cannotListen(_ listener: ListenerID, _ error: SystemError, into effects: inout Effects) {
        let address = listener == Self.http ? configuration.httpAddress : configuration.messageAddress
        effects.log(
            .error, "listen_failed",
            ["listener": .text(listener), "address": .string(address?.description ?? ""), "error": .text(error)],
            listener == Self.http
                ? "peers cannot fetch from this node, so none will trust it" : "peers cannot call this node")
    }

    mutating func stop(at now: Moment, into effects: inout Effects) {
        guard !life.isStopping else { return }
        life.isStopping = true
        for listener in [Self.messages, Self.http] where life.listening.contains(listener) {
            effects.append(.unlisten(listener))
        }
        for (connection, talk) in talks.sorted(by: { $0.key < $1.key }) {
            effects.append(talk.isOpen ? .finish(connection) : .abort(connection, .shutdown))
        }
        for request in errands.filter({ $0.value.isFetch }).keys.sorted(by: { $0.number < $1.number }) {
            effects.append(.cancelFetch(request))
        }
        for id in watchers.keys.sorted(by: { $0.number < $1.number }) {
            effects.reply(id, [], .refused("the node stops"))
        }
        for (id, _) in life.early { effects.reply(id, [], .refused("the node stops")) }
        life.early = []
        watchers = [:]
        timers = Deadlines()
    }

    /// We were late: others get that much longer.
    mutating func resumed(after gap: Duration, at now: Moment) {
        guard gap > .zero else { return }
        for connection in talks.keys.sorted() where timers.isSet(.talk(connection)) {
            timers.set(.talk(connection), at: now.instant + configuration.messageTime + gap)
        }
        interfacesChanged(at: now)
    }

    /// The network is another one: whoever could not be reached is tried again, and asked what is new.
    mutating func interfacesChanged(at now: Moment) {
        for folder in folders.indices where folders[folder].isReady {
            for ip in folders[folder].trusted {
                let tie = Tie(folder: folder, ip: ip)
                self[tie]?.attempts = 0
                if self[tie]?.isReachable == false { timers.set(.resync(tie), at: now.instant) }
            }
            for index in folders[folder].joins.indices where !folders[folder].joins[index].isAnswered {
                folders[folder].joins[index].attempts = 0
                timers.set(.join(folder, index), at: now.instant)
            }
        }
    }
}

// MARK: - Rows

extension BePeer {
    mutating func recalled(
        _ rows: [Row], of table: String, more: Bool, at now: Moment, into effects: inout Effects
    ) {
        if table == Rows.folders { return recalledFolders(rows, more: more, into: &effects) }
        var versions: [String: VersionVector] = [:]
        for row in rows {
            guard let (name, rest) = Rows.split(row.key), let folder = folder(named: name) else { continue }
            switch table {
            case Rows.files: restoreFile(rest, row.record, folder, &versions)
            case Rows.peers:
                guard let ip = IPAddress(rest) else { continue }
                folders[folder].partners[ip] = Partner(ip, row.record)
            case Rows.agreed:
                guard let (ip, path) = Rows.split(rest), let ip = IPAddress(ip),
                    let hash = row.record.string("hash").flatMap({ Bytes32(hex: $0) })
                else { continue }
                let agreed = Partner.Agreed(hash: hash, tag: row.record.string("tag") ?? "")
                self[Tie(folder: folder, ip: ip)]?.agreed[Path(checked: path)] = agreed
            default: break
            }
        }
        if more, let last = rows.last {
            return effects.append(.recall(table: table, after: last.key, limit: Rows.page))
        }
        life.recalled.insert(table)
        guard life.isComplete else { return }
        for folder in folders.indices where folders[folder].phase == .recalling {
            if folders[folder].sequence > 0 {
                folders[folder].sequence = (folders[folder].sequence / Self.lifeOfChanges + 1) * Self.lifeOfChanges
            }
            open(folder, at: now, into: &effects)
        }
        let early = life.early
        life.early = []
        for (id, command) in early { carryOut(command, id, at: now, into: &effects) }
    }

    /// Each life numbers its changes from a multiple of this one on: the last ones of the life before may have been
    /// told to others, and not have come to the disk. More than a folder has files (BePeer section 2.1).
    private static let lifeOfChanges: UInt64 = 1 << 20

    private mutating func restoreFile(
        _ name: String, _ row: Record, _ folder: Int, _ versions: inout [String: VersionVector]
    ) {
        guard let path = try? folders[folder].path(name), let record = FileRecord(path, row, &versions) else { return }
        folders[folder].index.set(record)
        folders[folder].sequence = max(folders[folder].sequence, record.sequence)
    }

    /// Writes what is known of a file, here and in its row.
    @discardableResult
    mutating func keep(_ record: FileRecord, _ folder: Int, into effects: inout Effects) -> Int {
        let key = "\(folders[folder].name)/\(record.path.text)"
        effects.append(.remember(table: Rows.files, key: key, record.row))
        return folders[folder].index.set(record)
    }

    /// Writes the row of a peer that may be met again.
    mutating func keepPartner(_ tie: Tie, into effects: inout Effects) {
        guard let partner = self[tie], partner.state != .candidate else { return }
        let key = "\(folders[tie.folder].name)/\(tie.ip)"
        effects.append(.remember(table: Rows.peers, key: key, partner.row))
    }

    /// Notes what was agreed with an old peer about a file.
    mutating func agree(_ agreed: Partner.Agreed, on path: Path, with tie: Tie, into effects: inout Effects) {
        guard self[tie]?.agreed[path] != agreed else { return }
        self[tie]?.agreed[path] = agreed
        effects.append(
            .remember(
                table: Rows.agreed, key: "\(folders[tie.folder].name)/\(tie.ip)/\(path.text)",
                ["hash": .string(agreed.hash.hex), "tag": .string(agreed.tag)]))
    }
}
