internal import PeerCore

/// SHA-256 of shared files, computed when somebody asks, one file at a time, and kept in rows (P+2 section 8).
struct Hashes {
    static let table = "files_hashes"
    /// Rows read at a time.
    static let pageRows = 1000
    /// A caller that asks for a digest waits so long for it; then it is told that it is pending.
    static let patience: Duration = .seconds(3)
    /// Files that wait for their digest; more are told "pending" and asked for again.
    private static let mostWaiting = 1000

    /// By what a file is known to be the same as before.
    struct Mark: Hashable {
        let size: UInt64
        let modified: WallClock
        let stamp: UInt64

        init(_ entry: FileEntry) { (size, modified, stamp) = (entry.size, entry.modified, entry.stamp) }

        init?(_ record: Record) {
            guard let size = record.int("size"), let modified = record.int("modified"), let stamp = record.int("stamp")
            else { return nil }
            self.size = UInt64(clamping: size)
            self.modified = WallClock(milliseconds: modified)
            self.stamp = UInt64(bitPattern: stamp)
        }
    }

    private struct Job {
        let file: FileName
        let mark: Mark
    }

    private var known: [String: (mark: Mark, digest: Bytes32)] = [:]
    private var waiting: [Job] = []
    private var running: Job?

    /// Files whose digests are known.
    var count: Int { known.count }

    /// The digest of a file as it is now.
    func digest(of entry: FileEntry) -> Bytes32? {
        guard let (mark, digest) = known[entry.path.description], mark == Mark(entry) else { return nil }
        return digest
    }

    /// Has the digest computed. False when too many wait.
    mutating func want(_ file: FileName, _ entry: FileEntry) -> Bool {
        let job = Job(file: file, mark: Mark(entry))
        if let running, running.file == file, running.mark == job.mark { return true }
        if waiting.contains(where: { $0.file == file }) { return true }
        guard waiting.count < Self.mostWaiting else { return false }
        waiting.append(job)
        return true
    }

    /// The next file to hash, if none is being hashed.
    mutating func next() -> StoreOperation? {
        guard running == nil, !waiting.isEmpty else { return nil }
        let job = waiting.removeFirst()
        running = job
        let size = job.mark.size
        // A range without octets has no blocks; nothing has a digest too.
        guard size > 0 else { return .digest(.bytes(Bytes()), .sha256, key: nil) }
        return .digest(.blocks(job.file, offset: 0, count: size, block: size), .sha256, key: nil)
    }

    /// The file that was hashed: it is looked at once more, in case it was changed meanwhile.
    var hashed: FileName? { running?.file }

    /// The digest counts when the file is what it was. Gives the row to keep.
    mutating func ended(_ digest: Bytes32?, _ entry: FileEntry?) -> (file: FileName, row: Record?)? {
        guard let job = running else { return nil }
        running = nil
        guard let digest, let entry, Mark(entry) == job.mark else { return (job.file, nil) }
        known[job.file.path.description] = (job.mark, digest)
        let row: Record = [
            "size": .count(job.mark.size), "modified": .int(job.mark.modified.milliseconds),
            "stamp": .int(Int64(bitPattern: job.mark.stamp)), "digest": .text(digest),
        ]
        return (job.file, row)
    }

    mutating func restore(_ rows: [Row]) {
        for row in rows {
            guard let mark = Mark(row.record), let digest = row.record.string("digest").flatMap({ Bytes32(hex: $0) })
            else { continue }
            known[row.key] = (mark, digest)
        }
    }

    /// Forgets the digest of a file.
    mutating func forget(_ path: RelativePath, into effects: inout Effects) {
        guard known.removeValue(forKey: path.description) != nil else { return }
        effects.append(.forget(table: Self.table, key: path.description))
    }

    /// Forgets the digests of what is not shared any more.
    mutating func keep(_ names: SharedNames, into effects: inout Effects) {
        for name in known.keys.sorted() where names.index(of: Bytes(utf8: name)) == nil {
            known[name] = nil
            effects.append(.forget(table: Self.table, key: name))
        }
    }
}

extension PPlusTwo {
    /// Hashes the next file that waits for it.
    mutating func hashNext(into effects: inout Effects) {
        guard let operation = hashes.next() else { return }
        errands[effects.store(operation)] = .hash
    }

    mutating func hashed(_ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard case .digests(let digests) = result, let digest = digests.first, digest.count == 32,
            let file = hashes.hashed
        else { return hashEnded(nil, nil, at: now, into: &effects) }
        errands[effects.store(.inspect(file))] = .hashCheck(Bytes32(digest))
    }

    mutating func hashEnded(
        _ digest: Bytes32?, _ entry: FileEntry?, at now: Moment, into effects: inout Effects
    ) {
        if let (file, row) = hashes.ended(digest, entry) {
            if let row {
                effects.append(.remember(table: Hashes.table, key: file.path.description, row))
            }
            for connection in callers.keys.sorted() where callers[connection]?.stat?.file == file {
                answerStat(connection, at: now, into: &effects)
            }
        }
        hashNext(into: &effects)
    }
}
