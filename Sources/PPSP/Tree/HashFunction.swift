public import PeerCore
internal import PeerCrypto

/// A hash function of swarms, with the code of RFC 7574 (PPSP section 6, parameter 4).
public enum HashFunction: UInt8, Hashable, Sendable, CaseIterable {
    /// 20 octets; what libswift speaks (RFC 7574 digest, section 9).
    case sha1 = 0
    /// 32 octets, the default.
    case sha256 = 2
    /// 32 octets; a private code, of PPSP-TCP only.
    case blake2b256 = 240

    /// Octets of a hash.
    public var octets: Int { algorithm.octets }

    /// How the host computes it.
    public var algorithm: DigestAlgorithm {
        switch self {
        case .sha1: .sha1
        case .sha256: .sha256
        case .blake2b256: .blake2b256
        }
    }

    /// Whether PPSPP over UDP has a code for it.
    public var isStandard: Bool { self != .blake2b256 }

    /// The hash of a chunk: a leaf of the tree.
    public func callAsFunction(_ chunk: Bytes) -> Bytes {
        digest(chunk, algorithm)
    }
}
