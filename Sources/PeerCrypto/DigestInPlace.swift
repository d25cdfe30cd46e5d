internal import CCrypto
internal import CSodium
public import PeerCore

/// Digests that are put where they belong, without a buffer of their own: millions of nodes of a hash tree.
extension [UInt8] {
    /// Puts the digest of `octets` at `place`, over what is there.
    public mutating func setDigest(of octets: Bytes, _ algorithm: DigestAlgorithm, at place: Int) {
        unsafe octets.withUnsafeOctets { message in
            unsafe withDigest(algorithm, at: place) { digest, _ in
                unsafe algorithm.function(message.baseAddress, message.count, nil, 0, digest)
            }
        }
    }

    /// Puts the digest of the octets in `first`, followed by those in `second`, at `place`, which may lie over them.
    public mutating func setDigest(
        of first: Range<Int>, and second: Range<Int>, _ algorithm: DigestAlgorithm, at place: Int
    ) {
        precondition(first.lowerBound >= 0 && first.upperBound <= count, "octets \(first) of \(count)")
        precondition(second.lowerBound >= 0 && second.upperBound <= count, "octets \(second) of \(count)")
        unsafe withDigest(algorithm, at: place) { digest, all in
            unsafe algorithm.function(
                all + first.lowerBound, first.count, all + second.lowerBound, second.count, digest)
        }
    }

    @unsafe private mutating func withDigest(
        _ algorithm: DigestAlgorithm, at place: Int,
        _ body: (_ digest: UnsafeMutableRawPointer, _ all: UnsafeRawPointer) -> Void
    ) {
        precondition(place >= 0 && place <= count - algorithm.octets, "a digest at \(place) of \(count)")
        unsafe withUnsafeMutableBytes { all in
            guard let start = all.baseAddress else { return }
            unsafe body(start + place, UnsafeRawPointer(start))
        }
    }
}

extension DigestAlgorithm {
    fileprivate typealias Function = (
        UnsafeRawPointer?, Int, UnsafeRawPointer?, Int, UnsafeMutableRawPointer?
    ) -> Void

    /// The function in C, of two pieces of memory that follow each other.
    @unsafe fileprivate var function: Function {
        switch self {
        case .sha1: unsafe peernode_sha1
        case .sha256: unsafe peernode_sha256
        case .blake2b256: unsafe peernode_blake2b
        }
    }
}
