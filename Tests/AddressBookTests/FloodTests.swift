import AddressBook
import PeerCore
import Testing

/// The book is bounded, and a flood of addresses does not wash out what is worth keeping.
@Suite struct FloodTests {
    private let capacity = 200

    @Test func `a flood from any number of strangers pushes out no verified entry, seed or request`() {
        var book = AddressBook(AddressPolicy(), capacity: capacity)
        let verified = (0..<50).map(publicAddress)
        for address in verified { book.addVerified(address, at: moment(0)) }
        book.add(publicAddress(50), identity: nil, from: .seed, at: moment(0))
        book.add(publicAddress(51), identity: nil, from: .operatorRequest, at: moment(0))
        for number in 100..<5000 {
            let source: AddressBook.Source = number % 3 == 0 ? .inbound : .peer(id(UInt8(number % 200)))
            book.add(publicAddress(number), identity: nil, from: source, at: moment(1))
            #expect(book.count <= capacity)
        }
        #expect(book.count == capacity)
        #expect((0..<52).allSatisfy { book[publicAddress($0)] != nil })
    }

    @Test func `one peer has at most a twentieth of the book, and replaces its own entries`() {
        var book = AddressBook(AddressPolicy(), capacity: capacity)
        for number in 0..<30 { book.add(publicAddress(number), identity: nil, from: .peer(id(1)), at: moment(0)) }
        for number in 100..<1000 {
            #expect(book.add(publicAddress(number), identity: nil, from: .peer(id(2)), at: moment(1)) == .added)
        }
        let entries = book.entries
        #expect(entries.filter { $0.source == .peer(id(1)) }.count == capacity / 20)
        #expect(entries.filter { $0.source == .peer(id(2)) }.count == capacity / 20)
        #expect(book[publicAddress(999)] != nil)
    }

    @Test func `bootstrap servers and diallers have at most a quarter each`() {
        for source in [AddressBook.Source.bootstrap, .inbound] {
            var book = AddressBook(AddressPolicy(), capacity: capacity)
            for number in 0..<1000 { book.add(publicAddress(number), identity: nil, from: source, at: moment(0)) }
            #expect(book.count == capacity / 4, "\(source)")
        }
    }

    @Test func `a verified entry no longer counts in its source's quota`() {
        var book = AddressBook(AddressPolicy(), capacity: capacity)
        for number in 0..<100 {
            book.add(publicAddress(number), identity: nil, from: .peer(id(1)), at: moment(0))
            book.succeeded(publicAddress(number), identity: id(9), note: "", at: moment(0))
        }
        #expect(book.count == 100)
    }

    @Test func `who failed most often makes room first`() {
        var book = AddressBook(AddressPolicy(), capacity: 4)
        var random = random()
        for number in 0..<4 {
            book.add(publicAddress(number), identity: nil, from: .peer(id(UInt8(number))), at: moment(0))
        }
        for _ in 0..<3 { book.failed(publicAddress(2), at: moment(0), using: &random) }
        book.failed(publicAddress(1), at: moment(0), using: &random)
        book.add(publicAddress(10), identity: nil, from: .peer(id(10)), at: moment(1))
        #expect(book.entries.map(\.address) == [0, 1, 3, 10].map(publicAddress))
    }

    @Test func `a book full of verified entries takes no stranger's address, but the operator's`() {
        var book = AddressBook(AddressPolicy(), capacity: capacity)
        for number in 0..<capacity { book.addVerified(publicAddress(number), from: .peer(id(1)), at: moment(0)) }
        #expect(book.add(publicAddress(1000), identity: nil, from: .peer(id(2)), at: moment(1)) == .refused(.full))
        #expect(book.add(publicAddress(1001), identity: nil, from: .seed, at: moment(1)) == .added)
        #expect(book.add(publicAddress(1002), identity: nil, from: .operatorRequest, at: moment(1)) == .added)
        #expect(book.count == capacity + 2)
    }

    /// Random use, compared with what a search through all entries finds.
    @Test func `candidates and times are those that a search through the whole book finds`() {
        var book = AddressBook(AddressPolicy(), capacity: 60)
        var random = random()
        func draw(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
        for step in 0..<1500 {
            let now = moment(Double(step * 3))
            let place = publicAddress(draw(100) * 7)
            switch draw(8) {
            case 0, 1: book.add(place, identity: nil, from: .peer(id(UInt8(draw(30)))), at: now)
            case 2: book.add(place, identity: nil, from: draw(20) == 0 ? .seed : .bootstrap, at: now)
            case 3: book.failed(place, at: now, using: &random)
            case 4: if book[place] != nil { book.succeeded(place, identity: id(1), note: "", at: now) }
            case 5: if draw(4) == 0 { book.remove(place) }
            case 6: book.postpone(place, until: now.instant + .seconds(draw(300)))
            default: if draw(100) == 0 { book.forgetBackOff() }
            }
            let excluded = draw(3)
            let excludes = { (entry: AddressBook.Entry) in excluded == 0 && entry.address.ip.low % 2 == 0 }
            let all = book.entries
            let good = all.filter { !excludes($0) }
            let due = good.filter { $0.nextTry <= now.instant }
            let next = good.map { max(now.instant, $0.nextTry) }.min()
            let candidate = book.candidate(at: now.instant, groups: [], excluding: excludes, using: &random)
            let isAsFound =
                all.count == book.count && book.hasCandidates(excluding: excludes) == !good.isEmpty
                && book.nextTry(after: now.instant, excluding: excludes) == next
                && (candidate.map { found in due.contains { $0.address == found.address } } ?? due.isEmpty)
            guard isAsFound else {
                Issue.record("step \(step): \(String(describing: candidate)), \(due.count) due")
                return
            }
        }
    }
}
