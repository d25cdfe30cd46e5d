internal import PeerCore

/// How far the protocol is between its start and its end.
struct Life {
    /// The listeners that are open.
    var listening: Set<Service> = []
    /// The saved list is there.
    var isRecalled = false
    var isStopping = false
    /// Something has changed that `settle` has to act on.
    var needsSettling = false
}

// MARK: - Start and end

extension PPlusTwo {
    /// The list is saved at most so often (P+2 section 4.4).
    private static let saveInterval: Duration = .seconds(30)
    /// Identities of others are counted by the hour (P+2 section 4.5).
    static let hour: Duration = .seconds(3600)

    /// Whether what must be there before we call anybody is there: all three ports, or none wanted.
    var isReady: Bool {
        let isListening = configuration.listen == nil || life.listening.count == Service.allCases.count
        return isListening && life.isRecalled && !life.isStopping
    }

    mutating func start(at now: Moment, into effects: inout Effects) {
        if let listen = configuration.listen {
            for service in Service.allCases {
                let address = SocketAddress(listen.ip, listen.port + service.offset)
                effects.append(.listen(service.listener, on: .ip(address), .stream))
            }
        }
        learnInitialPeers(at: now)
        recall(Self.peersTable, after: nil, into: &effects)
        effects.append(.recall(table: Hashes.table, after: nil, limit: Hashes.pageRows))
        effects.append(.recall(table: Parts.table, after: nil, limit: Parts.most))
        openShare(at: now, into: &effects)
        timers.set(.hour, at: now.instant + Self.hour)
    }

    /// Takes in the peers of the configuration, also those that have failed.
    mutating func learnInitialPeers(at now: Moment) {
        for identity in configuration.initialPeers
        where !own.contains(identity) && configuration.access.allows(identity.ip) {
            _ = peers.learn(identity, isShared: true, isDirect: true, isInitial: true, at: now.instant)
        }
    }

    mutating func listening(
        _ listener: ListenerID, _ address: ListenAddress, at now: Moment, into effects: inout Effects
    ) {
        guard let service = Service(listener) else { return }
        life.listening.insert(service)
        life.needsSettling = true
        effects.log(.info, "listening", ["listener": .text(listener), "address": .text(address)])
    }

    mutating func cannotListen(_ listener: ListenerID, _ error: SystemError, into effects: inout Effects) {
        guard let service = Service(listener), let listen = configuration.listen else { return }
        let address = SocketAddress(listen.ip, listen.port + service.offset)
        effects.log(
            .error, "listen_failed",
            ["listener": .text(listener), "address": .text(address), "error": .text(error)],
            "all three ports are needed: this node calls nobody")
    }

    /// Those who have said nothing are cut, those who are being sent a file have the host's time to get it.
    mutating func stop(at now: Moment, into effects: inout Effects) {
        guard !life.isStopping else { return }
        life.isStopping = true
        for service in Service.allCases where life.listening.contains(service) {
            effects.append(.unlisten(service.listener))
        }
        for connection in callers.keys.sorted() where callers[connection]?.isReading ?? false {
            effects.append(.abort(connection, .shutdown))
        }
        if let exchange { effects.append(.abort(exchange.connection, .shutdown)) }
        for id in searches.keys.sorted(by: { $0.isBefore($1) }) {
            effects.reply(id, [], .refused("the node stops"))
            cancelSearch(id, into: &effects)
        }
        for number in downloads.keys.sorted() { fail(number, .shutdown, at: now, into: &effects) }
        for (id, _) in earlyDownloads { effects.reply(id, [], .refused("the node stops")) }
        earlyDownloads = []
        timers = Deadlines()
        save(at: now, into: &effects)
    }

    mutating func interfacesAre(_ addresses: [IPAddress], at now: Moment, into effects: inout Effects) {
        let isChange = !own.interfaces.isEmpty && own.interfaces != Set(addresses)
        own.interfaces = Set(addresses)
        dropOwn(at: now)
        if isChange { peers.forgetFailures(at: now.instant) }
        life.needsSettling = true
    }

    /// We were late: others get that much longer.
    mutating func resumed(after gap: Duration, at now: Moment) {
        guard gap > .zero else { return }
        for connection in callers.keys.sorted() {
            if let caller = callers[connection], caller.isReading {
                timers.set(.line(connection), at: caller.accepted + configuration.lineTimeout + gap)
            }
            callers[connection]?.lastMove += gap
        }
        for number in downloads.keys { downloads[number]?.lastMove += gap }
        life.needsSettling = true
    }

    /// Acts on what the input at hand has changed.
    mutating func settle(at now: Moment, into effects: inout Effects) {
        guard life.needsSettling, !life.isStopping else { return }
        life.needsSettling = false
        exchangeLists(at: now, into: &effects)
        if peers.hasChanges, !timers.isSet(.save) { timers.set(.save, at: now.instant + Self.saveInterval) }
    }
}

// MARK: - Rows

extension PPlusTwo {
    private static let peersTable = "files_peers"
    /// Rows read at a time.
    private static let pageRows = 1000

    private func recall(_ table: String, after key: String?, into effects: inout Effects) {
        effects.append(.recall(table: table, after: key, limit: Self.pageRows))
    }

    mutating func recalled(
        _ rows: [Row], of table: String, more: Bool, at now: Moment, into effects: inout Effects
    ) {
        switch table {
        case Self.peersTable:
            let usable = rows.filter { row in
                guard let identity = PeerIdentity(row.key) else { return false }
                return !own.contains(identity) && configuration.access.allows(identity.ip)
            }
            peers.restore(usable, at: now.instant)
            guard !more || rows.isEmpty else { return recall(table, after: rows.last?.key, into: &effects) }
            life.isRecalled = true
            life.needsSettling = true
        case Hashes.table:
            hashes.restore(rows)
            guard more, let last = rows.last else { return }
            effects.append(.recall(table: table, after: last.key, limit: Hashes.pageRows))
        case Parts.table: partsRecalled(rows, at: now, into: &effects)
        default: break
        }
    }

    /// Writes the rows that have changed.
    mutating func save(at now: Moment, into effects: inout Effects) {
        let changes = peers.takeChanges()
        guard !changes.isEmpty else { return }
        for (key, record) in changes {
            if let record {
                effects.append(.remember(table: Self.peersTable, key: key, record))
            } else {
                effects.append(.forget(table: Self.peersTable, key: key))
            }
        }
        effects.log(.debug, "book_saved", ["rows": .count(changes.count), "known": .count(peers.all.count)])
    }
}

extension CommandID {
    /// Older is before.
    func isBefore(_ other: CommandID) -> Bool { number < other.number }
}
