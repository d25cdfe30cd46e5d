import PPSP
import PeerCore

/// A fetcher that is told true and false hashes, in any order, and never trusts a false one.
struct ContentTreeScript {
    /// More would find nothing that fewer do not.
    private static let maximumSteps = 200

    private var script: Script
    private let whole: HashTree
    private let leaves: [Bytes]
    private var tree: HashTree
    private var hashes = UnverifiedHashes()
    private var verified: ChunkSet

    /// Reads the input as a file, and plays it as a script.
    static func run(_ input: Bytes) throws(Violation) {
        try checkFile(input)
        var play = ContentTreeScript(Script(input))
        var steps = 0
        while !play.script.isOver, steps < maximumSteps {
            try play.step()
            steps += 1
        }
        try play.end()
    }

    private init(_ script: Script) {
        var script = script
        let function = script.choice(of: HashFunction.allCases) ?? .sha1
        let count = script.number(below: 40) + 1
        leaves = (0..<count).map { function(Bytes(utf8: "\($0)")) }
        whole = HashTree(leaves: leaves, function)
        tree = HashTree(root: whole.root, function, maximumChunks: script.octet() & 7 == 0 ? 16 : 100)
        verified = ChunkSet(limit: UInt64(count))
        self.script = script
    }

    /// What is read from a file is written as it was, and its checks do not end the process.
    private static func checkFile(_ input: Bytes) throws(Violation) {
        guard var tree = try? HashTree(decoding: input, maximumChunks: 10_000) else { return }
        try require(tree.encoded == input, "a file is written otherwise than it was read")
        _ = tree.isSound(in: ChunkRange(0, ChunkRange.highest))
    }

    /// A chunk, mostly of the content.
    private mutating func chunk() -> UInt64 {
        let octet = script.octet()
        return octet == 255 ? .max : UInt64(octet) % UInt64(leaves.count + 1)
    }

    private mutating func step() throws(Violation) {
        switch script.octet() % 9 {
        case 8:
            // The root itself fits any layer.
            hashes.insert(Subtree(leaf: 0), whole.root)
            let width: UInt64 = 1 << UInt64(script.number(below: 63))
            if let node = Subtree(ChunkRange(0, width - 1)) { hashes.insert(node, whole.root) }
        case 0: for peak in whole.peaks { tell(peak, isTrue: true) }
        case 1:
            let chunk = min(chunk(), UInt64(leaves.count - 1))
            for uncle in whole.uncles(of: chunk, receiverHas: verified) { tell(uncle, isTrue: true) }
        case 2:
            let (layer, first) = (UInt64(script.number(below: 64)), chunk())
            let width: UInt64 = 1 << layer
            let start = first & ~(width - 1)
            guard let range = ChunkRange(checking: start, start | (width - 1)), let node = Subtree(range) else {
                return
            }
            tell(node, isTrue: script.octet() & 1 == 0)
        case 3: hashes.removeAll()
        case 4: try verify(chunk(), isTrue: false)
        default: try verify(chunk(), isTrue: true)
        }
    }

    private mutating func tell(_ node: Subtree, isTrue: Bool) {
        guard !isTrue else {
            if let hash = whole.hash(of: node) { hashes.insert(node, hash) }
            return
        }
        hashes.insert(node, Bytes([UInt8](repeating: script.octet(), count: whole.function.octets)))
    }

    private mutating func verify(_ chunk: UInt64, isTrue: Bool) throws(Violation) {
        let isOwn = isTrue && chunk < UInt64(leaves.count)
        let leaf = isOwn ? leaves[Int(chunk)] : whole.function(Bytes(utf8: "false"))
        let before = tree.chunkCount
        switch tree.verify(chunk, leaf: leaf, length: 1, with: &hashes) {
        case .verified:
            try require(isOwn, "a false chunk \(chunk) is verified")
            verified.insert(chunk)
        case .missing, .contradicted: try require(before != nil || tree.chunkCount == nil, "a count without proof")
        case .tooLarge: try require(before == nil && leaves.count > 8, "a small content is too large")
        }
        try require(tree.chunkCount ?? UInt64(leaves.count) >= UInt64(leaves.count), "too few chunks")
    }

    /// All that is trusted is true, and kept as it is.
    private mutating func end() throws(Violation) {
        hashes.removeAll()
        for case .integrity(let node, let hash) in whole.proof(of: 0, withPeaks: true, receiverHas: ChunkSet()) {
            hashes.insert(node, hash)
        }
        try verify(0, isTrue: true)
        guard let count = tree.chunkCount else { return try require(leaves.count > 16, "the truth proves nothing") }
        try require(count == UInt64(leaves.count), "\(count) chunks of \(leaves.count)")
        for bin in 0..<2 * count - 1 {
            guard let node = Subtree(bin: bin), let hash = tree.hash(of: node) else { continue }
            try require(hash == whole.hash(of: node), "\(node) is trusted, and false")
        }
        for chunk in verified.ranges().flatMap({ $0.first...$0.last }) {
            let isServable = tree.uncles(of: chunk).allSatisfy { tree.hash(of: $0) != nil }
            try require(isServable, "\(chunk) is verified, and cannot be served")
        }
        var read = try? HashTree(decoding: tree.encoded)
        let isSound = read?.isSound(in: ChunkRange(0, count - 1)) ?? false
        try require(read == tree && isSound, "a tree is not what it is written as")
    }
}
