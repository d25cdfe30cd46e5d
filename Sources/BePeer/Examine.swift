internal import PeerCore

// What has changed is looked at when it is quiet, and hashed (BePeer section 6.2).
extension BePeer {
    /// Batches of files that are looked at side by side: as many as the host has worker threads, but for two.
    private static let mostExamining = 2
    /// Files, and about octets, of one batch.
    private static let filesAtOnce = 256
    /// See `filesAtOnce`.
    private static let octetsAtOnce: UInt64 = 64 << 20

    /// The folder watch has seen something. No paths: too much to say.
    mutating func changed(_ id: FolderID, _ paths: [RelativePath], at now: Moment) {
        guard let folder = folders.firstIndex(where: { $0.id == id }) else { return }
        guard !paths.isEmpty else { return timers.set(.rescan(folder), at: now.instant + configuration.quiet) }
        for path in paths {
            if path == Marker.ignore { timers.set(.rescan(folder), at: now.instant + configuration.quiet) }
            let shared = folders[folder]
            guard let path = try? shared.path(path.description), shared.replicates(path) else { continue }
            touch(path, folder, at: now)
        }
    }

    /// A file has changed, or may have; it is looked at when it is quiet.
    mutating func touch(_ path: Path, _ folder: Int, at now: Moment) {
        folders[folder].dirty[path] = now.instant
        if folders[folder].dirtySince == nil { folders[folder].dirtySince = now.instant }
        if !timers.isSet(.quiet(folder)) { timers.set(.quiet(folder), at: now.instant + configuration.quiet) }
    }

    /// Takes the files that are quiet, or all when there is no end of changes.
    mutating func quietDue(_ folder: Int, at now: Moment, into effects: inout Effects) {
        guard let since = folders[folder].dirtySince else { return }
        let takesAll = now.instant - since >= configuration.longestQuiet
        // What has changed a little later is waited for: it belongs to the same burst, which is one offer.
        if now.instant - since < configuration.quiet * 2, let last = folders[folder].dirty.values.max(),
            last + configuration.quiet > now.instant
        {
            return timers.set(.quiet(folder), at: min(last, since + configuration.quiet) + configuration.quiet)
        }
        let limit = now.instant - configuration.quiet
        let quiet = folders[folder].dirty.filter { takesAll || $0.value <= limit }.keys.sorted()
        for path in quiet {
            folders[folder].dirty[path] = nil
            folders[folder].unexamined.append((path, folders[folder].index[path]?.size ?? 0))
        }
        if let next = folders[folder].dirty.values.min() {
            timers.set(.quiet(folder), at: next + configuration.quiet)
        } else {
            folders[folder].dirtySince = nil
        }
        examineMore(folder, at: now, into: &effects)
    }

    /// A file must be looked at before anything else is done to it.
    mutating func examineNow(_ path: Path, _ folder: Int, at now: Moment, into effects: inout Effects) {
        folders[folder].unexamined.append((path, 0))
        examineMore(folder, at: now, into: &effects)
    }

    mutating func examineMore(_ folder: Int, at now: Moment, into effects: inout Effects) {
        while folders[folder].examining < Self.mostExamining,
            folders[folder].nextUnexamined < folders[folder].unexamined.count
        {
            var questions: [FileQuestion] = []
            var paths: [Path] = []
            var octets: UInt64 = 0
            while questions.count < Self.filesAtOnce, octets < Self.octetsAtOnce,
                folders[folder].nextUnexamined < folders[folder].unexamined.count
            {
                let (path, size) = folders[folder].unexamined[folders[folder].nextUnexamined]
                folders[folder].nextUnexamined += 1
                octets = octets.addingReportingOverflow(size).partialValue
                paths.append(path)
                questions.append(FileQuestion(folders[folder].file(path), known: folders[folder].known(path)))
            }
            folders[folder].examining += 1
            errands[effects.store(.examine(questions, .sha256))] = .examine(folder, paths)
        }
        guard folders[folder].examining == 0 else { return }
        folders[folder].unexamined = []
        folders[folder].nextUnexamined = 0
        tellScan(folder, at: now, into: &effects)
        announce(folder, at: now, into: &effects)
        if folders[folder].phase == .opening, folders[folder].scan == nil {
            becameReady(folder, at: now, into: &effects)
        }
    }

    mutating func examined(
        _ folder: Int, _ paths: [Path], _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        folders[folder].examining -= 1
        var missing: [Path] = []
        switch result {
        case .examined(let findings):
            missing = zip(paths, findings).filter { $1 == .missing && isLive($0, folder) }.map(\.0)
            let files = missing.count { folders[folder].index[$0]?.isFile ?? false }
            if isMassDelete(files, of: folders[folder].index.liveFiles) {
                // Only a scan can tell whether the folder itself is there.
                timers.set(.rescan(folder), at: now.instant)
                missing = []
            } else {
                for (path, finding) in zip(paths, findings) where finding != .missing {
                    take(finding, of: path, folder, at: now, into: &effects)
                }
            }
        case .failed(let error):
            effects.log(
                .warn, "scan_failed", ["folder": .string(folders[folder].name), "error": .text(error)])
        default: break
        }
        if !missing.isEmpty {
            // Files are gone only when their disk is not.
            folders[folder].examining += 1
            errands[effects.store(.inspect(folders[folder].file(Marker.lock)))] = .gone(folder, missing)
        }
        let later = Set(missing)
        for path in paths where !later.contains(path) { retryWaiting(on: path, folder, at: now, into: &effects) }
        examineMore(folder, at: now, into: &effects)
    }

    private func isLive(_ path: Path, _ folder: Int) -> Bool { folders[folder].index[path]?.isDeleted == false }

