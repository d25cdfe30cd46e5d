internal import PeerCore

/// The durable rows of one node. They outlive its process.
struct RowStore {
    private struct Table {
        var records: [String: Record] = [:]
        /// Keys in the order of their octets, as SQLite compares them; nil when it must be made anew.
        var sortedKeys: [String]?
    }

    private var tables: [String: Table] = [:]

    /// Writes a row, or removes it when `record` is nil.
    mutating func set(_ table: String, _ key: String, _ record: Record?) {
        let old = tables[table, default: Table()].records[key]
        tables[table, default: Table()].records[key] = record.map(Self.stored)
        if (old == nil) != (record == nil) { tables[table]?.sortedKeys = nil }
    }

    /// Rows with keys after `after`, `limit` at most.
    mutating func rows(_ table: String, after: String?, limit: Int) -> (rows: [Row], more: Bool) {
        let records = tables[table]?.records ?? [:]
        let keys = tables[table]?.sortedKeys ?? records.keys.sorted(by: Self.isBefore)
        tables[table]?.sortedKeys = keys
        var start = 0
        if let after { start = keys.partitioningIndex { Self.isBefore(after, $0) } }
        let page = keys[start...].prefix(max(0, limit))
        let rows = page.compactMap { key in records[key].map { Row(key: key, record: $0) } }
        return (rows, start + page.count < keys.count)
    }

    private static func isBefore(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

    /// A column holds texts and numbers; a truth value comes back as 0 or 1.
    private static func stored(_ record: Record) -> Record {
        var result = record
        for field in record.fields {
            if case .bool(let value) = field.value { result[field.name] = .int(value ? 1 : 0) }
        }
        return result
    }
}

extension Array {
    /// The first index whose element belongs to the second part, when all elements of the first part stand before it.
    fileprivate func partitioningIndex(_ belongsToSecond: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if belongsToSecond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
