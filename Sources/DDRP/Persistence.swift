internal import AddressBook
internal import PeerCore

// MARK: - The book's rows

extension DDRP {
    private static let bookTable = "ddrp_book"
    /// Rows that are read at a time, so that a large book does not hold up anything.
    private static let pageRows = 1000
    /// From a change to its row: what changes together is committed together.
    static let saveDelay: Duration = .milliseconds(250)
    /// How often what is outdated leaves the book.
    static let upkeepInterval: Duration = .seconds(3600)

    mutating func recallBook(after key: String?, into effects: inout Effects) {
        effects.append(.recall(table: Self.bookTable, after: key, limit: Self.pageRows))
    }

    mutating func recalled(
        _ rows: [Row], of table: String, more: Bool, at now: Moment, into effects: inout Effects
    ) {
        if recalledOwnAddresses(rows, of: table) { return }
        guard table == Self.bookTable else { return }
        book.restore(rows, at: now)
        if more, let last = rows.last {
            recallBook(after: last.key, into: &effects)
        } else {
            bookIsRecalled(at: now, into: &effects)
        }
    }

    /// Everything that was saved is there: dialling may begin, the configured seeds first.
    mutating func bookIsRecalled(at now: Moment, into effects: inout Effects) {
        guard !life.isBookRecalled else { return }
        life.isBookRecalled = true
        life.needsSettling = true
        addSeeds(at: now)
        resolveNames(at: now, into: &effects)
        effects.log(.debug, "book_recalled", ["known": .count(book.count)])
    }

    /// Writes the rows that have changed, and says so. The host writes the line when they are on the disk.
    mutating func save(at now: Moment, into effects: inout Effects) {
        let changes = book.takeChanges()
        guard !changes.isEmpty else { return }
        var remembered = 0
        for (key, record) in changes {
            if let record {
                remembered += 1
                effects.append(.remember(table: Self.bookTable, key: key, record))
            } else {
                effects.append(.forget(table: Self.bookTable, key: key))
            }
        }
        effects.log(
            .info, "book_saved",
            [
                "rows": .count(remembered), "forgotten": .count(changes.count - remembered),
                "known": .count(book.count),
            ])
    }

    /// Once an hour: who is connected was seen, what is outdated leaves.
    mutating func keepUp(at now: Moment) {
        timers.set(.upkeep, at: now.instant + Self.upkeepInterval)
        for connection in links.keys.sorted() {
            if let address = links[connection]?.listens { book.seen(address, at: now) }
        }
        book.expire(at: now)
        denials.removeEnded(at: now.instant)
        life.needsSettling = true
    }
}
