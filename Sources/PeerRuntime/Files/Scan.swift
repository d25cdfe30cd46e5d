internal import PeerCore

/// The most entries in one answer, whatever is asked for: some megabytes, some tens of milliseconds.
let maximumScanPage = 16_384

/// Lists what is below a folder, page by page.
///
/// Whoever asks for the page after the last one goes on with the same walk: a large folder is read once, not anew for
/// each page. It may go from one thread to another between two pages; it must never be used by two at once.
final class Scanner: @unchecked Sendable {
    private struct Place {
        let under: RelativePath?
        let after: RelativePath
        let deep: Bool
        let hidden: HiddenNames
        var walk: Walk
        /// It was found while looking whether there is more.
        let entry: FileEntry
    }

    private var place: Place?

    /// What is below `under` in order of the paths, `limit` at most, what is after `after`.
    ///
    /// Hidden names are left out, but `under` itself may be hidden. What is deeper than a path can say is left out too.
    /// A folder that may not be read is left out, and named: taken as empty, its files would seem to be removed.
    func page(
        _ folder: FolderID, under: RelativePath?, after: RelativePath?, limit: Int, deep: Bool = true,
        hidden: HiddenNames = .leftOut, in folders: Folders
    ) throws(SystemError) -> StoreResult {
        let limit = min(max(limit, 0), maximumScanPage)
        var entries: [FileEntry] = []
        var walk: Walk
        if let place = exchange(&place, with: nil), place.under == under, place.after == after,
            place.deep == deep, place.hidden == hidden
        {
            walk = place.walk
            walk.leftOut = []
            entries = [place.entry]
        } else {
            walk = Walk(folder, under: under, after: after, in: folders, hidden: hidden, deep: deep)
        }
        while entries.count <= limit, let entry = try walk.next() { entries.append(entry) }
        if entries.count > limit {
            let next = entries.removeLast()
            place = entries.last.map {
                Place(under: under, after: $0.path, deep: deep, hidden: hidden, walk: walk, entry: next)
            }
            return .entries(entries, more: true, leftOut: walk.leftOut)
        }
        return .entries(entries, more: false, leftOut: walk.leftOut)
    }
}

/// A walk over files and folders in order of their paths that can begin anywhere.
///
/// No descriptor stays open between two steps, and of each folder on the way only a part of the names is held.
struct Walk {
    private struct Level {
        let path: RelativePath?
        /// What is known and still to come, last first.
        var files: [(name: String, status: FileStatus)] = []
        /// What is known by name only, last first.
        var names: [String] = []
        /// After which name more is to be read.
        var next: String?
        var isRead = false
    }

    private let folders: Folders
    private let folder: FolderID
    private let hidden: HiddenNames
    private let deep: Bool
    private var levels: [Level]
    /// What was met and is not listed.
    fileprivate(set) var leftOut: [LeftOut] = []

    /// Names of what is left out that are kept: more is nothing that anybody reads.
    static let mostLeftOut = 512
    /// Names of a folder that are read at once: some megabytes.
    private static let namesAtOnce = 65_536
    /// Files that are looked at with one descriptor of their folder.
    private static let filesAtOnce = 512

    /// Everything below `under` that comes after `after`.
    init(
        _ folder: FolderID, under: RelativePath? = nil, after: RelativePath? = nil, in folders: Folders,
        hidden: HiddenNames = .leftOut, deep: Bool = true
    ) {
        self.folders = folders
        self.folder = folder
        self.hidden = hidden
        self.deep = deep
        levels = [Level(path: under)]
        guard let after else { return }
        let base = under?.components ?? []
        let isBelow =
            after.components.count > base.count && zip(after.components, base).allSatisfy { $0.isSame(as: $1) }
        if isBelow {
            for depth in base.count..<after.components.count {
                levels[levels.count - 1].next = after.components[depth]
                guard deep else { break }
                levels.append(
                    Level(path: RelativePath(components: Array(after.components[...depth]), allowHidden: true)))
            }
        } else if let under, under < after {
            levels = []
        }
    }

    /// The next file or folder; nil at the end.
    mutating func next() throws(SystemError) -> FileEntry? {
        while let top = levels.indices.last {
            guard let file = levels[top].files.popLast() else {
                try readMore(top)
                continue
            }
            let components = (levels[top].path?.components ?? []) + [file.name]
            guard let path = RelativePath(components: components, allowHidden: true) else { continue }
            if hidden != .leftOut, hidden.leavesOut(path.components) { continue }
            if deep, file.status.kind == .folder { levels.append(Level(path: path)) }
            return FileEntry(path: path, file.status)
        }
        return nil
    }

    private mutating func leaveOut(_ name: String, _ why: LeftOut.Reason, of level: Int) {
        guard leftOut.count < Self.mostLeftOut else { return }
        leftOut.append(LeftOut(levels[level].path.map { "\($0)/\(name)" } ?? name, why))
    }

    private mutating func readMore(_ top: Int) throws(SystemError) {
        guard !levels[top].names.isEmpty || !levels[top].isRead else {
            levels.removeLast()
            return
        }
        do throws(SystemError) {
            let descriptor = try folders.open(folder, levels[top].path)
            if levels[top].names.isEmpty {
                let listing = try descriptor.list(
                    after: levels[top].next, limit: Self.namesAtOnce, withHidden: hidden != .leftOut)
                levels[top].names = listing.names.reversed()
                for name in listing.leftOut { leaveOut(name.name, name.why, of: top) }
                levels[top].next = listing.next
                levels[top].isRead = listing.next == nil
            }
            let names = Array(levels[top].names.suffix(Self.filesAtOnce))
            levels[top].names.removeLast(names.count)
            for name in names.reversed() {
                // What is gone by now is left out.
                guard let status = try descriptor.statusIfAny(of: name) else { continue }
                switch status.kind {
                case .file, .folder: levels[top].files.append((name, status))
                case .link: leaveOut(name, .link, of: top)
                case .special: leaveOut(name, .special, of: top)
                }
            }
            levels[top].files.reverse()
        } catch  where top > 0 && (error == .notFound || error == .notAFolder) {
            // Removed, or replaced by a link or file, since its name was read.
            levels.removeLast()
        } catch  where error == .notPermitted && top > 0 {
            let level = levels.removeLast()
            // The top of many a disk has this folder, for the disk's repair program alone.
            guard let path = level.path, path.name != "lost+found" else { return }
            // At the head of the list, whatever else is left out: it says that files may be there that are not listed.
            leftOut.insert(LeftOut(path.description, .unreadable), at: 0)
            leftOut.removeLast(max(0, leftOut.count - Self.mostLeftOut))
        }
    }
}

extension String {
    /// Whether the octets are equal; `==` takes different octets for equal when they show the same characters.
    func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
