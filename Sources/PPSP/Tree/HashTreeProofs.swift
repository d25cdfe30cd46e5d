public import PeerCore
internal import PeerCrypto

/// Hashes that one sender told and that nothing has proved yet. They are kept for each transfer or channel, and never
/// shared between senders.
public struct UnverifiedHashes: Hashable, Sendable {
    /// Hashes that are kept at most (PPSP section 9.3); the oldest leaves.
    public static let capacity = 128

    private var nodes: [Subtree] = []
    private var hashes: [Bytes] = []
    private let room: Int

    /// None.
    public init() { room = Self.capacity }

    /// None, of an answer that is bounded in another way.
    init(capacity: Int) { room = capacity }

    /// How many they are.
    public var count: Int { nodes.count }

    /// Takes what an INTEGRITY message says; a second hash of a node replaces the first. One that is all zeros stands
    /// right of the content, is never sent (RFC 7574 digest, section 5) and says nothing.
    public mutating func insert(_ node: Subtree, _ hash: Bytes) {
        guard hash.contains(where: { $0 != 0 }) else { return }
        // A copy: the message may lie in a large buffer.
        let copy = Bytes(Array(hash))
        if let index = nodes.firstIndex(of: node) {
            hashes[index] = copy
            return
        }
        if count == room {
            nodes.removeFirst()
            hashes.removeFirst()
        }
        nodes.append(node)
        hashes.append(copy)
    }

    /// The hash of a node, if one was told.
    public subscript(node: Subtree) -> Bytes? {
        nodes.firstIndex(of: node).map { hashes[$0] }
    }

    /// Forgets all; on TCP after each DATA (PPSP section 9.3).
    public mutating func removeAll() {
        self = UnverifiedHashes(capacity: room)
    }

    mutating func removeAll(where isKnown: (Subtree) -> Bool) {
        for index in nodes.indices.reversed() where isKnown(nodes[index]) {
            nodes.remove(at: index)
            hashes.remove(at: index)
        }
    }

    /// Those that could be all peaks: from chunk 0 on, each the widest that begins where the one before ends, and
    /// narrower.
    fileprivate var peaks: [(node: Subtree, hash: Bytes)] {
        var peaks: [(node: Subtree, hash: Bytes)] = []
        var (next, layers) = (UInt64(0), 64)
        while let index = nodes.indices.filter({ nodes[$0].first == next && nodes[$0].layer < layers })
            .max(by: { nodes[$0].layer < nodes[$1].layer })
        {
            peaks.append((nodes[index], hashes[index]))
            (next, layers) = (nodes[index].last + 1, nodes[index].layer)
        }
        return peaks
    }
}

/// What is known of a chunk after a look at its hash.
public enum ChunkVerdict: Hashable, Sendable {
    /// It belongs to the content. Hashes below this node are new in the tree; nil: none.
    case verified(below: Subtree?)
    /// Hashes that would tell are not there: ask again, do not punish (RFC 7574 digest, section 5). Over TCP, where
    /// nothing is lost, it is the sender's mistake.
    case missing
    /// It is not what a trusted hash or its sender's own peaks say, or its number is beyond the content.
    case contradicted
    /// The content has more chunks than we take.
    case tooLarge
}

extension HashTree {
    /// Checks a chunk of `length` octets by its hash against the nearest trusted node, with what its sender has told.
    ///
    /// While the number of chunks is not known, the peaks must be among `hashes`. When the chunk is verified, every
    /// node on its way is trusted, and what is trusted leaves `hashes`.
    ///
    /// Peaks alone prove less than the text says: one peak that is the root fits any number of layers, and in the right
    /// layers the root fits every larger number of chunks below the next power of two, whose hashes are zeros. So the
    /// number counts only together with a chunk that hangs below its peaks, and it becomes smaller when somebody has
    /// peaks that prove that. What cannot be told apart is a single chunk of two hashes from the root of a tree: both
    /// are a content with this name.
    public mutating func verify(
        _ chunk: UInt64, leaf: Bytes, length: Int, with hashes: inout UnverifiedHashes
    ) -> ChunkVerdict {
        precondition(leaf.count == function.octets, "a hash of \(leaf.count) octets")
        if chunkCount == nil {
            if let refusal = proveCount(chunk, leaf, length, hashes) { return refusal }
        } else {
            lowerCount(hashes)
        }
        let node = Subtree(leaf: min(chunk, ChunkRange.highest))
        guard isInside(node) else { return .contradicted }
        let verdict =
            isKnown(node)
            ? hash(of: node) == leaf ? .verified(below: nil) : .contradicted : climb(from: node, leaf, hashes)
        if case .verified = verdict { hashes.removeAll { isInside($0) && isKnown($0) } }
        return verdict
    }

