internal import PeerCore
internal import PeerCrypto

/// One walk over a folder (BePeer section 6.2).
struct Scan {
    let number: UInt32
    let began: Instant
    var files = 0
    var changed = 0
    /// Nobody has waited for this one: what was changed a moment ago may still be written to.
    let isFirst: Bool
    /// Folders that could not be read: what is known of them still holds.
    var unreadable: [String] = []
    /// A folder in which nothing was seen yet.
    var open: (path: Path, entry: FileEntry)?

    init(number: UInt32, began: Instant, isFirst: Bool) {
        (self.number, self.began, self.isFirst) = (number, began, isFirst)
    }
}

extension BePeer {
    /// Files of one page of a scan.
    private static let page = 8192
    /// Octets of `.bepeerignore` that are read: a thousand patterns.
    private static let ignoreOctets = 256 << 10
    /// Names of which the log is told, in one life.
    private static let mostTold = 1000
    /// The mass-delete guard looks at folders with as many files (BePeer section 4.4).
    private static let guarded = 20
    /// How soon a folder that stopped is looked at again.
    private static let stoppedPause: Duration = .seconds(60)

    /// Begins with a folder whose rows are there.
    mutating func open(_ folder: Int, at now: Moment, into effects: inout Effects) {
        guard !folders[folder].isLeft else { return }
        if folders[folder].phase == .recalling { folders[folder].phase = .opening }
        errands[effects.store(.inspect(folders[folder].file(Marker.folder)))] = .marker(folder)
    }

    /// Whether the folder has its marker. It gets one as long as nothing is known of it.
    mutating func marked(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        switch result {
        case .entries where folders[folder].index.liveFiles == 0:
            errands[effects.store(.lock(folders[folder].file(Marker.lock)))] = .lock(folder)
        case .entries:
            errands[effects.store(.inspect(folders[folder].file(Marker.lock)))] = .markerLock(folder)
        case .failed(.notFound) where folders[folder].index.liveFiles == 0:
            errands[effects.store(.makeFolder(folders[folder].file(Marker.folder)))] = .makeMarker(folder)
        case .failed(.notFound): stop(folder, "no_marker", at: now, into: &effects)
        case .failed(.notAFolder) where folders[folder].takesFileForShare():
            effects.append(.open(folders[folder].id, at: folders[folder].settings.path))
            open(folder, at: now, into: &effects)
        case .failed(let error): stop(folder, error.description, at: now, into: &effects)
        default: break
        }
    }

    /// Whether the marker is one that we have known: our lock was in it. The operator's own is empty. One with other
    /// things in it has come to be where the folder's disk is missing.
    mutating func markerKnown(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        switch result {
        case .entries(let entries, _, _) where entries.isEmpty || entries.contains { $0.path == Marker.lock }:
            errands[effects.store(.lock(folders[folder].file(Marker.lock)))] = .lock(folder)
        case .failed(.notFound):
            let content = StoreOperation.scan(
                folders[folder].id, under: Marker.folder, after: nil, limit: 1, deep: false,
                hidden: .shown(butNot: "/"))
            errands[effects.store(content)] = .markerContent(folder)
        case .failed(let error): stop(folder, error.description, at: now, into: &effects)
        default: stop(folder, "no_marker", at: now, into: &effects)
        }
    }

    mutating func markerMade(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        if case .failed(let error) = result { return stop(folder, error.description, at: now, into: &effects) }
        errands[effects.store(.lock(folders[folder].file(Marker.lock)))] = .lock(folder)
    }

    mutating func locked(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        if case .failed(let error) = result {
            return stop(folder, error == .exists ? "locked" : error.description, at: now, into: &effects)
        }
        let hidden = HiddenNames.shown(butNot: Marker.name)
        errands[effects.store(.watch(folders[folder].id, hidden: hidden))] = .watch(folder)
    }

    mutating func watched(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        folders[folder].isWatched = result == .done
        if case .failed(let error) = result {
            effects.log(
                .warn, "folder_unwatched", ["folder": .string(folders[folder].name), "error": .text(error)],
                "changes are found by scans only")
        }
        rescan(folder, at: now, into: &effects)
    }

    // MARK: - Pages

