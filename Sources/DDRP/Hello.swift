public import PeerCore
internal import PeerCrypto

/// The first envelope of either side (PIP-2, DDRP section 6).
///
/// | R   | T   | size      | field                                                       |
/// |-----|-----|-----------|-------------------------------------------------------------|
/// | 0   | 0   | 4         | protocol_version                                            |
/// | 4   | 4   | 32        | local_nonce: the sender's                                   |
/// | 36  | 36  | 32        | remote_nonce: the receiver's; zero from the initiator       |
/// | 68  | 68  | 33        | public_key, compressed secp256k1                            |
/// |     | 101 | 16        | external_ip, IPv4 as v4-mapped; `0.0.0.0` when unreachable  |
/// |     | 117 | 2         | external_port, big-endian; 0 when unreachable               |
/// | 101 | 119 | uvarint+… | user_agent                                                  |
public struct Hello: Hashable, Sendable {
    /// The version of the protocol; 1 is sent.
    public var protocolVersion: UInt32
    /// The sender's nonce of this connection.
    public var localNonce: Bytes32
    /// The receiver's nonce of this connection; zero when the sender does not know it.
    public var remoteNonce: Bytes32
    /// The sender's key, compressed, 33 octets.
    public let publicKey: Bytes
    /// Where the sender can be dialled, nil when it cannot or does not say. T only.
    public var external: SocketAddress?
    /// The sender's program; anybody's octets.
    public var userAgent: Bytes

    /// A Hello with a `publicKey` of 33 octets.
    public init(
        protocolVersion: UInt32 = 1, localNonce: Bytes32, remoteNonce: Bytes32 = .zero, publicKey: Bytes,
        external: SocketAddress? = nil, userAgent: Bytes
    ) {
        precondition(publicKey.count == Secp256k1.publicKeyBytes, "a public key of \(publicKey.count) octets")
        self.protocolVersion = protocolVersion
        self.localNonce = localNonce
        self.remoteNonce = remoteNonce
        self.publicKey = publicKey
        self.external = external
        self.userAgent = userAgent
    }

    init(decoding reader: inout ByteReader, _ dialect: Dialect) throws(DecodeError) {
        protocolVersion = try reader.read(UInt32.self, "protocol_version")
        localNonce = try reader.readBytes32("local_nonce")
        remoteNonce = try reader.readBytes32("remote_nonce")
        publicKey = try reader.read(count: Secp256k1.publicKeyBytes, "public_key")
        guard Secp256k1.isPublicKey(publicKey) else { throw .invalid(field: "public_key") }
        if dialect == .text {
            let ip = try reader.readIP("external_ip")
            let address = SocketAddress(ip, try reader.read(UInt16.self, "external_port"))
            external = address == .unreachable ? nil : address
        }
        userAgent = try reader.readString(limit: Envelope.maximumBodyBytes, "user_agent")
    }

    func encode(into writer: inout ByteWriter, _ dialect: Dialect) {
        writer.write(protocolVersion)
        writer.write(localNonce)
        writer.write(remoteNonce)
        writer.write(publicKey)
        if dialect == .text {
            let address = external ?? .unreachable
            writer.write(address.ip.octets)
            writer.write(address.port)
        }
        writer.writeString(userAgent)
    }
}

extension SocketAddress {
    /// What stands in a Hello of T when the sender cannot be dialled.
    fileprivate static let unreachable = SocketAddress(.anyV4, 0)
}

extension ByteReader {
    /// 16 octets of an address, IPv4 as v4-mapped (PIP-1, DDRP section 2).
    mutating func readIP(_ field: @autoclosure () -> String) throws(DecodeError) -> IPAddress {
        IPAddress(octets: try read(count: 16, field()))
    }
}

/// The initiator's answer to the responder's Hello (PIP-2, DDRP section 6).
///
/// | 0 | 32 | nonce: the responder's |
public struct HelloAck: Hashable, Sendable {
    /// The responder's nonce.
    public var nonce: Bytes32

    /// The answer to a Hello with this local nonce.
    public init(nonce: Bytes32) {
        self.nonce = nonce
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        nonce = try reader.readBytes32("nonce")
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(nonce)
    }
}
