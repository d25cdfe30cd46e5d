import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import DDRP

/// PIP-1: keys, lengths and addresses.
@Suite struct FieldVectorTests {
    @Test func `a peer ID is BLAKE2b-256 of the compressed public key`() throws {
        for vector in try Vector.cases("ddrp", "keys") {
            let compressed = try vector.octets("public_key_compressed")
            let uncompressed = try vector.octets("public_key_uncompressed")
            let identity = try #require(Identity(secret: try vector.octets32("private_key")), "\(vector)")
            #expect(identity.key.publicKey == compressed, "\(vector)")
            #expect(identity.peerID == (try vector.octets32("peer_id")), "\(vector)")
            #expect(blake2b256(uncompressed) == (try vector.octets32("not_peer_id_uncompressed_hash")), "\(vector)")
            #expect(Secp256k1.isPublicKey(compressed) && !Secp256k1.isPublicKey(uncompressed), "\(vector)")
        }
    }

    @Test func `a uvarint is written in its shortest form and read back`() throws {
        for vector in try Vector.cases("ddrp", "uvarint") {
            let value = try #require(UInt64(try vector.text("value")), "\(vector)")
            let octets = try vector.octets("hex")
            var writer = ByteWriter()
            writer.writeUvarint(value)
            #expect(writer.bytes == octets, "\(vector)")
            #expect(try feed(octets, to: readUvarint) == value, "\(vector)")
        }
    }

    @Test func `a uvarint of ten octets at most is read, also when it is longer than needed`() throws {
        for vector in try Vector.cases("ddrp", "uvarint_decode") {
            let octets = try vector.octets("hex")
            if vector.has("value") {
                let value = try #require(UInt64(try vector.text("value")), "\(vector)")
                #expect(try feed(octets, to: readUvarint) == value, "\(vector)")
            } else {
                #expect(!(try vector.text("error")).isEmpty, "\(vector)")
                #expect(throws: DecodeError.self, "\(vector)") {
                    var reader = ByteReader(octets)
                    _ = try reader.readUvarint("length")
                }
            }
        }
    }

    @Test func `an address has 16 octets, IPv4 as v4-mapped`() throws {
        for vector in try Vector.cases("ddrp", "ip") {
            let address = try #require(IPAddress(try vector.text("ip")), "\(vector)")
            let octets = try vector.octets("hex")
            #expect(Bytes(address.octets) == octets, "\(vector)")
            var reader = ByteReader(octets)
            #expect(try reader.readIP("ip") == address, "\(vector)")
            #expect(IPAddress(address.description) == address, "\(vector)")
        }
    }

    private func readUvarint(_ octets: Bytes) throws -> (message: UInt64, octets: Int)? {
        var reader = ByteReader(octets)
        return try reader.readUvarintIfComplete("length").map { ($0, reader.position) }
    }
}
