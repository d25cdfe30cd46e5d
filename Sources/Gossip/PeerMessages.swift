internal import Bootstrap
internal import PeerCore

/// CONNECT 512 and DISCONNECT 513 (gossip section 5.5): size 8, type, ID of the sender, reserved.
enum Greeting {
    /// Octets of either message.
    static let octets = 8

    static func bytes(_ type: UInt16, id: UInt16) -> Bytes {
        var writer = ByteWriter(capacity: octets)
        writer.write(UInt16(octets))
        writer.write(type)
        writer.write(id)
        writer.write(UInt16(0))
        return writer.bytes
    }

    /// The sender's ID.
    static func id(decoding message: Bytes) throws(DecodeError) -> UInt16 {
        guard message.count == octets else { throw .invalid(field: "size") }
        let id = message.uint16(at: 4)
        guard isPeerID(id) else { throw .invalid(field: "id") }
        return id
    }
}

/// NEIGHBORS 514: who the sender is, what it can do, whom it is connected to (gossip section 5.5).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 4 | size 8 + 20 k, type 514 |
/// | 4 | 2 | ID of the sender |
/// | 6 | 2 | capabilities (decision 26); 0: none |
/// | 8 | 20 k | entries; the first one of a link's first message is the sender's own |
struct Neighbors: Hashable {
    /// Octets before the entries.
    static let headBytes = 8
    /// Entries that we send at most, our own not counted (gossip section 5.5).
    static let maximumEntries = 64

    let id: UInt16
    let capabilities: Capabilities
    let entries: [PeerAddress]

    init(id: UInt16, capabilities: Capabilities = [], entries: [PeerAddress]) {
        (self.id, self.capabilities, self.entries) = (id, capabilities, entries)
    }

    init(decoding message: Bytes) throws(DecodeError) {
        guard message.count >= Self.headBytes else { throw .truncated(field: "neighbors") }
        let (count, rest) = (message.count - Self.headBytes).quotientAndRemainder(dividingBy: PeerAddress.octets)
        guard rest == 0 else { throw .invalid(field: "size") }
        id = message.uint16(at: 4)
        guard isPeerID(id) else { throw .invalid(field: "id") }
        capabilities = Capabilities(rawValue: message.uint16(at: 6))
        entries = (0..<count).map { PeerAddress(decoding: message, at: Self.headBytes + $0 * PeerAddress.octets) }
    }

    var bytes: Bytes {
        let size = Self.headBytes + entries.count * PeerAddress.octets
        var writer = ByteWriter(capacity: size)
        writer.write(UInt16(size))
        writer.write(MessageType.neighbors)
        writer.write(id)
        writer.write(capabilities.rawValue)
        for entry in entries {
            writer.write(entry.id)
            writer.write(entry.address.port)
            writer.write(entry.address.ip.high)
            writer.write(entry.address.ip.low)
        }
        return writer.bytes
    }

    /// Where the sender says it listens, seen from us; nil when it did not begin with itself (gossip section 5.5).
    func ownEndpoint(seenAt ip: IPAddress) -> SocketAddress? {
        guard let own = entries.first, own.id == id, own.address.port != 0 else { return nil }
        // What it is called by others does not matter: this is where it answers.
        return SocketAddress(ip, own.address.port)
    }

    /// The neighbours, without the sender itself.
    var others: ArraySlice<PeerAddress> { entries.first?.id == id ? entries.dropFirst() : entries[...] }
}

/// What a peer can do beyond the text, told in the reserved field of its NEIGHBORS; a plain peer sends 0.
struct Capabilities: OptionSet, Hashable {
    let rawValue: UInt16
    /// IHAVE 515, IWANT 516, PRUNE 518.
    static let lazyPush = Capabilities(rawValue: 1)
    /// HAVE 517.
    static let haveIt = Capabilities(rawValue: 2)
}
