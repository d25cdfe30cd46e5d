internal import PeerCore
internal import PeerCrypto

// The store operations on one folder, as `StoreOperation` documents them.
extension Folder {
    /// The answer to an operation on this folder alone.
    func answer(_ operation: StoreOperation) -> StoreResult {
        do throws(SystemError) {
            return try carryOut(operation)
        } catch {
            return .failed(error)
        }
    }

    private func carryOut(_ operation: StoreOperation) throws(SystemError) -> StoreResult {
        switch operation {
        case .scan(_, let under, let after, let limit, let deep, let hidden):
            return try scan(under: under, after: after, limit: limit, deep: deep, hidden: hidden)
        case .inspect(let file): return .entries([fileEntry(file.path, try entry(file.path))], more: false)
        case .readAt(let file, let offset, let count): return try read(file.path, offset: offset, count: count)
        case .write(let file, let pieces):
            for piece in pieces { try write(piece.octets, to: file.path, at: piece.offset) }
        case .allocate(let file, let size): try allocate(file.path, size: size)
        case .truncate(let file, let size):
            _ = try octets(file.path)
            try resize(file.path, to: size)
        case .save(let file, let bytes): try save(bytes, to: file.path)
        case .rename(let file, let name, let replacing):
            try Folder.move(file.path, in: self, to: name, in: self, replacing: replacing)
        case .remove(let file): try remove(file.path)
        case .setTimes(let file, let modified): try setModified(file.path, modified)
        case .makeFolder(let file): try makeFolder(at: file.path)
        case .lock(let file): if entries[file.path] == nil { try write(Bytes(), to: file.path, at: 0) }
        case .examine(let questions, let algorithm):
            return .examined(questions.map { examine($0, algorithm) })
        case .install(let installations, _, _, let marker):
            if let marker { _ = try entry(marker) }
            return .installed(
                installations.map { installation in
                    Result { () throws(SystemError) in try install(installation) }
                })
        case .freeSpace: return .space(free)
        case .digest(.blocks(let file, let offset, let count, let block), let algorithm, let key):
            return try digest(file.path, offset: offset, count: count, block: block, algorithm, key: key)
        case .digest(.pieces(let file, let places, let count), let algorithm, let key):
            return try digest(file.path, at: places, count: count, algorithm, key: key)
        case .digest(.bytes, _, _), .digest(.each, _, _), .copyRange, .move, .sync, .watch, .unwatch:
            preconditionFailure("the machine's work: \(operation)")
        }
        return .done
    }

    /// The most entries in one answer, whatever is asked for.
    private static let largestPage = 16_384

    /// Hidden names are left out below `under`, as links are: cores share what a scan lists.
    private func scan(
        under: RelativePath?, after: RelativePath?, limit: Int, deep: Bool, hidden: HiddenNames
    ) throws(SystemError) -> StoreResult {
        if let under, try entry(under).kind != .folder { throw .notAFolder }
        let prefix = under?.components ?? []
        let found = entries.filter { path, entry in
            entry.kind != .link && path.components.count > prefix.count && path.components.starts(with: prefix)
                && !hidden.leavesOut(path.components.dropFirst(prefix.count))
                && (after.map { $0 < path } ?? true) && (deep || path.components.count == prefix.count + 1)
        }
        let sorted = found.sorted { $0.key < $1.key }
        let limit = min(max(0, limit), Self.largestPage)
        let page = sorted.prefix(limit).map { fileEntry($0.key, $0.value) }
        return .entries(
            page, more: sorted.count > limit, leftOut: after == nil ? leftOut(under: prefix, deep: deep) : [])
    }

    private func leftOut(under prefix: [String], deep: Bool) -> [LeftOut] {
        entries.sorted { $0.key < $1.key }.compactMap { path, entry in
            let rest = path.components.dropFirst(prefix.count)
            guard !rest.isEmpty, path.components.starts(with: prefix), deep || rest.count == 1,
                !rest.dropLast().contains(where: { $0.hasPrefix(".") })
            else { return nil }
            if entry.kind == .link { return LeftOut(path.description, .link) }
            return path.name.hasPrefix(".") ? LeftOut(path.description, .hidden) : nil
        }
    }

    func fileEntry(_ path: RelativePath, _ entry: Entry) -> FileEntry {
        FileEntry(
            path: path, isFolder: entry.kind == .folder, size: UInt64(entry.octets.count), modified: entry.modified,
            stamp: entry.stamp, isExecutable: entry.isExecutable)
    }

