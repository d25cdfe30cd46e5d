public import PeerCore
internal import PeerCrypto

/// The Merkle tree of a content, whole or as far as a fetcher knows it (PPSP section 9.3).
///
/// Every hash in it is trusted: computed here, or proved against the root. A tree that begins with the root alone
/// learns the number of chunks from the peaks, and the rest from paths that are verified (`verify`).
///
/// The hashes stand in one run of octets in the order of their bin numbers, zeros where one is not known. That run with
/// its head is also what is kept in a file, so a node serves again after a restart without hashing the content:
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 4 | `ppht` |
/// | 4 | 1 | 1, the version of this layout |
/// | 5 | 1 | code of the hash function, with h octets |
/// | 6 | 2 | 0 |
/// | 8 | 8 | number of chunks, N |
/// | 16 | 32 | root, zeros after it |
/// | 48 | 2 N h | hashes of bins 0 to 2 N - 2, and h zeros |
public struct HashTree: Sendable {
    /// Chunks of the largest content that we take: 256 GiB in chunks of 16 KiB, for which the hashes take 1 GiB.
    public static let maximumChunks: UInt64 = 1 << 24

    /// The hash function of the swarm.
    public let function: HashFunction
    /// The top, which names the swarm.
    public internal(set) var root: Bytes
    /// Chunks of the largest content that is taken from strangers.
    let limit: UInt64
    /// Number of chunks; nil until it is proved. It may become smaller when another sender proves that (`verify`).
    public internal(set) var chunkCount: UInt64?
    /// Chunks whose hash is known.
    var knownLeaves: UInt64 = 0
    /// Head and hashes; empty while the number of chunks is not known.
    var octets: [UInt8] = []

    /// A tree of which only the root is known, 20 or 32 octets as the function has.
    public init(root: Bytes, _ function: HashFunction, maximumChunks: UInt64 = Self.maximumChunks) {
        precondition(root.count == function.octets, "a root of \(root.count) octets")
        self.root = Bytes(Array(root))
        self.function = function
        limit = maximumChunks
    }

    /// The whole tree over the hashes of all chunks, at least one, in order.
    public init(leaves: some Sequence<Bytes>, _ function: HashFunction) {
        var builder = HashTreeBuilder(function)
        for leaf in leaves { builder.append(leaf) }
        guard let tree = builder.finish() else { preconditionFailure("a content without chunks has no tree") }
        self = tree
    }

    /// Whether the hash of every chunk is known.
    public var isComplete: Bool { chunkCount == knownLeaves }

    /// The nodes that prove the number of chunks, from left to right; none while it is not known.
    public var peaks: [Subtree] { Subtree.peaks(of: chunkCount ?? 0) }

    /// The hash of a node, if it is known. Never that of a node which stands above more than the content.
    public func hash(of node: Subtree) -> Bytes? {
        guard isInside(node), isKnown(node) else { return nil }
        return Bytes(Array(octets[place(of: node)]))
    }

    /// What a receiver needs beside the peaks to check `chunk`: the siblings on the way up to its peak, highest first.
    ///
    /// `receiverHasSome` tells whether it has any of some chunks, or was sent one: then it knows the hashes right below
    /// the node above them, and they are left out. (PPSP section 9.3)
    public func uncles(of chunk: UInt64, receiverHasSome: (ChunkRange) -> Bool = { _ in false }) -> [Subtree] {
        var uncles: [Subtree] = []
        var node = Subtree(leaf: chunk)
        while isInside(node.parent), !receiverHasSome(node.parent.range) {
            uncles.append(node.sibling)
            node = node.parent
        }
        return uncles.reversed()
    }

    /// The same for a receiver that has these chunks, or was sent them.
    public func uncles(of chunk: UInt64, receiverHas chunks: ChunkSet) -> [Subtree] {
        uncles(of: chunk) { chunks.intersects($0) }
    }

    /// What a sender says before `chunk`, which is verified here, to a receiver that has these chunks or was sent them:
    /// with the first chunk of a transfer the peaks, and then the uncles (PPSP section 9.3).
    public func proof(of chunk: UInt64, withPeaks: Bool, receiverHas chunks: ChunkSet) -> [ChunkMessage] {
        let nodes = (withPeaks ? peaks : []) + uncles(of: chunk, receiverHas: chunks)
        return nodes.compactMap { node in hash(of: node).map { .integrity(node, hash: $0) } }
    }
}

// MARK: - Places

extension HashTree {
    /// Octets before the hashes.
    static let headBytes = 48

    /// Whether all that is below a node belongs to the content.
    func isInside(_ node: Subtree) -> Bool {
        guard let chunkCount else { return false }
        return node.last < chunkCount
    }

    /// Where the hash of a node inside the content stands.
    func place(of node: Subtree) -> Range<Int> { place(bin: node.bin) }

    private func place(bin: UInt64) -> Range<Int> {
        let start = Self.headBytes + Int(bin) * function.octets
        return start..<start + function.octets
    }

    func isKnown(_ node: Subtree) -> Bool {
        octets[place(of: node)].contains { $0 != 0 }
    }

    mutating func set(_ node: Subtree, _ hash: Bytes) {
        octets.replaceSubrange(place(of: node), with: hash)
    }

    mutating func clear(_ node: Subtree) {
        for index in place(of: node) { octets[index] = 0 }
    }

    /// Computes the hash of a node from those below it.
    mutating func join(_ left: Subtree, _ right: Subtree, into node: Subtree) {
        octets.setDigest(
            of: place(of: left), and: place(of: right), function.algorithm, at: place(of: node).lowerBound)
    }

