/// What defines a swarm of static content, as far as it is known (PPSP section 6).
public struct SwarmMetadata: Hashable, Sendable {
    /// Its name, the root of the hash tree.
    public let swarmID: SwarmID
    /// Octets of a chunk; nil: not known.
    public var chunkSize: UInt32?
    /// The function of the tree; nil: not known.
    public var hashFunction: HashFunction?
    /// Octets of the content; nil: not known. A claim until the tree tells.
    public var contentLength: UInt64?

    /// The swarm of that name, and what is known of it.
    public init(
        _ swarmID: SwarmID, chunkSize: UInt32? = nil, hashFunction: HashFunction? = nil, contentLength: UInt64? = nil
    ) {
        (self.swarmID, self.chunkSize) = (swarmID, chunkSize)
        (self.hashFunction, self.contentLength) = (hashFunction, contentLength)
    }

    /// Octets that chunks may have: 512 to 1,048,576, a power of two (PPSP section 6).
    public static func isChunkSize(_ size: UInt32) -> Bool {
        (512...1_048_576).contains(size) && size & (size - 1) == 0
    }

    /// The code of the Merkle tree, the one integrity method that is spoken and the default (PPSP section 6).
    static let merkleTree: UInt8 = 1

    /// With what a transport's parameters add; nil when they are those of another content. What they leave out has its
    /// default: method 1, SHA-256; the chunk size has none. (PPSP section 6)
    func joined(with entry: TransportEntry) -> SwarmMetadata? {
        let code = entry.hashFunction ?? HashFunction.sha256.rawValue
        guard entry.integrityMethod ?? Self.merkleTree == Self.merkleTree, let function = HashFunction(rawValue: code),
            function.octets == swarmID.octets.count, hashFunction ?? function == function
        else { return nil }
        var joined = self
        joined.hashFunction = function
        if let size = entry.chunkSize {
            guard Self.isChunkSize(size), chunkSize ?? size == size else { return nil }
            joined.chunkSize = size
        }
        if contentLength == nil, let length = entry.contentLength, length != TransportEntry.unknownLength {
            joined.contentLength = length
        }
        return joined
    }

    /// Whether the chunks have numbers in that addressing, as far as is known.
    func fits(_ addressing: ChunkAddressing) -> Bool {
        guard addressing == .chunks32, let chunkSize, let contentLength else { return !addressing.isBins }
        return (max(contentLength, 1) - 1) / UInt64(chunkSize) <= UInt64(UInt32.max)
    }
}