    private func read(_ path: RelativePath, offset: UInt64, count: Int) throws(SystemError) -> StoreResult {
        let octets = try octets(path)
        guard count >= 0 else { throw .other("EINVAL") }
        let start = min(offset, UInt64(octets.count))
        let end = min(start + UInt64(count), UInt64(octets.count))
        return .bytes(Bytes(octets[Int(start)..<Int(end)]))
    }

    private func allocate(_ path: RelativePath, size: UInt64) throws(SystemError) {
        if let entry = entries[path], entry.kind == .file, UInt64(entry.octets.count) >= size { return }
        try resize(path, to: size)
    }

    /// The new file stands beside the old one until it takes its place: both need room.
    private func save(_ bytes: Bytes, to path: RelativePath) throws(SystemError) {
        guard UInt64(bytes.count) <= free else { throw .noSpace }
        try resize(path, to: 0)
        try write(bytes, to: path, at: 0)
    }

    private func remove(_ path: RelativePath) throws(SystemError) {
        if try entry(path).kind == .folder {
            let below = entries.keys.contains {
                $0.components.count > path.components.count && $0.components.starts(with: path.components)
            }
            if below { throw .other("ENOTEMPTY") }
        }
        drop(path)
    }

    private func digest(
        _ path: RelativePath, offset: UInt64, count: UInt64, block: UInt64, _ algorithm: DigestAlgorithm, key: Bytes?
    ) throws(SystemError) -> StoreResult {
        guard let size = Int(exactly: block), size > 0 else { throw .other("EINVAL") }
        let octets = Bytes(try range(path, offset: offset, count: count))
        let starts = stride(from: 0, to: octets.count, by: size)
        let blocks = starts.map { octets.slice($0..<min(octets.count, $0 + min(size, octets.count))) }
        return .digests(blocks.map { PeerCrypto.digest($0, algorithm, key: key) })
    }

    private func digest(
        _ path: RelativePath, at places: [UInt64], count: UInt64, _ algorithm: DigestAlgorithm, key: Bytes?
    ) throws(SystemError) -> StoreResult {
        let size = UInt64(try octets(path).count)
        var digests: [Bytes] = []
        for place in places {
            guard place < size else { throw .endOfFile }
            let octets = Bytes(try range(path, offset: place, count: min(count, size - place)))
            digests.append(PeerCrypto.digest(octets, algorithm, key: key))
        }
        return .digests(digests)
    }

    /// Gives a file or folder another place, in the same folder or another one.
    static func move(
        _ source: RelativePath, in folder: Folder, to target: RelativePath, in other: Folder, replacing: Bool
    ) throws(SystemError) {
        let moved = try folder.entry(source)
        if let there = other.entries[target] {
            guard replacing else { throw .exists }
            guard there.kind != .folder else { throw .other("EISDIR") }
            guard moved.kind == .file else { throw .notAFolder }
        }
        if folder === other, source == target { return }
        guard folder !== other || !target.components.starts(with: source.components) else { throw .other("EINVAL") }
        guard folder === other || UInt64(moved.octets.count) <= other.free else { throw .noSpace }
        try other.makeParents(of: target)
        if other.entries[target] != nil { other.drop(target) }
        other.adopt(folder.drop(source), from: source, to: target)
    }

    /// Copies octets between files, in the same folder or another one.
    static func copy(
        _ source: RelativePath, in folder: Folder, offset: UInt64, count: UInt64, to target: RelativePath,
        in other: Folder, at position: UInt64
    ) throws(SystemError) {
        let octets = Bytes(try folder.range(source, offset: offset, count: count))
        try other.write(octets, to: target, at: position)
    }
}

// A part file, which becomes a file when it is complete.
extension Folder {
    /// Opens the part file, empty unless the reception goes on where an earlier one ended.
    func beginPart(_ reception: FileReception) throws(SystemError) {
        if !reception.appends || entries[reception.part] == nil { try resize(reception.part, to: 0) }
    }

    func append(_ bytes: Bytes, toPart part: RelativePath) throws(SystemError) {
        try write(bytes, to: part, at: UInt64(try octets(part).count))
    }

    /// Gives the complete part file its name. Answers with the digest of all of it.
    func completePart(_ reception: FileReception) throws(SystemError) -> Bytes? {
        let whole = Bytes(try octets(reception.part))
        try Folder.move(
            reception.part, in: self, to: reception.file.path, in: self, replacing: reception.replacing)
        return reception.digest.map { PeerCrypto.digest(whole, $0) }
    }
}
