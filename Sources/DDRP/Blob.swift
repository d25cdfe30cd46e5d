public import PeerCore
public import PeerCrypto

/// The shape of a blob: one for each name, sparse, octets never written are zero (PIP-3, DDRP section 17).
///
/// | part   | octets     | in the Merkle tree                                     |
/// |--------|------------|--------------------------------------------------------|
/// | blob   | 16,777,216 | root, level 0                                          |
/// | sector | 65,536     | 256 nodes of level 8, the tree base                    |
/// | leaf   | 4,096      | 4,096 leaves of level 12: BLAKE2b-256 of the octets    |
///
/// A node is BLAKE2b-256 of its two children, without prefixes.
public enum Blob {
    /// Octets of a leaf (PIP-3).
    public static let leafBytes = 4096
    /// Octets of a sector (PIP-3).
    public static let sectorBytes = 65_536
    /// Sectors of a blob (PIP-3).
    public static let sectorCount = 256

    /// The hash of a leaf of zeros.
    public static let zeroLeafHash = blake2b256(Bytes([UInt8](repeating: 0, count: leafBytes)))
    /// The hash of a sector of zeros.
    public static let zeroSectorHash = merkleRoot([Bytes32](repeating: zeroLeafHash, count: sectorBytes / leafBytes))

    /// The hash of a sector, which has 65,536 octets: the root over its 16 leaves.
    public static func sectorHash(_ sector: Bytes) -> Bytes32 {
        precondition(sector.count == sectorBytes, "a sector of \(sector.count) octets")
        let starts = stride(from: 0, to: sectorBytes, by: leafBytes)
        return merkleRoot(starts.map { blake2b256(sector.slice($0..<$0 + leafBytes)) })
    }

    /// The root over hashes, whose number is a power of two.
    static func merkleRoot(_ hashes: [Bytes32]) -> Bytes32 {
        precondition(hashes.count > 0 && hashes.count & (hashes.count - 1) == 0, "a tree over \(hashes.count) hashes")
        var level = hashes
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 2).map { blake2b256(level[$0], level[$0 + 1]) }
        }
        return level[0]
    }
}

/// The hashes of the 256 sectors of a blob: all that is kept of it while its sectors pass one by one, in any order.
public struct TreeBase: Hashable, Sendable {
    /// Of a blob of zeros.
    public static let zero = TreeBase(
        unchecked: [Bytes32](repeating: Blob.zeroSectorHash, count: Blob.sectorCount))

    /// One hash for each sector.
    public private(set) var sectorHashes: [Bytes32]

    /// The tree base of these hashes, nil when they are not 256.
    public init?(_ sectorHashes: [Bytes32]) {
        guard sectorHashes.count == Blob.sectorCount else { return nil }
        self.init(unchecked: sectorHashes)
    }

    private init(unchecked sectorHashes: [Bytes32]) {
        self.sectorHashes = sectorHashes
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        guard reader.remaining >= Blob.sectorCount * 32 else { throw .truncated(field: "merkle_base") }
        var hashes: [Bytes32] = []
        hashes.reserveCapacity(Blob.sectorCount)
        for _ in 0..<Blob.sectorCount { hashes.append(try reader.readBytes32("merkle_base")) }
        self.init(unchecked: hashes)
    }

    /// The hash of one sector.
    public subscript(sectorID: UInt8) -> Bytes32 { sectorHashes[Int(sectorID)] }

    /// Takes over the new content of a sector, 65,536 octets.
    public mutating func replace(_ sectorID: UInt8, with sector: Bytes) {
        sectorHashes[Int(sectorID)] = Blob.sectorHash(sector)
    }

    /// The root of the blob.
    public var merkleRoot: Bytes32 { Blob.merkleRoot(sectorHashes) }
}

extension BlobName {
    /// Where the reference keeps the blob: BLAKE2b-256 of the name in hexadecimal, four digits for each component,
    /// `_blob` behind the last.
    public var storagePath: RelativePath {
        let digits = Array(blake2b256(octets).hex)
        let parts = stride(from: 0, to: digits.count, by: 4).map { String(digits[$0..<$0 + 4]) }
        guard let path = RelativePath(components: parts.dropLast() + [parts[parts.count - 1] + "_blob"]) else {
            preconditionFailure("\(parts) is no path")
        }
        return path
    }
}

/// The owner's seal of a version (PIP-3, DDRP section 17).
///
/// Signed is BLAKE2b-256 of
///
/// | size      | field                                                                     |
/// |-----------|---------------------------------------------------------------------------|
/// | 8         | `DDRPBLOB`                                                                |
/// | uvarint+… | name                                                                      |
/// | 4         | timestamp, big-endian; in T a seal over a timestamp of 8 octets is good   |
/// | 32        | merkle_root                                                               |
/// | 32        | reserved_root                                                             |
extension Update {
    /// What the signed octets of a seal begin with (PIP-3).
    private static let sealPrefix = Bytes(utf8: "DDRPBLOB")

    /// The version of a blob with this tree, sealed by the owner's key.
    public init(
        sealing name: BlobName, timestamp: UInt32, merkleRoot: Bytes32, reservedRoot: Bytes32 = .zero,
        with key: Secp256k1.PrivateKey
    ) {
        let digest = Self.sealDigest(name, timestamp, merkleRoot, reservedRoot)
        self.init(
            name: name, timestamp: timestamp, merkleRoot: merkleRoot, reservedRoot: reservedRoot,
            signature: key.sign(digest))
    }

    /// What the owner signs.
    public var sealDigest: Bytes32 { Self.sealDigest(name, timestamp, merkleRoot, reservedRoot) }

    /// Whether the owner of the compressed public key `owner` made the seal.
    public func isSealed(by owner: Bytes, in dialect: Dialect) -> Bool {
        if Secp256k1.recover(signature: signature, digest: sealDigest) == owner { return true }
        guard dialect == .text else { return false }
        let wide = Self.sealDigest(name, UInt64(timestamp), merkleRoot, reservedRoot)
        return Secp256k1.recover(signature: signature, digest: wide) == owner
    }

    private static func sealDigest(
        _ name: BlobName, _ timestamp: some FixedWidthInteger & UnsignedInteger, _ merkleRoot: Bytes32,
        _ reservedRoot: Bytes32
    ) -> Bytes32 {
        var writer = ByteWriter(capacity: 144)
        writer.write(sealPrefix)
        name.encode(into: &writer)
        writer.write(timestamp)
        writer.write(merkleRoot)
        writer.write(reservedRoot)
        return blake2b256(writer.bytes)
    }
}
