/// An IP address and a port: one end of a connection or of a datagram.
public struct SocketAddress: Hashable, Sendable {
    /// The host.
    public var ip: IPAddress
    /// The TCP or UDP port.
    public var port: UInt16

    /// Port `port` of host `ip`.
    public init(_ ip: IPAddress, _ port: UInt16) {
        self.ip = ip
        self.port = port
    }

    /// Stands for an end that has no IP address: the Unix socket of the operator.
    public static let none = SocketAddress(.anyV6, 0)
}

extension SocketAddress: Comparable, CustomStringConvertible {
    /// By host, then port.
    public static func < (a: SocketAddress, b: SocketAddress) -> Bool { (a.ip, a.port) < (b.ip, b.port) }

    /// `host:port`, `[v6]:port`.
    public var description: String { ip.v4 == nil ? "[\(ip)]:\(port)" : "\(ip):\(port)" }

    /// `host:port` or `[v6]:port` with a numeric host; nil when `text` is anything else.
    public init?(_ text: some StringProtocol) {
        guard let (host, port) = splitHostAndPort(text), let ip = IPAddress(host) else { return nil }
        self.init(ip, port)
    }
}

/// Where to connect to: an address, or a configured host name that is resolved at every dial.
public enum Destination: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// A known address.
    case address(SocketAddress)
    /// A name and a port.
    case name(String, port: UInt16)

    /// `host:port`, `[v6]:port` or `name:port`; nil when `text` is anything else.
    public init?(_ text: some StringProtocol) {
        guard let (host, port) = splitHostAndPort(text) else { return nil }
        if let ip = IPAddress(host) {
            self = .address(SocketAddress(ip, port))
        } else {
            let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            let allowed = { (octet: UInt8) in
                (48...57).contains(octet) || (97...122).contains(octet | 32) || octet == 45 || octet == 95
            }
            guard host.utf8.count <= 253, labels.allSatisfy({ (1...63).contains($0.count) && $0.allSatisfy(allowed) }),
                labels.contains(where: { $0.contains { !(48...57).contains($0) } })
            else { return nil }
            self = .name(host, port: port)
        }
    }

    /// As it is written in the configuration.
    public var description: String {
        switch self {
        case .address(let address): address.description
        case .name(let host, let port): "\(host):\(port)"
        }
    }
}

/// Where to listen.
public enum ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 or IPv6 address; port 0 lets the system choose.
    case ip(SocketAddress)
    /// A Unix socket at this path, readable and writable by its owner only.
    case unix(path: String)

    /// The address or the path.
    public var description: String {
        switch self {
        case .ip(let address): address.description
        case .unix(let path): path
        }
    }
}

private func splitHostAndPort(_ text: some StringProtocol) -> (host: String, port: UInt16)? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    var host = text[..<colon]
    let digits = text[text.index(after: colon)...]
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
        let port = UInt16(digits)
    else { return nil }
    if host.hasPrefix("["), host.hasSuffix("]") {
        host = host.dropFirst().dropLast()
        guard host.contains(":") else { return nil }
    } else if host.contains(":") {
        return nil
    }
    return (String(host), port)
}
