internal import PeerCore

/// How a peer has behaved (PPSP section 8.1: banned at 100).
struct Conduct {
    /// A chunk that does not hold.
    static let lie = 50
    /// What breaks the rules in another way.
    static let offence = 20
    /// What may be a mistake.
    static let slip = 10
    /// Points at which it is banned.
    static let limit = 100
    /// Peers that are remembered.
    static let most = 1000

    var points = 0
    var bannedUntil: Instant?
}

extension PPSP {
    func isBanned(_ peer: Bytes32, at now: Instant) -> Bool {
        conduct[peer]?.bannedUntil.map { now < $0 } ?? false
    }

    /// A peer has given something that does not hold.
    mutating func blame(_ tie: Tie, _ reason: String, points: Int = Conduct.lie, into effects: inout Effects) {
        guard let peer = links[tie.connection]?.peerID ?? partners[tie]?.peerID else { return }
        effects.log(
            .warn, "chunk_refused",
            ["swarm": .string(name(of: tie.swarm)), "peer": .string(peer.hex), "reason": .string(reason)])
        counters.chunksRefused += 1
        add(points, to: peer, tie.connection, into: &effects)
    }

    /// A peer has done what the protocol does not allow: it costs its connection.
    mutating func offend(
        _ connection: ConnectionID, _ reason: CloseReason, _ what: String, into effects: inout Effects
    ) {
        guard let link = links[connection], !link.isLeaving else { return }
        counters.rejected[what, default: 0] += 1
        effects.log(
            .info, "reject",
            [
                "address": .text(link.remote), "peer": .string(link.peerID?.hex ?? ""), "reason": .string(what),
            ])
        if let peer = link.peerID { add(Conduct.offence, to: peer, connection, into: &effects) }
        drop(connection, reason, into: &effects)
    }

    private mutating func add(
        _ points: Int, to peer: Bytes32, _ connection: ConnectionID, into effects: inout Effects
    ) {
        if conduct.count >= Conduct.most, conduct[peer] == nil {
            conduct = conduct.filter { isBanned($0.key, at: clock.instant) }
            guard conduct.count < Conduct.most else { return }
        }
        conduct[peer, default: Conduct()].points += points
        guard let known = conduct[peer], known.points >= Conduct.limit, !isBanned(peer, at: clock.instant) else {
            return
        }
        conduct[peer] = Conduct(points: 0, bannedUntil: clock.instant + configuration.banTime)
        effects.log(.warn, "peer_banned", ["peer": .string(peer.hex), "seconds": .seconds(configuration.banTime)])
        for other in links.keys.sorted() where links[other]?.peerID == peer { drop(other, .banned, into: &effects) }
    }

    /// The transfer with a peer begins anew: both sides forget what was told of hashes.
    mutating func renew(_ tie: Tie, into effects: inout Effects) {
        guard let take = partners[tie]?.take else { return }
        abandon(take, tie)
        guard !take.isPush else { return drop(tie.connection, .protocolViolation, into: &effects) }
        timers.set(.askAgain(tie), at: clock.instant)
    }
}
