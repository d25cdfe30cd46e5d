internal import PeerCore
internal import PeerCrypto

/// The operator fetches a file (P+2 sections 6.2 and 8). One download goes through these steps:
///
///     hello → stat → free space → [part of an earlier life] → dial → octets → [stat again] → name → done
///
/// Octets go into `.peernode/partial/<token>.part`, which becomes `<token>.whole` when all have come; only when that is
/// verified, as far as it can be, it gets a name that nobody else has.
struct Download {
    /// What an answer of the files is for.
    enum Errand {
        case space
        case part
        case emptied
        case name(Int)
        case sync(String)
        /// Free space, while octets come.
        case spaceAgain
    }

    /// Why a download has failed; a closed list.
    enum Failure: String {
        case emptyOrMissing = "empty_or_missing"
        case notThere = "not_there"
        case diskFull = "disk_full"
        case tooLarge = "too_large"
        case truncated
        case stalled
        case verification = "verification_failed"
        case noFreeName = "no_free_name"
        case writeError = "write_error"
        case cancelled
        case refused
        case unreachable
        case timeout
        case reset
        case closedByPeer = "closed_by_peer"
        case shutdown
        case limit
        case systemError = "system_error"

        init(_ reason: CloseReason) {
            self = Self(rawValue: reason.rawValue) ?? .systemError
        }

        /// What it means for the operator.
        var explanation: String {
            switch self {
            case .emptyOrMissing: "the file is empty or not there; this peer cannot tell which"
            case .notThere: "the peer does not share a file of that name"
            case .diskFull: "there is too little free space (/files/minFreeBytes is left free)"
            case .tooLarge: "the file is larger than /files/maxDownloadBytes"
            case .truncated: "the peer ended before all octets had come; the same command goes on from here"
            case .stalled: "no octet came for too long"
            case .verification: "the file that came is not the one that the peer announced, twice"
            case .noFreeName: "all names from NAME to NAME (999) are taken"
            case .writeError: "the file could not be written"
            case .cancelled: "nobody waits for it any more"
            case .refused: "nobody listens there"
            case .unreachable: "there is no way to that host"
            case .timeout: "the peer did not answer in time"
            case .reset: "the peer broke off"
            case .closedByPeer: "the peer ended the connection"
            case .shutdown: "the node stops"
            case .limit: "a limit of this node does not allow it"
            case .systemError: "the system failed"
            }
        }
    }

    let command: CommandID
    let peer: PeerIdentity
    /// As the peer calls it, octet by octet.
    let name: Bytes
    /// What it is to be called here.
    let localName: String
    let began: Instant
    var token: String
    /// The first try, or the one more after a failed verification.
    var attempt = 1
    var isExtended: Bool?
    var stat: FileStat?
    /// Octets that were there already.
    var offset: UInt64 = 0
    var connection: ConnectionID?
    /// Octets over this connection.
    var received: UInt64 = 0
    var lastMove: Instant
    /// `received` when free space was looked at.
    var spaceChecked: UInt64 = 0
    /// What may come at most, when the size is not known, and whether that is for want of space.
    var room: UInt64 = 0
    var isRoomFree = false
    /// The file is whole; its size and digest.
    var whole: (octets: UInt64, digest: Bytes32?)?
    /// How often a pending digest was asked for again.
    var restats = 0

    /// Progress is told at most so often.
    static let progressPause: Duration = .milliseconds(200)
    /// Free space is looked at before so many octets more (P+2 section 6.2).
    static let spaceStep: UInt64 = 16 << 20
    /// A digest that is pending is asked for again after this time, so often.
    static let restatPause: Duration = .seconds(2)
    /// See `restatPause`.
    static let mostRestats = 15
    /// Tries, the first one included (P+2 section 8).
    static let mostAttempts = 2
    /// Numbers of names that are tried (P+2 section 6.2).
    static let mostNames = 999
}

// MARK: - The steps

