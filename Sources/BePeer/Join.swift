internal import PeerCore

/// A peer that is asked to let us become a peer too (BePeer sections 3 and 3.4).
struct Join {
    let destination: Destination
    /// Its address, once it was reached.
    var ip: IPAddress?
    /// It, or another one on its behalf, has sent its files.
    var isAnswered = false
    var attempts = 0
    /// When it was asked last.
    var askedAt: Instant?
    /// Since when another one may answer in its place.
    var delegated: Instant?
    var connection: ConnectionID?

    init(_ destination: Destination) {
        self.destination = destination
    }
}

extension BePeer {
    /// How long another peer may answer a request (BePeer section 3.4).
    private static let delegationTime: Duration = .seconds(600)
    /// Minutes from one unanswered request to the next (BePeer section 3.4).
    private static let askAgain = [1, 5, 30, 60]
    /// From a failed dial to the next, doubled up to a minute: nodes that start together find each other at once.
    private static let dialAgain: Duration = .seconds(1)

    /// Asks those of the configuration whom we do not trust yet.
    mutating func beginJoins(_ folder: Int, at now: Moment, into effects: inout Effects) {
        guard folders[folder].receives else { return }
        for destination in folders[folder].settings.peers
        where !folders[folder].joins.contains(where: { $0.destination == destination }) {
            var join = Join(destination)
            let known = folders[folder].partners.values.filter { partner in
                guard partner.state == .trusted else { return false }
                if case .address(let address) = destination { return partner.ip == address.ip }
                return partner.destination == destination
            }
            join.ip = known.map(\.ip).min()
            join.isAnswered = join.ip != nil
            folders[folder].joins.append(join)
        }
        for index in folders[folder].joins.indices where !folders[folder].joins[index].isAnswered {
            ask(folder, index, at: now, into: &effects)
        }
    }

    /// Sends a BePeerRequest.
    mutating func ask(_ folder: Int, _ index: Int, at now: Moment, into effects: inout Effects) {
        guard folders[folder].isReady, folders[folder].joins.indices.contains(index),
            folders[folder].joins[index].connection == nil
        else { return }
        if folders[folder].joins[index].isAnswered {
            // Answered, but without a confirmation yet; while files still come there is time.
            let partner = folders[folder].joins[index].ip.flatMap { folders[folder].partners[$0] }
            guard let partner, partner.state == .candidate, partner.intake == nil, partner.manual == nil else { return }
            folders[folder].joins[index].isAnswered = false
        }
        let destination = folders[folder].joins[index].destination
        let connection = effects.connect(to: destination, from: source, timeout: configuration.connectTimeout)
        var talk = Talk(remote: nil, isOurs: true, messageLimits)
        talk.join = (folder, index)
        talks[connection] = talk
        folders[folder].joins[index].connection = connection
    }

    mutating func joinConnected(
        _ folder: Int, _ index: Int, _ connection: ConnectionID, _ remote: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        folders[folder].joins[index].ip = remote.ip
        folders[folder].joins[index].askedAt = now.instant
        let tie = Tie(folder: folder, ip: remote.ip)
        if self[tie] == nil { self[tie] = Partner(remote.ip) }
        self[tie]?.connection = connection
        self[tie]?.messagePort = remote.port
        let destination = folders[folder].joins[index].destination
        self[tie]?.destination = destination
        effects.send(Message.request(folder: folders[folder].name).encoded, on: connection)
        effects.log(.info, "join_out", ["folder": .string(folders[folder].name), "peer": .text(remote)])
    }

