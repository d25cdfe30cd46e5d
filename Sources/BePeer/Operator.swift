internal import PeerCore

/// An operator's command that is told how far a folder is until it is done.
struct Watcher {
    let folder: Int
    let index: Int
    let since: Instant
}

// MARK: - Commands (program.md section 1)

extension BePeer {
    /// How often progress is told.
    private static let progressPause: Duration = .seconds(1)

    /// | command   | arguments          | answer                                                                   |
    /// |-----------|--------------------|--------------------------------------------------------------------------|
    /// | `join`    | `folder`, `host`   | rows of progress, then one with `trusted`                                |
    /// | `list`    |                    | a row for each folder                                                    |
    /// | `status`  | `folder`           | a row for each folder, and one for each of its peers                     |
    /// | `peers`   | `all`              | a row for each folder and trusted peer; with `all` the others too        |
    /// | `confirm` | `folder`           | files got by hand are there, or a mass delete was meant: the folder's row |
    /// | `leave`   | `folder`           | a folder that was joined by a command is kept equal no longer: its row   |
    /// | `rescan`  | `folder`           | the folder is looked at now: its row                                     |
    ///
    /// A row of progress has `folder`, `peer`, `state` (`asking`, `fetching`, `checking`, `waiting`); while files come,
    /// also `doneFiles`, `ofFiles`, `doneBytes`, `ofBytes`, `bytesPerSecond` and, when it is known, `secondsLeft`, as
    /// rows of folders and peers have them too. The last row of `join` has `folder`, `peer`, `trusted`, `files`,
    /// `bytes` and `ms`.
    mutating func carryOut(_ command: Command, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let arguments = command.arguments
        guard !life.isStopping else { return effects.reply(id, [], .refused("the node stops")) }
        guard life.isComplete else { return life.early.append((id, command)) }
        switch command.name {
        case "join": join(arguments, id, at: now, into: &effects)
        case "list": effects.reply(id, shown.map { row(of: $0) })
        case "status": tellStatus(arguments, id, at: now, into: &effects)
        case "peers": effects.reply(id, peerRows(all: arguments.bool("all") ?? false, at: now.instant))
        case "confirm": confirmByHand(arguments, id, at: now, into: &effects)
        case "leave":
            guard let folder = folder(arguments, id, into: &effects) else { return }
            guard folders[folder].isJoined else {
                return effects.reply(
                    id, [], .refused("\(folders[folder].name) stands in the configuration; take it out there"))
            }
            leave(folder, into: &effects)
            effects.reply(id, [row(of: folder)])
        case "rescan":
            guard let folder = folder(arguments, id, into: &effects) else { return }
            rescanDue(folder, at: now, into: &effects)
            effects.reply(id, [row(of: folder)])
        case "drop": drop(arguments, id, at: now, into: &effects)
        case "readmit": effects.reply(id, [])
        default: effects.reply(id, [], .refused("replication has no command \(command.name)"))
        }
    }

    /// The folder that a command names; when there is one only, it need not.
    private func folder(_ arguments: Record, _ id: CommandID, into effects: inout Effects) -> Int? {
        guard let name = arguments.string("folder"), !name.isEmpty else {
            if shown.count == 1 { return shown[0] }
            effects.reply(id, [], .refused("which folder? There are \(shown.count)"))
            return nil
        }
        guard let folder = folder(named: name) else {
            effects.reply(id, [], .refused("/replication/folders has no \"\(name)\""))
            return nil
        }
        return folder
    }

    private mutating func tellStatus(
        _ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard let name = arguments.string("folder"), !name.isEmpty else {
            let rows = shown.flatMap { [row(of: $0)] + peerRows($0, all: true, at: now.instant) }
            return effects.reply(id, rows)
        }
        guard let folder = folder(arguments, id, into: &effects) else { return }
        effects.reply(id, [row(of: folder)] + peerRows(folder, all: true, at: now.instant))
    }

    // MARK: - Joining

    private mutating func join(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let destination = Self.destination(arguments.string("host") ?? "") else {
            return effects.reply(id, [], .refused("expected a host, or host:port"))
        }
        guard let folder = folderToJoin(arguments, destination, id, at: now, into: &effects) else { return }
        guard folders[folder].receives else {
            return effects.reply(id, [], .refused("\(folders[folder].name) is sendonly, so it takes nothing in"))
        }
        let index: Int
        if let known = folders[folder].joins.firstIndex(where: { $0.destination == destination }) {
            index = known
            folders[folder].joins[index].isAnswered = false
            folders[folder].joins[index].attempts = 0
        } else {
            index = folders[folder].joins.count
            folders[folder].joins.append(Join(destination))
        }
        if arguments.bool("wait") == false {
            let name = folders[folder].name
            effects.reply(id, [["folder": .string(name), "peer": .text(destination), "trusted": false]])
        } else {
            watchers[id] = Watcher(folder: folder, index: index, since: now.instant)
            timers.set(.progress, at: now.instant + Self.progressPause)
        }
        ask(folder, index, at: now, into: &effects)
    }

    /// The folder that is named, made when it is none of ours yet.
    private mutating func folderToJoin(
        _ arguments: Record, _ destination: Destination, _ id: CommandID, at now: Moment, into effects: inout Effects
    ) -> Int? {
        guard let name = arguments.string("folder"), let into = arguments.string("into"), !name.isEmpty else {
            return folder(arguments, id, into: &effects)
        }
        guard let folder = folder(named: name) else {
            switch addFolder(name, at: into, from: destination, at: now, into: &effects) {
            case .success(let folder): return folder
            case .failure(let refusal):
                effects.reply(id, [], .refused(refusal.why))
                return nil
            }
        }
        guard arguments.bool("isPlaceMeant") != true || folders[folder].settings.path == into else {
            effects.reply(id, [], .refused("\(name) is at \(folders[folder].settings.path) already"))
            return nil
        }
        return folder
    }

