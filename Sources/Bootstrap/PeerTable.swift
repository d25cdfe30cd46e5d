internal import PeerCore

/// The peers of a bootstrap server by ID and by endpoint, in arrays that never grow: about 57 octets for each of 60,000
/// peers, everything of the server counted.
struct PeerTable: Sendable {
    /// How an ID stands.
    enum State: UInt8, Sendable {
        /// Nobody has it.
        case free
        /// Nobody gets it yet.
        case resting
        /// Given to a source that has not shown that it is there.
        case provisional
        /// The same, but the source chose the ID: echoing it shows nothing.
        case claimed
        /// Listed, since the endpoint took a TCP connection.
        case probed
        /// Listed, since the source echoes its ID.
        case echoed

        var isListed: Bool { self == .probed || self == .echoed }
        var isProvisional: Bool { self == .provisional || self == .claimed }
    }

    /// What is known of an ID. 32 octets.
    struct Peer: Sendable {
        fileprivate(set) var address = SocketAddress.none
        /// Second in which something is due: expiry, the next probe, the end of the rest.
        var due: UInt32 = 0
        /// Place in `order`.
        fileprivate var place: UInt16 = 0
        /// Neighbours in the queue of provisional IDs.
        fileprivate var older: UInt16 = 0
        fileprivate var newer: UInt16 = 0
        /// Probes that failed in a row; of a provisional ID: probes begun.
        var probes: UInt8 = 0
        var state = State.free
    }

    /// Places of the index by endpoint: twice the IDs, so that chains stay short.
    private static let indexSize = 1 << 17
    /// Counters of hosts and of sites. Two that meet in one counter share its quota: of 1,000 hosts with full quotas,
    /// one newcomer in 130 meets one.
    private static let hostCounters = 1 << 17
    private static let siteCounters = 1 << 16

    private(set) var peers = [Peer](repeating: Peer(), count: 1 << 16)
    /// All IDs: first the listed ones, then the provisional and the resting, last the free ones.
    private var order: [UInt16]
    private(set) var listedCount = 0
    private(set) var provisionalCount = 0
    private var freeStart = 0
    private var index = [UInt16](repeating: 0, count: indexSize)
    private var ofHost = [UInt16](repeating: 0, count: hostCounters)
    private var ofSite = [UInt16](repeating: 0, count: siteCounters)
    private(set) var oldestProvisional: UInt16 = 0
    private var newestProvisional: UInt16 = 0
    private let hash: KeyedHash

    init(hash: KeyedHash) {
        self.hash = hash
        order = Array(1...UInt16.max - 1)
        for (place, id) in order.enumerated() { peers[Int(id)].place = UInt16(place) }
    }

    /// Number of IDs that nobody has and that may be given.
    var freeCount: Int { order.count - freeStart }

    subscript(id: UInt16) -> Peer {
        get { peers[Int(id)] }
        _modify { yield &peers[Int(id)] }
    }

    /// The ID of an endpoint; 0: it has none.
    func id(of address: SocketAddress) -> UInt16 {
        index[slot(of: address)]
    }

    /// IDs of the endpoint's host (IPv4 address or /64), and of its site (/24 or /48).
    func counts(of ip: IPAddress) -> (host: Int, site: Int) {
        (Int(ofHost[hostCounter(ip)]), Int(ofSite[siteCounter(ip)]))
    }
}

// MARK: - Changes

extension PeerTable {
    /// Gives a free ID at random.
    func randomFreeID(using random: inout some RandomNumberGenerator) -> UInt16 {
        order[Int.random(in: freeStart..<order.count, using: &random)]
    }

    /// Gives a free ID to an endpoint that has none.
    mutating func register(_ id: UInt16, _ address: SocketAddress, _ state: State) {
        moveFromFree(id)
        self[id].address = address
        self[id].state = state
        self[id].probes = 0
        index[slot(of: address)] = id
        ofHost[hostCounter(address.ip)] += 1
        ofSite[siteCounter(address.ip)] += 1
        appendProvisional(id)
    }

    /// Lists a provisional ID for others.
    mutating func list(_ id: UInt16, _ state: State) {
        removeProvisional(id)
        self[id].state = state
        self[id].probes = 0
        swapPlaces(Int(self[id].place), listedCount)
        listedCount += 1
    }

