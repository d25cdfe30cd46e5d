internal import PeerCore

/// The field `Content-Merkle`, which proves the chunks of an answer (PPSP section 9.7):
/// `<hash code>; <chunk size>; first-last=hex, first-last=hex, ...`
struct MerkleField: Hashable {
    static let name = "Content-Merkle"
    /// Hashes that are read of one answer: four times as many as section 9.3 lets a receiver keep, since a server may
    /// tell those that the chunks themselves tell.
    static let most = 4 * UnverifiedHashes.capacity

    let function: HashFunction
    /// Octets of every chunk but the last.
    let chunkSize: UInt32
    /// Peaks from left to right, then uncles.
    let hashes: [Node]

    struct Node: Hashable {
        let node: Subtree
        let hash: Bytes
    }

    /// What proves these chunks of a content; nil when not all of that is known here.
    init?(_ tree: HashTree, chunkSize: UInt32, _ chunks: ChunkRange) {
        (function, self.chunkSize) = (tree.function, chunkSize)
        var hashes: [Node] = []
        for node in tree.proof(of: chunks) {
            guard let hash = tree.hash(of: node) else { return nil }
            hashes.append(Node(node: node, hash: hash))
        }
        self.hashes = hashes
    }

    /// Reads the field; nil when it is malformed, has too many hashes, or is of a function that is not known here.
    init?(_ text: String) {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false).map(Self.trimmed)
        guard parts.count == 3, let code = UInt8(parts[0]), let function = HashFunction(rawValue: code),
            let size = UInt32(parts[1]), SwarmMetadata.isChunkSize(size)
        else { return nil }
        (self.function, chunkSize) = (function, size)
        var hashes: [Node] = []
        for part in parts[2].split(separator: ",").map(Self.trimmed) where !part.isEmpty {
            guard hashes.count < Self.most, let node = Self.node(part, function) else { return nil }
            hashes.append(node)
        }
        self.hashes = hashes
    }

    private static func node(_ text: Substring, _ function: HashFunction) -> Node? {
        let sides = text.split(separator: "=", omittingEmptySubsequences: false)
        guard sides.count == 2, sides[1].utf8.count == 2 * function.octets, let hash = Bytes(hex: String(sides[1]))
        else { return nil }
        let ends = sides[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = UInt64(ends[0]), let last = UInt64(ends[1]),
            let node = ChunkRange(checking: first, last).flatMap({ Subtree($0) })
        else { return nil }
        return Node(node: node, hash: hash)
    }

    /// Without the white space around it (RFC 9110 section 5.6.3).
    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    /// The value of the field.
    var text: String {
        let listed = hashes.map { "\($0.node.first)-\($0.node.last)=\($0.hash.hex)" }
        return "\(function.rawValue); \(chunkSize); " + listed.joined(separator: ", ")
    }
}

extension HashTree {
    /// What proves these chunks of the content to somebody who has nothing of it: peaks, then uncles, as section 9.3
    /// sends them chunk by chunk. When these are more than a receiver may keep, those that the chunks themselves tell
    /// are left out.
    func proof(of chunks: ChunkRange) -> [Subtree] {
        let most = UInt64(UnverifiedHashes.capacity)
        if chunks.count <= most {
            var nodes = peaks
            var sent = ChunkSet(limit: chunkCount ?? 0)
            for chunk in chunks.first...chunks.last {
                nodes += uncles(of: chunk, receiverHas: sent)
                sent.insert(chunk)
            }
            if nodes.count <= most { return nodes }
        }
        var nodes = peaks
        var seen = Set(nodes)
        for part in chunks.subtrees {
            var (node, way): (Subtree, [Subtree]) = (part, [])
            while isInside(node.parent), seen.insert(node).inserted {
                if !chunks.contains(node.sibling.range), !seen.contains(node.sibling) { way.append(node.sibling) }
                node = node.parent
            }
            seen.formUnion(way)
            nodes += way.reversed()
        }
        return nodes
    }
}
