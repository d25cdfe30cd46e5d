internal import CLinux
internal import Glibc
public import PeerCore

/// The folders that the configuration hands to the cores, and the way to what is in them.
///
/// A configured folder may be a link. Below it every component is opened by itself from the descriptor of the one
/// before, and links are not followed: a link that somebody swaps in at any moment cannot lead out.
public struct Folders: Sendable {
    private var paths: [FolderID: String]

    /// Folders and their absolute paths.
    public init(_ paths: [FolderID: String]) {
        self.paths = paths
    }

    /// Makes the folders that are missing. What cannot be made is told when a core wants to look into it.
    public func makeMissing() {
        for path in paths.values { _ = try? Descriptor.makeFolders(path, permissions: 0o777) }
    }

    /// The path of a folder; nil when the configuration has none of that name.
    public subscript(folder: FolderID) -> String? {
        get { paths[folder] }
        set { paths[folder] = newValue }
    }

    /// The names of all folders.
    public var names: some Collection<FolderID> { paths.keys }

    /// A folder of the configuration, or the one at `path` below it; made when it is missing and `making`.
    func open(
        _ folder: FolderID, _ path: RelativePath? = nil, making: Bool = false
    ) throws(SystemError) -> Descriptor {
        guard let root = paths[folder] else { throw .notFound }
        return try Descriptor.folder(at: root).open(path, making: making)
    }

    /// The folder that a file is in; made when it is missing and `making`.
    func openFolder(of file: FileName, making: Bool = false) throws(SystemError) -> Descriptor {
        try open(file.folder, file.path.parent, making: making)
    }

    /// The file, opened.
    func openFile(_ file: FileName, _ access: Descriptor.Access) throws(SystemError) -> Descriptor {
        let makes = access != .read && access != .write
        return try openFolder(of: file, making: makes).openFile(file.path.name, access)
    }

    /// The file, opened at once for reading, when the system can do that from memory. Unlike everything else here this
    /// may be called on the loop; nil says that a worker has to try.
    func openRemembered(_ file: FileName) -> Descriptor? {
        remembered(file, O_RDONLY | O_NOCTTY | O_NONBLOCK)
    }

    /// What the file is, in the same way.
    func inspectRemembered(_ file: FileName) -> FileEntry? {
        guard let status = try? remembered(file, peernode_open_path)?.status(), status.kind == .file else { return nil }
        return FileEntry(path: file.path, status)
    }

    private func remembered(_ file: FileName, _ flags: Int32) -> Descriptor? {
        guard let root = paths[file.folder] else { return nil }
        return try? Descriptor.folder(at: root).openRemembered(file.path.description, flags)
    }

    /// Makes sure that the names of these files, and those of the folders on the way to them, are on the disk.
    func syncFolders(of files: some Sequence<FileName>) throws(SystemError) {
        var open: [FolderID: Set<RelativePath?>] = [:]
        for file in files {
            var place = file.path.parent
            while open[file.folder, default: []].insert(place).inserted, place != nil { place = place?.parent }
        }
        let all = open.flatMap { (folder, places) in places.map { (folder, $0) } }
        try forEach(of: all) { (place) throws(SystemError) in try self.open(place.0, place.1).syncFolder() }
    }
}

/// Does `body` for each element, also after one has failed; the first error counts.
func forEach<Element>(
    of elements: [Element], _ body: (Element) throws(SystemError) -> Void
) throws(SystemError) {
    var first: SystemError?
    for element in elements {
        do throws(SystemError) {
            try body(element)
        } catch {
            first = first ?? error
        }
    }
    if let first { throw first }
}

extension Descriptor {
    /// Makes the folder at `path` and those that lead to it; true when it was missing.
    static func makeFolders(_ path: String, permissions: mode_t) throws(SystemError) -> Bool {
        var (parent, made) = (path.hasPrefix("/") ? "/" : ".", false)
        let components = path.split(separator: "/")
        for (index, name) in components.enumerated() {
            let folder = try Descriptor.folder(at: parent)
            made = try folder.statusIfAny(of: String(name)) == nil
            // The permissions asked for are those of the last one.
            let own = index == components.count - 1 ? permissions : 0o755
            if made { try folder.makeFolder(String(name), permissions: own) }
            parent += "/" + name
        }
        return made
    }

    /// The folder at `path` below this one, component by component; the missing are made when `making`.
    consuming func open(_ path: RelativePath?, making: Bool = false) throws(SystemError) -> Descriptor {
        var folder = self
        for name in path?.components ?? [] { folder = try folder.openFolder(name, making: making) }
        return folder
    }

    private func openFolder(_ name: String, making: Bool) throws(SystemError) -> Descriptor {
        do throws(SystemError) {
            return try openFolder(name)
        } catch  where error == .notFound && making {
            try makeFolder(name)
            return try openFolder(name)
        }
    }
}
