import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import DDRP

/// PIP-3: Merkle trees and seals of blobs.
@Suite struct BlobVectorTests {
    @Test func `unwritten octets are zero, at every level of the tree`() throws {
        for file in try Vector.files("ddrp") {
            let vector = try file.value("empty_blob")
            #expect(Blob.zeroLeafHash == (try vector.octets32("leaf_hash")), "\(vector)")
            #expect(Blob.zeroSectorHash == (try vector.octets32("sector_hash")), "\(vector)")
            #expect(TreeBase.zero.merkleRoot == (try vector.octets32("merkle_root")), "\(vector)")
            let zeros = Bytes([UInt8](repeating: 0, count: Blob.sectorBytes))
            #expect(Blob.sectorHash(zeros) == Blob.zeroSectorHash)
        }
    }

    @Test func `the root of a blob follows from its sectors, which come in any order`() throws {
        for vector in try Vector.cases("ddrp", "blobs") {
            let (treeBase, written) = try tree(of: vector)
            for (id, hash) in try vector.value("sector_hashes").values() {
                #expect(treeBase[try #require(UInt8(id))] == (try hash.octets32()), "\(vector)")
            }
            for id in UInt8.min...UInt8.max where !written.contains(id) {
                #expect(treeBase[id] == Blob.zeroSectorHash, "\(vector)")
            }
            #expect(treeBase.merkleRoot == (try vector.octets32("merkle_root")), "\(vector)")
        }
    }

    @Test func `the owner seals name, timestamp and root`() throws {
        for vector in try Vector.cases("ddrp", "blobs") {
            let owner = try vector.privateKey("private_key")
            let update = Update(
                sealing: try vector.blobName("name"), timestamp: try vector.seconds("timestamp"),
                merkleRoot: try tree(of: vector).treeBase.merkleRoot,
                reservedRoot: try vector.octets32("reserved_root"), with: owner)
            #expect(owner.publicKey == (try vector.octets("public_key")), "\(vector)")
            #expect(update.sealDigest == (try vector.octets32("seal_hash")), "\(vector)")
            #expect(update.signature == (try vector.octets("signature")), "\(vector)")
            for dialect in Dialect.allCases {
                #expect(update.isSealed(by: owner.publicKey, in: dialect), "\(vector)")
                for other in tampered(update) {
                    #expect(!other.isSealed(by: owner.publicKey, in: dialect), "\(vector)")
                }
            }
        }
    }

    @Test func `in T a seal over a timestamp of eight octets is good too`() throws {
        for vector in try Vector.cases("ddrp", "blobs") {
            let owner = try vector.privateKey("private_key")
            let (name, timestamp) = (try vector.blobName("name"), try vector.seconds("timestamp"))
            let root = try vector.octets32("merkle_root")
            var writer = ByteWriter()
            writer.write(Bytes(utf8: "DDRPBLOB"))
            writer.write(UInt8(name.octets.count))
            writer.write(name.octets)
            writer.write(UInt64(timestamp))
            writer.write(root)
            writer.write(Bytes32.zero)
            let signature = owner.sign(blake2b256(writer.bytes))
            let update = Update(name: name, timestamp: timestamp, merkleRoot: root, signature: signature)
            #expect(update.isSealed(by: owner.publicKey, in: .text), "\(vector)")
            #expect(!update.isSealed(by: owner.publicKey, in: .reference), "\(vector)")
        }
    }

    @Test func `a blob is stored under the hash of its name`() throws {
        for vector in try Vector.cases("ddrp", "blobs") {
            #expect(try vector.blobName("name").storagePath.description == (try vector.text("store_path")), "\(vector)")
        }
    }

    @Test func `a name has 1 to 63 octets, a tree base 256 hashes`() {
        #expect(
            [0, 1, 63, 64].map { BlobName(Bytes([UInt8](repeating: 97, count: $0))) != nil } == [
                false, true, true, false,
            ])
        #expect(
            [255, 256, 257].map { TreeBase([Bytes32](repeating: .zero, count: $0)) != nil } == [false, true, false])
    }

    private func tree(of vector: Vector) throws -> (treeBase: TreeBase, written: Set<UInt8>) {
        var treeBase = TreeBase.zero
        var written: Set<UInt8> = []
        for sector in try vector.elements("sectors").reversed() {
            let id = try #require(UInt8(exactly: try sector.number("id")), "\(vector)")
            treeBase.replace(id, with: patternSector(try sector.number("seed")))
            written.insert(id)
        }
        return (treeBase, written)
    }

    /// The update with one thing changed under the same signature.
    private func tampered(_ update: Update) -> [Update] {
        [
            Update(
                name: update.name, timestamp: update.timestamp ^ 1, merkleRoot: update.merkleRoot,
                reservedRoot: update.reservedRoot, signature: update.signature),
            Update(
                name: update.name, timestamp: update.timestamp, merkleRoot: blake2b256(Bytes()),
                reservedRoot: update.reservedRoot, signature: update.signature),
            Update(
                name: update.name, timestamp: update.timestamp, merkleRoot: update.merkleRoot,
                reservedRoot: blake2b256(Bytes()), signature: update.signature),
        ]
    }
}
