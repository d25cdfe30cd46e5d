/// How often each node has changed a file (BePeer section 4.3).
public struct VersionVector: Hashable, Sendable {
    /// How one version stands to another.
    public enum Order: String, Hashable, Sendable {
        /// The same changes.
        case equal
        /// It has all changes of the other, and more.
        case newer
        /// The other has all of its changes, and more.
        case older
        /// Each has changes that the other has not.
        case concurrent
    }

    /// One node's part.
    struct Part: Hashable, Sendable {
        let node: UInt64
        var count: UInt64
    }

    /// In order of the nodes, none with 0.
    private(set) var parts: [Part] = []

    /// No changes.
    public init() {}

    /// The counters of nodes; 0 is the same as none.
    public init(_ counts: some Sequence<(node: UInt64, count: UInt64)>) {
        parts = counts.filter { $0.count > 0 }.map { Part(node: $0.node, count: $0.count) }
            .sorted { $0.node < $1.node }
    }

    /// Whether nobody has changed it.
    var isEmpty: Bool { parts.isEmpty }

    /// The counter of a node.
    public subscript(node: UInt64) -> UInt64 { parts.first { $0.node == node }?.count ?? 0 }

    /// How this version stands to `other`.
    public func compared(to other: VersionVector) -> Order {
        let hasMore = parts.contains { $0.count > other[$0.node] }
        let hasLess = other.parts.contains { $0.count > self[$0.node] }
        return switch (hasMore, hasLess) {
        case (false, false): .equal
        case (true, false): .newer
        case (false, true): .older
        case (true, true): .concurrent
        }
    }

    /// All changes of both.
    public func merged(with other: VersionVector) -> VersionVector {
        if other.parts.isEmpty || self == other { return self }
        var merged = self
        for part in other.parts { merged.raise(part.node, to: part.count) }
        return merged
    }

    /// One more change by `node`. Its counter is at least `floor`: it begins at a time in seconds, so that a node that
    /// has lost its rows does not count below what others know of it.
    mutating func advance(_ node: UInt64, atLeast floor: UInt64) {
        raise(node, to: max(self[node].addingReportingOverflow(1).partialValue, floor, 1))
    }

    private mutating func raise(_ node: UInt64, to count: UInt64) {
        if let index = parts.firstIndex(where: { $0.node >= node }) {
            if parts[index].node == node {
                parts[index].count = max(parts[index].count, count)
            } else {
                parts.insert(Part(node: node, count: count), at: index)
            }
        } else {
            parts.append(Part(node: node, count: count))
        }
    }
}

/// The number of a node in version vectors: 16 hexadecimal digits (BePeer section 8.1).
enum NodeNumber {
    static func text(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    static func number(_ text: String) -> UInt64? {
        guard text.utf8.count == 16, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
        else { return nil }
        return UInt64(text, radix: 16)
    }
}