    /// The connection is gone; without an answer that means no, or that somebody else will answer.
    mutating func joinClosed(
        _ folder: Int, _ index: Int, _ reason: CloseReason, wasOpen: Bool, at now: Moment, into effects: inout Effects
    ) {
        guard folders[folder].joins.indices.contains(index) else { return }
        folders[folder].joins[index].connection = nil
        guard !folders[folder].joins[index].isAnswered, !life.isStopping else { return }
        let attempts = folders[folder].joins[index].attempts
        folders[folder].joins[index].attempts += 1
        let pause: Duration
        if wasOpen {
            folders[folder].joins[index].delegated = now.instant
            let minutes = Self.askAgain[min(attempts, Self.askAgain.count - 1)]
            // The first time, ten minutes are left for somebody else.
            pause = .seconds(60 * minutes) + (attempts == 0 ? Self.delegationTime : .zero)
        } else {
            pause = min(.seconds(60), Self.dialAgain * (1 << min(attempts, 6)))
        }
        timers.set(.join(folder, index), at: now.instant + pause)
        effects.log(
            wasOpen ? .info : attempts == 0 ? .warn : .debug, wasOpen ? "join_refused" : "dial_failed",
            [
                "folder": .string(folders[folder].name),
                "address": .text(folders[folder].joins[index].destination), "reason": .string(reason.rawValue),
                "nextTrySeconds": .seconds(pause),
            ], wasOpen ? "it said no, or another peer will answer in its place" : "")
        tellWatchers(folder, index, refused: wasOpen, reason, into: &effects)
    }

    /// The request of ours that a FilesToGet from there answers, if it does.
    func requestAnswered(by ip: IPAddress, _ folder: Int, at now: Moment) -> Int? {
        let joins = folders[folder].joins
        if let index = joins.firstIndex(where: { $0.ip == ip && $0.askedAt != nil && !$0.isAnswered }) {
            return index
        }
        return joins.firstIndex { join in
            guard let since = join.delegated, !join.isAnswered, now.instant - since <= Self.delegationTime,
                let asked = join.ip
            else { return false }
            // Nobody outside may send us to a host of our own network.
            let isInside = ip.isLoopback || ip.isPrivate
            return !isInside || asked.isLoopback || asked.isPrivate
        }
    }

    // MARK: - Being asked

    /// Somebody wants to become a peer (BePeer section 3, steps 2 and 3).
    mutating func tookRequest(
        _ tie: Tie, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard admits(tie.ip, tie.folder) || self[tie]?.state == .trusted else {
            reject(tie.ip, "not_admitted", into: &effects)
            return effects.append(.finish(connection))
        }
        if let partner = self[tie], partner.state == .dropped {
            if let since = partner.droppedAt, now.wallClock - since < configuration.dropTime {
                reject(tie.ip, "not_admitted", into: &effects)
                return effects.append(.finish(connection))
            }
            self[tie]?.state = .candidate
            self[tie]?.failures = 0
            self[tie]?.wrong = [:]
        }
        effects.log(.info, "join_in", ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip)])
        switch folders[tie.folder].phase {
        case .recalling, .opening:
            if !folders[tie.folder].early.contains(connection) { folders[tie.folder].early.append(connection) }
            // The answer comes when all is hashed, however long that takes.
            timers.cancel(.talk(connection))
            return
        case .stopped:
            return effects.append(.finish(connection))
        case .ready: break
        }
        if self[tie]?.state != .trusted, joinersServed(tie.folder) >= configuration.maxJoiners,
            handOver(tie, at: now, into: &effects)
        {
            return effects.append(.finish(connection))
        }
        if self[tie] == nil { self[tie] = Partner(tie.ip) }
        self[tie]?.connection = connection
        offerAll(tie, at: now, into: &effects)
    }

    mutating func answerEarly(
        _ connection: ConnectionID, _ folder: Int, at now: Moment, into effects: inout Effects
    ) {
        guard let ip = talks[connection]?.remote?.ip else { return }
        timers.set(.talk(connection), at: now.instant + configuration.idleTime)
        tookRequest(Tie(folder: folder, ip: ip), on: connection, at: now, into: &effects)
    }

    /// Hosts that have an offer and are not trusted yet.
    private func joinersServed(_ folder: Int) -> Int {
        folders[folder].partners.values.count { $0.isOutstanding && $0.state == .candidate }
    }
}