extension PPlusTwo {
    mutating func download(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard downloads.count < configuration.maxDownloads else {
            return effects.reply(
                id, [], .refused("limit: \(downloads.count) downloads run, as many as /files/maxDownloads"))
        }
        let name: Bytes
        let peer: PeerIdentity
        if let number = arguments.int("number") {
            guard let match = Int(exactly: number).flatMap({ matches[$0] }) else {
                return effects.reply(id, [], .refused("the last search has no match \(number)"))
            }
            (name, peer) = (match.name, match.peer)
        } else {
            guard let text = arguments.string("name"),
                let identity = arguments.string("peer").flatMap({ PeerIdentity($0) })
            else { return effects.reply(id, [], .refused("download needs a number, or a name and a peer (IP:PORT)")) }
            (name, peer) = (Bytes(utf8: text), identity)
        }
        guard !name.isEmpty, !name.contains(UInt8(ascii: "\n")) else {
            return effects.reply(id, [], .refused("a name is one line and not empty"))
        }
        lastDownload += 1
        let local = RemoteName.local(arguments.string("into").map { Bytes(utf8: $0) } ?? name)
        downloads[lastDownload] = Download(
            command: id, peer: peer, name: name, localName: local, began: now.instant, token: newToken(),
            lastMove: now.instant)
        counters.downloadsStarted += 1
        effects.log(
            .info, "download_start", ["peer": .text(peer), "name": .string(RemoteName.shown(name))])
        askStat(lastDownload, at: now, into: &effects)
    }

    private mutating func newToken() -> String { String(random.next(), radix: 16) }

    /// Asks what the peer knows of the file, if it knows the extension.
    mutating func askStat(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number] else { return }
        let isExtended =
            configuration.extensions ? download.isExtended ?? peers.isExtended(download.peer, at: now.instant) : false
        switch isExtended {
        case nil:
            ask(download.peer, .hello, ExtensionRequest.hello.line, for: .download(number), at: now, into: &effects)
        case true?:
            let line = ExtensionRequest.stat(name: download.name).line
            ask(download.peer, .stat, line, for: .download(number), at: now, into: &effects)
        case false?: lookForSpace(number, into: &effects)
        }
    }

    /// The peer has answered a question about the file, or not.
    mutating func told(
        _ question: Question, _ reason: CloseReason?, for number: UInt64, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        // Without the extension the file can still be had.
        let isExtended = reason == nil && question.isExtended == true
        downloads[number]?.isExtended = isExtended
        if download.whole != nil {
            if isExtended, let digest = FileStat(lines: question.answer)?.digest {
                downloads[number]?.stat?.digest = digest
            }
            return verify(number, at: now, into: &effects)
        }
        guard isExtended else {
            downloads[number]?.stat = nil
            return lookForSpace(number, into: &effects)
        }
        guard question.kind == .stat else { return askStat(number, at: now, into: &effects) }
        guard let stat = FileStat(lines: question.answer) else {
            return fail(number, .notThere, at: now, into: &effects)
        }
        if let limit = configuration.maxDownloadBytes, stat.size > limit {
            return fail(number, .tooLarge, at: now, into: &effects)
        }
        downloads[number]?.stat = stat
        if download.attempt == 1, let token = parts.take(download.peer, download.name, stat, into: &effects) {
            downloads[number]?.token = token
        }
        lookForSpace(number, into: &effects)
    }

    private mutating func lookForSpace(_ number: UInt64, into effects: inout Effects) {
        errands[effects.store(.freeSpace(Share.folder))] = .download(number, .space)
    }

    mutating func stored(
        _ number: UInt64, _ errand: Download.Errand, _ result: StoreResult, at now: Moment,
        into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        switch (errand, result) {
        case (.space, .space(let free)):
            let room = free > configuration.minFreeBytes ? free - configuration.minFreeBytes : 0
            let limit = configuration.maxDownloadBytes ?? .max
            downloads[number]?.room = min(room, limit)
            downloads[number]?.isRoomFree = room <= limit
            if download.stat != nil, parts[download.token] != nil {
                errands[effects.store(.inspect(Parts.part(download.token)))] = .download(number, .part)
            } else {
                begin(number, at: now, into: &effects)
            }
        case (.part, _):
            downloads[number]?.offset = min(result.entry?.size ?? 0, download.stat?.size ?? 0)
            begin(number, at: now, into: &effects)
        case (.spaceAgain, .space(let free)):
            if free < configuration.minFreeBytes { fail(number, .diskFull, at: now, into: &effects) }
        case (.emptied, .done):
            downloads[number]?.whole = (0, nil)
            name(number, 1, into: &effects)
        case (.name(let tried), .done): sync(number, RemoteName.numbered(download.localName, tried), into: &effects)
        case (.name(let tried), .failed(.exists)) where tried < Download.mostNames:
            name(number, tried + 1, into: &effects)
        case (.name, .failed(.exists)): fail(number, .noFreeName, at: now, into: &effects)
        // The file has its name; that the disk may forget it in a crash is told by the log of the system.
        case (.sync(let path), _): succeed(number, path, at: now, into: &effects)
        case (_, .failed(.noSpace)): fail(number, .diskFull, at: now, into: &effects)
        default: fail(number, .writeError, at: now, into: &effects)
        }
    }

    /// Dials, if there is anything to fetch and room for it.
    private mutating func begin(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number] else { return }
        guard download.room > 0, (download.stat?.size ?? 0) - download.offset <= download.room else {
            return fail(number, .diskFull, at: now, into: &effects)
        }
        if let stat = download.stat {
            guard stat.size > 0 else {
                errands[effects.store(.save(Parts.whole(download.token), Bytes()))] = .download(number, .emptied)
                return
            }
            parts.remember(download, stat, into: &effects)
        }
        let connection = effects.connect(
            to: .address(download.peer.address(of: .download)), from: sourceAddress,
            timeout: configuration.limits(of: .download).connectTimeout)
        downloads[number]?.connection = connection
        downloads[number]?.received = 0
        downloads[number]?.spaceChecked = 0
        downloadPlaces[connection] = number
    }

    mutating func downloadConnected(
        _ number: UInt64, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        met(download.peer, at: now, into: &effects)
        let line =
            download.offset > 0
            ? ExtensionRequest.range(first: download.offset, name: download.name).line : download.name
        effects.send(Bytes(line.array + [UInt8(ascii: "\n")]), on: connection)
        let length: FileReception.Length =
            download.stat.map { .exactly($0.size - download.offset) } ?? .toEnd(limit: download.room)
        let reception = FileReception(
            file: Parts.whole(download.token), part: Parts.part(download.token).path, appends: download.offset > 0,
            length: length, digest: download.stat == nil ? nil : .sha256, replacing: true,
            keepsPart: download.stat != nil)
        effects.append(.receiveFile(reception, from: connection))
        downloads[number]?.lastMove = now.instant
        timers.set(.progress(number), at: now.instant + Download.progressPause)
    }

    private mutating func name(_ number: UInt64, _ tried: Int, into effects: inout Effects) {
        guard let download = downloads[number],
            let path = RelativePath(components: [RemoteName.numbered(download.localName, tried)])
        else { return }
        errands[effects.store(.rename(Parts.whole(download.token), to: path, replacing: false))] =
            .download(number, .name(tried))
    }

    private mutating func sync(_ number: UInt64, _ name: String, into effects: inout Effects) {
        guard let path = RelativePath(components: [name]) else { return }
        errands[effects.store(.sync([FileName(Share.folder, path)]))] = .download(number, .sync(name))
    }
}

