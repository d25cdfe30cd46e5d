internal import PeerCore

/// Who is sent a file, and who waits for that (P+2 section 6.1).
struct Uploads {
    var running: Set<ConnectionID> = []
    /// In the order of their lines.
    var waiting: [ConnectionID] = []

    /// How often it is looked whether an upload moves, as parts of the time that it may stand still.
    static let looks = 6
}

// MARK: - Port p + 2: the octets of a file

extension PPlusTwo {
    mutating func answerDownload(
        _ connection: ConnectionID, _ line: Bytes, at now: Moment, into effects: inout Effects
    ) {
        var name = line
        if configuration.extensions, case .range(let first, let file) = ExtensionRequest(line: line) {
            callers[connection]?.first = first
            name = file
        }
        guard let file = file(name) else {
            if let remote = callers[connection]?.remote { reject(.download, remote, "not_shared", into: &effects) }
            return finish(connection, at: now, into: &effects)
        }
        callers[connection]?.wanted = file
        let isRoom = uploads.waiting.count < configuration.maxWaitingUploads
        guard isRoom || uploads.running.count < configuration.maxUploads else {
            if let remote = callers[connection]?.remote { reject(.download, remote, "limit", into: &effects) }
            return effects.append(.abort(connection, .limit))
        }
        uploads.waiting.append(connection)
        startUploads(at: now, into: &effects)
    }

    /// Lets those go on that wait, as far as there is room.
    mutating func startUploads(at now: Moment, into effects: inout Effects) {
        while uploads.running.count < configuration.maxUploads, !uploads.waiting.isEmpty {
            let connection = uploads.waiting.removeFirst()
            guard let file = callers[connection]?.wanted else { continue }
            uploads.running.insert(connection)
            errands[effects.store(.inspect(file))] = .open(connection)
        }
    }

    /// The file was looked at: what it has now is what will be sent, whatever becomes of it.
    mutating func opened(
        _ entry: FileEntry?, for connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let caller = callers[connection], caller.phase == .waiting, let file = caller.wanted else { return }
        guard let entry, entry.size > caller.first else {
            freeUpload(connection, at: now, into: &effects)
            return finish(connection, at: now, into: &effects)
        }
        let count = entry.size - caller.first
        callers[connection]?.phase = .sending
        callers[connection]?.began = now.instant
        callers[connection]?.lastMove = now.instant
        counters.uploadsStarted += 1
        effects.log(
            .info, "upload_start",
            [
                "source": .text(caller.remote), "name": .text(file.path), "bytes": .count(count),
                "first": .count(caller.first),
            ])
        effects.append(.sendFile(file, offset: caller.first, count: count, on: connection))
        timers.set(.upload(connection), at: now.instant + uploadPause)
    }

    private var uploadPause: Duration { configuration.uploadStall / Uploads.looks }

    private mutating func freeUpload(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        uploads.running.remove(connection)
        uploads.waiting.removeAll { $0 == connection }
        startUploads(at: now, into: &effects)
    }

    /// All octets are with the system, or no more will be: then only a reset tells the caller (P+2 section 3.1).
    mutating func uploadEnded(
        _ connection: ConnectionID, _ result: TransferResult, at now: Moment, into effects: inout Effects
    ) {
        guard let caller = callers[connection], caller.phase == .sending else { return }
        switch result {
        case .sent(let octets):
            counters.uploadsDone += 1
            effects.log(
                .info, "upload_done",
                [
                    "source": .text(caller.remote), "name": caller.wanted.map { .text($0.path) } ?? .null,
                    "bytes": .count(octets), "ms": .milliseconds(now.instant - caller.began),
                ])
            finish(connection, at: now, into: &effects)
            freeUpload(connection, at: now, into: &effects)
        case .failed(let error, let octets):
            let reason =
                switch error {
                case .endOfFile: "file_shrank"
                // The system has told it to the transfer, and may keep it from those who read.
                case .disconnected: "reset"
                default: "read_error"
                }
            tellAbort(caller, reason, octets, into: &effects)
            giveUp(connection, .systemError, at: now, into: &effects)
        case .received: break
        }
    }

    /// Whether the caller still takes something.
    mutating func checkUpload(
        _ connection: ConnectionID, sent: UInt64, at now: Moment, into effects: inout Effects
    ) {
        guard let caller = callers[connection], caller.phase == .sending else { return }
        if sent != caller.sent {
            callers[connection]?.sent = sent
            callers[connection]?.lastMove = now.instant
        } else if now.instant - caller.lastMove >= configuration.uploadStall {
            tellAbort(caller, "stalled", sent, into: &effects)
            return giveUp(connection, .tooSlow, at: now, into: &effects)
        }
        timers.set(.upload(connection), at: now.instant + uploadPause)
    }

    private mutating func giveUp(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        callers[connection]?.phase = .ending
        timers.cancel(.upload(connection))
        effects.append(.abort(connection, reason))
        freeUpload(connection, at: now, into: &effects)
    }

    mutating func uploadClosed(
        _ connection: ConnectionID, _ caller: Caller, _ reason: CloseReason, at now: Moment,
        into effects: inout Effects
    ) {
        if caller.phase == .sending { tellAbort(caller, reason.rawValue, caller.sent, into: &effects) }
        freeUpload(connection, at: now, into: &effects)
    }

    private mutating func tellAbort(
        _ caller: Caller, _ reason: String, _ octets: UInt64, into effects: inout Effects
    ) {
        counters.uploadsAborted += 1
        effects.log(
            .warn, "upload_abort",
            [
                "source": .text(caller.remote), "name": caller.wanted.map { .text($0.path) } ?? .null,
                "reason": .string(reason), "bytes": .count(octets),
            ])
    }
}

extension Record.Value {
    /// A duration in whole milliseconds.
    static func milliseconds(_ duration: Duration) -> Record.Value { .count(duration.nanoseconds / 1_000_000) }
}
