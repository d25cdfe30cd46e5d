internal import PeerCore
internal import PeerCrypto

// What was missed is found again (BePeer section 6.3).
extension BePeer {
    /// A peer that was trusted before the start, or that is looked at again.
    mutating func metAgain(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], partner.state == .trusted else { return }
        // Changes that it was not told of: those of earlier lives too.
        if partner.told < folders[tie.folder].sequence, folders[tie.folder].announces {
            for place in folders[tie.folder].index.changes(after: partner.told) { self[tie]?.owe(place) }
        }
        resync(tie, at: now, into: &effects)
    }

    /// It is time to look at what a trusted peer has.
    mutating func resync(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], partner.state == .trusted, folders[tie.folder].isReady else { return }
        let wasReachable = partner.isReachable
        timers.set(.resync(tie), at: now.instant + resyncPause())
        // Whether it is there now shows when it is called.
        self[tie]?.isReachable = true
        offerNext(tie, at: now, into: &effects)
        guard folders[tie.folder].receives else { return }
        if partner.intake != nil {
            self[tie]?.pullsAgain = true
        } else if let list = takeNextList(tie) {
            beginIntake(tie, list, isJoining: false, at: now, into: &effects)
        } else if partner.server != nil, facts(of: partner)?.isExtended != false || !wasReachable {
            beginIntake(tie, nil, isJoining: false, at: now, into: &effects)
        } else {
            requestAgain(tie, at: now, into: &effects)
        }
    }

    /// Three quarters to five quarters of the interval, so that nodes do not ask in step.
    mutating func resyncPause() -> Duration {
        random.duration(in: configuration.resyncInterval * 0.75...configuration.resyncInterval * 1.25)
    }
}

// Files that are not served over HTTP (BePeer section 3.5).
extension BePeer {
    /// How often it is looked whether the operator has put them there.
    private static let manualPause: Duration = .seconds(10)

    mutating func beManual(_ list: FileList, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        let waiting = self[tie]?.manual
        self[tie]?.manual = waiting?.adding(list) ?? list
        effects.log(
            .warn, "manual",
            [
                "folder": .string(folders[tie.folder].name), "host": .text(tie.ip), "port": .count(list.port),
                "protocol": .string(list.protocolName), "names": .count(list.names.count),
            ], "get these files yourself and put them into the folder; the rest follows by itself")
        manualDue(tie, at: now, into: &effects)
    }

    /// All that was listed is there, or the operator says so. Whether something is reported.
    @discardableResult
    mutating func manualDue(
        _ tie: Tie, isConfirmed: Bool = false, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let list = self[tie]?.manual else { return false }
        let held = list.names.filter { folders[tie.folder].index[$0]?.isFile ?? false }
        guard held.count == list.names.count || isConfirmed && !held.isEmpty else {
            timers.set(.manual(tie), at: now.instant + Self.manualPause)
            return false
        }
        self[tie]?.manual = nil
        timers.cancel(.manual(tie))
        self[tie]?.reportedAt = now.instant
        say(.list(self.list(.filesUpdated, held, tie.folder)), to: tie, at: now, into: &effects)
        effects.log(
            .info, "report_out",
            ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "names": .count(held.count)])
        return true
    }
}
