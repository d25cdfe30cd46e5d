public import PeerCore

/// What peers and a bootstrap server say to each other, one message in a datagram (gossip sections 1 and 5).
///
/// | offset | length | INIT 510 | POPULATE 511 | DISCONNECT 513 |
/// |---|---|---|---|---|
/// | 0 | 2 | size of the whole: 8 | 8 + 20 k | 8 |
/// | 2 | 2 | type | type | type |
/// | 4 | 2 | degree | ID | ID |
/// | 6 | 2 | own ID, or 0 | reserved | reserved |
/// | 8 | 20 k | | entries | |
public enum BootstrapMessage: Hashable, Sendable {
    /// A peer asks for an ID and for peers.
    case initialization(Init)
    /// The server answers.
    case populate(Populate)
    /// A peer leaves.
    case disconnect(Disconnect)

    /// Octets before the entries of every message.
    static let headBytes = 8
    static let initType: UInt16 = 510
    static let populateType: UInt16 = 511
    static let disconnectType: UInt16 = 513

    /// Decodes a datagram, which is one message exactly.
    public init(decoding datagram: Bytes) throws(DecodeError) {
        guard datagram.count >= Self.headBytes else { throw .truncated(field: "message") }
        let size = Int(datagram.uint16(at: 0))
        let type = datagram.uint16(at: 2)
        guard size <= datagram.count else { throw .truncated(field: "message") }
        guard size == datagram.count else { throw .trailing(count: datagram.count - size) }
        if type == Self.populateType {
            self = .populate(try Populate(decoding: datagram))
            return
        }
        guard type == Self.initType || type == Self.disconnectType else { throw .invalid(field: "type") }
        guard size == Self.headBytes else { throw .invalid(field: "size") }
        let value = datagram.uint16(at: 4)
        self =
            type == Self.initType
            ? .initialization(Init(degree: value, id: datagram.uint16(at: 6))) : .disconnect(Disconnect(id: value))
    }

    /// The datagram.
    public var bytes: Bytes {
        switch self {
        case .initialization(let message): message.bytes
        case .populate(let message): message.bytes
        case .disconnect(let message): message.bytes
        }
    }

    /// Eight octets and room for `entries` more entries.
    static func head(_ type: UInt16, _ first: UInt16, _ second: UInt16, entries: Int = 0) -> [UInt8] {
        let size = headBytes + entries * PeerAddress.octets
        var octets = [UInt8](repeating: 0, count: size)
        let words = UInt64(size) << 48 | UInt64(type) << 32 | UInt64(first) << 16 | UInt64(second)
        octets.put(words, at: 0)
        return octets
    }
}

/// INIT: "give me an ID, and the addresses of at most `degree` peers" (gossip section 5.2).
public struct Init: Hashable, Sendable {
    /// How many peers are wanted; 0 asks for an ID only.
    public let degree: UInt16
    /// The ID of a peer that renews, or that echoes what it was just given; 0: none yet.
    public let id: UInt16

    /// A question.
    public init(degree: UInt16, id: UInt16 = 0) {
        self.degree = degree
        self.id = id
    }

    /// The datagram, 8 octets.
    public var bytes: Bytes { Bytes(BootstrapMessage.head(BootstrapMessage.initType, degree, id)) }
}

/// DISCONNECT: "I am no longer there" (gossip section 5.5).
public struct Disconnect: Hashable, Sendable {
    /// The ID of the sender.
    public let id: UInt16

    /// A goodbye.
    public init(id: UInt16) {
        self.id = id
    }

    /// The datagram, 8 octets.
    public var bytes: Bytes { Bytes(BootstrapMessage.head(BootstrapMessage.disconnectType, id, 0)) }
}

/// POPULATE: the receiver's ID, and peers that are online (gossip section 5.3).
public struct Populate: Hashable, Sendable {
    /// Most entries that the size field can tell.
    public static let maximumEntries = (Int(UInt16.max) - BootstrapMessage.headBytes) / PeerAddress.octets

