public import PeerCore
internal import PeerCrypto

/// The name of a blob, a Handshake name of 1 to 63 octets (PIP-3, DDRP section 13). On the wire a byte string.
public struct BlobName: Hashable, Sendable, CustomStringConvertible {
    /// Octets that a name may have.
    public static let lengths = 1...63

    /// The name; anybody's octets.
    public let octets: Bytes

    /// The name of these octets, nil when there are none or more than 63.
    public init?(_ octets: Bytes) {
        guard Self.lengths.contains(octets.count) else { return nil }
        self.octets = octets
    }

    /// As text, for the log.
    public var description: String { String(decoding: octets, as: UTF8.self) }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        let octets = try reader.readString(limit: Self.lengths.upperBound, "name")
        guard let name = BlobName(octets) else { throw .invalid(field: "name") }
        self = name
    }

    func encode(into writer: inout ByteWriter) {
        writer.writeString(octets)
    }
}

/// A blob has a new version, sealed by its owner (PIP-4, DDRP section 17).
///
/// | size      | field                                                         |
/// |-----------|---------------------------------------------------------------|
/// | uvarint+… | name                                                          |
/// | 4         | timestamp of the version, seconds since 1970-01-01 UTC        |
/// | 32        | merkle_root of the blob                                       |
/// | 32        | reserved_root, zero                                           |
/// | 65        | signature: the owner's seal                                   |
public struct Update: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName
    /// When the owner sealed it, in seconds since 1970-01-01 UTC.
    public let timestamp: UInt32
    /// Root of the Merkle tree over the blob.
    public let merkleRoot: Bytes32
    /// Zero.
    public let reservedRoot: Bytes32
    /// The owner's seal, 65 octets.
    public let signature: Bytes

    /// An update with a `signature` of 65 octets.
    public init(
        name: BlobName, timestamp: UInt32, merkleRoot: Bytes32, reservedRoot: Bytes32 = .zero, signature: Bytes
    ) {
        precondition(signature.count == Secp256k1.signatureBytes, "a signature of \(signature.count) octets")
        self.name = name
        self.timestamp = timestamp
        self.merkleRoot = merkleRoot
        self.reservedRoot = reservedRoot
        self.signature = signature
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
        timestamp = try reader.read(UInt32.self, "timestamp")
        merkleRoot = try reader.readBytes32("merkle_root")
        reservedRoot = try reader.readBytes32("reserved_root")
        signature = try reader.read(count: Secp256k1.signatureBytes, "signature")
    }

    func encode(into writer: inout ByteWriter) {
        name.encode(into: &writer)
        writer.write(timestamp)
        writer.write(merkleRoot)
        writer.write(reservedRoot)
        writer.write(signature)
    }
}

/// There is nothing newer; R only (DDRP section 17).
///
/// | uvarint+… | name |
public struct NilUpdate: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName

    /// The answer for `name`.
    public init(name: BlobName) {
        self.name = name
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
    }

    func encode(into writer: inout ByteWriter) {
        name.encode(into: &writer)
    }
}

/// Asks whether there is something newer (PIP-4, DDRP section 17).
///
/// | R         | T         | field                                              |
/// |-----------|-----------|----------------------------------------------------|
/// | uvarint+… | uvarint+… | name                                               |
/// | 4         |           | timestamp of the version at hand, 0 for none       |
public struct UpdateReq: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName
    /// The version at hand, in seconds since 1970-01-01 UTC; 0 for none, and always in T.
    public let timestamp: UInt32

    /// Asks for what is newer than `timestamp`.
    public init(name: BlobName, timestamp: UInt32 = 0) {
        self.name = name
        self.timestamp = timestamp
    }

    init(decoding reader: inout ByteReader, _ dialect: Dialect) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
        timestamp = dialect == .reference ? try reader.read(UInt32.self, "timestamp") : 0
    }

    func encode(into writer: inout ByteWriter, _ dialect: Dialect) {
        name.encode(into: &writer)
        if dialect == .reference { writer.write(timestamp) }
    }
}

