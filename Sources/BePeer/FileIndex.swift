internal import PeerCore

/// What is known of one file or folder of ours, also of one that is deleted.
struct FileRecord {
    let path: Path
    var size: UInt64 = 0
    var modified = WallClock(milliseconds: 0)
    var stamp: UInt64 = 0
    /// Of the content; zero for a folder. A deleted file keeps the hash of its last content.
    var hash = Bytes32.zero
    var version = VersionVector()
    /// The number of its last change in this folder.
    var sequence: UInt64 = 0
    /// The last scan that has seen it.
    var scan: UInt32 = 0
    var isFolder = false
    var isDeleted = false
    var isExecutable = false
    /// Changed here where changes are not announced (`receiveonly`): `version` is that of the content before.
    var isDiverged = false

    init(_ path: Path) {
        self.path = path
    }

    /// By what its content is known again.
    var mark: FileMark { FileMark(size: size, modified: modified, stamp: stamp) }

    /// What the file server and messages tell of.
    var isFile: Bool { !isDeleted && !isFolder }

    mutating func take(_ entry: FileEntry) {
        (size, modified, stamp, isExecutable) = (entry.size, entry.modified, entry.stamp, entry.isExecutable)
        isFolder = entry.isFolder
    }

    var remote: RemoteFile {
        RemoteFile(
            path: path, size: size, modified: modified, hash: isFolder ? nil : hash, version: version,
            sequence: sequence, isExecutable: isExecutable, isFolder: isFolder, isDeleted: isDeleted)
    }
}

/// All files of a folder, those that are deleted too: the file structure of the seed's peerfile.
///
/// Records lie in one array in the order in which they came; a path has its place for good.
struct FileIndex {
    private(set) var records: [FileRecord] = []
    private var places: [Path: Int32] = [:]
    /// The first eight octets of hashes of files that are there, and a place that has or had it.
    private var hashes: [UInt64: Int32] = [:]
    /// Names that are not ASCII, by their normal form.
    private var composed: [Path: Int32] = [:]
    private(set) var liveFiles = 0
    private(set) var liveBytes: UInt64 = 0
    private(set) var deleted = 0

    subscript(path: Path) -> FileRecord? { places[path].map { records[Int($0)] } }

    func place(of path: Path) -> Int? { places[path].map { Int($0) } }

    /// Puts a record in the place of its path; gives the place.
    @discardableResult
    mutating func set(_ record: FileRecord) -> Int {
        let place: Int
        if let known = places[record.path] {
            place = Int(known)
            count(records[place], -1)
            records[place] = record
        } else {
            place = records.count
            records.append(record)
            places[record.path] = Int32(place)
            if !record.path.isPlain { composed[record.path.composed] = Int32(place) }
        }
        count(record, 1)
        if record.isFile { hashes[record.hash.word0] = Int32(place) }
        return place
    }

    /// Notes that a scan has seen it.
    mutating func see(_ place: Int, in scan: UInt32) {
        records[place].scan = scan
    }

    /// A file that is there and has this content.
    func file(with hash: Bytes32) -> FileRecord? {
        guard let place = hashes[hash.word0] else { return nil }
        let record = records[Int(place)]
        return record.isFile && record.hash == hash ? record : nil
    }

    /// Whether the name only looks like that of another file that is there (BePeer section 7).
    func hasTwin(of path: Path) -> Bool {
        guard !composed.isEmpty || !path.isPlain else { return false }
        if let place = composed[path.composed], records[Int(place)].path != path {
            return !records[Int(place)].isDeleted
        }
        // A name that is its own normal form may be the twin of one that is not.
        return !path.isPlain && path.composed != path && self[path.composed].map { !$0.isDeleted } ?? false
    }

    private mutating func count(_ record: FileRecord, _ step: Int) {
        if record.isDeleted { deleted += step }
        guard record.isFile else { return }
        liveFiles += step
        liveBytes = step > 0 ? liveBytes &+ record.size : liveBytes &- record.size
    }

    /// Places of what has changed after `sequence`, in the order of the changes.
    func changes(after sequence: UInt64) -> [Int] {
        records.indices.filter { records[$0].sequence > sequence }
            .sorted { records[$0].sequence < records[$1].sequence }
    }

    /// Files that are there, in the order in which they came.
    var files: some Sequence<FileRecord> { records.lazy.filter { $0.isFile } }
}
