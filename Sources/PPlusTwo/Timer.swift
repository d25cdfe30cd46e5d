internal import PeerCore

extension PPlusTwo {
    /// The timers of the protocol.
    enum Timer: Hashable {
        /// A peer list may be asked for (P+2 section 4.3).
        case tick
        /// The end of a caller's line (P+2 section 3.2).
        case line(ConnectionID)
        /// A caller has waited long enough for a digest (P+2 section 8).
        case digest(ConnectionID)
        /// How far an upload is.
        case upload(ConnectionID)
        /// A peer's answer to our line takes too long (P+2 section 3.2).
        case answer(ConnectionID)
        /// How far a download is.
        case progress(UInt64)
        /// A digest that was pending is asked for again.
        case restat(UInt64)
        /// The shared folder is looked at.
        case rescan
        /// The list is saved (P+2 section 4.4).
        case save
        /// Announcements of others are counted anew (P+2 section 4.5).
        case hour
    }

    /// Does what is due.
    mutating func fire(at now: Moment, into effects: inout Effects) {
        while let timer = timers.pop(due: now.instant) {
            switch timer {
            case .tick: life.needsSettling = true
            case .line(let connection): lineTimedOut(connection, at: now, into: &effects)
            case .digest(let connection): answerStat(connection, at: now, into: &effects)
            case .upload(let connection): effects.append(.measure(connection))
            case .answer(let connection): answerTimedOut(connection, at: now, into: &effects)
            case .progress(let number): checkProgress(of: number, at: now, into: &effects)
            case .restat(let number): askStat(number, at: now, into: &effects)
            case .rescan: rescan(at: now, into: &effects)
            case .save: save(at: now, into: &effects)
            case .hour:
                foreign = [:]
                timers.set(.hour, at: now.instant + Self.hour)
            }
        }
    }

    /// What an answer of the files or the disk is for.
    enum Errand {
        case watch
        case scan
        /// What has become of a shared file.
        case changed(RelativePath)
        case hash
        case hashCheck(Bytes32)
        /// The file that a caller asks about.
        case stat(ConnectionID)
        /// The file that a caller wants.
        case open(ConnectionID)
        /// What earlier lives have left.
        case leftovers
        case download(UInt64, Download.Errand)
        /// Nobody waits for it.
        case nothing
    }
}
