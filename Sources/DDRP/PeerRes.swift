public import PeerCore

/// A peer and where it listens, as PeerRes tells it (PIP-5, DDRP section 11).
///
/// | R  | T  | size | field                                  |
/// |----|----|------|----------------------------------------|
/// | 0  | 0  | 16   | IP, IPv4 as v4-mapped                  |
/// |    | 16 | 2    | port, big-endian                       |
/// | 16 | 18 | 32   | peer ID                                |
public struct PeerEntry: Hashable, Sendable {
    /// Port that R means and that T gets for an entry without one (PIP-5).
    public static let standardPort: UInt16 = 9097

    /// The host.
    public var ip: IPAddress
    /// The TCP port; nil where the layout has none: the standard port is meant.
    public var port: UInt16?
    /// BLAKE2b-256 of its compressed public key.
    public var peerID: Bytes32

    /// An entry.
    public init(ip: IPAddress, port: UInt16? = nil, peerID: Bytes32) {
        self.ip = ip
        self.port = port
        self.peerID = peerID
    }
}

/// Addresses of peers, the answer to a PeerReq (PIP-5, DDRP section 11).
///
/// Three layouts are read in both dialects, told apart by the length of the body; n is the number of entries, u(n) the
/// octets of its uvarint as it stands there.
///
/// | layout         | body                                              | length           | sent in |
/// |----------------|---------------------------------------------------|------------------|---------|
/// | without ports  | n as uvarint, n entries of 48 octets              | u(n) + 48 n      | R       |
/// | count twice    | n as uint8, n as uvarint, n entries of 50 octets  | 1 + u(n) + 50 n  | T       |
/// | count once     | n as uint8, n entries of 50 octets                | 1 + 50 n         | never   |
public struct PeerRes: Hashable, Sendable {
    /// Entries that are kept of an answer: as many as the count of T can say (DDRP section 13).
    public static let maximumPeers = 255
    /// Entries that an answer may hold: the longest array that the reference reads (DDRP section 13).
    static let maximumCount = 1024

    /// At most 255 peers.
    public let peers: [PeerEntry]

    /// An answer with these peers, at most 255.
    public init(peers: [PeerEntry]) {
        precondition(peers.count <= Self.maximumPeers, "\(peers.count) peers in an answer")
        self.peers = peers
    }

    init(decoding body: Bytes, _ dialect: Dialect) throws(DecodeError) {
        let layouts: [PeerLayout] =
            switch dialect {
            case .reference: [.withoutPorts, .countTwice, .countOnce]
            case .text: [.countTwice, .countOnce, .withoutPorts]
            }
        guard body.count > 0 else { throw .truncated(field: "peer_count") }
        for layout in layouts {
            guard let (count, start) = layout.count(in: body), count <= UInt64(Self.maximumCount),
                body.count == start + Int(count) * layout.entryBytes
            else { continue }
            var reader = ByteReader(body.dropping(start))
            peers = try Self.entries(min(Int(count), Self.maximumPeers), &reader, layout)
            return
        }
        throw .invalid(field: "peer_count")
    }

    private static func entries(
        _ count: Int, _ reader: inout ByteReader, _ layout: PeerLayout
    ) throws(DecodeError) -> [PeerEntry] {
        var entries: [PeerEntry] = []
        entries.reserveCapacity(count)
        for _ in 0..<count {
            let ip = try reader.readIP("ip")
            let port = layout == .withoutPorts ? nil : try reader.read(UInt16.self, "port")
            entries.append(PeerEntry(ip: ip, port: port, peerID: try reader.readBytes32("peer_id")))
        }
        return entries
    }

    func encode(into writer: inout ByteWriter, _ dialect: Dialect) {
        if dialect == .text { writer.write(UInt8(peers.count)) }
        writer.writeUvarint(UInt64(peers.count))
        for peer in peers {
            writer.write(peer.ip.octets)
            if dialect == .text { writer.write(peer.port ?? PeerEntry.standardPort) }
            writer.write(peer.peerID)
        }
    }
}

/// How a PeerRes is laid out.
private enum PeerLayout {
    case withoutPorts, countTwice, countOnce

    /// Octets of an entry.
    var entryBytes: Int { self == .withoutPorts ? 48 : 50 }

    /// The number of entries and where the first one starts, if a body that is not empty had this layout; nil when it
    /// cannot have it.
    func count(in body: Bytes) -> (count: UInt64, start: Int)? {
        switch self {
        case .withoutPorts: return Self.uvarint(in: body, at: 0)
        case .countTwice:
            guard let (count, start) = Self.uvarint(in: body, at: 1), count == UInt64(body[0]) else { return nil }
            return (count, start)
        case .countOnce:
            return Self.isCutCountTwice(body) ? nil : (UInt64(body[0]), 1)
        }
    }

    private static func uvarint(in body: Bytes, at start: Int) -> (count: UInt64, start: Int)? {
        var reader = ByteReader(body.dropping(start))
        // Octets that are no uvarint may belong to an address: it is another layout then, if any.
        guard let count = try? reader.readUvarint("peer_count") else { return nil }
        return (count, start + reader.position)
    }

    /// Whether the body is one with the count twice that lost an octet, which has the length of one with the count
    /// once (vector `pip-peerres-truncated-entry`): the count stands twice, and then an address that hosts have, IPv4
    /// or 2000::/3. Read as a count once, the first address would begin with the count, which no host's does.
    private static func isCutCountTwice(_ body: Bytes) -> Bool {
        guard let (_, start) = PeerLayout.countTwice.count(in: body), body.count >= start + 16 else { return false }
        let first = IPAddress(octets: body.slice(start..<start + 16))
        return first.v4 != nil || body[start] >> 5 == 1
    }
}
