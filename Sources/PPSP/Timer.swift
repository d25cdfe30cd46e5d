internal import PeerCore

extension PPSP {
    /// The timers of the protocol.
    enum Timer: Hashable {
        /// A connection has nothing to say, says too little, or must be told that we are here (PPSP section 8).
        case link(ConnectionID)
        /// A request of ours was not answered.
        case question(ConnectionID, UInt64)
        /// Chunks that were asked for may be late.
        case chunks(Tie)
        /// A peer is asked again for a swarm.
        case askAgain(Tie)
        /// A peer is asked whom else it knows.
        case askPeers(Tie)
        /// Peers are dialled for a swarm.
        case meet(Int)
        /// Others hear of new chunks (PPSP section 8: 250 ms).
        case news(Int)
        /// Chunks that have come are hashed, though they are few.
        case check(Int)
        /// What is stored becomes durable.
        case keep(Int)
        /// A channel has something to do.
        case channel(UInt32)
        /// Slots are chosen again (PPSP section 9.4).
        case slots
        /// Those who watch are told how far it is.
        case progress
    }

    /// Does what is due.
    mutating func fire(at now: Moment, into effects: inout Effects) {
        while let timer = timers.pop(due: now.instant) {
            switch timer {
            case .link(let connection): linkDue(connection, at: now, into: &effects)
            case .question(let connection, let id): questionDue(connection, id, at: now, into: &effects)
            case .chunks(let tie): chunksDue(tie, at: now, into: &effects)
            case .askAgain(let tie): ask(tie, at: now, into: &effects)
            case .askPeers(let tie): askPeers(tie, at: now, into: &effects)
            case .meet(let swarm): meet(swarm, at: now, into: &effects)
            case .news(let swarm): tellNews(swarm, at: now, into: &effects)
            case .check(let swarm): checkArrivals(swarm, isDue: true, at: now, into: &effects)
            case .keep(let swarm): keep(swarm, into: &effects)
            case .channel(let number): channelDue(number, at: now, into: &effects)
            case .slots: slotsDue(at: now, into: &effects)
            case .progress: tellProgress(at: now, into: &effects)
            }
        }
    }
}

/// What an answer of files is for.
enum Errand {
    // A content that was there before.
    case openTree(Int)
    case openContent(Int)
    // A file that becomes a content.
    case addLooked(Addition)
    case addHashed(Addition)
    case addKept(Int, Addition)
    // Chunks.
    case checked(Int, check: Int)
    case written(Int, [Stored])
    case readAhead(UInt32, ChunkRange)
    // The end of a content, and what is durable.
    case kept(Int)
    case named(Int, attempt: Int)
    case marked(Int)
    case nothing
}

extension PPSP {
    mutating func stored(
        _ request: RequestID, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        switch errands.removeValue(forKey: request) {
        case .openTree(let swarm): treeCame(swarm, result, at: now, into: &effects)
        case .openContent(let swarm): contentFound(swarm, result, at: now, into: &effects)
        case .addLooked(let addition): additionLooked(addition, result, into: &effects)
        case .addHashed(let addition): additionHashed(addition, result, at: now, into: &effects)
        case .addKept(let swarm, let addition): additionKept(swarm, addition, result, at: now, into: &effects)
        case .checked(let swarm, let check): checked(swarm, check, result, at: now, into: &effects)
        case .written(let swarm, let chunks): written(swarm, chunks, result, at: now, into: &effects)
        case .readAhead(let channel, let run): readAhead(channel, run, result, into: &effects)
        case .kept(let swarm): kept(swarm, result, at: now, into: &effects)
        case .named(let swarm, let attempt): named(swarm, attempt, result, at: now, into: &effects)
        case .marked(let swarm): marked(swarm, result, into: &effects)
        case .nothing, nil: break
        }
    }
}