// MARK: - Octets

extension PPlusTwo {
    /// How far is it?
    mutating func checkProgress(of number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let connection = downloads[number]?.connection else { return }
        effects.append(.measure(connection))
    }

    mutating func progressed(
        _ number: UInt64, received: UInt64, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number], download.connection != nil else { return }
        if received != download.received {
            downloads[number]?.received = received
            downloads[number]?.lastMove = now.instant
            var row: Record = ["bytes": .count(download.offset + received)]
            if let size = download.stat?.size { row["total"] = .count(size) }
            effects.reply(download.command, [row], .more)
        } else if now.instant - download.lastMove >= configuration.downloadStall {
            return fail(number, .stalled, at: now, into: &effects)
        }
        if received - min(received, download.spaceChecked) >= Download.spaceStep {
            downloads[number]?.spaceChecked = received
            errands[effects.store(.freeSpace(Share.folder))] = .download(number, .spaceAgain)
        }
        timers.set(.progress(number), at: now.instant + Download.progressPause)
    }

    /// The transfer has ended.
    mutating func received(
        _ number: UInt64, _ result: TransferResult, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        switch result {
        case .received(let octets, let digest):
            leave(number, into: &effects)
            let digest = digest.flatMap { $0.count == 32 ? Bytes32($0) : nil }
            downloads[number]?.whole = (download.offset + octets, digest)
            verify(number, at: now, into: &effects)
        // `closed` follows and says why.
        case .failed(.disconnected, _): break
        case .failed(.endOfFile, _): fail(number, .truncated, at: now, into: &effects)
        case .failed(.noSpace, _): fail(number, .diskFull, at: now, into: &effects)
        case .failed(.other("EFBIG"), _):
            fail(number, download.isRoomFree ? .diskFull : .tooLarge, at: now, into: &effects)
        case .failed: fail(number, .writeError, at: now, into: &effects)
        case .sent: break
        }
    }

    /// Nothing more is wanted of the connection.
    private mutating func leave(_ number: UInt64, into effects: inout Effects) {
        timers.cancel(.progress(number))
        guard let connection = downloads[number]?.connection else { return }
        downloads[number]?.connection = nil
        downloadPlaces[connection] = nil
        effects.append(.finish(connection))
    }

    mutating func downloadClosed(
        _ number: UInt64, _ connection: ConnectionID, _ reason: CloseReason, at now: Moment,
        into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        downloadPlaces[connection] = nil
        downloads[number]?.connection = nil
        if !timers.isSet(.progress(number)) { failed(download.peer, reason, at: now, into: &effects) }
        fail(number, Download.Failure(reason), at: now, into: &effects)
    }
}

