public import PeerCore

/// Who a peer is: an IPv4 address and the first of its three ports (P+2 section 2).
public struct PeerIdentity: Hashable, Sendable {
    /// The address as a number, most significant octet first.
    let host: UInt32
    /// The port `p` of the peer list; `p + 1` answers queries, `p + 2` sends files.
    public let port: UInt16

    /// Three consecutive ports begin with `p`.
    static let ports: ClosedRange<UInt16> = 1...65_533

    /// Port `port` of `ip`; nil when that cannot be a peer.
    public init?(_ ip: IPAddress, _ port: UInt16) {
        // 0.0.0.0/8, 224.0.0.0/4 and 240.0.0.0/4 are never peers.
        guard let host = ip.v4, host >> 24 != 0, host >> 28 < 0xe, Self.ports.contains(port) else { return nil }
        (self.host, self.port) = (host, port)
    }

    /// `a.b.c.d:p`, with spaces, tabs and CR around it; nil when the line is anything else.
    public init?(line: Bytes) {
        func isTrimmed(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 || octet == 0x0d }
        let trimmed = line.drop(while: isTrimmed)
        guard let last = trimmed.lastIndex(where: { !isTrimmed($0) }),
            let text = line.slice(trimmed.startIndex..<last + 1).text
        else { return nil }
        self.init(text)
    }

    /// `a.b.c.d:p` without anything around it; nil when the text is anything else.
    public init?(_ text: String) {
        // The port has no leading zero.
        guard let address = SocketAddress(text), address.ip.v4 != nil, address.description == text else { return nil }
        self.init(address.ip, address.port)
    }

    /// The host.
    public var ip: IPAddress { IPAddress(v4: host) }

    /// Where the peer offers `service`.
    func address(of service: Service) -> SocketAddress { SocketAddress(ip, port + service.offset) }

    /// The line that names the peer, with its end.
    var line: Bytes { Bytes(utf8: "\(self)\n") }
}

extension PeerIdentity: CustomStringConvertible, Comparable {
    /// `a.b.c.d:p`
    public var description: String { "\(ip):\(port)" }

    /// By host, then port.
    public static func < (a: PeerIdentity, b: PeerIdentity) -> Bool { (a.host, a.port) < (b.host, b.port) }
}

/// What a port offers: there are no command words, the port is the command (P+2 section 1).
enum Service: String, CaseIterable {
    /// The list of known peers.
    case list
    /// The names of files that contain a text.
    case query
    /// The octets of a file.
    case download

    /// Added to the port `p` of the identity.
    var offset: UInt16 {
        switch self {
        case .list: 0
        case .query: 1
        case .download: 2
        }
    }

    /// Our listening socket for it.
    var listener: ListenerID { ListenerID("files.\(rawValue)") }

    /// The service of one of our listening sockets.
    init?(_ listener: ListenerID) {
        guard let service = Self.allCases.first(where: { $0.listener == listener }) else { return nil }
        self = service
    }
}
