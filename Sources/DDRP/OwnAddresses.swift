internal import AddressBook
internal import PeerCore

/// The addresses at which this node would meet itself.
struct OwnAddresses {
    /// Addresses at which we met ourselves that are remembered.
    static let capacity = 256

    /// Those of the machine.
    var interfaces: [IPAddress] = []
    /// Where we listen.
    var listener: SocketAddress?
    /// Where a dial led to ourselves.
    var met: Set<SocketAddress> = []

    /// All of them.
    var all: Set<SocketAddress> {
        guard let listener else { return met }
        let hosts = listener.ip.isUnspecified ? interfaces : [listener.ip]
        return met.union(hosts.map { SocketAddress($0, listener.port) })
    }

    func contains(_ address: SocketAddress) -> Bool {
        guard let listener else { return met.contains(address) }
        if met.contains(address) { return true }
        guard address.port == listener.port else { return false }
        return listener.ip.isUnspecified ? interfaces.contains(address.ip) : address.ip == listener.ip
    }

    /// What we tell a peer that sees us as `local` of where we listen (text dialect only); nil when we do not.
    func external(seenAs local: IPAddress) -> SocketAddress? {
        listener.map { SocketAddress($0.ip.isUnspecified ? local : $0.ip, $0.port) }
    }
}

extension DDRP {
    private static let selfTable = "ddrp_self"

    /// Keeps our own addresses out of the book, and so from being dialled.
    mutating func adoptOwnAddresses() {
        book.policy.own = own.all
    }

    /// A dial led to ourselves: once is enough.
    mutating func rememberOwn(_ address: SocketAddress, into effects: inout Effects) {
        guard own.met.count < OwnAddresses.capacity, own.met.insert(address).inserted else { return }
        adoptOwnAddresses()
        effects.append(.remember(table: Self.selfTable, key: address.description, ["met": .time(clock.wallClock)]))
    }

    mutating func recallOwnAddresses(into effects: inout Effects) {
        effects.append(.recall(table: Self.selfTable, after: nil, limit: OwnAddresses.capacity))
    }

    /// Rows of a table of ours came; false: of another one.
    mutating func recalledOwnAddresses(_ rows: [Row], of table: String) -> Bool {
        guard table == Self.selfTable else { return false }
        own.met.formUnion(rows.compactMap { SocketAddress($0.key) })
        adoptOwnAddresses()
        return true
    }
}
