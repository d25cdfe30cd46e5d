internal import CSQLite
internal import Glibc
internal import PeerCore

/// The SQLite file of a node: the C-facing part of `RowStore`. Used by one job at a time, on worker threads.
@safe final class Database: @unchecked Sendable {
    /// Format of the file, in `user_version`.
    static let format = 1

    private var handle: OpaquePointer?
    /// Columns that each table has.
    private var columns: [String: Set<String>] = [:]
    private var statements: [String: OpaquePointer] = unsafe [:]

    private init(_ handle: OpaquePointer?) {
        unsafe self.handle = handle
    }

    /// Opens or makes the file. A damaged one is set aside under another name, which `setAside` is told.
    static func open(_ path: String, setAside: (String) -> Void) throws(RowStoreError) -> Database {
        if let database = try attempt(path) { return database }
        let name = path + ".damaged-\(time(nil))"
        guard unsafe rename(path, name) == 0 else {
            throw .cannotOpen(path: path, reason: "the file is damaged and cannot be renamed")
        }
        for suffix in ["-wal", "-shm"] { unsafe unlink(path + suffix) }
        setAside(name)
        guard let database = try attempt(path) else { throw .cannotOpen(path: path, reason: "it is damaged again") }
        return database
    }

    /// nil: the file is damaged.
    private static func attempt(_ path: String) throws(RowStoreError) -> Database? {
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX
        let status = unsafe sqlite3_open_v2(path, &handle, flags, nil)
        let database = unsafe Database(handle)
        guard status == SQLITE_OK else {
            let reason = database.message
            database.close()
            throw .cannotOpen(path: path, reason: reason)
        }
        unsafe sqlite3_busy_timeout(handle, 2000)
        guard database.isSound else {
            database.close()
            return nil
        }
        let found = database.number("PRAGMA user_version")
        guard found <= format else {
            database.close()
            throw .newerFormat(path: path, format: found, known: format)
        }
        database.run("PRAGMA user_version = \(format)")
        unsafe chmod(path, 0o600)
        return database
    }

