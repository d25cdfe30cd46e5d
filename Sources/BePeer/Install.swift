internal import PeerCore

// Finished files get their places, many at once (BePeer sections 4.3, 4.4 and 5.3).
extension BePeer {
    /// Files of one batch: a batch takes what has come while the one before it was at work.
    private static let mostAtOnce = 1024
    /// Losing contents that are kept beside a file (BePeer section 4.3).
    private static let mostCopies = 10

    /// The content of a wanted file is here.
    mutating func contentCame(
        _ id: UInt64, _ content: Want.Content, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        wants[id]?.content = content
        let (folder, path) = (want.tie.folder, want.remote.path)
        let local = folders[folder].index[path]
        let decision: Decision
        if want.isTold {
            decision = Decision(local: local, remote: want.remote)
        } else {
            decision = Decision(
                local: local, hash: content.hash, modified: content.modified,
                agreed: self[want.tie]?.agreed[path]?.hash)
            wants[id]?.size = content.size
            wants[id]?.agreed = Partner.Agreed(hash: content.hash, tag: want.settledTag)
        }
        wants[id]?.decision = decision
        switch decision {
        case .fetch where want.way == .compare, .beside where want.way == .compare:
            // It was read only, since it looked equal.
            wants[id]?.content = nil
            wants[id]?.way = .part
            wants[id]?.part = Marker.part(content.hash)
            fetchContent(id, at: now, into: &effects)
        case .fetch: install(id, from: source(of: id), at: now, into: &effects)
        case .same, .merge:
            wants[id]?.content = nil
            if want.isTold { return consider(id, at: now, into: &effects) }
            end(id, held: local?.isFile ?? false, at: now, into: &effects)
        case .beside: keepTheirs(id, content, at: now, into: &effects)
        default:
            wants[id]?.content = nil
            if want.isTold { return consider(id, at: now, into: &effects) }
            // What it still offers is not what both start from.
            wants[id]?.agreed = nil
            tellOurs(id)
            end(id, held: false, at: now, into: &effects)
        }
    }

    private func source(of id: UInt64) -> Installation.Source {
        if let bytes = wants[id]?.content?.bytes { return .bytes(bytes) }
        return wants[id]?.part.map { .file($0) } ?? .nothing
    }

    /// Ours wins over an old peer's, which keeps nothing beside its files: we keep its content for all.
    private mutating func keepTheirs(
        _ id: UInt64, _ content: Want.Content, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        let folder = want.tie.folder
        tellOurs(id)
        let path = Conflict.name(for: want.remote.path, modified: content.modified, hash: content.hash.hex)
        guard folders[folder].index[path] == nil else {
            wants[id]?.content = nil
            return end(id, held: false, at: now, into: &effects)
        }
        tellConflict(want.remote.path, path, folder, into: &effects)
        queue(
            id,
            Installation(folders[folder].file(path), from: source(of: id), modified: content.modified), at: now,
            into: &effects)
    }

    /// Has a file put into its place.
    mutating func install(
        _ id: UInt64, from source: Installation.Source, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        let (folder, path) = (want.tie.folder, want.remote.path)
        let local = folders[folder].index[path]
        var aside: RelativePath?
        if let local, local.isFile {
            if want.decision == .fetch(keepsLoser: true) {
                aside = copyOrTrash(local, folder, at: now, into: &effects)
            } else if configuration.trashTime > .zero, source != .present {
                aside = Marker.trash(path, at: now.wallClock)
            }
        }
        if want.decision == .delete, local?.isDeleted ?? true {
            return end(id, held: false, at: now, into: &effects)
        }
        let modified = want.content?.modified ?? want.remote.modified
        queue(
            id,
            Installation(
                folders[folder].file(path), from: source, modified: modified,
                isExecutable: want.isTold ? want.remote.isExecutable : local?.isExecutable ?? false,
                expected: folders[folder].known(path), aside: aside), at: now, into: &effects)
    }

    /// Where a losing content goes: beside its file, unless it is there already, also if somebody has edited it since.
    private func copyOrTrash(
        _ local: FileRecord, _ folder: Int, at now: Moment, into effects: inout Effects
    ) -> RelativePath? {
        let copy = Conflict.name(for: local.path, modified: local.modified, hash: local.hash.hex)
        if folders[folder].index[copy]?.isFile ?? false { return Marker.trash(local.path, at: now.wallClock) }
        tellConflict(local.path, copy, folder, into: &effects)
        return copy.relative
    }

    private func tellConflict(_ path: Path, _ copy: Path, _ folder: Int, into effects: inout Effects) {
        effects.log(
            .warn, "conflict",
            ["folder": .string(folders[folder].name), "path": .text(path), "keptAs": .text(copy)])
    }

    private mutating func queue(
        _ id: UInt64, _ installation: Installation, at now: Moment, into effects: inout Effects
    ) {
        guard let folder = wants[id]?.tie.folder else { return }
        folders[folder].ready.append((id, installation))
        folders[folder].readyBytes += wants[id]?.content?.bytes?.count ?? 0
        installMore(folder, into: &effects)
    }

    private mutating func installMore(_ folder: Int, into effects: inout Effects) {
        guard !folders[folder].isInstalling, !folders[folder].ready.isEmpty else { return }
        let batch = folders[folder].ready.prefix(Self.mostAtOnce)
        folders[folder].ready.removeFirst(batch.count)
        folders[folder].isInstalling = true
        let operation = StoreOperation.install(
            batch.map(\.installation), staging: Marker.staging, configuration.durability, marker: Marker.lock)
        errands[effects.store(operation)] = .install(folder, batch.map { ($0.want, $0.installation) })
    }