    mutating func goneFor(
        _ paths: [Path], _ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        folders[folder].examining -= 1
        if case .entries = result {
            for path in paths { remove(path, folder, at: now, into: &effects) }
        } else {
            stop(folder, "no_marker", at: now, into: &effects)
        }
        for path in paths { retryWaiting(on: path, folder, at: now, into: &effects) }
        examineMore(folder, at: now, into: &effects)
    }

    private mutating func take(
        _ finding: Finding, of path: Path, _ folder: Int, at now: Moment, into effects: inout Effects
    ) {
        switch finding {
        case .unchanged: break
        case .file(let entry, let digest):
            guard digest.count == 32 else { return }
            took(entry, Bytes32(digest), path, folder, at: now, into: &effects)
        case .folder(let entry):
            if let record = folders[folder].index[path], record.isFolder, !record.isDeleted { return }
            tookFolder(entry, path, folder, at: now, into: &effects)
        case .missing: break
        case .unsteady: touch(path, folder, at: now)
        case .failed(let error):
            effects.log(
                .warn, "file_unreadable",
                ["folder": .string(folders[folder].name), "path": .text(path), "error": .text(error)])
        }
    }

    // MARK: - Changes of our own

    private mutating func took(
        _ entry: FileEntry, _ hash: Bytes32, _ path: Path, _ folder: Int, at now: Moment, into effects: inout Effects
    ) {
        var record = folders[folder].index[path] ?? FileRecord(path)
        let isSame = record.isFile && record.hash == hash && record.isExecutable == entry.isExecutable
        record.take(entry)
        record.hash = hash
        record.scan = folders[folder].scanNumber
        if isSame, !record.version.isEmpty || record.isDiverged {
            // Touched, not changed: others need not hear of it.
            keep(record, folder, into: &effects)
            return
        }
        record.isDeleted = false
        changedHere(&record, folder, atLeast: entry.modified, at: now, into: &effects)
    }

    /// A folder is told of as long as it is empty: what is in it makes it elsewhere.
    private mutating func tookFolder(
        _ entry: FileEntry, _ path: Path, _ folder: Int, at now: Moment, into effects: inout Effects
    ) {
        if let record = folders[folder].index[path], record.isFile {
            remove(path, folder, at: now, into: &effects)
        }
        // Whether it is empty, and what is in it, a scan tells. It does when it comes from one.
        guard folders[folder].empty.remove(path) != nil else {
            timers.set(.rescan(folder), at: now.instant + configuration.quiet)
            return
        }
        var record = folders[folder].index[path] ?? FileRecord(path)
        record.take(entry)
        record.hash = .zero
        record.isDeleted = false
        record.scan = folders[folder].scanNumber
        changedHere(&record, folder, atLeast: entry.modified, at: now, into: &effects)
    }

    /// A file is not there any more.
    mutating func remove(_ path: Path, _ folder: Int, at now: Moment, into effects: inout Effects) {
        guard var record = folders[folder].index[path], !record.isDeleted else { return }
        record.isDeleted = true
        changedHere(&record, folder, atLeast: now.wallClock, at: now, into: &effects)
        effects.log(
            .info, "delete",
            ["folder": .string(folders[folder].name), "path": .text(path), "by": "local"])
    }

    /// Counts a change and has it announced, unless changes of this folder are nobody's business.
    private mutating func changedHere(
        _ record: inout FileRecord, _ folder: Int, atLeast clock: WallClock, at now: Moment,
        into effects: inout Effects
    ) {
        folders[folder].lastChange = now.wallClock
        guard folders[folder].announces else {
            record.isDiverged = true
            keep(record, folder, into: &effects)
            return
        }
        record.version.advance(node, atLeast: UInt64(clamping: clock.seconds))
        record.sequence = folders[folder].nextSequence()
        folders[folder].changes.append(keep(record, folder, into: &effects))
    }

    /// Tells all trusted peers of what has changed here.
    private mutating func announce(_ folder: Int, at now: Moment, into effects: inout Effects) {
        let changes = folders[folder].changes
        guard !changes.isEmpty, folders[folder].isReady else { return }
        folders[folder].changes = []
        effects.log(
            .info, "change",
            ["folder": .string(folders[folder].name), "names": .count(changes.count)])
        spread(changes, folder, besides: nil, at: now, into: &effects)
    }

    /// Hands changes to all trusted peers, but for the one that they came from (BePeer section 4).
    mutating func spread(
        _ changes: [Int], _ folder: Int, besides source: IPAddress?, at now: Moment, into effects: inout Effects
    ) {
        for ip in folders[folder].trusted where ip != source {
            let tie = Tie(folder: folder, ip: ip)
            for place in changes { self[tie]?.owe(place) }
            offerNext(tie, at: now, into: &effects)
        }
    }

    /// The first scan is over and all is hashed.
    private mutating func becameReady(_ folder: Int, at now: Moment, into effects: inout Effects) {
        folders[folder].phase = .ready
        effects.log(
            .info, "folder_ready",
            [
                "folder": .string(folders[folder].name), "files": .count(folders[folder].index.liveFiles),
                "bytes": .count(folders[folder].index.liveBytes),
            ])
        announce(folder, at: now, into: &effects)
        for connection in folders[folder].early { answerEarly(connection, folder, at: now, into: &effects) }
        folders[folder].early = []
        beginJoins(folder, at: now, into: &effects)
        for ip in folders[folder].trusted { metAgain(Tie(folder: folder, ip: ip), at: now, into: &effects) }
        timers.set(.tidy(folder), at: now.instant + Self.firstTidy)
    }
}

extension SharedFolder {
    /// By what the content of a file is known.
    func known(_ path: Path) -> FileMark? {
        guard let record = index[path], record.isFile else { return nil }
        return record.mark
    }
}
