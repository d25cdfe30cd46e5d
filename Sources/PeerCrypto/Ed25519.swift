internal import CSodium
public import PeerCore

/// Ed25519 identities (libsodium).
public enum Ed25519 {
    /// The public key of a 32-byte seed.
    public static func publicKey(seed: Bytes32) -> Bytes32 {
        var publicKey = [UInt8](repeating: 0, count: 32)
        var secretKey = [UInt8](repeating: 0, count: 64)
        unsafe crypto_sign_seed_keypair(&publicKey, &secretKey, seed.array)
        unsafe sodium_memzero(&secretKey, secretKey.count)
        return Bytes32(publicKey)
    }
}