// MARK: - The end

extension PPlusTwo {
    /// The file is whole; whether it is the right one depends on what the peer has told of it.
    private mutating func verify(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number], let whole = download.whole else { return }
        guard let stat = download.stat else {
            return whole.octets > 0
                ? name(number, 1, into: &effects) : fail(number, .emptyOrMissing, at: now, into: &effects)
        }
        guard let digest = stat.digest else {
            guard download.restats < Download.mostRestats, download.isExtended == true else {
                return name(number, 1, into: &effects)
            }
            downloads[number]?.restats += 1
            return timers.set(.restat(number), at: now.instant + Download.restatPause)
        }
        guard whole.octets == stat.size, whole.digest == digest else {
            return tryAgain(number, at: now, into: &effects)
        }
        name(number, 1, into: &effects)
    }

    /// What came is not what was announced: once more, from the beginning (P+2 section 8).
    private mutating func tryAgain(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number] else { return }
        guard download.attempt < Download.mostAttempts else {
            return fail(number, .verification, at: now, into: &effects)
        }
        effects.log(
            .warn, "download_mismatch",
            ["peer": .text(download.peer), "name": .string(RemoteName.shown(download.name))],
            "what came is not what the peer had announced; it is fetched once more from the beginning")
        parts.forget(download.token, into: &effects)
        errands[effects.store(.remove(Parts.whole(download.token)))] = .nothing
        let token = newToken()
        downloads[number]?.token = token
        downloads[number]?.attempt += 1
        downloads[number]?.offset = 0
        downloads[number]?.whole = nil
        downloads[number]?.stat = nil
        downloads[number]?.restats = 0
        askStat(number, at: now, into: &effects)
    }

    private mutating func succeed(_ number: UInt64, _ path: String, at now: Moment, into effects: inout Effects) {
        guard let download = downloads.removeValue(forKey: number), let whole = download.whole else { return }
        parts.forget(download.token, into: &effects)
        // An empty file has nothing that could be wrong.
        let isVerified = download.stat.map { $0.digest != nil || $0.size == 0 } ?? false
        let result: Record = [
            "bytes": .count(whole.octets), "ms": .milliseconds(now.instant - download.began),
            "complete": isVerified ? "verified" : "unverified",
        ]
        counters.downloadsDone += 1
        effects.log(
            .info, "download_done",
            (["peer": .text(download.peer), "path": .string(path)] as Record).appending(result))
        effects.reply(download.command, [(["path": .string(path)] as Record).appending(result)])
    }

    mutating func fail(
        _ number: UInt64, _ failure: Download.Failure, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads.removeValue(forKey: number) else { return }
        timers.cancel(.progress(number))
        timers.cancel(.restat(number))
        if let connection = download.connection {
            downloadPlaces[connection] = nil
            effects.append(.abort(connection, failure == .stalled ? .timeout : .operatorRequest))
        }
        for connection in questions.keys.sorted() where questions[connection]?.asker == .download(number) {
            effects.append(.abort(connection, .operatorRequest))
            questions[connection] = nil
            timers.cancel(.answer(connection))
        }
        if download.whole != nil {
            errands[effects.store(.remove(Parts.whole(download.token)))] = .nothing
            parts.forget(download.token, into: &effects)
        }
        parts.release(download.token)
        counters.downloadsFailed += 1
        effects.log(
            .warn, "download_failed",
            [
                "peer": .text(download.peer), "name": .string(RemoteName.shown(download.name)),
                "reason": .string(failure.rawValue), "bytes": .count(download.offset + download.received),
            ], failure.explanation)
        effects.reply(download.command, [], .refused("\(failure.rawValue): \(failure.explanation)"))
    }
}