    /// A peer has confirmed us: who has waited for that knows.
    mutating func confirmed(_ tie: Tie, _ names: Int, at now: Moment, into effects: inout Effects) {
        for (id, watcher) in watching(tie) {
            watchers[id] = nil
            effects.reply(
                id,
                [
                    [
                        "folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "trusted": true,
                        "files": .count(names), "bytes": .count(folders[tie.folder].index.liveBytes),
                        "ms": .count((now.instant - watcher.since).nanoseconds / 1_000_000),
                    ]
                ])
        }
    }

    /// A request that was refused, or did not reach anybody.
    mutating func tellWatchers(
        _ folder: Int, _ index: Int, refused: Bool, _ reason: CloseReason, into effects: inout Effects
    ) {
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number })
        where watcher.folder == folder && watcher.index == index {
            watchers[id] = nil
            let host = folders[folder].joins[index].destination
            let why =
                refused
                ? "\(host) closed without an answer: it does not share \(folders[folder].name), or not with this host"
                : "\(host) cannot be reached: \(reason.rawValue)"
            effects.reply(id, [], .refused("\(why); it is asked again"))
        }
    }

    private func watching(_ tie: Tie) -> [(CommandID, Watcher)] {
        watchers.sorted { $0.key.number < $1.key.number }.filter { _, watcher in
            guard watcher.folder == tie.folder else { return false }
            return folders[tie.folder].joins[watcher.index].ip == tie.ip
        }
    }

    mutating func tellProgress(at now: Moment, into effects: inout Effects) {
        guard !watchers.isEmpty else { return }
        timers.set(.progress, at: now.instant + Self.progressPause)
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number }) {
            let ip = folders[watcher.folder].joins[watcher.index].ip
            let tie = ip.map { Tie(folder: watcher.folder, ip: $0) }
            effects.reply(id, [progress(watcher, tie, at: now.instant)], .more)
        }
    }

    private func progress(_ watcher: Watcher, _ tie: Tie?, at now: Instant) -> Record {
        let shared = folders[watcher.folder]
        var row: Record = [
            "folder": .string(shared.name),
            "peer": .string(tie?.ip.description ?? shared.joins[watcher.index].destination.description),
        ]
        guard let tie, self[tie]?.intake != nil else {
            let isDone = tie.flatMap { self[$0]?.reportedAt } != nil
            row["state"] = .string(isDone ? "checking" : shared.isReady ? "asking" : "waiting")
            return row
        }
        row["state"] = "fetching"
        progress(tie, at: now)?.tell(&row)
        return row
    }

    // MARK: - By hand

    /// Files by another protocol are there, or what a stopped folder has lost is meant to be gone.
    private mutating func confirmByHand(
        _ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard let folder = folder(arguments, id, into: &effects) else { return }
        if folders[folder].phase == .stopped("mass_delete") {
            folders[folder].phase = .opening
            for path in folders[folder].missing { remove(path, folder, at: now, into: &effects) }
            folders[folder].missing = []
            effects.log(.info, "folder_resumed", ["folder": .string(folders[folder].name)])
            examineMore(folder, at: now, into: &effects)
            return effects.reply(id, [row(of: folder)])
        }
        let waiting = folders[folder].partners.values.filter { $0.manual != nil }.map(\.ip).sorted()
        guard !waiting.isEmpty else {
            return effects.reply(id, [], .refused("\(folders[folder].name) waits for nothing"))
        }
        // They may have come in this moment.
        let names = waiting.flatMap { folders[folder].partners[$0]?.manual?.names ?? [] }
        let questions = names.map { FileQuestion(folders[folder].file($0), known: folders[folder].known($0)) }
        folders[folder].examining += 1
        errands[effects.store(.examine(questions, .sha256))] = .byHand(folder, names, id)
    }

    /// The files that the operator confirms were looked at.
    mutating func confirmed(
        _ folder: Int, _ names: [Path], _ id: CommandID, _ result: StoreResult, at now: Moment,
        into effects: inout Effects
    ) {
        examined(folder, names, result, at: now, into: &effects)
        var isAnyThere = false
        for ip in folders[folder].partners.keys.sorted() where folders[folder].partners[ip]?.manual != nil {
            let isThere = manualDue(Tie(folder: folder, ip: ip), isConfirmed: true, at: now, into: &effects)
            isAnyThere = isAnyThere || isThere
        }
        guard isAnyThere else {
            return effects.reply(id, [], .refused("none of the \(names.count) files is in \(folders[folder].name)"))
        }
        effects.reply(id, [row(of: folder)])
    }

    /// Part of the node's `ban`: the host keeps the block away from now on.
    private mutating func drop(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let prefix = arguments.string("prefix").flatMap({ IPPrefix($0) }) else {
            return effects.reply(id, [], .refused("expected an address or a block like 192.0.2.0/24"))
        }
        var rows: [Record] = []
        for folder in folders.indices {
            for ip in folders[folder].partners.keys.sorted() where prefix.contains(ip) {
                let tie = Tie(folder: folder, ip: ip)
                guard let partner = self[tie] else { continue }
                rows.append(row(of: partner, folder, at: now.instant))
                self[tie]?.state = .dropped
                self[tie]?.droppedAt = now.wallClock
                keepPartner(tie, into: &effects)
            }
        }
        for connection in talks.keys.sorted() {
            guard let ip = talks[connection]?.remote?.ip, prefix.contains(ip) else { continue }
            effects.append(.abort(connection, .banned))
        }
        effects.reply(id, rows)
    }
}
