internal import PeerCore
internal import UV

/// The files of one host: work on libuv's worker threads, watches on the loop.
///
/// Work on one file is carried out in the order in which it was asked for; work on different files side by side.
final class FileWork {
    /// A watched folder: the descriptor is waited for on the loop, and read by a worker, since new folders are looked
    /// into.
    private final class Watch {
        var folder: FolderWatch?
        var poll: Poll?
        var changed: (FolderID, [RelativePath]) -> Void

        init(_ changed: @escaping (FolderID, [RelativePath]) -> Void) {
            self.changed = changed
        }
    }

    private let loop: Loop
    private(set) var folders: Folders
    private var watches: [FolderID: Watch] = [:]
    /// Jobs that wait because an earlier one works on the same folder.
    private var queues: [FolderID: [() -> Void]] = [:]
    private var scanners: [FolderID: Scanner] = [:]
    private var locks: [FileName: FileLock] = [:]
    private var isClosed = false

    init(loop: Loop, folders: Folders) {
        self.loop = loop
        self.folders = folders
    }

    /// Carries `operation` out and calls `done` on the loop. `changed` is told what changes in watched folders.
    func carryOut(
        _ operation: StoreOperation, changed: @escaping (FolderID, [RelativePath]) -> Void,
        done: @escaping (StoreResult) -> Void
    ) {
        switch operation {
        case .watch(let folder, let hidden): watch(folder, hidden, changed, done)
        case .lock(let file): lock(file, done)
        case .examine(let questions, let algorithm): examine(questions, algorithm, done)
        case .unwatch(let folder):
            unwatch(folder)
            locks = locks.filter { $0.key.folder != folder }
            done(.done)
        case .digest(let source, let algorithm, let key): digest(source, algorithm, key: key, done: done)
        case .inspect(let file) where queues[file.folder] == nil:
            if let entry = folders.inspectRemembered(file) { return done(.entries([entry], more: false)) }
            inOrder(operation, done)
        default: inOrder(operation, done)
        }
    }

    /// Calls the folder at `path` by that name, and makes it when it is missing. What cannot be made is told when
    /// somebody wants to look into it.
    func open(_ folder: FolderID, at path: String) {
        folders[folder] = path
        inOrder(folder, { _ = try? Descriptor.makeFolders(path, permissions: 0o777) }) {}
    }

    private func inOrder(_ operation: StoreOperation, _ done: @escaping (StoreResult) -> Void) {
        let scanner = scanners[operation.folder, default: Scanner()]
        scanners[operation.folder] = scanner
        inOrder(operation.folder, { [folders] in PeerRuntime.carryOut(operation, in: folders, scanner) }, done)
    }

    /// Changes of a folder keep their order; reading beside them is free to overtake.
    private func inOrder<Answer: Sendable>(
        _ folder: FolderID, _ work: @escaping @Sendable () -> Answer, _ done: @escaping (Answer) -> Void
    ) {
        let job = { [unowned self] in
            loop.work(work) { [weak self] answer in
                done(answer)
                self?.next(folder)
            }
        }
        if queues[folder] == nil {
            queues[folder] = []
            job()
        } else {
            queues[folder]?.append(job)
        }
    }

    private func next(_ folder: FolderID) {
        guard !isClosed, var queue = queues[folder], !queue.isEmpty else {
            queues[folder] = nil
            return
        }
        let job = queue.removeFirst()
        queues[folder] = queue
        job()
    }

    /// Hashes in jobs of at most 4 MiB, so that a large file leaves the worker threads to others in between.
    private func digest(
        _ source: DigestSource, _ algorithm: DigestAlgorithm, key: Bytes?, done: @escaping (StoreResult) -> Void
    ) {
        let work = DigestWork(source, algorithm, key: key, in: folders)
        func step() {
            loop.work({ work.advance() }) { result in
                if let result { done(result) } else { step() }
            }
        }
        step()
    }

    /// Looks at many files, a few milliseconds of work at a time.
    private func examine(
        _ questions: [FileQuestion], _ algorithm: DigestAlgorithm, _ done: @escaping (StoreResult) -> Void
    ) {
        let work = ExamineWork(questions, algorithm, in: folders)
        func step() {
            loop.work({ work.advance() }) { result in
                if let result { done(result) } else { step() }
            }
        }
        step()
    }

    private func lock(_ file: FileName, _ done: @escaping (StoreResult) -> Void) {
        guard locks[file] == nil else { return done(.done) }
        loop.work({ [folders] in
            Result { () throws(SystemError) in try FileLock(file, in: folders) }
        }) { [weak self] result in
            switch result {
            case .success(let lock):
                self?.locks[file] = lock
                done(.done)
            case .failure(let error): done(.failed(error))
            }
        }
    }

    private func watch(
        _ folder: FolderID, _ hidden: HiddenNames, _ changed: @escaping (FolderID, [RelativePath]) -> Void,
        _ done: @escaping (StoreResult) -> Void
    ) {
        guard watches[folder] == nil else { return done(.done) }
        guard let path = folders[folder] else { return done(.failed(.notFound)) }
        let watch = Watch(changed)
        watches[folder] = watch
        loop.work({ Result { () throws(SystemError) in try FolderWatch(path, hidden: hidden) } }) {
            [weak self] result in
            guard let self, watches[folder] === watch else { return done(.failed(.disconnected)) }
            switch result {
            case .failure(let error):
                watches[folder] = nil
                done(.failed(error))
            case .success(let found):
                watch.folder = found
                watch.poll = try? Poll(loop, descriptor: found.descriptor)
                wait(for: watch, of: folder)
                done(.done)
            }
        }
    }

    private func wait(for watch: Watch, of folder: FolderID) {
        watch.poll?.start(.readable) { [weak self] _ in self?.read(watch, of: folder) }
    }

    private func read(_ watch: Watch, of folder: FolderID) {
        guard let found = watch.folder else { return }
        watch.poll?.stop()
        loop.work({ Result { () throws(SystemError) in try found.read() } }) { [weak self] result in
            guard let self, watches[folder] === watch else { return }
            // What cannot be read any more is scanned again, as is too much to say.
            let paths = (try? result.get()) ?? []
            if case .success(let told?) = result, told.isEmpty {
                // Hidden names only: nothing that concerns the core.
            } else {
                watch.changed(folder, paths)
            }
            found.isLost ? unwatch(folder) : wait(for: watch, of: folder)
        }
    }

    private func unwatch(_ folder: FolderID) {
        watches.removeValue(forKey: folder)?.poll?.close()
    }

    func close() {
        isClosed = true
        for folder in Array(watches.keys) { unwatch(folder) }
        queues = [:]
    }
}

extension StoreOperation {
    /// The folder that the work is in.
    fileprivate var folder: FolderID {
        switch self {
        case .scan(let folder, _, _, _, _, _), .watch(let folder, _), .unwatch(let folder), .freeSpace(let folder):
            folder
        case .inspect(let file), .readAt(let file, _, _), .write(let file, _), .allocate(let file, _),
            .truncate(let file, _), .save(let file, _), .rename(let file, _, _), .copyRange(let file, _, _, _, _),
            .move(let file, _), .remove(let file), .setTimes(let file, _), .makeFolder(let file), .lock(let file):
            file.folder
        case .examine(let questions, _): questions.first?.file.folder ?? FolderID("")
        case .install(let installations, _, _, _): installations.first?.file.folder ?? FolderID("")
        case .sync(let files): files.first?.folder ?? FolderID("")
        case .digest: FolderID("")
        }
    }
}
