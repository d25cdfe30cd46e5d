internal import PeerCore

/// The shared folder: when it is looked at, and what was found (P+2 section 5.1).
struct Share {
    static let folder = PPlusTwo.folder
    /// Files of one page of a scan.
    private static let page = 8192
    /// A folder that changes all the time is not scanned more often than this (P+2 section 5.1).
    private static let shortestPause: Duration = .seconds(1)
    /// A scan takes at most this share of the time, as one part of so many: more of it, and changes would show late.
    private static let pauseOfScans = 2
    /// Watches miss things: on network file systems, or when there are too many folders.
    static let longestPause: Duration = .seconds(600)
    /// How often a folder is looked at that cannot be watched.
    static let pauseUnwatched: Duration = .seconds(30)
    /// Changes that are looked at one by one: each costs a millisecond where there are 100,000 files.
    static let mostLookedAt = 32
    /// Names that are remembered as told of in the log.
    private static let mostTold = 10_000

    private(set) var names = SharedNames()
    /// Whether a scan has ended well.
    private(set) var isKnown = false
    var isWatched = false
    private var found: [FileEntry] = []
    private var isScanning = false
    private var isOutdated = false
    private var began = Instant(nanoseconds: 0)
    private var restEnd = Instant(nanoseconds: 0)
    /// Names that are not shared and of which the log was told.
    private var told: Set<String> = []
    private var isTooMuch = false

    enum Step {
        /// This is to be scanned.
        case scan(after: RelativePath?)
        /// The index is new; the next look comes after this time.
        case done(pause: Duration)
    }

    /// Something has changed, or might have. Gives the first page to scan, or nothing while a scan runs.
    mutating func outdated(at now: Instant) -> Bool {
        guard !isScanning else {
            isOutdated = true
            return false
        }
        (isScanning, isOutdated, isTooMuch) = (true, false, false)
        found = []
        began = now
        return true
    }

    static func scan(after path: RelativePath?, deep: Bool) -> StoreOperation {
        .scan(folder, under: nil, after: path, limit: page, deep: deep)
    }

    /// A page came. `skipped` is told what is not shared, and why, each once.
    mutating func take(
        _ entries: [FileEntry], more: Bool, _ leftOut: [LeftOut], _ configuration: PPlusTwo.Configuration,
        at now: Instant,
        skipped: (String, String) -> Void
    ) -> Step {
        for entry in entries where configuration.recursive || entry.path.components.count == 1 {
            if entry.isFolder {
                if !configuration.recursive { tell(entry.path.description, "folder", skipped) }
            } else if let why = reason(against: entry, configuration.maxSharedFiles) {
                tell(entry.path.description, why, skipped)
            } else {
                found.append(entry)
            }
        }
        for name in leftOut where name.name != Parts.hiddenFolder { tell(name.name, name.why.rawValue, skipped) }
        if more, !isTooMuch, let last = entries.last { return .scan(after: last.path) }
        names = SharedNames(found, ignoresCase: configuration.caseInsensitiveMatch)
        found = []
        isKnown = true
        return end(at: now)
    }

    /// What has become of one file. False: only a scan can tell what that means.
    mutating func take(
        _ path: RelativePath, _ entry: FileEntry?, _ configuration: PPlusTwo.Configuration,
        skipped: (String, String) -> Void
    ) -> Bool {
        guard configuration.recursive || path.components.count == 1 else { return true }
        guard isKnown, !isScanning, names.canSet(path), entry?.isFolder != true else { return false }
        if entry == nil, configuration.recursive, names.index(of: Bytes(utf8: path.description)) == nil {
            // It may have been a folder.
            return false
        }
        if let entry, let why = reason(against: entry, .max) {
            tell(path.description, why, skipped)
            return true
        }
        guard entry == nil || names.count < configuration.maxSharedFiles else { return false }
        names.set(path, entry)
        return true
    }

    /// Each name once.
    private mutating func tell(_ name: String, _ why: String, _ skipped: (String, String) -> Void) {
        if told.count < Self.mostTold, told.insert(name).inserted { skipped(name, why) }
    }

