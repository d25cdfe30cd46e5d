/// Chunks that follow each other, as both ends name them: a chunk specification (PPSP section 9.2).
public struct ChunkRange: Hashable, Sendable {
    /// The highest number of a chunk: base and count of a map end at 2^63 (PPSP section 4).
    public static let highest = UInt64.max >> 1

    /// The first chunk.
    public let first: UInt64
    /// The last chunk, not below the first.
    public let last: UInt64

    /// The chunks from `first` to `last`; anything that is none, or beyond the highest chunk, is a mistake of the
    /// caller.
    public init(_ first: UInt64, _ last: UInt64) {
        precondition(first <= last && last <= Self.highest, "chunks \(first) to \(last)")
        (self.first, self.last) = (first, last)
    }

    /// One chunk.
    public init(_ chunk: UInt64) {
        self.init(chunk, chunk)
    }

    /// The chunks from `first` to `last`, or nil when there are none or they have no numbers.
    public init?(checking first: UInt64, _ last: UInt64) {
        guard first <= last, last <= Self.highest else { return nil }
        (self.first, self.last) = (first, last)
    }

    /// Number of chunks.
    public var count: UInt64 { last - first + 1 }

    /// Whether it is one chunk only.
    public var isSingle: Bool { first == last }

    /// Whether `chunk` is one of them.
    public func contains(_ chunk: UInt64) -> Bool { first <= chunk && chunk <= last }

    /// Whether all of `other` are among them.
    public func contains(_ other: ChunkRange) -> Bool { first <= other.first && other.last <= last }

    /// Those that are also in `other`, if any.
    public func intersection(_ other: ChunkRange) -> ChunkRange? {
        ChunkRange(checking: max(first, other.first), min(last, other.last))
    }

    /// The whole subtrees that they are made of, each as large as can be, from left to right (RFC 7574 digest,
    /// section 5).
    public var subtrees: [Subtree] {
        var parts: [Subtree] = []
        var next = first
        while next <= last {
            let room = last - next + 1
            let layer = min(next.trailingZeroBitCount, 63 - room.leadingZeroBitCount)
            let part = Subtree(layer: layer, offset: next >> UInt64(layer))
            parts.append(part)
            next = part.last + 1
        }
        return parts
    }
}

extension ChunkRange: Comparable, CustomStringConvertible {
    /// By the first chunk, then the last.
    public static func < (a: ChunkRange, b: ChunkRange) -> Bool { (a.first, a.last) < (b.first, b.last) }

    /// `first-last`, or one number.
    public var description: String { isSingle ? "\(first)" : "\(first)-\(last)" }
}

/// A node of a hash tree: the chunks below it are 2^layer many and begin at a multiple of that (PPSP section 9.3).
public struct Subtree: Hashable, Sendable {
    /// How far above the leaves; at most 63.
    public let layer: Int
    /// Counted from the left of its layer.
    public let offset: UInt64

    init(layer: Int, offset: UInt64) {
        (self.layer, self.offset) = (layer, offset)
    }

    /// The leaf of a chunk.
    public init(leaf chunk: UInt64) {
        self.init(layer: 0, offset: chunk)
    }

    /// The node above exactly these chunks, or nil when there is none.
    public init?(_ range: ChunkRange) {
        let width = range.count
        guard width & (width - 1) == 0, range.first & (width - 1) == 0 else { return nil }
        let layer = width.trailingZeroBitCount
        self.init(layer: layer, offset: range.first >> UInt64(layer))
    }

    /// The node of a bin number (RFC 7574 digest, section 5), or nil for "none", which is all ones.
    public init?(bin: UInt64) {
        let layer = (~bin).trailingZeroBitCount
        guard layer < 64 else { return nil }
        self.init(layer: layer, offset: layer == 63 ? 0 : bin >> UInt64(layer + 1))
    }

    /// Its number when nodes are counted from left to right: (2 offset + 1) 2^layer - 1.
    public var bin: UInt64 { first << 1 + (width - 1) }

    /// Number of chunks below it.
    public var width: UInt64 { 1 << UInt64(layer) }

    /// The first chunk below it.
    public var first: UInt64 { offset << UInt64(layer) }

    /// The last chunk below it.
    public var last: UInt64 { first + (width - 1) }

    /// The chunks below it.
    public var range: ChunkRange { ChunkRange(first, last) }

    /// The node above it.
    public var parent: Subtree { Subtree(layer: layer + 1, offset: offset >> 1) }

    /// The other node below its parent.
    public var sibling: Subtree { Subtree(layer: layer, offset: offset ^ 1) }

    /// Whether it stands left of its sibling.
    public var isLeft: Bool { offset & 1 == 0 }

    /// The two nodes below it; nil for a leaf.
    public var children: (left: Subtree, right: Subtree)? {
        guard layer > 0 else { return nil }
        let left = Subtree(layer: layer - 1, offset: offset << 1)
        return (left, left.sibling)
    }

    /// The nodes that stand above `count` chunks from 0: the binary digits of the count, from high to low (PPSP
    /// section 9.3).
    public static func peaks(of count: UInt64) -> [Subtree] {
        count == 0 ? [] : ChunkRange(0, count - 1).subtrees
    }
}

extension Subtree: CustomStringConvertible {
    /// The chunks below it.
    public var description: String { range.description }
}
