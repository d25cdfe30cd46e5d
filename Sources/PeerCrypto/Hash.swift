internal import CCrypto
internal import CSodium
public import PeerCore

/// BLAKE2b-256 of `octets` (libsodium `crypto_generichash`, output 32), keyed when `key` has octets.
public func blake2b256(_ octets: Bytes, key: Bytes = Bytes()) -> Bytes32 {
    var digest = [UInt8](repeating: 0, count: 32)
    let status = unsafe octets.withUnsafeOctets { message in
        unsafe key.withUnsafeOctets { key in
            unsafe crypto_generichash(
                &digest, 32, message.baseAddress, UInt64(message.count), key.baseAddress, key.count)
        }
    }
    precondition(status == 0, "crypto_generichash refused a key of \(key.count) octets")
    return Bytes32(digest)
}

/// BLAKE2b-256 of the octets of two values, one after the other: an inner node of a Merkle tree.
public func blake2b256(_ left: Bytes32, _ right: Bytes32) -> Bytes32 {
    var writer = ByteWriter(capacity: 64)
    writer.write(left)
    writer.write(right)
    return blake2b256(writer.bytes)
}

/// A digest that is computed piece by piece: SHA-1, SHA-256 (libcrypto, HMAC with a key) or BLAKE2b-256 (libsodium).
@safe public struct Digester: ~Copyable {
    @unsafe private enum State {
        case plain(OpaquePointer)
        case hmac(OpaquePointer)
        case blake(UnsafeMutableRawPointer)
    }

    private let state: State

    /// A digest of nothing yet. The key of BLAKE2b has at most 64 octets.
    public init(_ algorithm: DigestAlgorithm, key: Bytes? = nil) {
        switch (algorithm, key) {
        case (.blake2b256, _): unsafe state = .blake(Self.makeBlake(key: key ?? Bytes()))
        case (_, let key?): unsafe state = .hmac(Self.makeHMAC(algorithm, key: key))
        case (_, nil):
            let context = unsafe Self.makeContext()
            unsafe EVP_DigestInit_ex(context, Self.function(algorithm), nil)
            unsafe state = .plain(context)
        }
    }

    deinit {
        switch unsafe state {
        case .plain(let context): unsafe EVP_MD_CTX_free(context)
        case .hmac(let context): unsafe EVP_MD_CTX_free(context)
        case .blake(let context): unsafe context.deallocate()
        }
    }

    /// Adds octets.
    public func update(_ octets: Bytes) {
        unsafe octets.withUnsafeOctets { unsafe update(UnsafeRawBufferPointer($0)) }
    }

    /// Adds octets that lie in C memory.
    @unsafe public func update(_ octets: UnsafeRawBufferPointer) {
        switch unsafe state {
        case .plain(let context): unsafe EVP_DigestUpdate(context, octets.baseAddress, octets.count)
        case .hmac(let context): unsafe EVP_DigestUpdate(context, octets.baseAddress, octets.count)
        case .blake(let context): _ = unsafe peernode_blake2b_update(context, octets.baseAddress, octets.count)
        }
    }

    /// The digest of all that was added. Call it once, last.
    public consuming func finish() -> Bytes {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count = 0
        switch unsafe state {
        case .plain(let context):
            var octets: UInt32 = 0
            unsafe EVP_DigestFinal_ex(context, &digest, &octets)
            count = Int(octets)
        case .hmac(let context):
            count = digest.count
            unsafe EVP_DigestSignFinal(context, &digest, &count)
        case .blake(let context):
            _ = unsafe peernode_blake2b_final(context, &digest, 32)
            count = 32
        }
        return Bytes(Array(digest.prefix(count)))
    }

    private static func makeContext() -> OpaquePointer {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("libcrypto has no memory") }
        return unsafe context
    }

    private static func function(_ algorithm: DigestAlgorithm) -> OpaquePointer? {
        unsafe algorithm == .sha1 ? EVP_sha1() : EVP_sha256()
    }

    private static func makeHMAC(_ algorithm: DigestAlgorithm, key: Bytes) -> OpaquePointer {
        let context = unsafe makeContext()
        // One octet more, so that an empty key has an address too.
        let handle = unsafe peernode_hmac_key(key.array + [0], key.count)
        unsafe EVP_DigestSignInit(context, nil, function(algorithm), nil, handle)
        unsafe EVP_PKEY_free(handle)
        return unsafe context
    }

    private static func makeBlake(key: Bytes) -> UnsafeMutableRawPointer {
        let context = UnsafeMutableRawPointer.allocate(byteCount: crypto_generichash_statebytes(), alignment: 64)
        let status = unsafe key.withUnsafeOctets {
            unsafe peernode_blake2b_init(context, $0.baseAddress, $0.count, 32)
        }
        precondition(status == 0, "crypto_generichash_init refused a key of \(key.count) octets")
        return unsafe context
    }
}

/// The digest of `octets` in one call.
public func digest(_ octets: Bytes, _ algorithm: DigestAlgorithm, key: Bytes? = nil) -> Bytes {
    guard key != nil else {
        var digest = [UInt8](repeating: 0, count: algorithm.octets)
        digest.setDigest(of: octets, algorithm, at: 0)
        return Bytes(digest)
    }
    let digester = Digester(algorithm, key: key)
    digester.update(octets)
    return digester.finish()
}

extension Bytes {
    /// The octets in place, for a call into C.
    @unsafe func withUnsafeOctets<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        unsafe storage.withUnsafeBufferPointer { unsafe body(UnsafeBufferPointer(rebasing: $0[range])) }
    }
}
