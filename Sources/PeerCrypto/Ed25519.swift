internal import CSodium
public import PeerCore

/// Ed25519 identities (libsodium).
public enum Ed25519 {
    /// Octets of a signature (RFC 8032, section 5.1.6).
    public static let signatureBytes = 64

    /// The public key of a 32-byte seed.
    public static func publicKey(seed: Bytes32) -> Bytes32 {
        withKeyPair(seed) { publicKey, _ in Bytes32(publicKey) }
    }

    /// The signature of `message`, 64 octets, by the key of a 32-byte seed.
    public static func sign(_ message: Bytes, seed: Bytes32) -> Bytes {
        withKeyPair(seed) { _, secretKey in
            var signature = [UInt8](repeating: 0, count: signatureBytes)
            let status = unsafe message.withUnsafeOctets {
                unsafe crypto_sign_detached(&signature, nil, $0.baseAddress, UInt64($0.count), secretKey)
            }
            precondition(status == 0, "libsodium refused to sign \(message.count) octets")
            return Bytes(signature)
        }
    }

    /// Whether `signature` is one of `message` by the holder of `publicKey`. Any octets may be asked about.
    public static func isValid(signature: Bytes, of message: Bytes, by publicKey: Bytes32) -> Bool {
        guard signature.count == signatureBytes else { return false }
        let (signature, publicKey) = (signature.array, publicKey.array)
        return unsafe message.withUnsafeOctets {
            unsafe crypto_sign_verify_detached(signature, $0.baseAddress, UInt64($0.count), publicKey)
        } == 0
    }

    private static func withKeyPair<Result>(
        _ seed: Bytes32, _ body: (_ publicKey: [UInt8], _ secretKey: [UInt8]) -> Result
    ) -> Result {
        var publicKey = [UInt8](repeating: 0, count: 32)
        var secretKey = [UInt8](repeating: 0, count: 64)
        unsafe crypto_sign_seed_keypair(&publicKey, &secretKey, seed.array)
        defer { unsafe sodium_memzero(&secretKey, secretKey.count) }
        return body(publicKey, secretKey)
    }
}