    /// The ID given to the receiver; 0: none could be given.
    public let id: UInt16
    /// Other peers, as they stand in the message; not all need be usable (`PeerAddress.isUsable`).
    public let entries: [PeerAddress]

    /// An answer of at most `maximumEntries` entries.
    public init(id: UInt16, entries: [PeerAddress]) {
        precondition(entries.count <= Self.maximumEntries, "\(entries.count) entries do not fit one message")
        self.id = id
        self.entries = entries
    }

    fileprivate init(decoding datagram: Bytes) throws(DecodeError) {
        let (count, rest) = (datagram.count - BootstrapMessage.headBytes).quotientAndRemainder(
            dividingBy: PeerAddress.octets)
        guard rest == 0 else { throw .invalid(field: "size") }
        self.init(
            id: datagram.uint16(at: 4),
            entries: (0..<count).map {
                PeerAddress(decoding: datagram, at: BootstrapMessage.headBytes + $0 * PeerAddress.octets)
            })
    }

    /// The datagram, 8 octets and 20 for each entry.
    public var bytes: Bytes {
        var octets = Self.room(id: id, entries: entries.count)
        for (index, entry) in entries.enumerated() { Self.put(entry, index, into: &octets) }
        return Bytes(octets)
    }

    /// A message whose entries are still to be put in.
    @inline(__always)
    static func room(id: UInt16, entries: Int) -> [UInt8] {
        BootstrapMessage.head(BootstrapMessage.populateType, id, 0, entries: entries)
    }

    /// Puts in one entry.
    @inline(__always)
    static func put(_ entry: PeerAddress, _ index: Int, into octets: inout [UInt8]) {
        let offset = BootstrapMessage.headBytes + index * PeerAddress.octets
        // ID and port come first; the four octets after them are overwritten by the address.
        octets.put(UInt64(entry.id) << 48 | UInt64(entry.address.port) << 32, at: offset)
        octets.put(entry.address.ip.high, at: offset + 4)
        octets.put(entry.address.ip.low, at: offset + 12)
    }
}

/// Where a peer is, as bootstrap servers and neighbours tell it (gossip section 5.4).
public struct PeerAddress: Hashable, Sendable {
    /// Octets on the wire: ID 2, port 2, IPv6 address or v4-mapped IPv4 address 16.
    public static let octets = 20

    /// The peer's ID.
    public let id: UInt16
    /// Its address; one port number for UDP and TCP.
    public let address: SocketAddress

    /// An entry.
    public init(id: UInt16, address: SocketAddress) {
        self.id = id
        self.address = address
    }

    /// The entry at `offset` of a message, `octets` long.
    public init(decoding datagram: Bytes, at offset: Int) {
        id = datagram.uint16(at: offset)
        let ip = IPAddress(octets: datagram.slice(offset + 4..<offset + Self.octets))
        address = SocketAddress(ip, datagram.uint16(at: offset + 2))
    }

    /// Whether somebody can be there: an ID other than 0 and 65535, a port, a unicast address that is not link-local.
    /// Entries that are not are left out one by one; the message stays valid (gossip section 5.4).
    public var isUsable: Bool {
        let ip = address.ip
        return isPeerID(id) && address.port != 0 && !ip.isUnspecified && !ip.isMulticast && !ip.isBroadcast
            && !ip.isLinkLocal
    }
}

/// Whether a peer can have that ID: 1 to 65534 (gossip section 5.1).
public func isPeerID(_ id: UInt16) -> Bool { id != 0 && id != .max }

extension Bytes {
    @inline(__always)
    fileprivate func uint16(at offset: Int) -> UInt16 {
        UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }
}

extension [UInt8] {
    /// Writes eight octets, most significant first, over those at `offset`.
    @inline(__always)
    fileprivate mutating func put(_ value: UInt64, at offset: Int) {
        for index in 0..<8 { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * index)) }
    }
}
