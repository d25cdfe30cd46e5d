import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// How many chunks a content has, when senders lie about it: one root fits many numbers (PPSP section 9.3).
@Suite struct ChunkCountTests {
    private static let function = HashFunction.sha1

    private func leaves(_ count: UInt64) -> [Bytes] {
        (0..<count).map { Self.function(Bytes(utf8: "chunk \($0)")) }
    }

    /// The hash of a node of the padded tree.
    private func hash(of node: Subtree, in tree: HashTree) -> Bytes {
        if node.first >= tree.chunkCount ?? 0 { return Bytes([UInt8](repeating: 0, count: Self.function.octets)) }
        guard tree.hash(of: node) == nil, let (left, right) = node.children else {
            return tree.hash(of: node) ?? Bytes()
        }
        return Self.function.parent(hash(of: left, in: tree), hash(of: right, in: tree))
    }

    /// What a sender says before `chunk` who claims `count` chunks.
    private func told(_ chunk: UInt64, _ count: UInt64, of tree: HashTree) -> UnverifiedHashes {
        var hashes = UnverifiedHashes()
        var node = Subtree(leaf: chunk)
        while node.parent.last < count {
            hashes.insert(node.sibling, hash(of: node.sibling, in: tree))
            node = node.parent
        }
        for peak in Subtree.peaks(of: count) { hashes.insert(peak, hash(of: peak, in: tree)) }
        return hashes
    }

    @Test func `a claim of too many chunks is taken back when somebody has the peaks of fewer`() {
        for count: UInt64 in [3, 5, 6, 9, 13, 19] {
            let leaves = leaves(count)
            let tree = HashTree(leaves: leaves, Self.function)
            let whole = UInt64(1) << UInt64(HashTree.layers(count))
            for claim in count + 1...whole {
                var fetcher = HashTree(root: tree.root, Self.function)
                var lie = told(0, claim, of: tree)
                guard case .verified = fetcher.verify(0, leaf: leaves[0], length: 1, with: &lie) else {
                    Issue.record("\(claim) of \(count)")
                    continue
                }
                // Peaks of nothing but zeros say nothing.
                let believed = fetcher.chunkCount ?? 0
                #expect(believed > count - 1 && believed <= claim && (believed > count || claim < whole))
                // The last chunk cannot be proved to who waits for more.
                var uncles = UnverifiedHashes()
                for node in tree.uncles(of: count - 1) { uncles.insert(node, hash(of: node, in: tree)) }
                let last = leaves[Int(count) - 1]
                #expect(fetcher.verify(count - 1, leaf: last, length: 1, with: &uncles) != .verified(below: nil))
                var truth = told(count - 1, count, of: tree)
                guard case .verified = fetcher.verify(count - 1, leaf: last, length: 1, with: &truth) else {
                    Issue.record("\(claim) of \(count): the truth")
                    continue
                }
                #expect(fetcher.chunkCount == count)
                for chunk in 0..<count {
                    var hashes = told(chunk, claim, of: tree)
                    guard case .verified = fetcher.verify(chunk, leaf: leaves[Int(chunk)], length: 1, with: &hashes)
                    else {
                        Issue.record("\(claim) of \(count): \(chunk)")
                        return
                    }
                }
                #expect(fetcher == tree && fetcher.isComplete, "\(claim) of \(count)")
            }
        }
    }

    @Test func `one peak that is the root proves nothing in the wrong layer, and reserves nothing`() {
        let leaves = leaves(5)
        let tree = HashTree(leaves: leaves, Self.function)
        for layer in 0...63 where layer != 3 {
            var fetcher = HashTree(root: tree.root, Self.function)
            var hashes = UnverifiedHashes()
            hashes.insert(Subtree(layer: layer, offset: 0), tree.root)
            for uncle in 0..<layer { hashes.insert(Subtree(layer: uncle, offset: 1), leaves[1]) }
            let verdict = fetcher.verify(0, leaf: leaves[0], length: 1, with: &hashes)
            #expect(verdict == .contradicted || verdict == .missing, "\(layer)")
            #expect(fetcher.chunkCount == nil && fetcher.encoded.isEmpty, "\(layer)")
        }
    }

    @Test func `a chunk that is two hashes does not show in which layer the chunks hang`() {
        let leaves = leaves(4)
        let tree = HashTree(leaves: leaves, Self.function)
        let (left, right) = (Subtree(ChunkRange(0, 1)), Subtree(ChunkRange(2, 3)))
        guard let left, let right, let leftHash = tree.hash(of: left), let rightHash = tree.hash(of: right) else {
            return
        }
        var fetcher = HashTree(root: tree.root, Self.function)
        var hashes = UnverifiedHashes()
        hashes.insert(left, tree.root)
        hashes.insert(Subtree(leaf: 0), leftHash)
        // "Two chunks, and the second is the hashes of chunks 2 and 3."
        #expect(fetcher.verify(1, leaf: rightHash, length: 40, with: &hashes) == .missing)
        #expect(fetcher.chunkCount == nil)
    }

    @Test func `a content of more chunks than are taken is known by a chunk of it`() {
        let leaves = leaves(9)
        let tree = HashTree(leaves: leaves, Self.function)
        var fetcher = HashTree(root: tree.root, Self.function, maximumChunks: 8)
        var hashes = told(8, 9, of: tree)
        #expect(fetcher.verify(8, leaf: leaves[7], length: 1, with: &hashes) == .contradicted)
        #expect(fetcher.verify(9, leaf: leaves[7], length: 1, with: &hashes) == .contradicted)
        #expect(fetcher.verify(8, leaf: leaves[8], length: 1, with: &hashes) == .tooLarge)
        #expect(fetcher.chunkCount == nil)
    }
}
