public import PeerCore

/// PEERLIST_QUERY: who else is in the swarm? Exactly 12 octets (PPSP section 5).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 2 | most peers, 0: no preference |
/// | 2 | 1 | families: 1 IPv4, 2 IPv6, 0: any |
/// | 3 | 1 | flags: 1 only complete peers |
/// | 4 | 8 | lowest chunk: only peers that have it or a higher one; 0: any |
public struct PeerListQuery: Hashable, Sendable {
    /// Kinds of addresses.
    public struct Families: OptionSet, Hashable, Sendable {
        /// As on the wire.
        public let rawValue: UInt8
        /// IPv4.
        public static let v4 = Families(rawValue: 1)
        /// IPv6.
        public static let v6 = Families(rawValue: 2)

        /// Families with these bits.
        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }
    }

    /// Peers wanted; 0: no preference.
    public var maximumPeers: UInt16
    /// Families wanted; none: any.
    public var families: Families
    /// Whether only peers with the whole content are wanted.
    public var onlyComplete: Bool
    /// Only peers that have a chunk with this or a higher number; 0: any.
    public var lowestChunk: UInt64

    /// A query; without anything, for any peers.
    public init(
        maximumPeers: UInt16 = 0, families: Families = [], onlyComplete: Bool = false, lowestChunk: UInt64 = 0
    ) {
        self.maximumPeers = maximumPeers
        self.families = families
        self.onlyComplete = onlyComplete
        self.lowestChunk = lowestChunk
    }

    init(decoding body: Bytes) throws(DecodeError) {
        var reader = ByteReader(body)
        maximumPeers = try reader.read(UInt16.self, "most peers")
        families = Families(rawValue: try reader.readUInt8("families"))
        onlyComplete = try reader.readUInt8("flags") & 1 != 0
        lowestChunk = try reader.read(UInt64.self, "lowest chunk")
        try reader.expectEnd()
    }

    /// The body.
    var bytes: Bytes {
        var writer = ByteWriter(capacity: 12)
        writer.write(maximumPeers)
        writer.write(families.rawValue)
        writer.write(UInt8(onlyComplete ? 1 : 0))
        writer.write(lowestChunk)
        return writer.bytes
    }
}

/// A peer of PEERLIST_PROVISION (PPSP section 5).
///
/// | length | field |
/// |---|---|
/// | 1 | 32 |
/// | 32 | peer ID |
/// | 1 | flags |
/// | 2 | seconds since it was last heard, 65,535: that or more |
/// | 1 | number of addresses, 1 to 8 |
/// | | addresses |
public struct PeerListEntry: Hashable, Sendable {
    /// What is known of it.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// As on the wire.
        public let rawValue: UInt8
        /// It has the whole content.
        public static let complete = Flags(rawValue: 1)
        /// It is behind a NAT.
        public static let behindNAT = Flags(rawValue: 2)
        /// It takes PUSH.
        public static let takesPush = Flags(rawValue: 4)

        /// Flags with these bits.
        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }
    }

    /// Addresses of one peer (PPSP section 5).
    public static let maximumEndpoints = 8
    /// Octets of an entry with one IPv4 address: no list has more entries than these go into it.
    static let leastBytes = 45

    /// BLAKE2b-256 of its public key.
    public let peerID: Bytes32
    /// What is known of it.
    public let flags: Flags
    /// Seconds since it was last heard, by the word of who tells.
    public let age: UInt16
    /// Where it is reached, at least one and at most eight.
    public let endpoints: [Endpoint]

    /// An entry.
    public init(peerID: Bytes32, flags: Flags, age: UInt16, endpoints: [Endpoint]) {
        precondition((1...Self.maximumEndpoints).contains(endpoints.count), "\(endpoints.count) addresses")
        (self.peerID, self.flags, self.age, self.endpoints) = (peerID, flags, age, endpoints)
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        guard try reader.readUInt8("peer ID length") == FrameHeader.peerIDBytes else {
            throw .invalid(field: "peer ID length")
        }
        peerID = try reader.readBytes32("peer ID")
        flags = Flags(rawValue: try reader.readUInt8("peer flags"))
        age = try reader.read(UInt16.self, "age")
        let count = Int(try reader.readUInt8("address count"))
        guard (1...Self.maximumEndpoints).contains(count) else { throw .invalid(field: "address count") }
        var endpoints: [Endpoint] = []
        for _ in 0..<count { endpoints.append(try Endpoint(decoding: &reader)) }
        self.endpoints = endpoints
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(UInt8(FrameHeader.peerIDBytes))
        writer.write(peerID)
        writer.write(flags.rawValue)
        writer.write(age)
        writer.write(UInt8(endpoints.count))
        for endpoint in endpoints { endpoint.encode(into: &writer) }
    }

    /// A body: u16 number of peers, u16 reserved, entries.
    static func list(decoding body: Bytes) throws(DecodeError) -> [PeerListEntry] {
        var reader = ByteReader(body)
        let count = Int(try reader.read(UInt16.self, "peer count"))
        _ = try reader.read(UInt16.self, "reserved")
        guard count * leastBytes <= reader.remaining else { throw .truncated(field: "peers") }
        var peers: [PeerListEntry] = []
        peers.reserveCapacity(count)
        for _ in 0..<count { peers.append(try PeerListEntry(decoding: &reader)) }
        try reader.expectEnd()
        return peers
    }

    /// The body of a list.
    static func bytes(of list: [PeerListEntry]) -> Bytes {
        var writer = ByteWriter(capacity: 4 + list.count * leastBytes)
        writer.write(UInt16(list.count))
        writer.write(UInt16(0))
        for peer in list { peer.encode(into: &writer) }
        return writer.bytes
    }
}
