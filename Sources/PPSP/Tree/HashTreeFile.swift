public import PeerCore

/// What a node keeps of a tree between two starts.
extension HashTree {
    /// The octets of the file; none while the number of chunks is not known. Let go of them before the tree changes,
    /// which copies what somebody holds.
    public var encoded: Bytes { Bytes(octets) }

    /// Where in the file the hashes of `chunks` and of what stands between them are: all that `verify` says is new
    /// below a node is in the place of that node's range.
    public func fileRange(of chunks: ChunkRange) -> Range<Int> {
        guard let chunkCount, chunks.first < chunkCount else { return 0..<0 }
        let last = min(chunks.last, chunkCount - 1)
        return place(of: Subtree(leaf: chunks.first)).lowerBound..<place(of: Subtree(leaf: last)).upperBound
    }

    /// The octets of the file in that range, which it must have.
    public func encoded(_ range: Range<Int>) -> Bytes { Bytes(Array(octets[range])) }

    /// Reads a file. The peaks are checked against the root; that the other hashes fit is left to `isSound`, a part at
    /// a time, or to a digest of the file.
    public init(
        decoding file: Bytes, maximumChunks: UInt64 = Self.maximumChunks
    ) throws(DecodeError) {
        var reader = ByteReader(file)
        guard try reader.read(UInt32.self, "magic") == Self.magic else { throw .invalid(field: "magic") }
        guard try reader.readUInt8("version") == Self.version else { throw .invalid(field: "version") }
        guard let function = HashFunction(rawValue: try reader.readUInt8("hash function")) else {
            throw .invalid(field: "hash function")
        }
        _ = try reader.read(UInt16.self, "reserved")
        let count = try reader.read(UInt64.self, "chunk count")
        guard count > 0 else { throw .invalid(field: "chunk count") }
        guard count <= maximumChunks else { throw .tooLong(field: "chunk count", length: count, limit: maximumChunks) }
        self.init(
            root: try reader.read(count: function.octets, "root"), function, maximumChunks: maximumChunks)
        let length = Self.headBytes + Int(2 * count) * function.octets
        guard file.count >= length else { throw .truncated(field: "hashes") }
        guard file.count == length else { throw .trailing(count: file.count - length) }
        chunkCount = count
        octets = file.array
        guard octets[..<Self.headBytes] == Self.head(function, count, root)[...] else { throw .invalid(field: "head") }
        let peaks = peaks.map { (node: $0, hash: hash(of: $0) ?? Bytes()) }
        guard peaks.allSatisfy({ !$0.hash.isEmpty }), Self.root(over: peaks, function) == root else {
            throw .invalid(field: "peaks")
        }
        countLeaves()
    }

    /// Whether the hashes of nodes whose left part ends among `chunks` fit those below them, and none stands alone: one
    /// digest for each chunk.
    public mutating func isSound(in chunks: ChunkRange) -> Bool {
        guard let chunkCount, chunks.first < chunkCount else { return true }
        for chunk in chunks.first...min(chunks.last, chunkCount - 1) {
            guard isSound(above: chunk) else { return false }
        }
        return true
    }

    /// Checks the one node whose left part ends with `chunk`.
    private mutating func isSound(above chunk: UInt64) -> Bool {
        // Between two leaves stands one inner node.
        guard let node = Subtree(bin: 2 * chunk + 1), isInside(node), let (left, right) = node.children else {
            return true
        }
        switch (isKnown(left), isKnown(right)) {
        case (true, true): return isKnown(node) && isJoin(left, right, of: node)
        case (false, false): return true
        default: return false
        }
    }
}