    /// Whether the hash of a node is that of those below it.
    mutating func isJoin(_ left: Subtree, _ right: Subtree, of node: Subtree) -> Bool {
        let (place, room) = (place(of: node), place(bin: 2 * (chunkCount ?? 1) - 1))
        octets.setDigest(
            of: self.place(of: left), and: self.place(of: right), function.algorithm, at: room.lowerBound)
        let isEqual = octets[place] == octets[room]
        for index in room { octets[index] = 0 }
        return isEqual
    }

    /// Head and zeros for a content of that many chunks, with these hashes of its peaks.
    mutating func begin(_ count: UInt64, peaks: [Bytes]) {
        chunkCount = count
        octets = Self.head(function, count, root)
        octets += [UInt8](repeating: 0, count: Int(2 * count) * function.octets)
        for (node, hash) in zip(self.peaks, peaks) { set(node, hash) }
        knownLeaves = count & 1
    }

    /// Forgets what is right of the first `count` chunks, with these hashes of their peaks.
    mutating func lower(to count: UInt64, peaks: [Bytes]) {
        let hashes = octets[Self.headBytes..<Self.headBytes + Int(2 * count - 1) * function.octets]
        chunkCount = count
        octets = Self.head(function, count, root) + hashes + [UInt8](repeating: 0, count: function.octets)
        for (node, hash) in zip(self.peaks, peaks) {
            set(node, hash)
            // Between two peaks is the place of a node above both, which is no longer one.
            if node.first > 0 { for index in place(bin: 2 * node.first - 1) { octets[index] = 0 } }
        }
        countLeaves()
    }

    /// Counts the chunks whose hash is known.
    mutating func countLeaves() {
        knownLeaves = UInt64((0..<(chunkCount ?? 0)).count { isKnown(Subtree(leaf: $0)) })
    }

    /// Layers between a leaf and the root over so many chunks.
    static func layers(_ count: UInt64) -> Int { 64 - (count - 1).leadingZeroBitCount }

    static func head(_ function: HashFunction, _ count: UInt64, _ root: Bytes) -> [UInt8] {
        var writer = ByteWriter(capacity: headBytes)
        writer.write(magic)
        writer.write(version)
        writer.write(function.rawValue)
        writer.write(UInt16(0))
        writer.write(count)
        writer.write(root)
        writer.write([UInt8](repeating: 0, count: headBytes - writer.count))
        return writer.array
    }

    /// `ppht`
    static let magic: UInt32 = 0x7070_6874
    /// Of the layout above.
    static let version: UInt8 = 1

    /// The root over peaks: what is right of the content counts as zeros, and zeros above it are not hashed (PPSP
    /// section 9.3).
    static func root(over peaks: [(node: Subtree, hash: Bytes)], _ function: HashFunction) -> Bytes {
        guard var (node, hash) = peaks.last else { return Bytes() }
        let size = function.octets
        let zeros = Bytes([UInt8](repeating: 0, count: size))
        for (peak, peakHash) in peaks.dropLast().reversed() {
            while node.layer < peak.layer { (node, hash) = (node.parent, function.parent(hash, zeros)) }
            (node, hash) = (node.parent, function.parent(peakHash, hash))
        }
        return hash
    }
}

extension HashFunction {
    /// The hash of a node above these two.
    func parent(_ left: Bytes, _ right: Bytes) -> Bytes {
        var both = left.array
        both += right
        both.setDigest(of: 0..<octets, and: octets..<2 * octets, algorithm, at: 0)
        return Bytes(both).slice(0..<octets)
    }
}

/// Two trees that know the same.
extension HashTree: Equatable {
    /// Equal roots, counts and hashes.
    public static func == (a: HashTree, b: HashTree) -> Bool {
        a.function == b.function && a.root == b.root && a.chunkCount == b.chunkCount && a.octets == b.octets
    }
}

/// Makes a whole tree from the hashes of chunks as they come; each costs one inner node on average.
public struct HashTreeBuilder: Sendable {
    /// The hash function of the swarm.
    public let function: HashFunction
    /// Chunks so far.
    public private(set) var count: UInt64 = 0
    private var tree: HashTree
    private let zeros: Bytes

    /// A tree without chunks yet.
    public init(_ function: HashFunction) {
        self.function = function
        zeros = Bytes([UInt8](repeating: 0, count: function.octets))
        tree = HashTree(root: zeros, function)
        tree.octets = [UInt8](repeating: 0, count: HashTree.headBytes)
    }

    /// Adds the hash of the next chunk.
    public mutating func append(_ leaf: Bytes) {
        precondition(leaf.count == function.octets, "a hash of \(leaf.count) octets")
        if count > 0 { tree.octets.append(zeros) }
        tree.octets.append(leaf)
        var node = Subtree(leaf: count)
        count += 1
        while !node.isLeft {
            tree.join(node.sibling, node, into: node.parent)
            node = node.parent
        }
    }

    /// The tree; nil when it has no chunk, since an empty content has no swarm.
    public consuming func finish() -> HashTree? {
        guard count > 0 else { return nil }
        tree.chunkCount = count
        let peaks = tree.peaks.map { (node: $0, hash: tree.hash(of: $0) ?? Bytes()) }
        let root = HashTree.root(over: peaks, function)
        tree.root = root
        tree.octets.replaceSubrange(0..<HashTree.headBytes, with: HashTree.head(function, count, root))
        tree.octets.append(zeros)
        tree.knownLeaves = count
        return tree
    }
}