    mutating func rescan(_ folder: Int, at now: Moment, into effects: inout Effects) {
        guard folders[folder].scan == nil else {
            folders[folder].needsScan = true
            return
        }
        folders[folder].scanNumber &+= 1
        folders[folder].needsScan = false
        folders[folder].scan = Scan(
            number: folders[folder].scanNumber, began: now.instant, isFirst: folders[folder].phase == .opening)
        let ignore = folders[folder].file(Marker.ignore)
        errands[effects.store(.readAt(ignore, offset: 0, count: Self.ignoreOctets))] = .ignore(folder)
    }

    mutating func ignoreRead(_ folder: Int, _ result: StoreResult, into effects: inout Effects) {
        if case .bytes(let text) = result { folders[folder].patterns = IgnorePatterns(text) }
        if case .failed(.notFound) = result { folders[folder].patterns = IgnorePatterns() }
        nextPage(folder, after: nil, into: &effects)
    }

    private mutating func nextPage(_ folder: Int, after path: RelativePath?, into effects: inout Effects) {
        let scan = StoreOperation.scan(
            folders[folder].id, under: nil, after: path, limit: Self.page, deep: !folders[folder].settings.isSingle,
            hidden: .shown(butNot: Marker.name))
        errands[effects.store(scan)] = .scan(folder)
    }

    mutating func scanned(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        switch result {
        case .entries(let entries, let more, let leftOut):
            for name in leftOut {
                if name.why == .unreadable { folders[folder].scan?.unreadable.append(name.name + "/") }
                skip(name.name, name.why.rawValue, folder, into: &effects)
            }
            for entry in entries { see(entry, folder, at: now, into: &effects) }
            if more, let last = entries.last { return nextPage(folder, after: last.path, into: &effects) }
            closeFolder(folder)
            errands[effects.store(.inspect(folders[folder].file(Marker.lock)))] = .scanEnd(folder)
        case .failed(let error):
            folders[folder].scan = nil
            effects.log(
                .warn, "scan_failed", ["folder": .string(folders[folder].name), "error": .text(error)],
                "what was known before still is")
            timers.set(.rescan(folder), at: now.instant + Self.stoppedPause)
            if folders[folder].phase == .opening { stop(folder, error.description, at: now, into: &effects) }
        default: break
        }
    }

    private mutating func see(_ entry: FileEntry, _ folder: Int, at now: Moment, into effects: inout Effects) {
        guard let scan = folders[folder].scan else { return }
        let path: Path
        do throws(PathRefusal) {
            path = try folders[folder].path(entry.path.description)
        } catch {
            if entry.path == Marker.ignore { return }
            return skip(entry.path.description, error.rawValue, folder, into: &effects)
        }
        if let open = folders[folder].scan?.open {
            if path.text.utf8.starts(with: "\(open.path.text)/".utf8) {
                folders[folder].scan?.open = nil
            } else {
                closeFolder(folder)
            }
        }
        guard folders[folder].replicates(path) else { return }
        if entry.isFolder {
            folders[folder].scan?.open = (path, entry)
            return
        }
        folders[folder].scan?.files += 1
        if let place = folders[folder].index.place(of: path) {
            folders[folder].index.see(place, in: scan.number)
            let record = folders[folder].index.records[place]
            if record.isFile, record.mark == entry.mark, record.isExecutable == entry.isExecutable { return }
        } else if folders[folder].index.hasTwin(of: path) {
            return skip(path.text, PathRefusal.normalization.rawValue, folder, into: &effects)
        }
        folders[folder].scan?.changed += 1
        let isFresh = now.wallClock - entry.modified < configuration.quiet && entry.modified <= now.wallClock
        if isFresh, !scan.isFirst {
            touch(path, folder, at: now)
        } else {
            folders[folder].unexamined.append((path, entry.size))
        }
    }

    /// A folder in which a scan has found nothing is told of as it is (BePeer section 6.2).
    private mutating func closeFolder(_ folder: Int) {
        guard let (path, entry) = folders[folder].scan?.open, let scan = folders[folder].scan else { return }
        folders[folder].scan?.open = nil
        if let place = folders[folder].index.place(of: path) {
            folders[folder].index.see(place, in: scan.number)
            let record = folders[folder].index.records[place]
            if record.isFolder, !record.isDeleted { return }
        }
        folders[folder].empty.insert(path)
        folders[folder].unexamined.append((path, entry.size))
    }