    private var isSound: Bool {
        for statement in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA quick_check"] {
            guard text(statement) != nil || statement.contains("synchronous") else { return false }
        }
        return text("PRAGMA quick_check") == "ok"
    }

    func close() {
        unsafe statements.values.forEach { unsafe sqlite3_finalize($0) }
        unsafe statements = [:]
        unsafe sqlite3_close_v2(handle)
        unsafe handle = nil
    }

    private var message: String { unsafe String(cString: sqlite3_errmsg(handle)) }

    // MARK: Writing

    /// Carries out all changes, or none.
    func commit(_ changes: [RowStore.Change]) -> SystemError? {
        guard run("BEGIN IMMEDIATE") else { return lastError }
        for change in changes {
            let isDone =
                switch change {
                case .remember(let table, let key, let record): remember(table, key, record)
                case .forget(let table, let key): forget(table, key)
                }
            guard isDone else { return rollBack() }
        }
        return run("COMMIT") ? nil : rollBack()
    }

    private func rollBack() -> SystemError? {
        let error = lastError
        run("ROLLBACK")
        // A table or column that the transaction made is gone with it.
        forgetSchema()
        return error
    }

    private func forgetSchema() {
        columns = [:]
        unsafe statements.values.forEach { unsafe sqlite3_finalize($0) }
        unsafe statements = [:]
    }

    private func remember(_ table: String, _ key: String, _ record: Record) -> Bool {
        let names = record.fields.map(\.name)
        guard prepareTable(table, names) else { return false }
        let list = (["key"] + names).map { "\"\($0)\"" }.joined(separator: ",")
        let marks = Array(repeating: "?", count: names.count + 1).joined(separator: ",")
        guard let statement = unsafe statement("INSERT OR REPLACE INTO \"\(table)\" (\(list)) VALUES (\(marks))")
        else { return false }
        unsafe bind(.string(key), to: statement, 1)
        for (index, field) in record.fields.enumerated() { unsafe bind(field.value, to: statement, Int32(index + 2)) }
        return unsafe step(statement) == SQLITE_DONE
    }

    private func forget(_ table: String, _ key: String) -> Bool {
        guard prepareTable(table, []), let statement = unsafe statement("DELETE FROM \"\(table)\" WHERE key = ?")
        else { return false }
        unsafe bind(.string(key), to: statement, 1)
        return unsafe step(statement) == SQLITE_DONE
    }

    /// Makes the table and the columns that are missing.
    private func prepareTable(_ table: String, _ names: [String]) -> Bool {
        for name in [table] + names {
            precondition(
                name.utf8.allSatisfy { (97...122).contains($0 | 32) || (48...57).contains($0) || $0 == 95 },
                "\(name) is no name for a table or a field")
        }
        if columns[table] == nil {
            guard run("CREATE TABLE IF NOT EXISTS \"\(table)\" (key TEXT PRIMARY KEY) WITHOUT ROWID") else {
                return false
            }
            columns[table] = Set(texts("SELECT name FROM pragma_table_info('\(table)')"))
        }
        for name in names where columns[table]?.contains(name) == false {
            guard run("ALTER TABLE \"\(table)\" ADD COLUMN \"\(name)\"") else { return false }
            columns[table]?.insert(name)
        }
        return true
    }

    @unsafe private func bind(_ value: Record.Value, to statement: OpaquePointer, _ index: Int32) {
        switch value {
        case .null: unsafe sqlite3_bind_null(statement, index)
        case .bool(let value): unsafe sqlite3_bind_int64(statement, index, value ? 1 : 0)
        case .int(let value): unsafe sqlite3_bind_int64(statement, index, value)
        case .double(let value): unsafe sqlite3_bind_double(statement, index, value)
        case .string(let text): unsafe peernode_bind_text(statement, index, text, Int32(text.utf8.count))
        case .list, .record: preconditionFailure("a row holds texts and numbers, not \(value)")
        }
    }

    // MARK: Reading

    /// At most `limit` rows with keys after `after`, in order. A table that was never written has none.
    func rows(of table: String, after: String?, limit: Int) -> [Row] {
        guard prepareTable(table, []),
            let statement = unsafe statement("SELECT * FROM \"\(table)\" WHERE key > ? ORDER BY key LIMIT ?")
        else { return [] }
        unsafe bind(.string(after ?? ""), to: statement, 1)
        unsafe bind(.int(Int64(limit)), to: statement, 2)
        defer { unsafe sqlite3_reset(statement) }
        var rows: [Row] = []
        while unsafe sqlite3_step(statement) == SQLITE_ROW { unsafe rows.append(row(statement)) }
        return rows
    }

    @unsafe private func row(_ statement: OpaquePointer) -> Row {
        var key = ""
        var record = Record()
        let columns = unsafe sqlite3_column_count(statement)
        for index in 0..<columns {
            let name = unsafe String(cString: sqlite3_column_name(statement, index))
            let value = unsafe value(statement, index)
            if name == "key" {
                if case .string(let text) = value { key = text }
            } else if value != .null {
                record[name] = value
            }
        }
        return Row(key: key, record: record)
    }

    @unsafe private func value(_ statement: OpaquePointer, _ index: Int32) -> Record.Value {
        switch unsafe sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: unsafe .int(sqlite3_column_int64(statement, index))
        case SQLITE_FLOAT: unsafe .double(sqlite3_column_double(statement, index))
        case SQLITE_TEXT: unsafe .string(String(cString: sqlite3_column_text(statement, index)))
        default: .null
        }
    }

    // MARK: Statements

    @discardableResult private func run(_ text: String) -> Bool {
        unsafe sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK
    }

    @unsafe private func step(_ statement: OpaquePointer) -> Int32 {
        defer { unsafe sqlite3_reset(statement) }
        return unsafe sqlite3_step(statement)
    }

    @unsafe private func statement(_ text: String) -> OpaquePointer? {
        if let kept = unsafe statements[text] { return unsafe kept }
        var statement: OpaquePointer?
        guard unsafe sqlite3_prepare_v2(handle, text, -1, &statement, nil) == SQLITE_OK else { return nil }
        unsafe statements[text] = statement
        return unsafe statement
    }

    /// The first column of all rows.
    private func texts(_ query: String) -> [String] {
        var statement: OpaquePointer?
        guard unsafe sqlite3_prepare_v2(handle, query, -1, &statement, nil) == SQLITE_OK else { return [] }
        defer { unsafe sqlite3_finalize(statement) }
        var texts: [String] = []
        while unsafe sqlite3_step(statement) == SQLITE_ROW {
            if let text = unsafe sqlite3_column_text(statement, 0) { unsafe texts.append(String(cString: text)) }
        }
        return texts
    }

    private func text(_ query: String) -> String? { texts(query).first }

    private func number(_ query: String) -> Int { text(query).flatMap { Int($0) } ?? 0 }

    private var lastError: SystemError {
        switch unsafe sqlite3_errcode(handle) {
        case SQLITE_FULL: .noSpace
        case SQLITE_READONLY, SQLITE_PERM: .notPermitted
        case SQLITE_CANTOPEN: .notFound
        default: .other(message)
        }
    }

    /// Copies the database to a new file.
    func backup(to path: String) -> SystemError? {
        guard let statement = unsafe statement("VACUUM INTO ?") else { return lastError }
        unsafe bind(.string(path), to: statement, 1)
        return unsafe step(statement) == SQLITE_DONE ? nil : lastError
    }
}
