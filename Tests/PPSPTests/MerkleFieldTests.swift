import PeerCore
import PeerCrypto
import Testing

@testable import PPSP

/// The header field that proves a range (PPSP section 9.7).
struct MerkleFieldTests {
    private func tree(_ count: Int) -> HashTree {
        HashTree(leaves: (0..<count).map { digest(Bytes([UInt8($0 % 251), UInt8($0 / 251)]), .sha256) }, .sha256)
    }

    @Test func `the hashes of a range are those of section 9_3, or fewer when these are too many`() throws {
        let tree = tree(300)
        for (first, last) in [(0, 0), (299, 299), (0, 63), (17, 80), (150, 277), (0, 299), (3, 298)] {
            let chunks = ChunkRange(UInt64(first), UInt64(last))
            let nodes = tree.proof(of: chunks)
            #expect(nodes.count <= 128 && Set(nodes).count == nodes.count && nodes.starts(with: tree.peaks))
            var fetched = HashTree(root: tree.root, .sha256)
            let arrivals = (first...last).map { number in
                Arrival(
                    tie: Tie(connection: ConnectionID(1), swarm: 1), chunk: UInt64(number), payload: Bytes(),
                    hashes: number == first
                        ? nodes.compactMap { node in tree.hash(of: node).map { (node: node, hash: $0) } } : [])
            }
            let digests = (first...last).compactMap { tree.hash(of: Subtree(leaf: UInt64($0))) }
            var told = Stage().core.told(Check(number: 1, arrivals: arrivals), digests, .sha256)
            for (arrival, digest) in zip(arrivals, digests) {
                let verdict = fetched.verify(arrival.chunk, leaf: digest, length: 1, with: &told)
                guard case .verified = verdict else {
                    Issue.record("chunk \(arrival.chunk) of \(chunks): \(verdict)")
                    return
                }
            }
            #expect(fetched.chunkCount == 300)
        }
    }

    @Test func `a field is read as it is written`() throws {
        let tree = tree(7)
        let field = try #require(MerkleField(tree, chunkSize: 1024, ChunkRange(2, 3)))
        #expect(MerkleField(field.text) == field)
        #expect(field.text.hasPrefix("2; 1024; 0-3="))
        #expect(MerkleField("2;1024;")?.hashes == [])
    }

    @Test func `a field that is malformed is none`() {
        let hash = String(repeating: "a", count: 64)
        let good = "2; 1024; 0-3=\(hash), 4-4=\(hash)"
        #expect(MerkleField(good)?.hashes.count == 2)
        let many = Array(repeating: "0-0=\(hash)", count: MerkleField.most + 1).joined(separator: ", ")
        for text in [
            "", "2", "2; 1024", "9; 1024; 0-3=\(hash)", "2; 1000; 0-3=\(hash)", "2; 1024; 1-4=\(hash)",
            "2; 1024; 3-0=\(hash)", "2; 1024; 0-3=\(hash)a", "2; 1024; 0-3", "2; 1024; 0=\(hash)",
            "x; 1024; 0-3=\(hash)",
            "2; 1024; 0-99999999999999999999=\(hash)", "2; 1024; -1-0=\(hash)", "2; 1024; \(many)", "\(good); more",
        ] {
            #expect(MerkleField(text) == nil, "\(text.prefix(60))")
        }
    }
}
