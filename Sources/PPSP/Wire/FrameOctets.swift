internal import PeerCore

/// What has come over a connection and was not read yet. Frames that came in one piece stay where they lie; of a frame
/// that came in several only its own octets are put together.
struct FrameOctets: Sendable {
    /// The beginning of a frame, put together.
    private var begun: [UInt8] = []
    /// What came behind it, or all.
    private var rest = Bytes()

    /// Octets that wait.
    var count: Int { begun.count + rest.count }

    /// Adds what has arrived. What waits belongs to one frame, which is not complete.
    mutating func append(_ octets: Bytes) {
        if !rest.isEmpty { begun.append(rest) }
        rest = octets
    }

    /// The first octets that wait; nil: there are not so many.
    mutating func first(_ wanted: Int) -> Bytes? {
        guard wanted <= count else { return nil }
        guard !begun.isEmpty else { return rest.slice(0..<wanted) }
        let missing = wanted - begun.count
        if missing > 0 {
            begun.reserveCapacity(wanted)
            begun.append(rest.slice(0..<missing))
            rest = rest.dropping(missing)
        }
        return Bytes(begun).slice(0..<wanted)
    }

    /// Forgets the first octets of what waits.
    mutating func consume(_ octets: Int) {
        precondition(octets >= 0 && octets <= count, "consume \(octets) of \(count)")
        let old = min(octets, begun.count)
        // What was given away stays as it is.
        if old == begun.count { begun = [] } else { begun.removeFirst(old) }
        rest = rest.dropping(octets - old)
    }
}
