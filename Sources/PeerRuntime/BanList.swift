public import PeerCore

/// Why and how long a block of addresses is kept away.
public struct Ban: Hashable, Sendable {
    /// The end of the ban.
    public let until: WallClock
    /// Words for the operator.
    public let reason: String

    /// A ban.
    public init(until: WallClock, reason: String) {
        self.until = until
        self.reason = reason
    }
}

/// Blocks of addresses that all protocols keep away.
public final class BanList {
    private var bans: [IPPrefix: Ban] = [:]
    /// How many bans there are of each length, so that a look-up tries only lengths that occur.
    private var lengths: [PrefixLength: Int] = [:]

    private struct PrefixLength: Hashable {
        let isV4: Bool
        let length: Int

        init(_ prefix: IPPrefix) {
            isV4 = prefix.base.v4 != nil
            length = prefix.length
        }
    }

    /// No bans.
    public init() {}

    /// All bans, ended ones too, in order.
    public var all: [(prefix: IPPrefix, ban: Ban)] {
        bans.map { ($0.key, $0.value) }.sorted {
            ($0.prefix.base, $0.prefix.length) < ($1.prefix.base, $1.prefix.length)
        }
    }

    /// Whether there are none, ended ones counted.
    var isEmpty: Bool { lengths.isEmpty }

    /// The ban of exactly this block.
    public subscript(prefix: IPPrefix) -> Ban? {
        get { bans[prefix] }
        set {
            let had = bans[prefix] != nil
            bans[prefix] = newValue
            let change = (newValue == nil ? 0 : 1) - (had ? 1 : 0)
            let count = lengths[PrefixLength(prefix), default: 0] + change
            lengths[PrefixLength(prefix)] = count == 0 ? nil : count
        }
    }

    /// The ban that keeps `address` away at `now`.
    public func ban(of address: IPAddress, at now: WallClock) -> (prefix: IPPrefix, ban: Ban)? {
        guard !lengths.isEmpty else { return nil }
        let isV4 = address.v4 != nil
        for length in lengths.keys where length.isV4 == isV4 {
            let prefix = IPPrefix(address, length: length.length)
            if let ban = bans[prefix], ban.until > now { return (prefix, ban) }
        }
        return nil
    }

    /// Takes out the bans that have ended and gives their blocks.
    public func removeEnded(at now: WallClock) -> [IPPrefix] {
        let ended = bans.filter { $0.value.until <= now }.map(\.key)
        for prefix in ended { self[prefix] = nil }
        return ended
    }
}
