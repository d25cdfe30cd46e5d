import AddressBook
import PeerCore
import Testing

/// When an address is dialled again (DDRP section 12).
@Suite struct BackOffTests {
    private let place = address("8.8.8.8")

    /// The rests after each of many failures, jitter included, from several nodes.
    private func rests(_ source: AddressBook.Source, failures: Int) -> [[Double]] {
        (UInt8(0)..<20).map { seed in
            var random = random(seed)
            var book = AddressBook(AddressPolicy())
            book.add(place, identity: nil, from: source, at: moment(0))
            return (0..<failures).map { _ in book.failed(place, at: moment(0), using: &random).fractionalSeconds }
        }
    }

    private func check(_ rests: [[Double]], against expected: [Double]) {
        for (index, rest) in expected.enumerated() {
            let found = rests.map { $0[index] }
            #expect(found.allSatisfy { $0 >= rest * 0.8 && $0 <= rest * 1.2 }, "failure \(index + 1): \(found)")
            #expect(Set(found).count > 1, "no jitter after failure \(index + 1)")
        }
    }

    @Test func `a failed address rests 1 min, 4 min, 16 min, 1 h, then an hour each time`() {
        check(rests(.bootstrap, failures: 6), against: [60, 240, 960, 3600, 3600, 3600])
    }

    @Test func `a seed rests 5 s, doubling to 10 min`() {
        check(rests(.seed, failures: 10), against: [5, 10, 20, 40, 80, 160, 320, 600, 600, 600])
    }

    @Test func `each address rests alone, and is a candidate again when its time has come`() throws {
        var book = AddressBook(AddressPolicy())
        var random = random()
        let other = address("9.9.9.9")
        for address in [place, other] { book.add(address, identity: nil, from: .bootstrap, at: moment(0)) }
        let rest = book.failed(place, at: moment(0), using: &random)
        #expect(book.drawn(at: moment(1)) == [other])
        #expect(book.nextTry(after: moment(1).instant, excluding: { _ in false }) == moment(1).instant)
        let due = try #require(book.nextTry(after: moment(1).instant, excluding: { $0.address == other }))
        #expect(due == moment(0).instant + rest)
        #expect(book.drawn(at: Moment(instant: due, wallClock: moment(0).wallClock)) == [place, other])
    }

    @Test func `a success begins the back-off anew and makes the entry verified and due`() throws {
        var book = AddressBook(AddressPolicy())
        var random = random()
        book.add(place, identity: id(1), from: .bootstrap, at: moment(0))
        for _ in 0..<5 { book.failed(place, at: moment(0), using: &random) }
        book.succeeded(place, identity: id(2), note: "agent", at: moment(5))
        let entry = try #require(book[place])
        #expect((entry.failures, entry.successes, entry.isVerified) == (0, 1, true))
        #expect((entry.identity, entry.note) == (id(2), "agent"))
        #expect(entry.lastSuccess == moment(5).wallClock && entry.lastSeen == moment(5).wallClock)
        #expect(book.drawn(at: moment(5)) == [place])
        #expect(book.failed(place, at: moment(5), using: &random) <= .seconds(72))
    }

    @Test func `an address that is being dialled, or was postponed, is no candidate`() {
        var book = AddressBook(AddressPolicy())
        book.add(place, identity: nil, from: .bootstrap, at: moment(0))
        book.attempted(place, at: moment(0))
        #expect(book.drawn(at: moment(1)).isEmpty)
        book.postpone(place, until: moment(3).instant)
        #expect(book.drawn(at: moment(2)).isEmpty)
        #expect(book.drawn(at: moment(3)) == [place])
    }

    @Test func `after a gap in time all back-off is forgotten`() {
        var book = AddressBook(AddressPolicy())
        var random = random()
        for number in 0..<10 {
            let address = publicAddress(number * 40)
            book.add(address, identity: nil, from: .bootstrap, at: moment(0))
            for _ in 0..<number { book.failed(address, at: moment(0), using: &random) }
        }
        book.forgetBackOff()
        #expect(book.drawn(at: moment(0)).count == 10)
        #expect(book.failed(publicAddress(9 * 40), at: moment(0), using: &random) <= .seconds(72))
    }

    @Test func `an address leaves after 30 days without a sign of life, but a seed never`() {
        var book = AddressBook(AddressPolicy())
        let (heard, silent, hearsay, seed) = (publicAddress(0), publicAddress(1), publicAddress(2), publicAddress(3))
        book.addVerified(heard, at: days(0))
        book.addVerified(silent, at: days(0))
        book.add(hearsay, identity: nil, from: .bootstrap, at: days(0))
        book.add(seed, identity: nil, from: .seed, at: days(0))
        book.seen(heard, at: days(20))
        book.add(hearsay, identity: nil, from: .peer(id(3)), at: days(20))
        book.expire(at: days(29.9))
        #expect(book.count == 4)
        book.expire(at: days(30))
        #expect(book.entries.map(\.address) == [heard, seed])
        book.expire(at: days(50))
        #expect(book.entries.map(\.address) == [seed])
    }
}
