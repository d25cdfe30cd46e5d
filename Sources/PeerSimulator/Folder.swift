public import PeerCore

/// A folder of one node, in memory. It outlives the node's process, as a disk does.
///
/// The subscript and the `make` functions are another program's hands on it: cores that watch the folder hear of them.
public final class Folder {
    enum Kind { case file, folder, link }

    struct Entry {
        var kind: Kind
        var octets: [UInt8] = []
        var modified: WallClock
        /// Counts the changes of the folder: no two states of files have the same one.
        var stamp: UInt64 = 0
        var isExecutable = false
    }

    /// Octets that all files together may have.
    public var quota: UInt64
    /// Octets that all files together have.
    public private(set) var used: UInt64 = 0
    private(set) var entries: [RelativePath: Entry] = [:]
    var watches: [FolderWatch] = []
    /// Counts what was done in it: while it is the same, so is all that is there.
    public private(set) var edition: UInt64 = 0
    private let clock: () -> WallClock
    private var changes: UInt64 = 0

    init(quota: UInt64, clock: @escaping () -> WallClock) {
        self.quota = quota
        self.clock = clock
    }

    /// The whole file at `path`; nil when there is none. Setting it writes or, with nil, removes whatever is there.
    public subscript(path: String) -> Bytes? {
        get {
            guard let entry = entries[place(path)], entry.kind == .file else { return nil }
            return Bytes(entry.octets)
        }
        set {
            let path = place(path)
            guard let newValue else {
                if entries[path] != nil { drop(path) }
                return
            }
            do throws(SystemError) {
                try resize(path, to: 0)
                try write(newValue, to: path, at: 0)
            } catch {
                preconditionFailure("\(path): \(error)")
            }
        }
    }

    /// Makes an empty folder, and those above it that are missing.
    public func makeFolder(_ path: String) {
        put(Entry(kind: .folder, modified: clock()), at: place(path))
    }

    /// Makes a symbolic link; where it leads to does not matter, since nothing follows it.
    public func makeLink(_ path: String) {
        put(Entry(kind: .link, modified: clock()), at: place(path))
    }

    /// All files by their paths, hidden ones too.
    public var contents: [String: Bytes] {
        var contents: [String: Bytes] = [:]
        for (path, entry) in entries where entry.kind == .file { contents[path.description] = Bytes(entry.octets) }
        return contents
    }

    /// Everything that is there, hidden names and links too, in order.
    public var paths: [String] { entries.keys.sorted().map(\.description) }

    private func place(_ path: String) -> RelativePath {
        guard let place = RelativePath(path, allowHidden: true) else { preconditionFailure("no path: \(path)") }
        return place
    }

    private func put(_ entry: Entry, at path: RelativePath) {
        do throws(SystemError) {
            try makeParents(of: path)
        } catch {
            preconditionFailure("\(path): \(error)")
        }
        entries[path] = entry
        tell(path)
    }
}

// What every operation is made of. Each checks before it changes anything.
extension Folder {
    /// Octets that may still be written.
    var free: UInt64 { quota > used ? quota - used : 0 }

    private func parents(of path: RelativePath) -> [RelativePath] {
        (1..<max(1, path.components.count)).compactMap {
            RelativePath(components: Array(path.components.prefix($0)), allowHidden: true)
        }
    }

    private func checkParents(of path: RelativePath) throws(SystemError) {
        for parent in parents(of: path) {
            guard let entry = entries[parent] else { throw .notFound }
            guard entry.kind == .folder else { throw .notAFolder }
        }
    }

    /// Makes the folders above `path` that are missing.
    func makeParents(of path: RelativePath) throws(SystemError) {
        for parent in parents(of: path) {
            guard let entry = entries[parent] else {
                entries[parent] = Entry(kind: .folder, modified: clock())
                tell(parent)
                continue
            }
            guard entry.kind == .folder else { throw .notAFolder }
        }
    }

    /// The file or folder at `path`. Links are not followed.
    func entry(_ path: RelativePath) throws(SystemError) -> Entry {
        try checkParents(of: path)
        guard let entry = entries[path] else { throw .notFound }
        guard entry.kind != .link else { throw .notAFolder }
        return entry
    }

