public import PeerCore

/// The identity of a node: one 32-byte secret, from which everything else follows.
public struct Identity: Sendable {
    /// The DDRP key: the secret as it is.
    public let key: Secp256k1.PrivateKey
    /// The DDRP peer ID: BLAKE2b-256 of the compressed public key (PIP-2).
    public let peerID: Bytes32
    /// The Ed25519 seed for signed content: BLAKE2b-256, keyed with the secret, of `peernode ed25519 v1`.
    public let contentSeed: Bytes32

    /// The identity of `secret`; nil when it is not a secp256k1 key (zero, or not below the order of the curve).
    public init?(secret: Bytes32) {
        guard let key = Secp256k1.PrivateKey(secret) else { return nil }
        self.key = key
        self.peerID = blake2b256(key.publicKey)
        self.contentSeed = blake2b256(Bytes(utf8: "peernode ed25519 v1"), key: Bytes(secret.array))
    }

    /// The Ed25519 public key for signed content.
    public var contentKey: Bytes32 { Ed25519.publicKey(seed: contentSeed) }

    /// The node ID of BePeer: the first 16 hexadecimal digits of the peer ID.
    public var bePeerID: String { String(peerID.hex.prefix(16)) }
}
