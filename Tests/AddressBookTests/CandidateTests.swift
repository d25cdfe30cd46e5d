import AddressBook
import PeerCore
import Testing

/// Whom to dial, and whom to tell others of.
@Suite struct CandidateTests {
    private func book(_ texts: [String], from source: AddressBook.Source = .bootstrap) -> AddressBook {
        var book = AddressBook(AddressPolicy(allowPrivate: true))
        for text in texts { book.add(address(text), identity: nil, from: source, at: moment(0)) }
        return book
    }

    private func groups(_ texts: [String]) -> Set<IPPrefix> {
        Set(texts.compactMap { AddressBook.group(of: address($0).ip) })
    }

    @Test func `a group is a /16 of IPv4, a /32 of IPv6; loopback and private ranges have none`() {
        let expected: [(String, String?)] = [
            ("8.8.1.2", "8.8.0.0/16"), ("[2a00:1450:4001::1]:1", "2a00:1450::/32"), ("127.0.0.1", nil),
            ("10.0.0.1", nil),
            ("192.168.0.1", nil), ("[::1]:1", nil), ("[fd00::1]:1", nil),
        ]
        for (text, group) in expected {
            #expect(AddressBook.group(of: address(text).ip)?.description == group, "\(text)")
        }
    }

    @Test func `no second connection into a group while there is a choice`() {
        let book = book(["8.8.1.1", "8.8.2.2", "9.9.1.1", "[2a00:1450:1::1]:1", "[2a00:1450:2::1]:1"])
        let taken = groups(["8.8.9.9", "[2a00:1450::]:1"])
        #expect(book.drawn(at: moment(0), groups: taken) == [address("9.9.1.1")])
        let all = groups(["8.8.9.9", "[2a00:1450::]:1", "9.9.9.9"])
        #expect(book.drawn(at: moment(0), groups: all).count == 5)
    }

    @Test func `a verified entry of a group that is taken waits for an unverified one of another group`() {
        var book = book(["9.9.1.1"])
        book.addVerified(address("8.8.1.1"), at: moment(0))
        #expect(book.drawn(at: moment(0), groups: groups(["8.8.2.2"])) == [address("9.9.1.1")])
    }

    @Test func `loopback and private addresses may be dialled as often as there are any`() {
        let book = book(["127.0.0.1", "127.0.0.2", "10.0.0.1"])
        #expect(book.drawn(at: moment(0), groups: groups(["127.0.0.3", "10.0.0.2"])).count == 3)
    }

    @Test func `seeds and verified entries come first`() {
        var book = book((0..<50).map { publicAddress($0).description })
        book.addVerified(address("8.8.8.8"), at: moment(0))
        book.add(address("9.9.9.9"), identity: nil, from: .seed, at: moment(0))
        #expect(book.drawn(at: moment(0)) == [address("8.8.8.8"), address("9.9.9.9")])
    }

    @Test func `many addresses of one group weigh no more than one of another`() {
        var book = book((1...200).map { "8.8.\($0).1" } + ["9.9.1.1"])
        var random = random()
        let lonely = (0..<200).filter { _ in
            let entry = book.candidate(at: moment(0).instant, groups: [], excluding: { _ in false }, using: &random)
            return entry?.address == address("9.9.1.1")
        }
        #expect((60...140).contains(lonely.count), "\(lonely.count) of 200")
    }

    @Test func `every equal has its turn`() {
        let book = book((0..<20).map { publicAddress($0 * 40).description })
        #expect(book.drawn(at: moment(0)).count == 20)
    }

    @Test func `what is excluded is neither a candidate nor counted`() throws {
        var book = book(["8.8.8.8", "9.9.9.9"])
        var random = random()
        #expect(book.drawn(at: moment(0), excluding: { $0.address == address("8.8.8.8") }) == [address("9.9.9.9")])
        #expect(book.drawn(at: moment(0), excluding: { _ in true }).isEmpty)
        #expect(book.hasCandidates { $0.address == address("8.8.8.8") })
        #expect(!book.hasCandidates { _ in true })
        #expect(book.nextTry(after: moment(0).instant, excluding: { _ in true }) == nil)
        let rest = book.failed(address("9.9.9.9"), at: moment(0), using: &random)
        let next = book.nextTry(after: moment(0).instant) { $0.address == address("8.8.8.8") }
        #expect(next == moment(0).instant + rest)
    }

    @Test func `an empty book has nobody`() {
        let book = book([])
        #expect(book.drawn(at: moment(0)).isEmpty)
        #expect(!book.hasCandidates { _ in false })
        #expect(book.nextTry(after: moment(0).instant, excluding: { _ in false }) == nil)
        #expect(book[address("8.8.8.8")] == nil)
    }

    @Test func `a sample has the verified entries first, in random order, and none that is excluded`() {
        var book = AddressBook(AddressPolicy())
        var random = random()
        for number in 0..<30 {
            if number < 10 {
                book.addVerified(publicAddress(number), at: moment(0))
            } else {
                book.add(publicAddress(number), identity: nil, from: .bootstrap, at: moment(0))
            }
        }
        let samples = (0..<10).map { _ in
            book.sample(20, excluding: { $0.address == publicAddress(3) }, using: &random).map(\.address)
        }
        for sample in samples {
            #expect(Set(sample).count == 20 && !sample.contains(publicAddress(3)))
            #expect(Set(sample.prefix(9)) == Set((0..<10).filter { $0 != 3 }.map(publicAddress)))
        }
        #expect(Set(samples).count == 10)
        #expect(book.sample(100, excluding: { _ in false }, using: &random).count == 30)
    }

    @Test func `the operator's word makes a known address a seed, and his peer ID counts`() throws {
        var book = book(["8.8.8.8"], from: .peer(id(1)))
        #expect(book.add(address("8.8.8.8"), identity: id(2), from: .peer(id(3)), at: moment(1)) == .known)
        #expect(book.add(address("8.8.8.8"), identity: id(4), from: .peer(id(3)), at: moment(1)) == .known)
        #expect(book[address("8.8.8.8")]?.identity == id(2))
        book.add(address("8.8.8.8"), identity: id(5), from: .seed, at: moment(1))
        let entry = try #require(book[address("8.8.8.8")])
        #expect(entry.source == .seed && entry.identity == id(5) && entry.firstSeen == moment(0).wallClock)
        book.add(address("8.8.8.8"), identity: nil, from: .operatorRequest, at: moment(1))
        #expect(book[address("8.8.8.8")]?.source == .seed)
    }
}