    /// Takes an ID from its endpoint; it rests until `makeFree`.
    mutating func release(_ id: UInt16) {
        let peer = self[id]
        if peer.state.isListed {
            listedCount -= 1
            swapPlaces(Int(peer.place), listedCount)
        } else {
            removeProvisional(id)
        }
        removeFromIndex(peer.address)
        ofHost[hostCounter(peer.address.ip)] -= 1
        ofSite[siteCounter(peer.address.ip)] -= 1
        self[id].address = .none
        self[id].state = .resting
    }

    /// Ends the rest of an ID.
    mutating func makeFree(_ id: UInt16) {
        self[id].state = .free
        freeStart -= 1
        swapPlaces(Int(self[id].place), freeStart)
    }

    private mutating func moveFromFree(_ id: UInt16) {
        swapPlaces(Int(self[id].place), freeStart)
        freeStart += 1
    }

    @inline(__always)
    private mutating func swapPlaces(_ a: Int, _ b: Int) {
        let (first, second) = (order[a], order[b])
        order[a] = second
        order[b] = first
        peers[Int(second)].place = UInt16(truncatingIfNeeded: a)
        peers[Int(first)].place = UInt16(truncatingIfNeeded: b)
    }
}

// MARK: - Lists for others

extension PeerTable {
    /// An answer for the owner of `id` (0: nobody) with at most `count` random listed peers, itself left out. The first
    /// places of the listed IDs are shuffled, so nothing is gathered elsewhere and nobody comes twice.
    mutating func populate(_ id: UInt16, entries count: Int, using random: inout ListingRandom) -> [UInt8] {
        let isListed = self[id].state.isListed
        let entries = min(count, listedCount - (isListed ? 1 : 0))
        for place in 0..<min(entries + 1, listedCount) {
            swapPlaces(place, place + random.below(listedCount - place))
        }
        var octets = Populate.room(id: id, entries: entries)
        // Its own entry, when it is among them, is skipped by taking the one more that was shuffled.
        let skipped = isListed ? Int(self[id].place) : .max
        for entry in 0..<entries {
            let other = order[entry >= skipped ? entry + 1 : entry]
            Populate.put(PeerAddress(id: other, address: self[other].address), entry, into: &octets)
        }
        return octets
    }
}

// MARK: - The queue of provisional IDs, oldest first

extension PeerTable {
    private mutating func appendProvisional(_ id: UInt16) {
        self[id].older = newestProvisional
        self[id].newer = 0
        if newestProvisional == 0 { oldestProvisional = id } else { self[newestProvisional].newer = id }
        newestProvisional = id
        provisionalCount += 1
    }

    private mutating func removeProvisional(_ id: UInt16) {
        let (older, newer) = (self[id].older, self[id].newer)
        if older == 0 { oldestProvisional = newer } else { self[older].newer = newer }
        if newer == 0 { newestProvisional = older } else { self[newer].older = older }
        provisionalCount -= 1
    }
}

// MARK: - The index by endpoint: an open hash with linear probing

extension PeerTable {
    private func hostCounter(_ ip: IPAddress) -> Int { Int(hash.ofHost(ip) % UInt64(Self.hostCounters)) }

    private func siteCounter(_ ip: IPAddress) -> Int { Int(hash.ofSite(ip) % UInt64(Self.siteCounters)) }

    private func home(of address: SocketAddress) -> Int { Int(hash(address) % UInt64(Self.indexSize)) }

    /// Where the endpoint stands, or the free place where it would.
    private func slot(of address: SocketAddress) -> Int {
        var slot = home(of: address)
        while index[slot] != 0, peers[Int(index[slot])].address != address { slot = (slot + 1) % Self.indexSize }
        return slot
    }

    /// Empties the place of an endpoint and moves up those behind it that would no longer be found.
    private mutating func removeFromIndex(_ address: SocketAddress) {
        var hole = slot(of: address)
        var slot = hole
        while true {
            slot = (slot + 1) % Self.indexSize
            guard index[slot] != 0 else { break }
            let home = home(of: peers[Int(index[slot])].address)
            // Its search begins at or before the hole when it is at least as far from home as from the hole.
            let fromHome = (slot - home + Self.indexSize) % Self.indexSize
            let fromHole = (slot - hole + Self.indexSize) % Self.indexSize
            guard fromHome >= fromHole else { continue }
            index[hole] = index[slot]
            hole = slot
        }
        index[hole] = 0
    }
}
