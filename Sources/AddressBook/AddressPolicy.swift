public import PeerCore

/// Which addresses a book takes.
public struct AddressPolicy: Hashable, Sendable {
    /// Whether loopback and private ranges are taken from strangers (`allowPrivateAddresses`, DDRP section 11).
    public var allowPrivate: Bool
    /// Addresses that are this node: where it listens, and where it once met itself.
    public var own: Set<SocketAddress>
    /// Hosts that are this node whatever the port.
    public var ownIPs: Set<IPAddress>
    /// Blocks that the operator keeps out.
    public var denied: [IPPrefix]
    /// The only port that is taken from peers; nil: any (`standardPort`, DDRP section 11). It does not bind the
    /// operator, nor a bootstrap server, which has seen the port itself.
    public var standardPort: UInt16?

    /// A policy.
    public init(
        allowPrivate: Bool = false, own: Set<SocketAddress> = [], ownIPs: Set<IPAddress> = [],
        denied: [IPPrefix] = [], standardPort: UInt16? = nil
    ) {
        self.allowPrivate = allowPrivate
        self.own = own
        self.ownIPs = ownIPs
        self.denied = denied
        self.standardPort = standardPort
    }

    /// Why `address` is not taken from `source`; nil: it is taken.
    public func refusal(of address: SocketAddress, from source: AddressBook.Source) -> AddressBook.Refusal? {
        let ip = address.ip
        if address.port == 0 || ip.isUnspecified || ip.isMulticast || ip.isBroadcast { return .unusable }
        if own.contains(address) || ownIPs.contains(ip) { return .own }
        if denied.contains(where: { $0.contains(ip) }) { return .denied }
        return source.isTrusted ? nil : strangersRefusal(of: address, from: source)
    }

    private func strangersRefusal(
        of address: SocketAddress, from source: AddressBook.Source
    ) -> AddressBook.Refusal? {
        if address.ip.isLoopback || address.ip.isPrivate {
            if !allowPrivate { return .privateRange }
        } else if address.ip.isReserved {
            return .reserved
        }
        if let standardPort, standardPort != address.port, source != .bootstrap { return .port }
        return nil
    }
}
