public import PeerCore

/// Where a peer is dialled, and who must answer there: a seed of the configuration (`ID@IP` or `IP`, DDRP section 12),
/// or what the operator asks to connect to, where a host name is allowed too. The port may follow the host.
public struct PeerLocator: Hashable, Sendable {
    /// The peer ID that must be proven there; nil: whoever answers.
    public let identity: Bytes32?
    /// Host and port.
    public let destination: Destination

    init(identity: Bytes32?, destination: Destination) {
        self.identity = identity
        self.destination = destination
    }

    /// The place told by `text`: `[ID@]host[:port]`, without a port `standardPort` is meant; nil when it is anything
    /// else.
    public init?(_ text: some StringProtocol, standardPort: UInt16) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        var place = parts[0]
        if parts.count == 2 {
            guard let identity = Bytes32(hex: String(parts[0])) else { return nil }
            self.identity = identity
            place = parts[1]
        } else {
            identity = nil
        }
        if let ip = IPAddress(place) {
            destination = .address(SocketAddress(ip, standardPort))
        } else if let destination = Destination(place) ?? Destination("\(place):\(standardPort)") {
            self.destination = destination
        } else {
            return nil
        }
    }

    /// The address, unless a host name stands there.
    var address: SocketAddress? { destination.address }

    /// What is wrong with a seed of the configuration, nil when nothing is.
    static func problemOfSeed(_ text: String) -> String? {
        guard let locator = PeerLocator(text, standardPort: PeerEntry.standardPort) else {
            return "expected an IP address, IP:port, or 64 hexadecimal digits, @ and one of these"
        }
        return locator.address == nil ? "a seed is an IP address; host names belong in dnsSeeds" : nil
    }
}

extension Destination {
    /// The address, unless a host name stands there. Not inlined: the optimiser of Swift 6.3.1 breaks off otherwise.
    @inline(never) fileprivate var address: SocketAddress? {
        if case .address(let address) = self { address } else { nil }
    }
}
