import AddressBook
import PeerCore
import Testing

/// The rows in which a book outlives the node.
@Suite struct RowTests {
    private func rows(_ book: inout AddressBook) -> [Row] {
        book.takeChanges().compactMap { change in change.record.map { Row(key: change.key, record: $0) } }
    }

    private func filled() -> AddressBook {
        var book = AddressBook(AddressPolicy(allowPrivate: true))
        var random = random()
        let sources: [AddressBook.Source] = [.bootstrap, .peer(id(5)), .inbound, .operatorRequest]
        for (number, source) in sources.enumerated() {
            book.add(publicAddress(number * 2), identity: id(UInt8(number)), from: source, at: moment(0))
            book.add(publicAddress(number * 2 + 1), identity: nil, from: source, at: moment(1))
            book.failed(publicAddress(number * 2 + 1), at: moment(2), using: &random)
        }
        book.addVerified(address("[2a00::1]:9098"), at: moment(3))
        book.note(address("[2a00::1]:9098"), "ddrpd \"0.1\"")
        book.addVerified(address("127.0.0.1"), at: moment(3))
        return book
    }

    @Test func `rows round trip; only the time of the next try is forgotten, and failures are not`() {
        var book = filled()
        let rows = rows(&book)
        var restored = AddressBook(AddressPolicy(allowPrivate: true))
        #expect(restored.restore(rows, at: moment(9)) == rows.count)
        #expect(restored.entries.map(\.record.json) == book.entries.map(\.record.json))
        #expect(restored.entries.map(\.address) == book.entries.map(\.address))
        #expect(restored.drawn(at: moment(9)).count == 2)
        #expect(restored.entries.filter { $0.failures == 1 }.count == 4)
        #expect(restored.takeChanges().isEmpty)
    }

    @Test func `changes are told once, in order, and what left is forgotten`() {
        var book = filled()
        let keys = book.takeChanges().map(\.key)
        #expect(keys.count == 10 && keys == book.entries.map(\.address.description))
        #expect(book.takeChanges().isEmpty)
        book.note(publicAddress(0), "seen")
        book.remove(publicAddress(1))
        let changes = book.takeChanges()
        #expect(changes.map(\.key) == [publicAddress(0), publicAddress(1)].map(\.description))
        #expect(changes[0].record?.string("note") == "seen" && changes[1].record == nil)
    }

    @Test func `a peer that is heard all the time is written once in ten minutes`() {
        var book = filled()
        _ = book.takeChanges()
        let written = (0..<1000).filter { second in
            book.seen(publicAddress(0), at: moment(Double(second * 6)))
            return !book.takeChanges().isEmpty
        }
        #expect(written.count == 10)
        #expect(book[publicAddress(0)]?.lastSeen == moment(999 * 6).wallClock)
    }

    @Test func `bad rows are skipped and will be forgotten; they never stop the node`() {
        var book = filled()
        let good = rows(&book)[0]
        func changed(_ name: String, _ value: Record.Value?) -> Record {
            var record = good.record
            record[name] = value
            return record
        }
        let bad: [(String, Record)] = [
            ("nonsense", good.record), ("8.8.8.8", good.record), ("8.8.8.8:70000", good.record), ("", good.record),
            ("0.0.0.0:9097", good.record), ("192.0.2.1:9097", good.record), ("08.8.8.8:1", good.record),
            ("1.1.1.1:1", [:]), ("1.1.1.2:1", changed("source", "nobody")), ("1.1.1.3:1", changed("source", "peer:12")),
            ("1.1.1.4:1", changed("failures", -1)), ("1.1.1.5:1", changed("successes", .int(.max))),
            ("1.1.1.6:1", changed("verified", "yes")), ("1.1.1.7:1", changed("first_seen", nil)),
            ("1.1.1.8:1", changed("identity", "abc")), ("1.1.1.9:1", changed("failures", 1.5)),
            ("8.8.8.8:00009097", good.record),
        ]
        var restored = AddressBook(AddressPolicy())
        let rows = bad.map { Row(key: $0.0, record: $0.1) } + [good]
        #expect(restored.restore(rows, at: moment(0)) == 1)
        let changes = restored.takeChanges()
        #expect(changes.map(\.key) == bad.map(\.0).sorted() && changes.allSatisfy { $0.record == nil })
    }

    @Test func `what was a seed is one again when the configuration says so`() {
        var book = AddressBook(AddressPolicy())
        for number in 0..<2 { book.add(publicAddress(number), identity: id(1), from: .seed, at: moment(0)) }
        book.succeeded(publicAddress(0), identity: id(1), note: "", at: moment(1))
        let rows = rows(&book)
        for seedsFirst in [true, false] {
            var restored = AddressBook(AddressPolicy())
            if seedsFirst { restored.add(publicAddress(0), identity: id(1), from: .seed, at: moment(9)) }
            #expect(restored.restore(rows, at: moment(9)) == 2)
            if !seedsFirst { restored.add(publicAddress(0), identity: id(1), from: .seed, at: moment(9)) }
            #expect(restored.entries.map(\.source) == [.seed, .operatorRequest])
            #expect(restored.entries.map(\.isVerified) == [true, false])
            #expect(restored.entries.map(\.successes) == [1, 0])
            #expect(restored[publicAddress(0)]?.firstSeen == moment(0).wallClock)
        }
    }

    @Test func `times after now, when the clock was set back, become now`() {
        var book = AddressBook(AddressPolicy())
        book.addVerified(publicAddress(0), at: days(100))
        var restored = AddressBook(AddressPolicy())
        restored.restore(rows(&book), at: days(1))
        #expect(restored[publicAddress(0)]?.lastSuccess == days(1).wallClock)
        restored.expire(at: days(31))
        #expect(restored.count == 0)
    }

    @Test func `stored rows do not make a book larger than its capacity, and verified ones go first`() {
        var book = AddressBook(AddressPolicy())
        for number in 0..<100 { book.add(publicAddress(number), identity: nil, from: .bootstrap, at: moment(0)) }
        for number in 100..<140 { book.addVerified(publicAddress(number), at: moment(0)) }
        var restored = AddressBook(AddressPolicy(), capacity: 50)
        restored.restore(rows(&book), at: moment(0))
        #expect(restored.count == 50)
        #expect(restored.entries.filter(\.isVerified).count == 40)
    }

    @Test func `a long note is cut`() throws {
        var book = AddressBook(AddressPolicy())
        book.addVerified(publicAddress(0), at: moment(0))
        book.note(publicAddress(0), String(repeating: "ä", count: 1000))
        #expect(try #require(book[publicAddress(0)]).note.utf8.count <= 255)
    }
}
