internal import PeerCore

/// Where a peer gives chunks over HTTP: the URL of a transport entry (PPSP sections 6 and 9.7).
struct WebSource: Hashable {
    /// Where the paths of swarms begin here.
    static let path = "/ppsp/"

    let server: SocketAddress
    /// The path of the URL, to which the name of a swarm is appended.
    let path: String

    /// The source that a URL means: `http://ADDRESS[:PORT]/PATH`, with the address of the peer that has told it. A peer
    /// could make us call others otherwise.
    init?(_ url: String, of peer: IPAddress) {
        let scheme = "http://"
        guard url.utf8.starts(with: scheme.utf8) else { return nil }
        let rest = url.dropFirst(scheme.count)
        guard let slash = rest.firstIndex(of: "/") else { return nil }
        let host = String(rest[..<slash])
        // The port of HTTP (RFC 9110 section 4.2.1).
        guard let server = SocketAddress(host) ?? SocketAddress("\(host):80"), server.ip == peer, server.port != 0
        else { return nil }
        self.server = server
        path = String(rest[slash...])
        // Nothing that ends a path or needs another form on the wire.
        let isPlain = path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }
        guard isPlain else { return nil }
    }

    /// What is asked for.
    func target(_ swarm: SwarmID) -> Bytes { Bytes(utf8: "\(path)\(swarm)") }

    /// The URL of a server of ours; `pass`: only who was told it may ask.
    static func url(at server: SocketAddress, pass: Bytes32?) -> String {
        "http://\(server)\(path)" + (pass.map { "\($0.hex)/" } ?? "")
    }

    /// The swarm that a target of ours names, and the pass before it.
    static func parse(_ target: Bytes) -> (swarm: SwarmID, pass: Bytes32?)? {
        guard let text = target.text, text.hasPrefix(path) else { return nil }
        let parts = text.dropFirst(path.count).split(separator: "/", omittingEmptySubsequences: false)
        guard let last = parts.last, let swarm = SwarmID(hex: String(last)) else { return nil }
        switch parts.count {
        case 1: return (swarm, nil)
        case 2: return Bytes32(hex: String(parts[0])).map { (swarm, $0) }
        default: return nil
        }
    }
}
