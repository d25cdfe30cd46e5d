internal import PeerCore

/// The messages of the dialect `authors-2017` (gossip section 9): peers are named by IPv4 address alone.
///
/// | | offset 0 | 4 | 6 |
/// |---|---|---|---|
/// | HELLO 504 | size 8, type | own IPv4 address (4) | |
/// | PEER LIST 505 | size 6 + 4 n, type | n (2) | n IPv4 addresses |
enum AuthorsMessage: Hashable {
    case hello(IPAddress)
    case peerList([IPAddress])

    /// Octets of a HELLO, and of a PEER LIST before its addresses.
    private static let helloBytes = 8
    private static let listHeadBytes = 6

    init(decoding message: Bytes) throws(DecodeError) {
        guard message.count >= Frame.headerBytes, Int(message.uint16(at: 0)) == message.count else {
            throw .invalid(field: "size")
        }
        var reader = ByteReader(message.dropping(Frame.headerBytes))
        switch message.uint16(at: 2) {
        case MessageType.hello:
            guard message.count == Self.helloBytes else { throw .invalid(field: "size") }
            self = .hello(IPAddress(v4: try reader.read(UInt32.self, "address")))
        case MessageType.peerList:
            let count = Int(try reader.read(UInt16.self, "count"))
            guard message.count == Self.listHeadBytes + 4 * count else { throw .invalid(field: "size") }
            var peers: [IPAddress] = []
            for _ in 0..<count { peers.append(IPAddress(v4: try reader.read(UInt32.self, "address"))) }
            self = .peerList(peers)
        default: throw .invalid(field: "type")
        }
    }

    /// The message. Addresses that are not IPv4 have no place in it.
    var bytes: Bytes {
        var writer = ByteWriter()
        switch self {
        case .hello(let address):
            writer.write(UInt16(Self.helloBytes))
            writer.write(MessageType.hello)
            writer.write(address.v4 ?? 0)
        case .peerList(let peers):
            let addresses = peers.compactMap(\.v4)
            writer.write(UInt16(Self.listHeadBytes + 4 * addresses.count))
            writer.write(MessageType.peerList)
            writer.write(UInt16(addresses.count))
            for address in addresses { writer.write(address) }
        }
        return writer.bytes
    }
}
