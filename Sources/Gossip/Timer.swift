internal import Bootstrap
internal import PeerCore

extension Gossip {
    /// The timers of the protocol.
    enum Timer: Hashable {
        /// A program has begun a message and must end it within 30 s (gossip section 3.11).
        case message(ConnectionID)
        /// A program reads nothing (gossip section 3.11).
        case unread(ConnectionID)
        /// The oldest vote ends by silence (gossip section 3.6).
        case votes
        /// What waits for a connection that has room goes on.
        case pump
        /// A neighbour that does not take what local programs announce has held them up for long enough.
        case patience(Int)
        /// Programs that are held and have questions to answer are read for a moment.
        case breathe
        /// While some do not keep up: how much waits for all together.
        case crowd
        /// The end of our patience with a connection that is no link yet (gossip section 5.5).
        case pending(ConnectionID)
        /// CONNECT is repeated, or given up (gossip section 5.5).
        case call(SocketAddress)
        /// NEIGHBORS to a neighbour (gossip section 5.7).
        case heartbeat(Int)
        /// When a neighbour could have been silent for too long (gossip section 5.7).
        case silence(Int)
        /// NEIGHBORS to all, since the neighbours have changed (gossip section 5.7).
        case change
        /// Every 10 s: candidates are called while neighbours are missing (gossip section 5.7).
        case overlay
        /// Neighbours are told of the items of the last moment.
        case tell
        /// An item that was told has not come.
        case wanted
        /// The next message of the dialect `authors-2017` may go to a neighbour.
        case pace(Int)
        /// Every minute: what is outdated leaves.
        case upkeep
        /// Neighbours are still missing: the log is told.
        case report
    }

    /// Does what is due.
    mutating func fire(at now: Moment, into effects: inout Effects) {
        while let timer = timers.pop(due: now.instant) {
            switch timer {
            case .message(let connection), .unread(let connection):
                clientIsTooSlow(connection, timer, at: now, into: &effects)
            case .votes: endSilentVotes(at: now, into: &effects)
            case .pump: pump(at: now, into: &effects)
            case .patience(let place): losePatience(with: place, at: now, into: &effects)
            case .pending(let connection): pendingTimedOut(connection, at: now, into: &effects)
            case .call(let address): callAgain(address, at: now, into: &effects)
            case .heartbeat(let place): sendHeartbeat(to: place, at: now, into: &effects)
            case .silence(let place): checkSilence(of: place, at: now, into: &effects)
            case .change: tellNeighbours(at: now, into: &effects)
            case .overlay: keepOverlay(at: now, into: &effects)
            case .tell: tellItems(into: &effects)
            case .wanted: askForWanted(at: now, into: &effects)
            case .pace(let place): sendPaced(to: place, at: now, into: &effects)
            case .upkeep: keepUp(at: now, into: &effects)
            case .crowd: watchCrowd(at: now)
            case .breathe: letProgramsBreathe(at: now, into: &effects)
            case .report: remindOfNeighbours(at: now, into: &effects)
            }
        }
        if let due = bootstrap.nextDeadline, due <= now.instant {
            bootstrap.deadline(at: now, into: &effects)
        }
        askAuthorsServers(at: now, into: &effects)
    }
}
