internal import CSecp256k1
internal import CSodium
public import PeerCore

/// Recoverable ECDSA on secp256k1 as DDRP's PIP-2 uses it (libsecp256k1): deterministic nonces (RFC 6979), low S.
public enum Secp256k1 {
    /// Octets of a signature: 27 + recovery ID, r, s.
    public static let signatureBytes = 65
    /// Octets of a compressed public key: 02 or 03, then X.
    public static let publicKeyBytes = 33

    /// A secret number between 1 and the order of the curve less 1.
    public struct PrivateKey: Sendable {
        fileprivate let secret: [UInt8]
        /// The public key, compressed.
        public let publicKey: Bytes

        /// The key of these 32 octets, or nil when they are not in the range.
        public init?(_ secret: Bytes32) {
            let octets = secret.array
            var point = secp256k1_pubkey()
            guard unsafe secp256k1_ec_pubkey_create(Context.shared.pointer, &point, octets) == 1 else { return nil }
            self.secret = octets
            self.publicKey = serialize(&point)
        }

        /// Signs a digest.
        public func sign(_ digest: Bytes32) -> Bytes {
            var signature = secp256k1_ecdsa_recoverable_signature()
            let status = unsafe secp256k1_ecdsa_sign_recoverable(
                Context.shared.pointer, &signature, digest.array, secret, nil, nil)
            precondition(status == 1, "libsecp256k1 refused to sign with a checked key")
            var octets = [UInt8](repeating: 0, count: 64)
            var recovery: Int32 = 0
            unsafe secp256k1_ecdsa_recoverable_signature_serialize_compact(
                Context.shared.pointer, &octets, &recovery, &signature)
            return Bytes([27 + UInt8(recovery)] + octets)
        }
    }

    /// Whether 33 octets are a point of the curve in compressed form.
    public static func isPublicKey(_ octets: Bytes) -> Bool {
        guard octets.count == publicKeyBytes, octets[0] == 2 || octets[0] == 3 else { return false }
        var point = secp256k1_pubkey()
        return unsafe octets.withUnsafeOctets {
            unsafe secp256k1_ec_pubkey_parse(Context.shared.pointer, &point, $0.baseAddress!, $0.count) == 1
        }
    }

    /// The compressed public key whose owner signed `digest`; nil when the signature is none: first octet outside
    /// 27...34 (31...34 carry the "compressed" flag, which says nothing here), r or s not in 1..<n.
    public static func recover(signature: Bytes, digest: Bytes32) -> Bytes? {
        guard signature.count == signatureBytes, (27...34).contains(signature[0]) else { return nil }
        let recovery = Int32((signature[0] - 27) & 3)
        var parsed = secp256k1_ecdsa_recoverable_signature()
        let isParsed = unsafe signature.withUnsafeOctets {
            unsafe secp256k1_ecdsa_recoverable_signature_parse_compact(
                Context.shared.pointer, &parsed, $0.baseAddress! + 1, recovery) == 1
        }
        var point = secp256k1_pubkey()
        guard isParsed,
            unsafe secp256k1_ecdsa_recover(Context.shared.pointer, &point, &parsed, digest.array) == 1
        else { return nil }
        return serialize(&point)
    }

    private static func serialize(_ point: inout secp256k1_pubkey) -> Bytes {
        var octets = [UInt8](repeating: 0, count: publicKeyBytes)
        var count = publicKeyBytes
        unsafe secp256k1_ec_pubkey_serialize(
            Context.shared.pointer, &octets, &count, &point, UInt32(SECP256K1_EC_COMPRESSED))
        return Bytes(octets)
    }

    /// One context for the process; made once and only read afterwards, which libsecp256k1 allows from any thread.
    @safe private final class Context: @unchecked Sendable {
        static let shared = Context()
        let pointer: OpaquePointer

        private init() {
            unsafe pointer = secp256k1_context_create(
                UInt32(SECP256K1_CONTEXT_SIGN) | UInt32(SECP256K1_CONTEXT_VERIFY))
            // Blinding against side channels; it changes no result.
            var blinding = [UInt8](repeating: 0, count: 32)
            unsafe randombytes_buf(&blinding, blinding.count)
            _ = unsafe secp256k1_context_randomize(pointer, blinding)
        }
    }
}
