internal import AddressBook
internal import PeerCore

/// Peers that were good and are lost: they are tried when nobody else would be, so that a network that fell apart
/// comes together again (decision 19).
struct Probing {
    /// A link that lived so long was good.
    static let goodLife: Duration = .seconds(60)
    /// A peer that was heard for so long after it opened was no nuisance at least.
    static let usefulLife: Duration = .seconds(10)
    /// For so long a lost peer is probed in every round; later by its back-off.
    private static let patience: Duration = .seconds(600)
    /// Lost peers that are probed in every round.
    private static let capacity = 64

    /// A peer that was lost.
    struct Loss {
        let since: Instant
        /// Whether it fell silent, and did not end the connection itself, which a living peer may do for its own
        /// reasons.
        let isSilent: Bool
    }

    private(set) var losses: [SocketAddress: Loss] = [:]
    /// What this round still has to dial, last first.
    var queue: [SocketAddress] = []

    mutating func lost(_ address: SocketAddress, isSilent: Bool, at now: Instant) {
        if losses[address] == nil, losses.count >= Self.capacity,
            let oldest = losses.min(by: { ($0.value.since, $0.key) < ($1.value.since, $1.key) })
        {
            losses[oldest.key] = nil
        }
        losses[address] = Loss(since: now, isSilent: isSilent)
    }

    mutating func found(_ address: SocketAddress) {
        losses[address] = nil
    }

    /// The peers lost lately, in order of their addresses.
    mutating func recent(at now: Instant) -> [(address: SocketAddress, loss: Loss)] {
        losses = losses.filter { now - $0.value.since < Self.patience }
        return losses.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

extension DDRP {
    /// The fallback for all that should have happened by itself (reference: `refill` at start and every 30 s).
    static let refillInterval: Duration = .seconds(30)

    mutating func refill(at now: Moment, into effects: inout Effects) {
        timers.set(.refill, at: now.instant + Self.refillInterval)
        // A store that does not answer must not keep us from dialling.
        if !life.isBookRecalled { bookIsRecalled(at: now, into: &effects) }
        queueProbes(at: now.instant)
        if isBelowTarget {
            let isFutile = initiators.isEmpty && probing.queue.isEmpty && !hasUntried(at: now.instant)
            effects.log(
                isFutile ? .debug : .info, "refill",
                [
                    "have": .count(counted.count), "want": .count(configuration.targetOutbound),
                    "dialling": .count(initiators.count), "known": .count(book.count),
                ])
            resolveNamesAgain(at: now, into: &effects)
        }
        life.needsSettling = true
    }

    /// Each peer lost lately, and one of all others that were good once. At the target a peer
    /// that ended the connection itself is left in peace until a dial to it fails: it lives, and replaced us.
    private mutating func queueProbes(at now: Instant) {
        let taken = taken(at: now)
        probing.queue = probing.recent(at: now).filter { address, loss in
            guard let entry = book[address], entry.isVerified, !taken.contains(entry) else { return false }
            return isBelowTarget || loss.isSilent || entry.failures > 0
        }.map(\.address)
        let losses = probing.losses
        func former(where isMeant: (AddressBook.Entry) -> Bool) -> SocketAddress? {
            book.sample(
                1,
                excluding: { entry in
                    losses[entry.address] != nil || taken.contains(entry) || !isMeant(entry)
                }, using: &random
            ).first?.address
        }
        // Who did not answer last may be on the other side of a cut.
        let missed = former { $0.failures > 0 && $0.wasGood(for: Probing.usefulLife) }
        let address = missed ?? former { $0.wasGood(for: Probing.goodLife) }
        if let address { probing.queue.append(address) }
    }

    /// A dial that succeeded above the target: the youngest connection makes room for a probe; any other is itself the
    /// youngest.
    mutating func makeRoom(
        for connection: ConnectionID, _ purpose: DialPurpose, at now: Moment, into effects: inout Effects
    ) {
        guard purpose != .request, counted.count > configuration.targetOutbound else { return }
        let others = purpose == .probe ? counted.subtracting([connection]) : counted
        let youngest = others.max {
            (links[$0]?.opened ?? now.instant, $0) < (links[$1]?.opened ?? now.instant, $1)
        }
        guard let youngest else { return }
        close(youngest, Fault(.replaced, "another peer took its place"), at: now, into: &effects)
    }
}
