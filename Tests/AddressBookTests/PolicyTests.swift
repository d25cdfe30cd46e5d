import AddressBook
import PeerCore
import Testing

/// Which addresses are taken (DDRP section 11, "Using an answer").
@Suite struct PolicyTests {
    private static let strangers: [AddressBook.Source] = [.bootstrap, .peer(id(1)), .inbound]
    private static let trusted: [AddressBook.Source] = [.seed, .operatorRequest]

    private func addition(
        _ text: String, from source: AddressBook.Source, _ policy: AddressPolicy = AddressPolicy()
    ) -> AddressBook.Addition {
        var book = AddressBook(policy)
        return book.add(address(text), identity: nil, from: source, at: moment(0))
    }

    @Test func `a public address is taken from everybody`() {
        for text in ["8.8.8.8", "[2a00:1450::1]:9097"] {
            for source in Self.strangers + Self.trusted { #expect(addition(text, from: source) == .added, "\(text)") }
        }
    }

    @Test func `loopback and private ranges are taken from strangers only if they are allowed`() {
        let allowing = AddressPolicy(allowPrivate: true)
        for text in [
            "127.0.0.2", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[::1]:9097", "[fd00::1]:9097",
        ] {
            for source in Self.strangers {
                #expect(addition(text, from: source) == .refused(.privateRange), "\(text)")
                #expect(addition(text, from: source, allowing) == .added, "\(text)")
            }
            for source in Self.trusted { #expect(addition(text, from: source) == .added, "\(text)") }
        }
    }

    @Test func `nobody can name an address where nobody can be, whatever is allowed`() {
        let allowing = AddressPolicy(allowPrivate: true)
        for text in ["0.0.0.0", "[::]:9097", "224.0.0.1", "[ff02::1]:9097", "255.255.255.255", "8.8.8.8:0"] {
            for source in Self.strangers + Self.trusted {
                #expect(addition(text, from: source, allowing) == .refused(.unusable), "\(text)")
            }
        }
    }

    @Test func `reserved addresses are never taken from strangers`() {
        let allowing = AddressPolicy(allowPrivate: true)
        for text in [
            "0.1.2.3", "169.254.1.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "240.0.0.1",
            "[fe80::1]:9097", "[2001:db8::1]:9097",
        ] {
            for source in Self.strangers {
                #expect(addition(text, from: source, allowing) == .refused(.reserved), "\(text)")
            }
        }
    }

    @Test func `own and denied addresses are taken from nobody`() {
        let policy = AddressPolicy(
            own: [address("8.8.8.8")], ownIPs: [address("9.9.9.9").ip],
            denied: [IPPrefix("5.0.0.0/8")].compactMap { $0 })
        for source in Self.strangers + Self.trusted {
            #expect(addition("8.8.8.8", from: source, policy) == .refused(.own))
            #expect(addition("8.8.8.8:1", from: source, policy) == .added)
            #expect(addition("9.9.9.9:1", from: source, policy) == .refused(.own))
            #expect(addition("5.6.7.8", from: source, policy) == .refused(.denied))
        }
    }

    @Test func `peers tell addresses with the standard port only`() {
        let policy = AddressPolicy(standardPort: 9097)
        let expected: [(AddressBook.Source, AddressBook.Addition)] = [
            (.peer(id(1)), .refused(.port)), (.inbound, .refused(.port)), (.bootstrap, .added), (.seed, .added),
            (.operatorRequest, .added),
        ]
        for (source, addition) in expected {
            #expect(self.addition("8.8.8.8:9098", from: source, policy) == addition, "\(source)")
            #expect(self.addition("8.8.8.8:9097", from: source, policy) == .added, "\(source)")
        }
    }

    @Test func `a new policy takes out what it refuses`() {
        var book = AddressBook(AddressPolicy(allowPrivate: true))
        book.addVerified(address("10.0.0.1"), at: moment(0))
        book.add(address("10.0.0.2"), identity: nil, from: .seed, at: moment(0))
        book.addVerified(address("8.8.8.8"), at: moment(0))
        book.addVerified(address("9.9.9.9"), at: moment(0))
        book.policy.allowPrivate = false
        book.policy.own = [address("9.9.9.9")]
        #expect(book.entries.map(\.address) == [address("8.8.8.8"), address("10.0.0.2")])
    }
}
