internal import PeerCore

// Telling peers what there is to get: FilesToGet (BePeer sections 3, 4 and 4.1).
extension BePeer {
    /// How long an offer stays open for a report (BePeer section 3.2).
    static let offerTime: Duration = .seconds(86_400)

    /// Sends a list of names, and notes what must be served back.
    private mutating func offer(
        _ places: [Int], _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        var names: [Path] = []
        var octets: UInt64 = 0
        for place in places {
            let record = folders[tie.folder].index.records[place]
            guard record.isFile else { continue }
            names.append(record.path)
            octets = octets.addingReportingOverflow(record.size).partialValue
            self[tie]?.offered[place] = Partner.Offered(size: record.size, hash: record.hash)
        }
        self[tie]?.offeredAt = now.instant
        self[tie]?.awaited = Set(places)
        timers.set(.outstanding(tie), at: now.instant + configuration.outstandingTime)
        say(.list(list(.filesToGet, names, tie.folder)), to: tie, at: now, into: &effects)
        counters.offersSent += 1
        effects.log(
            .info, "offer",
            [
                "folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "names": .count(names.count),
                "bytes": .count(octets),
            ])
    }

    /// A message of ours about files.
    func list(_ kind: FileList.Kind, _ names: [Path], _ folder: Int) -> FileList {
        FileList(kind, folder: folders[folder].name, port: life.httpPort ?? 0, names: names)
    }

    /// All current files, to one who wants to become a peer.
    mutating func offerAll(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        let shared = folders[tie.folder]
        let places = shared.index.records.indices.filter { shared.offers($0) }
        self[tie]?.pending = []
        self[tie]?.isPending = []
        let sequence = folders[tie.folder].sequence
        self[tie]?.offeredSequence = sequence
        offer(places, tie, at: now, into: &effects)
    }

    /// These names again (BePeer section 3.2).
    mutating func offerAgain(_ names: [Path], _ tie: Tie, at now: Moment, into effects: inout Effects) {
        offer(names.compactMap { folders[tie.folder].index.place(of: $0) }, tie, at: now, into: &effects)
    }

    /// The changes that have come together, unless an earlier offer waits for its report.
    mutating func offerNext(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], partner.state == .trusted, !partner.isOutstanding, !partner.pending.isEmpty,
            folders[tie.folder].isReady, partner.isReachable
        else { return }
        self[tie]?.pending = []
        self[tie]?.isPending = []
        let sequence = folders[tie.folder].sequence
        self[tie]?.offeredSequence = sequence
        // An old peer knows no deletes, so there is nothing to tell it.
        let files = partner.pending.filter { folders[tie.folder].index.records[$0].isFile }
        guard !files.isEmpty || facts(of: partner)?.isExtended != false else {
            return settled(tie, at: now, into: &effects)
        }
        offer(files, tie, at: now, into: &effects)
    }

    /// What is known of a peer's server.
    func facts(of partner: Partner) -> ServerFacts? { partner.server.flatMap { servers[$0] } }

    /// No report has come: what has changed since is told all the same.
    mutating func outstandingTimedOut(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], partner.isOutstanding else { return }
        guard partner.verification == nil else {
            timers.set(.outstanding(tie), at: now.instant + configuration.outstandingTime)
            return
        }
        self[tie]?.awaited = nil
        self[tie]?.unanswered += 1
        if partner.state == .trusted, partner.unanswered + 1 >= Self.mostUnanswered {
            askAnew(tie, at: now, into: &effects)
        }
        offerNext(tie, at: now, into: &effects)
    }

    /// Offers without an answer after which a trusted peer seems to have forgotten us.
    private static let mostUnanswered = 3

    private mutating func askAnew(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        self[tie]?.unanswered = 0
        guard folders[tie.folder].receives else { return }
        requestAgain(tie, at: now, into: &effects)
    }

    /// A BePeerRequest to a peer that we know: it is valid at any time, and yields the full list.
    mutating func requestAgain(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        self[tie]?.lastRequest = now.instant
        say(.request(folder: folders[tie.folder].name), to: tie, at: now, into: &effects)
    }

    /// The offer is answered.
    mutating func settled(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        self[tie]?.awaited = nil
        self[tie]?.unanswered = 0
        timers.cancel(.outstanding(tie))
        if let partner = self[tie], partner.told != partner.offeredSequence {
            self[tie]?.told = partner.offeredSequence
            keepPartner(tie, into: &effects)
        }
        offerNext(tie, at: now, into: &effects)
    }

    /// Names that the peer itself offers are not awaited back from it.
    mutating func superseded(_ names: [Path], _ tie: Tie, at now: Moment, into effects: inout Effects) {
        // What looked wrong was newer.
        if self[tie]?.wrong.isEmpty == false { self[tie]?.forgive(names) }
        guard let partner = self[tie], partner.isOutstanding, partner.verification == nil else { return }
        let places = names.compactMap { folders[tie.folder].index.place(of: $0) }
        for place in places { self[tie]?.offered[place] = nil }
        noLongerAwaited(places, tie, into: &effects)
    }

    /// Files that the peer will not report; without others there is nothing to wait for.
    mutating func noLongerAwaited(_ places: [Int], _ tie: Tie, into effects: inout Effects) {
        guard let before = self[tie]?.awaited, !before.isEmpty, self[tie]?.verification == nil else { return }
        let awaited = before.subtracting(places)
        self[tie]?.awaited = awaited
        if awaited.isEmpty { settled(tie, at: clock, into: &effects) }
    }

    // MARK: - Reaching a peer

    /// It has called, or let itself be called: what it was not told of can be said.
    mutating func heardOf(_ ip: IPAddress, at now: Moment, into effects: inout Effects) {
        goOnWith(ip, at: now)
        for folder in folders.indices {
            let tie = Tie(folder: folder, ip: ip)
            guard self[tie]?.isReachable == false else { continue }
            reached(tie)
            offerNext(tie, at: now, into: &effects)
        }
    }

    mutating func reached(_ tie: Tie) {
        guard let partner = self[tie], !partner.isReachable || partner.attempts > 0 else { return }
        self[tie]?.isReachable = true
        self[tie]?.attempts = 0
    }

    /// A dial has failed: what was to be said is said when the peer is met again.
    mutating func notReached(_ tie: Tie, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], !life.isStopping else { return }
        self[tie]?.isReachable = false
        self[tie]?.attempts += 1
        if partner.isOutstanding {
            // It never got the offer.
            self[tie]?.awaited = nil
            timers.cancel(.outstanding(tie))
            for place in partner.offered.keys.sorted() { self[tie]?.owe(place) }
            self[tie]?.offered = [:]
        }
        guard partner.state == .trusted else {
            // What we have got from it could not be told: it is asked once more.
            if let index = folders[tie.folder].joins.firstIndex(where: { $0.ip == tie.ip && $0.isAnswered }) {
                folders[tie.folder].joins[index].isAnswered = false
                timers.set(.join(tie.folder, index), at: now.instant + Self.retries[Self.retries.count - 1])
            }
            return
        }
        let pause = min(configuration.unreachableInterval, .seconds(1 << min(partner.attempts, 12)))
        timers.set(.resync(tie), at: now.instant + pause)
        effects.log(
            partner.attempts == 0 ? .info : .debug, "dial_failed",
            [
                "folder": .string(folders[tie.folder].name),
                "address": .text(SocketAddress(tie.ip, partner.messagePort ?? Self.standardPort)),
                "reason": .string(reason.rawValue), "nextTrySeconds": .seconds(pause),
            ])
    }
}
