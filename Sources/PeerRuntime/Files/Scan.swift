internal import PeerCore

/// The most entries in one answer, whatever is asked for: some megabytes, some tens of milliseconds.
let maximumScanPage = 16_384

/// Lists what is below `under` in order of the paths, `limit` at most, what is after `after`.
///
/// Hidden names are left out, but `under` itself may be hidden. What is deeper than a path can say is left out too.
/// A folder that may not be read fails the whole scan: taken as empty, it would look as if its files were removed.
func scan(
    _ folder: FolderID, under: RelativePath?, after: RelativePath?, limit: Int, in folders: Folders
) throws(SystemError) -> StoreResult {
    let limit = min(max(limit, 0), maximumScanPage)
    var walk = Walk(folder, under: under, after: after, in: folders, atOnce: limit + 1)
    var entries: [FileEntry] = []
    while entries.count <= limit, let entry = try walk.next() { entries.append(entry) }
    return .entries(Array(entries.prefix(limit)), more: entries.count > limit)
}

/// A walk over files and folders in order of their paths that can begin anywhere.
///
/// No descriptor stays open between two steps, and of each folder on the way only a part of the names is held.
struct Walk {
    private struct Level {
        let path: RelativePath?
        /// What is known and still to come, last first.
        var files: [ListedFile] = []
        /// After which name more is to be read.
        var next: String?
        var isRead = false
    }

    private let folders: Folders
    private let folder: FolderID
    private let atOnce: Int
    private let withHidden: Bool
    private var levels: [Level]

    /// Everything below `under` that comes after `after`, read `atOnce` names at a time.
    init(
        _ folder: FolderID, under: RelativePath? = nil, after: RelativePath? = nil, in folders: Folders, atOnce: Int,
        withHidden: Bool = false
    ) {
        self.folders = folders
        self.folder = folder
        self.atOnce = atOnce
        self.withHidden = withHidden
        levels = [Level(path: under)]
        guard let after else { return }
        let base = under?.components ?? []
        let isBelow =
            after.components.count > base.count && zip(after.components, base).allSatisfy { $0.isSame(as: $1) }
        if isBelow {
            for depth in base.count..<after.components.count {
                levels[levels.count - 1].next = after.components[depth]
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
            if file.status.kind == .folder { levels.append(Level(path: path)) }
            return FileEntry(path: path, file.status)
        }
        return nil
    }

    private mutating func readMore(_ top: Int) throws(SystemError) {
        let level = levels[top]
        guard !level.isRead else {
            levels.removeLast()
            return
        }
        do throws(SystemError) {
            let listing = try folders.open(folder, level.path).list(
                after: level.next, limit: atOnce, withHidden: withHidden)
            levels[top].files = listing.files.reversed()
            levels[top].next = listing.next
            levels[top].isRead = listing.next == nil
        } catch  where top > 0 && (error == .notFound || error == .notAFolder) {
            // Removed, or replaced by a link or file, since its name was read.
            levels.removeLast()
        } catch  where error == .notPermitted && level.path?.name == "lost+found" {
            // The top of many a disk has this folder, for the disk's repair program alone.
            levels.removeLast()
        }
    }
}

extension String {
    /// Whether the octets are equal; `==` takes different octets for equal when they show the same characters.
    func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