    mutating func installed(
        _ folder: Int, _ batch: [(want: UInt64, installation: Installation)], _ result: StoreResult, at now: Moment,
        into effects: inout Effects
    ) {
        folders[folder].isInstalling = false
        var results: [Result<FileEntry, SystemError>] = []
        switch result {
        case .installed(let all): results = all
        case .failed(let error):
            results = batch.map { _ in .failure(error) }
            // Whether its disk is there a scan tells.
            timers.set(.rescan(folder), at: now.instant)
        default: break
        }
        for (index, (id, installation)) in batch.enumerated() {
            folders[folder].readyBytes -= wants[id]?.content?.bytes?.count ?? 0
            let outcome = index < results.count ? results[index] : .failure(.disconnected)
            switch outcome {
            case .success(let entry): placed(id, installation, entry, at: now, into: &effects)
            case .failure(let error): notPlaced(id, installation, error, at: now, into: &effects)
            }
        }
        installMore(folder, into: &effects)
        // There is room for more of everybody's.
        for ip in folders[folder].partners.keys where folders[folder].partners[ip]?.intake != nil {
            toPump.insert(Tie(folder: folder, ip: ip))
        }
    }

    private mutating func placed(
        _ id: UInt64, _ installation: Installation, _ entry: FileEntry, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        let (folder, path) = (want.tie.folder, want.remote.path)
        guard installation.file.path == path.relative else {
            // Their losing content is a file of ours now.
            examineCopy(installation.file.path, folder, at: now, into: &effects)
            return end(id, held: false, at: now, into: &effects)
        }
        var record = folders[folder].index[path] ?? FileRecord(path)
        if want.decision == .delete {
            record.isDeleted = true
            effects.log(
                .info, "delete",
                ["folder": .string(folders[folder].name), "path": .text(path), "by": .text(want.tie.ip)])
            removeEmpty(above: path, folder, into: &effects)
        } else {
            record.take(entry)
            record.hash = want.content?.hash ?? record.hash
            record.isDeleted = false
            record.scan = folders[folder].scanNumber
        }
        if path == .ignore { timers.set(.rescan(folder), at: now.instant) }
        if let space = folders[folder].space { folders[folder].space = space - min(space, entry.size) }
        if want.decision == .touch {
            record.version = record.version.merged(with: want.remote.version)
            record.sequence = folders[folder].nextSequence()
            keep(record, folder, into: &effects)
        } else {
            adopt(&record, want, into: &effects)
        }
        if want.decision == .fetch(keepsLoser: true), let aside = installation.aside {
            examineCopy(aside, folder, at: now, into: &effects)
            thinOut(path, folder, at: now, into: &effects)
        }
        end(id, held: want.decision != .delete, at: now, into: &effects)
    }

    /// A losing content that was kept is a file like others. Beside a file that is shared alone it stays ours.
    private mutating func examineCopy(
        _ place: RelativePath, _ folder: Int, at now: Moment, into effects: inout Effects
    ) {
        guard let copy = Path(place), folders[folder].replicates(copy) else { return }
        examineNow(copy, folder, at: now, into: &effects)
    }

    /// A folder that is empty now goes too, unless it is one that peers tell of: whoever deleted the last file in it
    /// tells when it is still there.
    private mutating func removeEmpty(above path: Path, _ folder: Int, into effects: inout Effects) {
        guard let parent = path.folders.last else { return }
        if let record = folders[folder].index[parent], record.isFolder, !record.isDeleted { return }
        errands[effects.store(.remove(folders[folder].file(parent)))] = .emptied(folder, parent)
    }

    mutating func emptied(_ folder: Int, _ path: Path, _ result: StoreResult, into effects: inout Effects) {
        if case .done = result { removeEmpty(above: path, folder, into: &effects) }
    }

    private mutating func notPlaced(
        _ id: UInt64, _ installation: Installation, _ error: SystemError, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        if want.remote.isFolder || folders[want.tie.folder].index[want.remote.path]?.isFolder ?? false {
            // Not empty: what is in it is newer than the word that it is gone.
            wants[id]?.content = nil
            return end(id, held: false, at: now, into: &effects)
        }
        switch (error, installation.source) {
        case (.notFound, .copy):
            wants[id]?.copies = false
            wants[id]?.content = nil
            foundChanged(id, at: now, into: &effects)
        case (.exists, _), (.notFound, _):
            wants[id]?.content = nil
            // Or the place beside it is taken, by a copy that was not looked at yet.
            if let aside = installation.aside, let copy = Path(aside) {
                examineNow(copy, want.tie.folder, at: now, into: &effects)
            }
            foundChanged(id, at: now, into: &effects)
        case (.noSpace, _):
            folders[want.tie.folder].space = 0
            fail(id, "disk_full", at: now, into: &effects)
        default: fail(id, error.description, at: now, into: &effects)
        }
    }

    /// The oldest of many losing contents goes to the trash.
    private mutating func thinOut(_ path: Path, _ folder: Int, at now: Moment, into effects: inout Effects) {
        let copies = folders[folder].index.records.filter { $0.isFile && Conflict.isCopy($0.path, of: path) }
        guard copies.count >= Self.mostCopies, let oldest = copies.min(by: { $0.modified < $1.modified }),
            let trash = Marker.trash(oldest.path, at: now.wallClock)
        else { return }
        errands[effects.store(.rename(folders[folder].file(oldest.path), to: trash, replacing: false))] = .nothing
        touch(oldest.path, folder, at: now)
    }
}
