internal import PeerCore

/// The inbound handshakes in the order in which they have to make room (decision 15).
struct PendingInbound {
    /// How many there may be.
    struct Room {
        /// From one IPv4 /24 or IPv6 /64.
        let ofPrefix: Int
        let inAll: Int

        init(_ configuration: DDRP.Configuration) {
            ofPrefix = configuration.maxPendingInbound
            inAll = configuration.maxPendingInboundTotal
        }
    }

    private typealias Key = IPPrefix

    /// Oldest first. Those that ended since are skipped when their turn comes.
    private var order: [ConnectionID] = []
    private var first = 0
    private var pending: Set<ConnectionID> = []
    private var byPrefix: [IPPrefix: [ConnectionID]] = [:]

    /// Adds a handshake, and gives those that have to make room with the setting that says so.
    mutating func add(
        _ connection: ConnectionID, from ip: IPAddress, _ room: Room
    ) -> [(connection: ConnectionID, setting: String, value: Int)] {
        var leaving: [(connection: ConnectionID, setting: String, value: Int)] = []
        if let prefix = Self.prefix(of: ip) {
            if let oldest = byPrefix[prefix]?.first, byPrefix[prefix, default: []].count >= room.ofPrefix {
                leaving.append((oldest, "maxPendingInbound", room.ofPrefix))
                remove(oldest, from: ip)
            }
            byPrefix[prefix, default: []].append(connection)
        }
        if pending.count >= room.inAll, let oldest = takeOldest() {
            leaving.append((oldest, "maxPendingInboundTotal", room.inAll))
        }
        pending.insert(connection)
        order.append(connection)
        dropEnded()
        return leaving
    }

    /// Takes out a handshake that has ended.
    mutating func remove(_ connection: ConnectionID, from ip: IPAddress) {
        pending.remove(connection)
        if pending.isEmpty {
            order.removeAll(keepingCapacity: true)
            first = 0
        }
        guard let prefix = Self.prefix(of: ip), var others = byPrefix[prefix] else { return }
        others.removeAll { $0 == connection }
        byPrefix[prefix] = others.isEmpty ? nil : others
    }

    /// Those that ended must not fill memory, not even while there is always one that has not.
    private mutating func dropEnded() {
        guard order.count > 64, order.count > pending.count * 2 else { return }
        order = order[first...].filter(pending.contains)
        first = 0
    }

    private mutating func takeOldest() -> ConnectionID? {
        while first < order.count {
            let oldest = order[first]
            first += 1
            if pending.remove(oldest) != nil { return oldest }
        }
        return nil
    }

    /// What is limited together; nil: nothing is.
    private static func prefix(of ip: IPAddress) -> IPPrefix? {
        ip.isLoopback ? nil : IPPrefix(of: ip, v4: 24, v6: 64)
    }
}
