import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Trees as senders and fetchers know them (PPSP section 9.3, RFC 7574 digest section 5).
@Suite struct HashTreeTests {
    private let functions = HashFunction.allCases

    private func leaves(_ count: Int, _ function: HashFunction) -> [Bytes] {
        (0..<count).map { function(Bytes(utf8: "chunk \($0)")) }
    }

    /// What the text says, level by level over the padded base.
    private func plainRoot(_ leaves: [Bytes], _ function: HashFunction) -> Bytes {
        let zeros = Bytes([UInt8](repeating: 0, count: function.octets))
        var level = leaves
        while level.count & (level.count - 1) != 0 { level.append(zeros) }
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 2).map { index in
                let (left, right) = (level[index], level[index + 1])
                return left == zeros && right == zeros ? zeros : function(Bytes(left.array + right.array))
            }
        }
        return level[0]
    }

    /// Tells `hashes` what a sender sends before `chunk`.
    private func tell(
        _ chunk: UInt64, of tree: HashTree, peaks: Bool, to hashes: inout UnverifiedHashes,
        has: (ChunkRange) -> Bool = { _ in false }
    ) {
        for node in (peaks ? tree.peaks : []) + tree.uncles(of: chunk, receiverHasSome: has) {
            hashes.insert(node, tree.hash(of: node) ?? Bytes())
        }
    }

    @Test func `the root is that of the padded base, for every number of chunks up to 70`() {
        for function in functions {
            for count in 1...70 {
                let leaves = leaves(count, function)
                #expect(HashTree(leaves: leaves, function).root == plainRoot(leaves, function), "\(function) \(count)")
            }
        }
        #expect(HashTreeBuilder(.sha256).finish() == nil)
    }

    @Test func `a million chunks make a tree, and each is proved by twenty hashes`() {
        let count: UInt64 = 1 << 20 + 3
        let leaf = HashFunction.sha1(Bytes(utf8: "the same"))
        var builder = HashTreeBuilder(.sha1)
        for _ in 0..<count { builder.append(leaf) }
        guard let tree = builder.finish() else { return }
        #expect(tree.peaks.map(\.width) == [1 << 20, 2, 1])
        var fetcher = HashTree(root: tree.root, .sha1)
        var hashes = UnverifiedHashes()
        tell(777_777, of: tree, peaks: true, to: &hashes)
        #expect(hashes.count == 23)
        #expect(
            fetcher.verify(777_777, leaf: leaf, length: 1, with: &hashes)
                == .verified(below: Subtree(ChunkRange(0, 1 << 20 - 1))))
    }

    @Test func `chunks in any order are verified with what a sender tells before each, until the tree is whole`() {
        var random = SeededRandom(1)
        for function in functions {
            for count in [1, 2, 3, 5, 7, 8, 33, 64, 100] {
                let leaves = leaves(count, function)
                let tree = HashTree(leaves: leaves, function)
                var fetcher = HashTree(root: tree.root, function)
                var sent: Set<UInt64> = []
                for chunk in (0..<UInt64(count)).shuffled(using: &random) {
                    #expect(!fetcher.isComplete)
                    var hashes = UnverifiedHashes()
                    tell(chunk, of: tree, peaks: sent.isEmpty, to: &hashes) { range in
                        sent.contains { range.contains($0) }
                    }
                    let verdict = fetcher.verify(chunk, leaf: leaves[Int(chunk)], length: 1, with: &hashes)
                    guard case .verified = verdict else {
                        Issue.record("\(function) \(count) \(chunk): \(verdict)")
                        return
                    }
                    #expect(hashes.count == 0)
                    sent.insert(chunk)
                    #expect(fetcher.uncles(of: chunk).allSatisfy { fetcher.hash(of: $0) == tree.hash(of: $0) })
                    if fetcher.isComplete { break }
                }
                #expect(fetcher == tree)
            }
        }
    }

    @Test func `a sender says each hash at most once in a transfer, and it is enough`() {
        var random = SeededRandom(8)
        for count in [1, 2, 7, 64, 99] {
            let leaves = leaves(count, .sha1)
            let tree = HashTree(leaves: leaves, .sha1)
            var fetcher = HashTree(root: tree.root, .sha1)
            var sent = ChunkSet(limit: UInt64(count))
            var said: [Subtree] = []
            for chunk in (0..<UInt64(count)).shuffled(using: &random) {
                let proof = tree.proof(of: chunk, withPeaks: sent.isEmpty, receiverHas: sent)
                var hashes = UnverifiedHashes()
                for case .integrity(let node, let hash) in proof {
                    said.append(node)
                    hashes.insert(node, hash)
                }
                guard case .verified = fetcher.verify(chunk, leaf: leaves[Int(chunk)], length: 1, with: &hashes) else {
                    Issue.record("chunk \(chunk) of \(count)")
                    return
                }
                sent.insert(chunk)
                #expect(hashes.count == 0)
            }
            #expect(Set(said).count == said.count && Array(said.prefix(tree.peaks.count)) == tree.peaks)
            #expect(fetcher == tree && tree.proof(of: 0, withPeaks: false, receiverHas: sent).isEmpty)
        }
        // Not known: nothing to say.
        #expect(
            HashTree(root: leaves(1, .sha1)[0], .sha1).proof(of: 0, withPeaks: true, receiverHas: ChunkSet()).isEmpty)
    }

    @Test func `without its hashes a chunk is neither verified nor contradicted, and nothing changes`() {
        let leaves = leaves(7, .sha256)
        let tree = HashTree(leaves: leaves, .sha256)
        var all = UnverifiedHashes()
        tell(2, of: tree, peaks: true, to: &all)
        let nodes = tree.peaks + tree.uncles(of: 2)
        for lost in nodes {
            var fetcher = HashTree(root: tree.root, .sha256)
            var hashes = UnverifiedHashes()
            for node in nodes where node != lost { hashes.insert(node, tree.hash(of: node) ?? Bytes()) }
            #expect(fetcher.verify(2, leaf: leaves[2], length: 1, with: &hashes) == .missing, "\(lost)")
            #expect(fetcher.hash(of: Subtree(leaf: 2)) == nil && fetcher.hash(of: Subtree(leaf: 3)) == nil)
            // It comes later, in a datagram of its own.
            hashes.insert(lost, tree.hash(of: lost) ?? Bytes())
            #expect(
                fetcher.verify(2, leaf: leaves[2], length: 1, with: &hashes) == .verified(below: tree.peaks[0]),
                "\(lost)")
        }
    }

    @Test func `an uncle that comes before lost peaks is no proof against its sender`() {
        for count in [2, 3, 8] {
            let tree = HashTree(leaves: leaves(count, .sha1), .sha1)
            var fetcher = HashTree(root: tree.root, .sha1)
            var hashes = UnverifiedHashes()
            tell(1, of: tree, peaks: false, to: &hashes)
            let leaf = leaves(2, .sha1)[1]
            #expect(fetcher.verify(1, leaf: leaf, length: 1, with: &hashes) == .missing)
            for peak in tree.peaks { hashes.insert(peak, tree.hash(of: peak) ?? Bytes()) }
            #expect(fetcher.verify(1, leaf: leaf, length: 1, with: &hashes) == .verified(below: tree.peaks[0]))
        }
    }

    @Test func `a wrong chunk, a wrong hash and a chunk beyond the content contradict, and leave no trace`() {
        let leaves = leaves(13, .blake2b256)
        let tree = HashTree(leaves: leaves, .blake2b256)
        var fetcher = HashTree(root: tree.root, .blake2b256)
        var hashes = UnverifiedHashes()
        tell(0, of: tree, peaks: true, to: &hashes)
        #expect(fetcher.verify(0, leaf: leaves[0], length: 1, with: &hashes) == .verified(below: tree.peaks[0]))
        let before = fetcher
        for chunk in UInt64(1)..<13 {
            var hashes = UnverifiedHashes()
            tell(chunk, of: tree, peaks: false, to: &hashes)
            #expect(fetcher.verify(chunk, leaf: leaves[0], length: 1, with: &hashes) == .contradicted, "\(chunk)")
            #expect(fetcher == before, "\(chunk)")
        }
        hashes.insert(Subtree(leaf: 5), leaves[6])
        tell(4, of: tree, peaks: false, to: &hashes) { $0.contains(0) || $0 == ChunkRange(4, 5) }
        hashes.insert(Subtree(ChunkRange(6, 7)) ?? Subtree(leaf: 0), leaves[6])
        #expect(fetcher.verify(4, leaf: leaves[4], length: 1, with: &hashes) == .contradicted)
        #expect(fetcher.verify(13, leaf: leaves[4], length: 1, with: &hashes) == .contradicted)
        #expect(fetcher.verify(.max, leaf: leaves[4], length: 1, with: &hashes) == .contradicted)
        #expect(fetcher == before)
    }

    @Test func `a content of one chunk needs no peak, and no other chunk is it`() {
        let leaf = leaves(1, .sha256)[0]
        var one = HashTree(root: leaf, .sha256)
        var hashes = UnverifiedHashes()
        #expect(one.verify(0, leaf: leaf, length: 1, with: &hashes) == .verified(below: nil))
        #expect(one.chunkCount == 1 && one.isComplete)
        #expect(one.verify(0, leaf: HashFunction.sha256(leaf), length: 1, with: &hashes) == .contradicted)
    }

    @Test func `at most 128 unverified hashes are kept, the newest`() {
        var hashes = UnverifiedHashes()
        for chunk in UInt64(0)..<200 { hashes.insert(Subtree(leaf: chunk), HashFunction.sha1(Bytes([UInt8(chunk)]))) }
        #expect(hashes.count == 128)
        #expect(hashes[Subtree(leaf: 71)] == nil && hashes[Subtree(leaf: 72)] != nil)
        hashes.insert(Subtree(leaf: 199), Bytes([UInt8](repeating: 0, count: 20)))
        #expect(hashes[Subtree(leaf: 199)] == HashFunction.sha1(Bytes([199])))
        hashes.removeAll()
        #expect(hashes.count == 0)
    }
}
