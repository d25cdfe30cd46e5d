internal import CSQLite
public import PeerCore
public import UV

/// Durable rows in one SQLite file: a table of the database for each table of a core, a column for each field, so that
/// an operator can query them.
///
/// All rows of a loop turn are committed together on a worker thread, with `synchronous=FULL`. When the disk is full
/// the node goes on from memory, says so once, and saves when there is room.
public final class RowStore {
    /// What the store has to tell the node.
    public enum Notice: Sendable {
        /// Rows could not be written; they are kept and tried again.
        case failed(SystemError)
        /// Writing works again.
        case recovered
        /// The file was damaged: it was set aside under this name and a new one begun.
        case setAside(String)
    }

    enum Change: Sendable {
        case remember(table: String, key: String, Record)
        case forget(table: String, key: String)
    }

    private let loop: Loop
    private let notify: (Notice) -> Void
    private let database: Database
    private var changes: [Change] = []
    private var waiting: [(Bool) -> Void] = []
    private var reads: [() -> Void] = []
    private var isBusy = false
    private var isFailing = false
    private var retry: Timer?
    private var onIdle: [() -> Void] = []

    /// How long to wait before rows that could not be written are tried again.
    private static let retryInterval: Duration = .seconds(10)

    /// Opens or makes the file. Throws when it cannot be opened, or was written by a newer program.
    public init(loop: Loop, path: String, notify: @escaping (Notice) -> Void) throws(RowStoreError) {
        self.loop = loop
        self.notify = notify
        database = try Database.open(path) { notify(.setAside($0)) }
    }

    /// Rows that wait to be written.
    public var pending: Int { changes.count }

    /// Writes or replaces a row in the next commit.
    public func remember(_ table: String, _ key: String, _ record: Record) {
        changes.append(.remember(table: table, key: key, record))
    }

    /// Removes a row in the next commit.
    public func forget(_ table: String, _ key: String) {
        changes.append(.forget(table: table, key: key))
    }

    /// Calls `done` when all rows so far are on the disk (true), or could not be written (false).
    public func whenCommitted(_ done: @escaping (Bool) -> Void) {
        waiting.append(done)
    }

    /// Reads rows in order of their keys. Changes that wait are written before.
    public func recall(_ table: String, after: String?, limit: Int, done: @escaping ([Row], Bool) -> Void) {
        reads.append { [unowned self, database, loop] in
            loop.work({ database.rows(of: table, after: after, limit: limit + 1) }) { [weak self] rows in
                self?.isBusy = false
                done(Array(rows.prefix(limit)), rows.count > limit)
                self?.commit()
            }
        }
        commit()
    }

    /// Begins to write what waits; called at the end of a turn.
    public func commit() {
        guard !isBusy, retry == nil else { return }
        guard !changes.isEmpty else {
            let done = waiting
            waiting = []
            for call in done { call(true) }
            return read()
        }
        let batch = changes
        let done = waiting
        (changes, waiting) = ([], [])
        isBusy = true
        loop.work({ [database] in database.commit(batch) }) { [weak self] error in
            self?.committed(batch, done, error)
        }
    }

    private func read() {
        guard !reads.isEmpty else {
            let idle = onIdle
            onIdle = []
            for call in idle { call() }
            return
        }
        isBusy = true
        reads.removeFirst()()
    }

    private func committed(_ batch: [Change], _ done: [(Bool) -> Void], _ error: SystemError?) {
        isBusy = false
        if let error {
            changes = batch + changes
            if !isFailing { notify(.failed(error)) }
            isFailing = true
            for call in done { call(false) }
            retryLater()
        } else {
            if isFailing { notify(.recovered) }
            isFailing = false
            for call in done { call(true) }
            commit()
        }
    }

    private func retryLater() {
        // The last state of each row is enough.
        var latest: [String: Int] = [:]
        for (index, change) in changes.enumerated() { latest[change.name] = index }
        changes = latest.values.sorted().map { changes[$0] }
        retry = Timer(loop)
        retry?.unreference()
        retry?.start(at: loop.instant + Self.retryInterval) { [unowned self] in
            retry?.close()
            retry = nil
            commit()
        }
    }

    /// Writes what waits, then calls `done`. When the disk refuses, what waits is lost.
    public func close(_ done: @escaping () -> Void) {
        retry?.close()
        retry = nil
        onIdle.append { [database] in
            database.close()
            done()
        }
        if isFailing {
            let idle = onIdle
            onIdle = []
            for call in idle { call() }
        } else {
            commit()
        }
    }

    /// A copy of the whole database, consistent while the node runs.
    public func backup(to path: String, done: @escaping (SystemError?) -> Void) {
        reads.append { [unowned self, database, loop] in
            loop.work({ database.backup(to: path) }) { [weak self] error in
                self?.isBusy = false
                done(error)
                self?.commit()
            }
        }
        commit()
    }
}

extension RowStore.Change {
    /// The same for changes of the same row.
    var name: String {
        switch self {
        case .remember(let table, let key, _), .forget(let table, let key): "\(table)/\(key)"
        }
    }
}

/// Why the rows cannot be used at all.
public enum RowStoreError: Error, Hashable, Sendable {
    /// The file cannot be opened.
    case cannotOpen(path: String, reason: String)
    /// A newer program wrote the file, in a format that this one does not know.
    case newerFormat(path: String, format: Int, known: Int)
}

extension RowStoreError: CustomStringConvertible {
    /// What happened and what to do.
    public var description: String {
        switch self {
        case .cannotOpen(let path, let reason):
            "\(path): \(reason). Check that the folder exists and that this user may write there."
        case .newerFormat(let path, let format, let known):
            "\(path) has format \(format), this program knows \(known). Run the newer program, or set the file aside."
        }
    }
}
