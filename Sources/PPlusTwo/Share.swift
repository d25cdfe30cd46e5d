internal import PeerCore

/// The shared folder: when it is looked at, and what was found (P+2 section 5.1).
struct Share {
    static let folder = PPlusTwo.folder
    /// Files of one page of a scan.
    private static let page = 8192
    /// A folder that changes all the time is not scanned more often than this (P+2 section 5.1).
    private static let shortestPause: Duration = .seconds(1)
    /// A scan takes at most this share of the time, as one part of so many.
    private static let pauseOfScans = 10
    /// Watches miss things: on network file systems, or when there are too many folders.
    static let longestPause: Duration = .seconds(600)
    /// How often a folder is looked at that cannot be watched.
    static let pauseUnwatched: Duration = .seconds(30)
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
    private var told: Set<RelativePath> = []
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

    static func scan(after path: RelativePath?) -> StoreOperation {
        .scan(folder, under: nil, after: path, limit: page)
    }

    /// A page came. `skipped` is told what is not shared, and why, each once.
    mutating func take(
        _ entries: [FileEntry], more: Bool, _ configuration: PPlusTwo.Configuration, at now: Instant,
        skipped: (RelativePath, String) -> Void
    ) -> Step {
        for entry in entries where !entry.isFolder && (configuration.recursive || entry.path.components.count == 1) {
            if let why = reason(against: entry, configuration.maxSharedFiles) {
                if told.count < Self.mostTold, told.insert(entry.path).inserted { skipped(entry.path, why) }
            } else {
                found.append(entry)
            }
        }
        if more, !isTooMuch, let last = entries.last { return .scan(after: last.path) }
        names = SharedNames(found, ignoresCase: configuration.caseInsensitiveMatch)
        found = []
        isKnown = true
        return end(at: now)
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

    /// Something has changed in the folder: it is scanned, at most once a second.
    mutating func shareChanged(at now: Moment) {
        let due = now.instant + share.pause(at: now.instant)
        timers.set(.rescan, at: due)
    }

    mutating func rescan(at now: Moment, into effects: inout Effects) {
        guard share.outdated(at: now.instant) else { return }
        errands[effects.store(Share.scan(after: nil))] = .scan
    }

    mutating func scanned(_ result: StoreResult, at now: Moment, into effects: inout Effects) {
        let step: Share.Step
        switch result {
        case .entries(let entries, let more):
            var lines: [Record] = []
            step = share.take(entries, more: more, configuration, at: now.instant) { path, why in
                lines.append(["name": .text(path), "why": .string(why)])
            }
            for line in lines { effects.log(.info, "share_skipped", line) }
        case .failed(let error):
            effects.log(.warn, "share_unreadable", ["error": .text(error)], "what was shared before still is")
            step = share.end(at: now.instant)
        default: return
        }
        switch step {
        case .scan(let path): errands[effects.store(Share.scan(after: path))] = .scan
        case .done(let pause):
            timers.set(.rescan, at: now.instant + pause)
            indexChanged(at: now, into: &effects)
        }
    }

    private mutating func indexChanged(at now: Moment, into effects: inout Effects) {
        let total = [share.names.count, Int(clamping: share.names.totalOctets)]
        hashes.keep(share.names, into: &effects)
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
