public import PeerCore
internal import PeerCrypto

/// The proof that a peer has the key of its peer ID (PPSP section 10.2): the value of the property Certificate.
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 1 | scheme: 1 |
/// | 1 | 32 | Ed25519 public key |
/// | 33 | 64 | signature |
///
/// The signature is over `PPSP-PP-AUTH-1`, the signer's peer ID, the verifier's peer ID, the verifier's nonce, u16
/// length of the swarm ID, swarm ID.
public struct Certificate: Hashable, Sendable {
    /// The only scheme (PPSP section 10.2).
    private static let scheme: UInt8 = 1
    /// Octets of a certificate.
    static let octets = 1 + 32 + Ed25519.signatureBytes

    /// The key of the signer.
    public let publicKey: Bytes32
    /// 64 octets.
    public let signature: Bytes

    /// The peer ID of a public key: its BLAKE2b-256 (PPSP section 1).
    public static func peerID(of publicKey: Bytes32) -> Bytes32 {
        blake2b256(Bytes(publicKey.array))
    }

    /// Signs, with the key of `seed`, that its peer talks to `verifier` about `swarmID` and has seen its nonce.
    public init(seed: Bytes32, verifier: Bytes32, nonce: Bytes32, swarmID: SwarmID) {
        publicKey = Ed25519.publicKey(seed: seed)
        let text = Self.signedBytes(
            signer: Self.peerID(of: publicKey), verifier: verifier, nonce: nonce, swarmID: swarmID)
        signature = Ed25519.sign(text, seed: seed)
    }

    /// Decodes the value of the property.
    public init(decoding value: Bytes) throws(DecodeError) {
        var reader = ByteReader(value)
        guard try reader.readUInt8("certificate scheme") == Self.scheme else {
            throw .invalid(field: "certificate scheme")
        }
        publicKey = try reader.readBytes32("public key")
        signature = Bytes(Array(try reader.read(count: Ed25519.signatureBytes, "signature")))
        try reader.expectEnd()
    }

    /// The value of the property.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: Self.octets)
        writer.write(Self.scheme)
        writer.write(publicKey)
        writer.write(signature)
        return writer.bytes
    }

    /// Whether it proves that the sender of `signer` in a header has the key of that peer ID, to `verifier`, which gave
    /// `nonce`, about that swarm.
    public func proves(_ signer: Bytes32, to verifier: Bytes32, nonce: Bytes32, swarmID: SwarmID) -> Bool {
        guard Self.peerID(of: publicKey) == signer else { return false }
        let text = Self.signedBytes(signer: signer, verifier: verifier, nonce: nonce, swarmID: swarmID)
        return Ed25519.isValid(signature: signature, of: text, by: publicKey)
    }

    /// What is signed.
    static func signedBytes(signer: Bytes32, verifier: Bytes32, nonce: Bytes32, swarmID: SwarmID) -> Bytes {
        var writer = ByteWriter(capacity: 128 + swarmID.octets.count)
        writer.write("PPSP-PP-AUTH-1".utf8)
        writer.write(signer)
        writer.write(verifier)
        writer.write(nonce)
        writer.write(UInt16(swarmID.octets.count))
        writer.write(swarmID.octets)
        return writer.bytes
    }
}
