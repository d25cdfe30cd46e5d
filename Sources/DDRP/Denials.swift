internal import PeerCore

/// Blocks of addresses that are neither dialled nor told to others: the host keeps them away, and dialling them would
/// only fail.
struct Denials {
    /// Blocks that are kept.
    private static let capacity = 4096

    private var blocks: [IPPrefix: Instant] = [:]

    mutating func removeEnded(at now: Instant) {
        blocks = blocks.filter { $0.value > now }
    }

    mutating func add(_ prefix: IPPrefix, until end: Instant, at now: Instant) {
        if blocks.count >= Self.capacity { removeEnded(at: now) }
        guard blocks.count < Self.capacity else { return }
        blocks[prefix] = end
    }

    /// Takes out `prefix` and what lies inside.
    mutating func remove(_ prefix: IPPrefix) {
        blocks = blocks.filter { $0.key.length < prefix.length || !prefix.contains($0.key.base) }
    }

    /// Whether `ip` is left alone at `now`.
    func contains(_ ip: IPAddress, at now: Instant) -> Bool {
        !blocks.isEmpty && blocks.contains { $0.value > now && $0.key.contains(ip) }
    }
}
