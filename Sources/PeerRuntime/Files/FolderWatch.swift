public import PeerCore

/// Notices what changes in a folder and all folders below it, by inotify(7).
///
/// Left out are hidden names and hidden folders, names that are not UTF-8, and folders beyond `limit`, of which the
/// system has a number for each user (`fs.inotify.max_user_watches`). A watch is a hint to look, never a proof: a
/// scan now and then finds what it missed.
///
/// It may go from one thread to another between two calls; it must never be used by two at once.
public final class FolderWatch: @unchecked Sendable {
    /// Folders watched by one object: 1 KiB each in the kernel.
    public static let standardLimit = 65_536
    /// Paths told at once; more are said as "scan again".
    private static let pathLimit = 4_096

    /// False when there are folders that are not watched: too many, or not to be read.
    public private(set) var isComplete = true
    /// The folder itself was removed, moved away or unmounted: nothing more will be noticed.
    public private(set) var isLost = false

    private let root: String
    private let limit: Int
    private let hidden: HiddenNames
    private let events: Descriptor
    /// The watched folders, nil for the root, both ways.
    private var folders: [Int32: RelativePath?] = [:]
    private var watches: [RelativePath?: Int32] = [:]

    /// Watches the folder at `path` and those below it, `limit` in all at most. It looks into all of them: not for the
    /// loop. `.noSpace` when the user has no watches left, `.tooManyDescriptors` when no queues (`max_user_instances`).
    public init(
        _ path: String, hidden: HiddenNames = .leftOut, limit: Int = FolderWatch.standardLimit
    ) throws(SystemError) {
        root = path
        self.hidden = hidden
        self.limit = max(limit, 1)
        events = try .inotify()
        var ignored = Changes(limit: 0)
        try watch(nil, telling: &ignored)
    }

    /// For a poll handle: readable when `read` has something to tell. Closed when this object goes.
    public var descriptor: Int32 { events.number }

    /// Folders watched now.
    public var count: Int { folders.count }

    /// What has changed, sorted, each path once; empty when nothing did that concerns the folder. nil when too much
    /// did, or when it is not known what: scan again. Looks into new folders: not for the loop.
    public func read() throws(SystemError) -> [RelativePath]? {
        var changes = Changes(limit: Self.pathLimit)
        // A storm must not keep us here for ever; the descriptor stays readable.
        for _ in 0..<16 {
            let batch = try events.readEvents()
            if batch.isEmpty { break }
            for event in batch { try take(event, &changes) }
        }
        return isLost ? nil : changes.sorted
    }

    private func take(_ event: WatchEvent, _ changes: inout Changes) throws(SystemError) {
        if event.isOverflow {
            changes.isTooMuch = true
            return try watchAnew(&changes)
        }
        guard let folder = folders[event.watch] else { return }
        if folder == nil, event.isLoss { isLost = true }
        if event.isEnd { return forget(event.watch) }
        guard let name = event.name,
            let path = place(name, in: folder)
        else { return }
        changes.insert(path)
        guard event.isAboutFolder else { return }
        if event.isDeparture { unwatch(path) }
        if event.isArrival { try watch(path, telling: &changes) }
    }

    /// The path of a name; nil when it is left out.
    private func place(_ name: String, in folder: RelativePath?) -> RelativePath? {
        let components = (folder?.components ?? []) + [name]
        return hidden.leavesOut(components) ? nil : RelativePath(components: components, allowHidden: true)
    }

    /// Folders may have come, gone and changed places while nobody counted: all watches are made again.
    private func watchAnew(_ changes: inout Changes) throws(SystemError) {
        for watch in folders.keys { events.unwatch(watch) }
        folders = [:]
        watches = [:]
        isComplete = true
        try watch(nil, telling: &changes)
    }

    /// Watches a folder and those below it, and tells what is in them.
    private func watch(_ path: RelativePath?, telling changes: inout Changes) throws(SystemError) {
        var pending = [path]
        while let path = pending.popLast() {
            do throws(SystemError) {
                try watchOne(path, &pending, &changes)
            } catch  where path != nil && (error == .notFound || error == .notAFolder) {
                // Gone again.
                continue
            } catch  where path != nil && (error == .notPermitted || error == .noSpace) {
                // Not to be read, or the user has no watches left, which the system calls no space.
                isComplete = false
            }
        }
    }

    private func watchOne(
        _ path: RelativePath?, _ pending: inout [RelativePath?], _ changes: inout Changes
    ) throws(SystemError) {
        guard folders.count < limit || watches[path] != nil else {
            isComplete = false
            return
        }
        let folder = try Descriptor.folder(at: root).open(path)
        // First the watch, then the look: what comes in between is seen twice, not never.
        let watch = try events.watch(folder)
        folders.updateValue(path, forKey: watch)
        watches[path] = watch
        var unknown: [RelativePath] = []
        try folder.forEachName { octets, kind in
            guard kind != .file || !changes.isTooMuch, let name = String(validating: octets),
                let place = place(name, in: path)
            else { return }
            changes.insert(place)
            switch kind {
            case .file: break
            case .folder: pending.append(place)
            case .unknown: unknown.append(place)
            case .link, .special: break
            }
        }
        for place in unknown where try folder.statusIfAny(of: place.name)?.kind == .folder { pending.append(place) }
    }

    /// No more watches of a folder that went away, and of those below it.
    private func unwatch(_ path: RelativePath) {
        let depth = path.components.count
        for (place, watch) in watches {
            guard let place, place.components.count >= depth,
                RelativePath(components: Array(place.components.prefix(depth))) == path
            else { continue }
            events.unwatch(watch)
            forget(watch)
        }
    }

    private func forget(_ watch: Int32) {
        guard let path = folders.removeValue(forKey: watch) else { return }
        if watches[path] == watch { watches[path] = nil }
    }
}

/// Paths, each once, up to a number.
private struct Changes {
    private let limit: Int
    private var paths: Set<RelativePath> = []
    /// There is more to say than paths can.
    var isTooMuch = false

    init(limit: Int) {
        self.limit = limit
    }

    mutating func insert(_ path: RelativePath) {
        guard !isTooMuch else { return }
        paths.insert(path)
        isTooMuch = paths.count > limit
    }

    /// The paths in order; nil for too much.
    var sorted: [RelativePath]? { isTooMuch ? nil : paths.sorted() }
}