    /// The octets of the file at `path`.
    func octets(_ path: RelativePath) throws(SystemError) -> [UInt8] {
        let entry = try entry(path)
        guard entry.kind == .file else { throw .other("EISDIR") }
        return entry.octets
    }

    /// `count` octets from `offset`; all of them must be there.
    func range(_ path: RelativePath, offset: UInt64, count: UInt64) throws(SystemError) -> ArraySlice<UInt8> {
        let octets = try octets(path)
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= UInt64(octets.count) else { throw .endOfFile }
        return octets[Int(offset)..<Int(end)]
    }

    /// Makes the file when it is missing, and cuts or extends it.
    func resize(_ path: RelativePath, to size: UInt64) throws(SystemError) {
        let old = try sizeForWriting(path)
        guard size <= old || size - old <= free else { throw .noSpace }
        try makeParents(of: path)
        if entries[path] == nil { entries[path] = Entry(kind: .file, modified: clock()) }
        if size < old {
            entries[path]?.octets.removeLast(Int(old - size))
        } else if size > old {
            entries[path]?.octets.append(contentsOf: repeatElement(0, count: Int(size - old)))
        }
        used = used - old + size
        touch(path)
    }

    /// Writes at `offset`, making the file and its folders when they are missing.
    func write(_ bytes: Bytes, to path: RelativePath, at offset: UInt64) throws(SystemError) {
        let old = try sizeForWriting(path)
        let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
        guard !overflow else { throw .other("EFBIG") }
        if offset == old, old > 0 {
            guard UInt64(bytes.count) <= free else { throw .noSpace }
            entries[path]?.octets.append(contentsOf: bytes.slice)
            used += UInt64(bytes.count)
            return touch(path)
        }
        try resize(path, to: max(old, end))
        entries[path]?.octets.replaceSubrange(Int(offset)..<Int(end), with: bytes.slice)
    }

    private func sizeForWriting(_ path: RelativePath) throws(SystemError) -> UInt64 {
        for parent in parents(of: path) {
            guard let entry = entries[parent] else { return 0 }
            guard entry.kind == .folder else { throw .notAFolder }
        }
        guard let entry = entries[path] else { return 0 }
        switch entry.kind {
        case .file: return UInt64(entry.octets.count)
        case .folder: throw .other("EISDIR")
        case .link: throw .notAFolder
        }
    }

    /// Takes out the entry at `path` and everything below it.
    @discardableResult
    func drop(_ path: RelativePath) -> [RelativePath: Entry] {
        let prefix = path.components
        let taken = entries.filter { $0.key.components.starts(with: prefix) }
        for (path, entry) in taken {
            used -= UInt64(entry.octets.count)
            entries[path] = nil
        }
        tell(path)
        return taken
    }

    /// Puts what was taken from `source` to `target`.
    func adopt(_ taken: [RelativePath: Entry], from source: RelativePath, to target: RelativePath) {
        for (path, entry) in taken {
            let rest = path.components.dropFirst(source.components.count)
            guard let path = RelativePath(components: target.components + rest, allowHidden: true) else { continue }
            entries[path] = entry
            used += UInt64(entry.octets.count)
        }
        tell(target)
    }

    func setExecutable(_ path: RelativePath, _ isExecutable: Bool) {
        guard entries[path]?.isExecutable != isExecutable else { return }
        entries[path]?.isExecutable = isExecutable
        stamp(path)
    }

    func setModified(_ path: RelativePath, _ modified: WallClock) throws(SystemError) {
        _ = try entry(path)
        entries[path]?.modified = modified
        stamp(path)
        tell(path)
    }

    private func stamp(_ path: RelativePath) {
        changes += 1
        entries[path]?.stamp = changes
    }

    private func touch(_ path: RelativePath) {
        entries[path]?.modified = clock()
        stamp(path)
        tell(path)
    }

    private func tell(_ path: RelativePath) {
        edition += 1
        for watch in watches { watch.saw(path) }
    }
}