    private mutating func reason(against entry: FileEntry, _ limit: Int) -> String? {
        if entry.path.components.contains(where: \.utf8.containsControls) { return "control_character" }
        if found.count >= limit {
            isTooMuch = true
            return "too_many_files"
        }
        return nil
    }

    /// The scan ended, well or not.
    mutating func end(at now: Instant) -> Step {
        isScanning = false
        restEnd = began + max(Self.shortestPause, (now - began) * Self.pauseOfScans)
        return .done(pause: isOutdated ? pause(at: now) : isWatched ? Self.longestPause : Self.pauseUnwatched)
    }

    /// How long a change waits for its scan.
    func pause(at now: Instant) -> Duration { max(.zero, restEnd - now) }
}

extension PPlusTwo {
    /// Begins to look at the shared folder.
    mutating func openShare(at now: Moment, into effects: inout Effects) {
        guard configuration.listen != nil else { return }
        errands[effects.store(.watch(Share.folder))] = .watch
    }

    mutating func watched(_ result: StoreResult, at now: Moment, into effects: inout Effects) {
        share.isWatched = result == .done
        if case .failed(let error) = result {
            effects.log(
                .warn, "share_unwatched", ["error": .text(error)],
                "changes of the shared folder are found by looking every \(Share.pauseUnwatched)")
        }
        rescan(at: now, into: &effects)
    }

    /// These files have changed, or more than is known (no paths). A few are looked at, else the folder is scanned.
    mutating func shareChanged(_ paths: [RelativePath], at now: Moment, into effects: inout Effects) {
        guard (1...Share.mostLookedAt).contains(paths.count) else { return scanSoon(at: now) }
        for path in paths {
            errands[effects.store(.inspect(FileName(Share.folder, path)))] = .changed(path)
        }
    }

    /// What has become of a file that has changed.
    mutating func lookedAt(_ path: RelativePath, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        var entry: FileEntry?
        switch result {
        case .entries(let entries, _, _): entry = entries.first
        case .failed(.notFound): break
        default: return scanSoon(at: now)
        }
        let isTaken = share.take(path, entry, configuration) { name, why in
            effects.log(.info, "share_skipped", ["name": .string(name), "why": .string(why)])
        }
        if entry == nil { hashes.forget(path, into: &effects) }
        isTaken ? indexChanged(into: &effects) : scanSoon(at: now)
    }

    /// The folder is scanned, at most once a second.
    private mutating func scanSoon(at now: Moment) {
        let due = now.instant + share.pause(at: now.instant)
        timers.set(.rescan, at: due)
    }

    mutating func rescan(at now: Moment, into effects: inout Effects) {
        guard share.outdated(at: now.instant) else { return }
        errands[effects.store(Share.scan(after: nil, deep: configuration.recursive))] = .scan
    }

    mutating func scanned(_ result: StoreResult, at now: Moment, into effects: inout Effects) {
        let step: Share.Step
        switch result {
        case .entries(let entries, let more, let leftOut):
            step = share.take(entries, more: more, leftOut, configuration, at: now.instant) { name, why in
                effects.log(.info, "share_skipped", ["name": .string(name), "why": .string(why)])
            }
        case .failed(let error):
            effects.log(.warn, "share_unreadable", ["error": .text(error)], "what was shared before still is")
            step = share.end(at: now.instant)
        default: return
        }
        switch step {
        case .scan(let path): errands[effects.store(Share.scan(after: path, deep: configuration.recursive))] = .scan
        case .done(let pause):
            timers.set(.rescan, at: now.instant + pause)
            hashes.keep(share.names, into: &effects)
            indexChanged(into: &effects)
        }
    }

    private mutating func indexChanged(into effects: inout Effects) {
        let total = [share.names.count, Int(clamping: share.names.totalOctets)]
        guard total != reports.shared else { return }
        reports.shared = total
        effects.log(.info, "share_indexed", ["files": .count(total[0]), "bytes": .count(total[1])])
    }

    /// The place of a shared file.
    func file(_ name: Bytes) -> FileName? {
        guard share.names.index(of: name) != nil, let text = name.text, let path = RelativePath(text) else {
            return nil
        }
        return FileName(Share.folder, path)
    }
}
