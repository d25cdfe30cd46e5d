internal import Glibc
public import PeerCore

/// Carries out one operation on files. It blocks: call it on a worker thread, never on the loop.
///
/// Beyond what `StoreOperation` says:
/// * links are never followed and special files never opened: a link anywhere below the folder is `.notAFolder`, a
///   FIFO, socket or device `ENXIO`, a folder in place of a file `EISDIR`;
/// * whatever gives a file a place (`write`, `allocate`, `save`, `rename`, `copyRange`, `move`) makes the folders
///   that are missing;
/// * a file that has more names than one is not written in place (`.notPermitted`), since its other name may be
///   outside the folder; `save` gives the name a new file and leaves the others alone;
/// * `copyRange` and `digest` fail with `.endOfFile` when the file is shorter than the range; nothing is copied then.
///
/// `watch`, `unwatch` and `lock` are no work on files: the host does them.
public func carryOut(_ operation: StoreOperation, in folders: Folders) -> StoreResult {
    carryOut(operation, in: folders, Scanner())
}

/// The same, for scans that go on where `scanner` was.
func carryOut(_ operation: StoreOperation, in folders: Folders, _ scanner: Scanner) -> StoreResult {
    do throws(SystemError) {
        return try answer(operation, in: folders, scanner)
    } catch {
        return .failed(error)
    }
}

/// The operations that answer with more than "done".
private func answer(
    _ operation: StoreOperation, in folders: Folders, _ scanner: Scanner
) throws(SystemError) -> StoreResult {
    switch operation {
    case .scan(let folder, let under, let after, let limit, let deep, let hidden):
        return try scanner.page(
            folder, under: under, after: after, limit: limit, deep: deep, hidden: hidden, in: folders)
    case .inspect(let file):
        let status = try folders.openFolder(of: file).status(of: file.path.name)
        try status.requireFileOrFolder()
        return .entries([FileEntry(path: file.path, status)], more: false)
    case .readAt(let file, let offset, let count):
        return .bytes(try folders.openFile(file, .read).read(count: max(count, 0), at: offset))
    case .freeSpace(let folder):
        return .space(try folders.open(folder).freeSpace())
    case .digest(let source, let algorithm, let key):
        let work = DigestWork(source, algorithm, key: key, in: folders)
        while true { if let result = work.advance() { return result } }
    case .examine(let questions, let algorithm):
        let work = ExamineWork(questions, algorithm, in: folders)
        while true { if let result = work.advance() { return result } }
    case .install(let installations, let staging, let durability, let marker):
        return .installed(try folders.install(installations, staging: staging, durability, marker: marker))
    default:
        try perform(operation, in: folders)
        return .done
    }
}

private func perform(_ operation: StoreOperation, in folders: Folders) throws(SystemError) {
    switch operation {
    case .write(let file, let pieces):
        let file = try folders.openFile(file, .writeOrMake)
        for piece in pieces { try file.write(piece.octets, at: piece.offset) }
    case .allocate(let file, let size):
        try folders.openFile(file, .writeOrMake).allocate(size)
    case .truncate(let file, let size):
        try folders.openFile(file, .write).truncate(to: size)
    case .save(let file, let octets):
        try folders.save(file, octets)
    case .rename(let file, let path, let replacing):
        try folders.move(file, to: FileName(file.folder, path), replacing: replacing)
    case .copyRange(let source, let offset, let count, let target, let place):
        let file = try folders.openFile(source, .read)
        try file.copy(count, from: offset, to: folders.openFile(target, .writeOrMake), at: place)
    case .move(let file, let target):
        try folders.move(file, to: target, replacing: false)
    case .remove(let file):
        try folders.remove(file)
    case .setTimes(let file, let modified):
        let folder = try folders.openFolder(of: file)
        try folder.status(of: file.path.name).requireFileOrFolder()
        try folder.setModified(file.path.name, modified)
    case .sync(let files):
        try folders.sync(files)
    case .makeFolder(let file):
        _ = try folders.open(file.folder, file.path, making: true)
    case .watch, .unwatch, .lock, .scan, .inspect, .readAt, .freeSpace, .digest, .examine, .install:
        preconditionFailure("\(operation) is none of the operations that are carried out here")
    }
}

extension Folders {
    /// Replaces a file at once; afterwards the disk has the new one.
    fileprivate func save(_ file: FileName, _ octets: Bytes) throws(SystemError) {
        let folder = try openFolder(of: file, making: true)
        try folder.makeFile(
            file.path.name, permissions: folder.permissions(for: file.path.name), replacing: true
        ) { (draft) throws(SystemError) in
            try draft.write(octets, at: 0)
        }
        try syncFolders(of: [file])
    }

    fileprivate func move(_ file: FileName, to target: FileName, replacing: Bool) throws(SystemError) {
        let source = try openFolder(of: file)
        // No folder is made for a file that is not there.
        _ = try source.status(of: file.path.name)
        let destination = try openFolder(of: target, making: true)
        try source.move(file.path.name, to: destination, target.path.name, replacing: replacing)
    }

    fileprivate func remove(_ file: FileName) throws(SystemError) {
        let folder = try openFolder(of: file)
        let status = try folder.status(of: file.path.name)
        try status.requireFileOrFolder()
        if status.kind == .folder {
            try folder.removeFolder(file.path.name)
        } else {
            try folder.remove(file.path.name)
        }
    }

    /// Syncs all that can be synced.
    fileprivate func sync(_ files: [FileName]) throws(SystemError) {
        try forEach(of: files) { (file) throws(SystemError) in try openFile(file, .read).sync() }
        try syncFolders(of: files)
    }
}

extension FileEntry {
    /// What the system says about `path`.
    init(path: RelativePath, _ status: FileStatus) {
        let isFolder = status.kind == .folder
        self.init(
            path: path, isFolder: isFolder, size: isFolder ? 0 : status.size, modified: status.modified,
            stamp: status.stamp, isExecutable: !isFolder && status.permissions & S_IXUSR != 0)
    }
}
