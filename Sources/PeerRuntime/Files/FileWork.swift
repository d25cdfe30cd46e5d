internal import PeerCore
internal import UV

/// The files of one host: work on libuv's worker threads, watches on the loop.
///
/// Work on one file is carried out in the order in which it was asked for; work on different files side by side.
final class FileWork {
    private let loop: Loop
    let folders: Folders
    private var watches: [FolderID: (watch: FolderWatch, poll: Poll)] = [:]
    /// Jobs that wait because an earlier one works on the same folder.
    private var queues: [FolderID: [() -> Void]] = [:]
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
        case .watch(let folder): done(watch(folder, changed))
        case .unwatch(let folder):
            unwatch(folder)
            done(.done)
        case .digest(let source, let algorithm, let key): digest(source, algorithm, key: key, done: done)
        default: inOrder(operation, done)
        }
    }

    /// Changes of a folder keep their order; reading beside them is free to overtake.
    private func inOrder(_ operation: StoreOperation, _ done: @escaping (StoreResult) -> Void) {
        let job = { [unowned self, folders] in
            loop.work({ PeerRuntime.carryOut(operation, in: folders) }) { [weak self] result in
                done(result)
                self?.next(operation.folder)
            }
        }
        if queues[operation.folder] == nil {
            queues[operation.folder] = []
            job()
        } else {
            queues[operation.folder]?.append(job)
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

    private func watch(_ folder: FolderID, _ changed: @escaping (FolderID, [RelativePath]) -> Void) -> StoreResult {
        guard watches[folder] == nil else { return .done }
        guard let path = folders[folder] else { return .failed(.notFound) }
        do {
            let watch = try FolderWatch(path)
            let poll = try Poll(loop, descriptor: watch.descriptor)
            poll.start(.readable) {
                // What cannot be read any more is scanned again, too.
                changed(folder, (try? watch.read()) ?? [])
            }
            watches[folder] = (watch, poll)
            return .done
        } catch let error as UVError {
            return .failed(error.systemError)
        } catch let error as SystemError {
            return .failed(error)
        } catch {
            return .failed(.other("\(error)"))
        }
    }

    private func unwatch(_ folder: FolderID) {
        watches.removeValue(forKey: folder)?.poll.close()
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
        case .scan(let folder, _, _, _), .watch(let folder), .unwatch(let folder), .freeSpace(let folder): folder
        case .inspect(let file), .readAt(let file, _, _), .writeAt(let file, _, _), .allocate(let file, _),
            .truncate(let file, _), .save(let file, _), .rename(let file, _, _), .copyRange(let file, _, _, _, _),
            .move(let file, _), .remove(let file), .setTimes(let file, _):
            file.folder
        case .sync(let files): files.first?.folder ?? FolderID("")
        case .digest: FolderID("")
        }
    }
}
