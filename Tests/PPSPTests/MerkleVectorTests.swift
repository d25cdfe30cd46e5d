import PeerCore
import TestSupport
import Testing

@testable import PPSP

/// Hash trees and bin numbers of the vectors (PPSP section 9.3, RFC 7574 digest section 5).
@Suite struct MerkleVectorTests {
    @Test func `root, peaks and uncles are those of the vectors`() throws {
        for vector in try vectors("merkle") {
            let function = try vector.function("hash_function")
            let leaves = try vector.content().chunks(of: try vector.number("chunk_size")).map { function($0) }
            let tree = HashTree(leaves: leaves, function)
            #expect(tree.root == (try vector.octets("root")), "\(vector)")
            #expect(tree.chunkCount == (try vector.uint64("chunks")) && tree.isComplete, "\(vector)")
            let peaks = try vector.cases("peaks")
            #expect(tree.peaks.count == peaks.count, "\(vector)")
            for (peak, expected) in zip(tree.peaks, peaks) {
                #expect(peak == (try expected.subtree()), "\(expected)")
                #expect(peak.bin == (try expected.uint64("bin")), "\(expected)")
                #expect(peak.layer == (try expected.number("layer")), "\(expected)")
                #expect(peak.offset == (try expected.uint64("offset")), "\(expected)")
                #expect(tree.hash(of: peak) == (try expected.octets("hash")), "\(expected)")
            }
            let proof = try vector.value("proof")
            let chunk = try proof.uint64("chunk")
            #expect(tree.hash(of: Subtree(leaf: chunk)) == (try proof.octets("leaf")), "\(vector)")
            let uncles = try proof.elements("uncles_top_down_to_peak")
            let nodes = try uncles.map { try $0.subtree() }
            #expect(tree.uncles(of: chunk) == nodes, "\(vector)")
            for uncle in uncles {
                #expect(tree.hash(of: try uncle.subtree()) == (try uncle.octets("hash")), "\(uncle)")
            }
        }
    }

    @Test func `peaks and uncles of a vector prove its chunk to who knows the root alone`() throws {
        for vector in try vectors("merkle") {
            let function = try vector.function("hash_function")
            var tree = HashTree(root: try vector.octets("root"), function)
            var hashes = UnverifiedHashes()
            let proof = try vector.value("proof")
            let told = try vector.cases("peaks") + proof.elements("uncles_top_down_to_peak")
            for node in told { hashes.insert(try node.subtree(), try node.octets("hash")) }
            let verdict = tree.verify(
                try proof.uint64("chunk"), leaf: try proof.octets("leaf"), length: 1, with: &hashes)
            guard case .verified = verdict else {
                Issue.record("\(vector): \(verdict)")
                continue
            }
            #expect(tree.chunkCount == (try vector.uint64("chunks")), "\(vector)")
            #expect(hashes.count == 0, "\(vector)")
        }
    }

    @Test func `a bin is the node with that layer and offset, and covers those chunks`() throws {
        for vector in try vectors("bins") {
            let node = Subtree(layer: try vector.number("layer"), offset: try vector.uint64("offset"))
            #expect(node.bin == (try vector.uint64("bin")), "\(vector)")
            #expect(Subtree(bin: node.bin) == node, "\(vector)")
            #expect(node.range == (try vector.range()) && Subtree(node.range) == node, "\(vector)")
        }
        #expect(Subtree(bin: .max) == nil)
        #expect(Subtree(bin: .max >> 1)?.range == ChunkRange(0, ChunkRange.highest))
        #expect(Subtree(bin: .max - 1)?.range == ChunkRange(ChunkRange.highest))
    }

    @Test func `a range splits into the subtrees that the digest names`() {
        #expect(ChunkRange(0, 6).subtrees.map(\.range) == [ChunkRange(0, 3), ChunkRange(4, 5), ChunkRange(6)])
        #expect(
            ChunkRange(1, 6).subtrees.map(\.range)
                == [1...1, 2...3, 4...5, 6...6].map { ChunkRange($0.lowerBound, $0.upperBound) })
        #expect(ChunkRange(0, ChunkRange.highest).subtrees.map(\.layer) == [63])
        #expect(ChunkRange(1, ChunkRange.highest).subtrees.count == 63)
        #expect(Subtree.peaks(of: 7).map(\.width) == [4, 2, 1] && Subtree.peaks(of: 0).isEmpty)
    }
}
