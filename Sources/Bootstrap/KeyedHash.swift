internal import PeerCore

/// Hashes of addresses under a secret, so that nobody can choose addresses that meet in one place of a table.
///
/// Two rounds of 64 by 64 bit multiplication with the halves of the product folded together; the key comes from the
/// core's seed, so a replay meets the same places.
struct KeyedHash: Sendable {
    private let first: UInt64
    private let second: UInt64
    /// The odd constant of the second round: the golden ratio, as any with mixed bits would do.
    private static let multiplier: UInt64 = 0x9e37_79b9_7f4a_7c15

    init(using random: inout some RandomNumberGenerator) {
        first = random.next()
        second = random.next()
    }

    /// Of an endpoint.
    @inline(__always)
    func callAsFunction(_ address: SocketAddress) -> UInt64 {
        hash(address.ip.high ^ UInt64(address.port) << 16, address.ip.low)
    }

    /// Of an IPv4 address or the /64 of an IPv6 one: what one host has.
    @inline(__always)
    func ofHost(_ ip: IPAddress) -> UInt64 {
        ip.high == 0 ? hash(0, ip.low) : hash(ip.high, 0)
    }

    /// Of the /24 of an IPv4 address or the /48 of an IPv6 one: what one site has.
    @inline(__always)
    func ofSite(_ ip: IPAddress) -> UInt64 {
        // The lengths tell these blocks from the hosts above.
        ip.high == 0 ? hash(24, ip.low & ~0xff) : hash(ip.high & ~0xffff, 48)
    }

    @inline(__always)
    private func hash(_ high: UInt64, _ low: UInt64) -> UInt64 {
        let once = Self.fold(high ^ first, low ^ second)
        return Self.fold(once ^ first, Self.multiplier)
    }

    @inline(__always)
    private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }
}

/// A fast stream of random numbers (SplitMix64) for choices that need not be kept secret: who is told of whom.
struct ListingRandom: Sendable {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    /// A number below `bound`, which is at most 65536; the bias of the product is below 2^-16.
    @inline(__always)
    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return Int(((mixed >> 32) &* UInt64(bound)) >> 32)
    }
}
