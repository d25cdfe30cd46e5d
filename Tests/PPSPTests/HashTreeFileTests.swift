import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Trees that are kept between two starts.
@Suite struct HashTreeFileTests {
    private static let count: UInt64 = 21

    /// A whole tree, and one that knows some chunks of it.
    private func trees(_ function: HashFunction) -> (whole: HashTree, part: HashTree) {
        let leaves = (0..<Self.count).map { function(Bytes(utf8: "\($0)")) }
        let whole = HashTree(leaves: leaves, function)
        var part = HashTree(root: whole.root, function)
        for chunk: UInt64 in [3, 20, 11] {
            var hashes = UnverifiedHashes()
            for node in whole.peaks + whole.uncles(of: chunk) { hashes.insert(node, whole.hash(of: node) ?? Bytes()) }
            _ = part.verify(chunk, leaf: leaves[Int(chunk)], length: 1, with: &hashes)
        }
        return (whole, part)
    }

    @Test(arguments: HashFunction.allCases)
    func `a tree is read as it was written, and goes on from there`(function: HashFunction) throws {
        let (whole, part) = trees(function)
        for tree in [whole, part] {
            var read = try HashTree(decoding: Bytes([1, 2] + tree.encoded.array).dropping(2))
            #expect(read == tree && read.isComplete == tree.isComplete)
            let isSound = read.isSound(in: ChunkRange(0, ChunkRange.highest))
            #expect(isSound)
        }
        #expect(HashTree(root: whole.root, function).encoded.isEmpty)
        var again = try HashTree(decoding: part.encoded)
        var hashes = UnverifiedHashes()
        for node in whole.uncles(of: 0, receiverHasSome: { $0.contains(3) }) {
            hashes.insert(node, whole.hash(of: node) ?? Bytes())
        }
        guard let leaf = whole.hash(of: Subtree(leaf: 0)) else { return }
        #expect(again.verify(0, leaf: leaf, length: 1, with: &hashes) == .verified(below: Subtree(ChunkRange(0, 1))))
    }

    @Test func `what verifying changed lies in the place of the node that it names`() {
        let (whole, part) = trees(.sha256)
        var tree = part
        var file = tree.encoded.array
        for chunk in 0..<Self.count {
            var hashes = UnverifiedHashes()
            for node in whole.uncles(of: chunk) { hashes.insert(node, whole.hash(of: node) ?? Bytes()) }
            guard let leaf = whole.hash(of: Subtree(leaf: chunk)),
                case .verified(let below) = tree.verify(chunk, leaf: leaf, length: 1, with: &hashes)
            else {
                Issue.record("chunk \(chunk)")
                return
            }
            if let below {
                let range = tree.fileRange(of: below.range)
                file.replaceSubrange(range, with: tree.encoded(range))
            }
            #expect(Bytes(file) == tree.encoded, "\(chunk)")
        }
        #expect(tree == whole)
        #expect(tree.fileRange(of: ChunkRange(Self.count, ChunkRange.highest)).isEmpty)
    }

    @Test func `a file that is cut, longer or of something else is refused`() throws {
        let octets = trees(.sha1).part.encoded.array
        for count in octets.indices {
            #expect(throws: DecodeError.self) { try HashTree(decoding: Bytes(Array(octets[..<count]))) }
        }
        #expect(throws: DecodeError.trailing(count: 1)) { try HashTree(decoding: Bytes(octets + [0])) }
        for place in 0..<HashTree.headBytes {
            var changed = octets
            changed[place] ^= 0x10
            #expect(throws: DecodeError.self, "\(place)") { try HashTree(decoding: Bytes(changed)) }
        }
        #expect(throws: DecodeError.tooLong(field: "chunk count", length: Self.count, limit: 20)) {
            try HashTree(decoding: Bytes(octets), maximumChunks: 20)
        }
    }

    @Test func `a hash that was changed in a file is found`() throws {
        for tree in [trees(.sha256).whole, trees(.sha256).part] {
            let octets = tree.encoded.array
            for place in stride(from: HashTree.headBytes, to: octets.count - 32, by: 7) {
                var changed = octets
                changed[place] ^= 1
                let bin = UInt64(place - HashTree.headBytes) / 32
                // Between peaks are places of nodes that nobody has.
                guard let node = Subtree(bin: bin), node.last < Self.count else { continue }
                var read = try? HashTree(decoding: Bytes(changed))
                let isFound = !(read?.isSound(in: ChunkRange(0, Self.count - 1)) ?? false)
                #expect(isFound, "bin \(bin)")
            }
        }
    }
}