    /// Proves the number of chunks by peaks that fit the root, and by a chunk that hangs below them; nil when it is
    /// proved. Nothing is reserved before.
    private mutating func proveCount(
        _ chunk: UInt64, _ leaf: Bytes, _ length: Int, _ hashes: UnverifiedHashes
    ) -> ChunkVerdict? {
        if chunk == 0, leaf == root {
            begin(1, peaks: [root])
            return nil
        }
        let peaks = hashes.peaks
        // Some may be lost, and an uncle may stand where a lost one would: that they do not fit proves nothing.
        guard let last = peaks.last?.node.last, Self.root(over: peaks, function) == root else { return .missing }
        guard let peak = peaks.first(where: { $0.node.range.contains(chunk) }) else { return .contradicted }
        var (node, hash) = (Subtree(leaf: chunk), leaf)
        while node != peak.node {
            guard let sibling = hashes[node.sibling] else { return .missing }
            hash = node.isLeft ? function.parent(hash, sibling) : function.parent(sibling, hash)
            node = node.parent
        }
        guard hash == peak.hash else { return .contradicted }
        // So long a chunk may be two hashes, which hang in another layer.
        guard length != 2 * function.octets else { return .missing }
        guard last < limit else { return .tooLarge }
        begin(last + 1, peaks: peaks.map(\.hash))
        return nil
    }

    /// Takes a smaller number of chunks that peaks prove.
    private mutating func lowerCount(_ hashes: UnverifiedHashes) {
        guard !isComplete, let chunkCount else { return }
        let peaks = hashes.peaks
        guard let last = peaks.last?.node.last, last + 1 < chunkCount, Self.layers(last + 1) == Self.layers(chunkCount),
            Self.root(over: peaks, function) == root
        else { return }
        lower(to: last + 1, peaks: peaks.map(\.hash))
    }

    /// Fills in the way up to the first node that is trusted, and takes it out again when it does not lead there.
    private mutating func climb(from leaf: Subtree, _ hash: Bytes, _ hashes: UnverifiedHashes) -> ChunkVerdict {
        var node = leaf
        /// A bit for each layer whose sibling was not trusted.
        var taken: UInt64 = 0
        set(leaf, hash)
        while true {
            let (sibling, parent) = (node.sibling, node.parent)
            if !isKnown(sibling) {
                guard let told = hashes[sibling] else {
                    undo(from: leaf, to: node, taken)
                    return .missing
                }
                set(sibling, told)
                taken |= node.width
            }
            let (left, right) = node.isLeft ? (node, sibling) : (sibling, node)
            if isKnown(parent) {
                guard isJoin(left, right, of: parent) else {
                    undo(from: leaf, to: node, taken)
                    return .contradicted
                }
                knownLeaves += 1 + (taken & 1)
                return .verified(below: parent)
            }
            join(left, right, into: parent)
            node = parent
        }
    }

    private mutating func undo(from leaf: Subtree, to end: Subtree, _ taken: UInt64) {
        var node = leaf
        while true {
            clear(node)
            if taken & node.width != 0 { clear(node.sibling) }
            guard node != end else { return }
            node = node.parent
        }
    }

    /// Proves the number of chunks by the peaks; nil when it is proved.
    private mutating func proveCount(_ chunk: UInt64, _ leaf: Bytes, _ hashes: UnverifiedHashes) -> ChunkVerdict? {
        if chunk == 0, leaf == root {
            begin(1, peaks: [root])
            return nil
        }
        let peaks = hashes.peaks
        // Some may be lost, and an uncle may stand where a lost one would: that they do not fit proves nothing.
        guard let last = peaks.last, Self.root(over: peaks, function) == root else { return .missing }
        guard last.node.last < limit else { return .tooLarge }
        begin(last.node.last + 1, peaks: peaks.map(\.hash))
        return nil
    }
}
