internal import PeerCore
internal import PeerCrypto

// MARK: - From the command to the dial (P+2 sections 6.2 and 8)

extension PPlusTwo {
    mutating func download(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard parts.isKnown else {
            // What an earlier life has of the file is still to be told.
            earlyDownloads.append((id, arguments))
            return
        }
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

    mutating func newToken() -> String {
        guard !parts.hasRows else { return String(random.next(), radix: 16) }
        return String(random.nextBytes32().hex.prefix(2 * Parts.tokenOctets))
    }

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

    mutating func name(_ number: UInt64, _ tried: Int, into effects: inout Effects) {
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