    private mutating func skip(_ name: String, _ why: String, _ folder: Int, into effects: inout Effects) {
        guard folders[folder].told.count < Self.mostTold, folders[folder].told.insert(name).inserted else { return }
        effects.log(
            .info, "file_skipped",
            ["folder": .string(folders[folder].name), "path": .string(name), "why": .string(why)])
    }

    // MARK: - The end of a scan

    /// All was seen. What was not is gone, if the folder itself still is what it was.
    mutating func scanEnded(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let scan = folders[folder].scan else { return }
        folders[folder].scan = nil
        setRescan(folder, at: now)
        guard case .entries = result else {
            folders[folder].unexamined = []
            return stop(folder, "no_marker", at: now, into: &effects)
        }
        let shared = folders[folder]
        let gone = shared.index.records.filter { record in
            !record.isDeleted && record.scan != scan.number && shared.replicates(record.path)
                && !scan.unreadable.contains { record.path.text.utf8.starts(with: $0.utf8) }
        }
        let files = gone.count { !$0.isFolder }
        if isMassDelete(files, of: folders[folder].index.liveFiles) {
            folders[folder].missing = gone.map(\.path)
            folders[folder].unexamined = []
            return stop(folder, "mass_delete", at: now, into: &effects)
        }
        resume(folder, into: &effects)
        for record in gone { remove(record.path, folder, at: now, into: &effects) }
        folders[folder].scanned = scan
        examineMore(folder, at: now, into: &effects)
        if folders[folder].needsScan { rescan(folder, at: now, into: &effects) }
    }

    /// All that a scan has found was looked at.
    mutating func tellScan(_ folder: Int, at now: Moment, into effects: inout Effects) {
        guard let scan = folders[folder].scanned else { return }
        folders[folder].scanned = nil
        effects.log(
            scan.isFirst || scan.changed > 0 ? .info : .debug, "scan_done",
            [
                "folder": .string(folders[folder].name), "files": .count(scan.files), "hashed": .count(scan.changed),
                "ms": .count((now.instant - scan.began).nanoseconds / 1_000_000),
            ])
    }

    /// More than half of many files, at once: rather a disk that is not there than somebody's wish.
    func isMassDelete(_ gone: Int, of all: Int) -> Bool { all >= Self.guarded && gone * 2 > all }

    /// Three quarters to five quarters of the interval, so that nodes do not scan in step.
    private mutating func setRescan(_ folder: Int, at now: Moment) {
        let interval = configuration.scanInterval
        let pause = random.duration(in: interval * 0.75...interval * 1.25)
        timers.set(.rescan(folder), at: now.instant + pause)
    }

    /// Nothing of this folder is propagated until it is what it was, or the operator says so.
    mutating func stop(_ folder: Int, _ why: String, at now: Moment, into effects: inout Effects) {
        timers.set(.rescan(folder), at: now.instant + Self.stoppedPause)
        guard folders[folder].phase != .stopped(why) else { return }
        folders[folder].phase = .stopped(why)
        if why == "no_marker" {
            // What was watched and locked is not what will be there.
            _ = effects.store(.unwatch(folders[folder].id))
            folders[folder].isWatched = false
        }
        let advice =
            switch why {
            case "no_marker":
                "the folder has lost its \(Marker.name): is its disk mounted? Make an empty \(Marker.name) to go on"
            case "mass_delete":
                "more than half of the files are gone: put them back, or say \"replicate confirm\" if that was meant"
            case "locked": "another node has this folder"
            default: "it is looked at again in a minute"
            }
        effects.log(
            .error, "folder_stopped", ["folder": .string(folders[folder].name), "why": .string(why)], advice)
    }

    /// A folder that had stopped is what it was.
    private mutating func resume(_ folder: Int, into effects: inout Effects) {
        guard case .stopped = folders[folder].phase else { return }
        folders[folder].phase = .opening
        folders[folder].missing = []
        effects.log(.info, "folder_resumed", ["folder": .string(folders[folder].name)])
    }

    /// The timer of a folder: a scan, or a new beginning where even that was not possible.
    mutating func rescanDue(_ folder: Int, at now: Moment, into effects: inout Effects) {
        switch folders[folder].phase {
        case .stopped("mass_delete"), .opening, .ready: rescan(folder, at: now, into: &effects)
        case .stopped: open(folder, at: now, into: &effects)
        case .recalling: break
        }
    }
}