/// Asks for the hashes of a blob's sectors (PIP-4, DDRP section 17).
///
/// | uvarint+… | name |
public struct TreeBaseReq: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName

    /// Asks about `name`.
    public init(name: BlobName) {
        self.name = name
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
    }

    func encode(into writer: inout ByteWriter) {
        name.encode(into: &writer)
    }
}

/// The hashes of a blob's sectors (PIP-4, DDRP section 17).
///
/// | uvarint+… | name                          |
/// | 256 × 32  | merkle_base: sector hashes    |
public struct TreeBaseRes: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName
    /// The hashes.
    public let treeBase: TreeBase

    /// The hashes of `name`.
    public init(name: BlobName, treeBase: TreeBase) {
        self.name = name
        self.treeBase = treeBase
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
        treeBase = try TreeBase(decoding: &reader)
    }

    func encode(into writer: inout ByteWriter) {
        name.encode(into: &writer)
        for hash in treeBase.sectorHashes { writer.write(hash) }
    }
}

/// Asks for a sector (PIP-4, DDRP section 17).
///
/// | R         | T         | field                                |
/// |-----------|-----------|--------------------------------------|
/// | uvarint+… | uvarint+… | name                                 |
/// | 1         | 2         | sector_id, 0 to 255, big-endian      |
public struct SectorReq: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName
    /// Which sector, counted from 0.
    public let sectorID: UInt8

    /// Asks for a sector of `name`.
    public init(name: BlobName, sectorID: UInt8) {
        self.name = name
        self.sectorID = sectorID
    }

    init(decoding reader: inout ByteReader, _ dialect: Dialect) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
        sectorID = try reader.readSectorID(dialect)
    }

    func encode(into writer: inout ByteWriter, _ dialect: Dialect) {
        name.encode(into: &writer)
        writer.writeSectorID(sectorID, dialect)
    }
}

/// A sector (PIP-4, DDRP section 17).
///
/// | R         | T         | field                                                                          |
/// |-----------|-----------|--------------------------------------------------------------------------------|
/// | uvarint+… | uvarint+… | name                                                                           |
/// | 1         | 2         | sector_id, 0 to 255, big-endian                                                |
/// | 65,536    | 65,536    | sector; PIP-4 writes 256, which is no sector (DDRP section 15)                 |
public struct SectorRes: Hashable, Sendable {
    /// Whose blob.
    public let name: BlobName
    /// Which sector, counted from 0.
    public let sectorID: UInt8
    /// Its 65,536 octets.
    public let sector: Bytes

    /// The `sector`, of 65,536 octets, of `name`.
    public init(name: BlobName, sectorID: UInt8, sector: Bytes) {
        precondition(sector.count == Blob.sectorBytes, "a sector of \(sector.count) octets")
        self.name = name
        self.sectorID = sectorID
        self.sector = sector
    }

    init(decoding reader: inout ByteReader, _ dialect: Dialect) throws(DecodeError) {
        name = try BlobName(decoding: &reader)
        sectorID = try reader.readSectorID(dialect)
        sector = try reader.read(count: Blob.sectorBytes, "sector")
    }

    func encode(into writer: inout ByteWriter, _ dialect: Dialect) {
        name.encode(into: &writer)
        writer.writeSectorID(sectorID, dialect)
        writer.write(sector)
    }
}

extension ByteReader {
    fileprivate mutating func readSectorID(_ dialect: Dialect) throws(DecodeError) -> UInt8 {
        guard dialect == .text else { return try readUInt8("sector_id") }
        guard let id = UInt8(exactly: try read(UInt16.self, "sector_id")) else { throw .invalid(field: "sector_id") }
        return id
    }
}

extension ByteWriter {
    fileprivate mutating func writeSectorID(_ id: UInt8, _ dialect: Dialect) {
        switch dialect {
        case .reference: write(id)
        case .text: write(UInt16(id))
        }
    }
}
