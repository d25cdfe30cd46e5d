internal import PeerCore

/// Who has behaved so: an ID at an address, since anybody can borrow the ID of somebody else.
struct Culprit: Hashable {
    let ip: IPAddress
    let peerID: Bytes32
}

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
    func isBanned(_ culprit: Culprit, at now: Instant) -> Bool {
        conduct[culprit]?.bannedUntil.map { now < $0 } ?? false
    }

    /// A peer has given something that does not hold.
    mutating func blame(_ tie: Tie, _ reason: String, points: Int = Conduct.lie, into effects: inout Effects) {
        guard let peer = links[tie.connection]?.peerID ?? partners[tie]?.peerID else { return }
        effects.log(
            .warn, "chunk_refused",
            ["swarm": .string(name(of: tie.swarm)), "peer": .string(peer.hex), "reason": .string(reason)])
        counters.chunksRefused += 1
        add(points, to: tie.connection, into: &effects)
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
        if link.peerID != nil { add(Conduct.offence, to: connection, into: &effects) }
        drop(connection, reason, into: &effects)
    }

    private mutating func add(_ points: Int, to connection: ConnectionID, into effects: inout Effects) {
        guard let culprit = links[connection]?.culprit else { return }
        if conduct.count >= Conduct.most, conduct[culprit] == nil {
            conduct = conduct.filter { isBanned($0.key, at: clock.instant) }
            guard conduct.count < Conduct.most else { return }
        }
        conduct[culprit, default: Conduct()].points += points
        guard let known = conduct[culprit], known.points >= Conduct.limit, !isBanned(culprit, at: clock.instant) else {
            return
        }
        conduct[culprit] = Conduct(points: 0, bannedUntil: clock.instant + configuration.banTime)
        effects.log(
            .warn, "peer_banned",
            [
                "peer": .string(culprit.peerID.hex), "address": .text(culprit.ip),
                "seconds": .seconds(configuration.banTime),
            ])
        for other in links.keys.sorted() where links[other]?.culprit == culprit { drop(other, .banned, into: &effects) }
    }

    /// The transfer with a peer begins anew: both sides forget what was told of hashes.
    mutating func renew(_ tie: Tie, into effects: inout Effects) {
        guard let take = partners[tie]?.take else { return }
        abandon(take, tie)
        guard !take.isPush else { return drop(tie.connection, .protocolViolation, into: &effects) }
        timers.set(.askAgain(tie), at: clock.instant)
    }
}
