internal import Bootstrap
internal import PeerCore

extension DDRP {
    /// The timers of the protocol.
    enum Timer: Hashable {
        /// Every 5 s on each link, the first 5 s after opening (DDRP section 10).
        case ping(ConnectionID)
        /// When a link could have been silent for 30 s; looks at its last envelope and sleeps on (DDRP section 10).
        case silence(ConnectionID)
        /// The end of our patience with a dial or a handshake (DDRP section 8).
        case handshake(ConnectionID)
        /// When the next address of the book is due, below the target (DDRP section 12).
        case dial
        /// Every 30 s: the fallback for all that should have happened, and the probes of decision 19.
        case refill
        /// Somebody else may be asked for addresses, or an awaited answer will not come any more (decision 16).
        case seek
        /// The next round of PeerReq (DDRP section 11).
        case exchange
        /// 250 ms after a change: the rows of the book.
        case save
        /// Below the target: 5 s after the start, then every minute.
        case report
        /// Once an hour: what is outdated leaves.
        case upkeep
    }

    /// Does what is due.
    mutating func fire(at now: Moment, into effects: inout Effects) {
        while let timer = timers.pop(due: now.instant) {
            switch timer {
            case .ping(let connection): ping(connection, at: now, into: &effects)
            case .silence(let connection): checkSilence(of: connection, at: now, into: &effects)
            case .handshake(let connection): handshakeTimedOut(connection, at: now, into: &effects)
            case .dial, .seek: life.needsSettling = true
            case .refill: refill(at: now, into: &effects)
            case .exchange: exchangePeers(at: now, into: &effects)
            case .save: save(at: now, into: &effects)
            case .report: remindOfPeers(at: now, into: &effects)
            case .upkeep: keepUp(at: now)
            }
        }
        if let due = bootstrap?.nextDeadline, due <= now.instant {
            bootstrap?.deadline(at: now, into: &effects)
        }
    }
}
