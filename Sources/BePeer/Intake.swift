internal import PeerCore

/// What a peer has is being taken in: the names of a FilesToGet, or all that its manifest has new.
struct Intake {
    enum Phase {
        /// It is asked whether it speaks the extension.
        case greeting
        /// Its manifest is read.
        case reading
        /// It is asked how much the disk takes.
        case measuring
        /// Files come.
        case fetching
        /// All are there; what is gone goes.
        case deleting
    }

    let server: SocketAddress
    /// The message that is answered; nil: nobody waits for an answer.
    let list: FileList?
    let listed: Set<Path>
    /// It answers a request of ours: what we have besides, the peer has not.
    let isJoining: Bool
    var phase = Phase.greeting
    var isExtended = false
    var files: [RemoteFile] = []
    var next = 0
    var deletions: [RemoteFile] = []
    /// Wants that have not ended.
    var running = 0
    /// Octets that have come over the network.
    var fetchedBytes: UInt64 = 0
    var held: [Path] = []
    var changed: [Int] = []
    var behind: [Int] = []
    var failures = 0
    /// Files of which the peer has another content by now.
    var overtaken: [Path] = []
    /// How far the manifest was read, and of which node.
    var node: UInt64 = 0
    var sequence: UInt64 = 0
    var attempts = 0
    /// There is no connection to the server at the moment.
    var isUnreached = false
    let began: Instant
    /// Octets of all files, as far as their sizes are known, and of those that are dealt with.
    var totalBytes: UInt64 = 0
    var passedBytes: UInt64 = 0
    /// Files that have come.
    var doneFiles = 0
    var meter: Meter

    init(_ server: SocketAddress, _ list: FileList?, isJoining: Bool, at now: Instant) {
        self.server = server
        self.list = list
        self.isJoining = isJoining
        listed = Set(list?.names ?? [])
        began = now
        meter = Meter(at: now)
    }
}

extension BePeer {
    /// Octets of one page of a manifest that are taken.
    private static let manifestOctets = 64 << 20
    /// Names that a manifest does not tell of and that are asked for one by one; more, and all of it is read anew.
    private static let mostAsked = 64

    // MARK: - Beginning

    /// A peer says what there is to get (BePeer section 4.2).
    mutating func tookOffer(
        _ list: FileList, _ tie: Tie, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        if folders[tie.folder].phase == .opening, folders[tie.folder].receives, list.isHTTP,
            self[tie]?.state == .trusted
        {
            // It is taken in as soon as it is known what is here.
            return listNext(list, tie, connection, at: now)
        }
        let answered = requestAnswered(by: tie.ip, tie.folder, at: now)
        let isAsked = answered != nil || self[tie].map { $0.lastRequest != nil } ?? false
        guard folders[tie.folder].receives, folders[tie.folder].isReady,
            isAsked || self[tie]?.state == .trusted, self[tie]?.state != .dropped
        else {
            return reject(tie.ip, "unsolicited", into: &effects)
        }
        if self[tie] == nil { self[tie] = Partner(tie.ip) }
        self[tie]?.connection = connection
        self[tie]?.lastRequest = nil
        self[tie]?.lastSeen = now.instant
        self[tie]?.httpPort = list.port
        if let answered {
            folders[tie.folder].joins[answered].isAnswered = true
            folders[tie.folder].joins[answered].delegated = nil
            if let ip = folders[tie.folder].joins[answered].ip, ip != tie.ip {
                folders[tie.folder].joins[answered].ip = tie.ip
            }
            timers.cancel(.join(tie.folder, answered))
        }
        superseded(list.names, tie, at: now, into: &effects)
        distrust(list.names, tie)
        guard list.isHTTP else { return beManual(list, tie, at: now, into: &effects) }
        if self[tie]?.intake != nil {
            listNext(list, tie, connection, at: now)
        } else {
            beginIntake(tie, list, isJoining: isAsked, at: now, into: &effects)
        }
    }

    /// What is offered once more instead of being confirmed was not right: it is looked at, whatever its server says.
    private mutating func distrust(_ names: [Path], _ tie: Tie) {
        for name in names where self[tie]?.unconfirmed.remove(name) != nil { self[tie]?.agreed[name]?.tag = "" }
    }

    private mutating func listNext(_ list: FileList, _ tie: Tie, _ connection: ConnectionID, at now: Moment) {
        let waiting = self[tie]?.nextList
        self[tie]?.connection = connection
        self[tie]?.lastSeen = now.instant
        self[tie]?.httpPort = list.port
        self[tie]?.nextList = waiting?.adding(list) ?? list
    }

    mutating func beginIntake(
        _ tie: Tie, _ list: FileList?, isJoining: Bool, at now: Moment, into effects: inout Effects
    ) {
        guard let server = self[tie]?.server, folders[tie.folder].isReady, !life.isStopping else { return }
        self[tie]?.intake = Intake(server, list, isJoining: isJoining, at: now.instant)
        if knows(server, for: tie, at: now, into: &effects) { beginList(tie, at: now, into: &effects) }
    }

    /// The server is known: its manifest is read, or the names are all there is.
    mutating func beginList(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let intake = self[tie]?.intake else { return }
        let isExtended = servers[intake.server]?.isExtended ?? false
        self[tie]?.intake?.isExtended = isExtended
        if isExtended {
            let known = self[tie]?.node == servers[intake.server]?.node ? self[tie]?.sequence ?? 0 : 0
            askManifest(tie, since: known, into: &effects)
        } else if let list = intake.list {
            self[tie]?.intake?.files = list.names.map { RemoteFile(path: $0) }
            measure(tie, into: &effects)
        } else {
            // An old peer's list comes only in answer to a request.
            self[tie]?.intake = nil
            requestAgain(tie, at: now, into: &effects)
        }
    }

    private mutating func askManifest(_ tie: Tie, since sequence: UInt64, into effects: inout Effects) {
        guard let intake = self[tie]?.intake else { return }
        self[tie]?.intake?.phase = .reading
        let query = sequence > 0 ? "since=\(sequence)" : ""
        fetch(
            .get, intake.server, Target.extended(folders[tie.folder].name, "manifest", query: query),
            into: .bytes(limit: Self.manifestOctets), for: .manifest(tie, since: sequence), into: &effects)
    }

    mutating func manifestCame(
        _ tie: Tie, since sequence: UInt64, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment,
        into effects: inout Effects
    ) {
        guard let intake = self[tie]?.intake, intake.phase == .reading else { return }
        var reader = ManifestReader()
        switch result {
        case .failure(let failure):
            return intakeFailed(tie, "\(failure)", isUnreached: failure.isConnection, at: now, into: &effects)
        case .success(let answer):
            guard answer.status == 200, (try? reader.append(answer.body)) != nil, let end = reader.end else {
                return intakeFailed(tie, "manifest \(answer.status)", at: now, into: &effects)
            }
            let isOther = reader.node != self[tie]?.node && self[tie]?.node != 0
            if sequence > 0, isOther || reader.last < sequence {
                // Another node has the address now, or it has lost what it knew.
                self[tie]?.node = reader.node
                self[tie]?.sequence = 0
                self[tie]?.intake?.files = []
                return askManifest(tie, since: 0, into: &effects)
            }
            self[tie]?.intake?.node = reader.node
            self[tie]?.intake?.sequence = end
            self[tie]?.intake?.files += reader.files
            if end < reader.last, end > sequence { return askManifest(tie, since: end, into: &effects) }
        }
        let known = Set(self[tie]?.intake?.files.map(\.path) ?? [])
        let missing = intake.list?.names.filter { !known.contains($0) } ?? []
        if missing.count > Self.mostAsked, sequence > 0 {
            self[tie]?.intake?.files = []
            return askManifest(tie, since: 0, into: &effects)
        }
        // Told of before: it is enough to ask whether we still have the same.
        self[tie]?.intake?.files += missing.map { RemoteFile(path: $0) }
        measure(tie, into: &effects)
    }

    private mutating func measure(_ tie: Tie, into effects: inout Effects) {
        guard let intake = self[tie]?.intake else { return }
        self[tie]?.intake?.phase = .measuring
        self[tie]?.intake?.totalBytes = intake.files.reduce(0) {
            $0.addingReportingOverflow($1.isDeleted ? 0 : $1.size).partialValue
        }
        errands[effects.store(.freeSpace(folders[tie.folder].id))] = .space(tie)
    }

    mutating func measured(_ tie: Tie, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard self[tie]?.intake?.phase == .measuring else { return }
        if case .space(let octets) = result { folders[tie.folder].space = octets }
        self[tie]?.intake?.phase = .fetching
        pump(tie, at: now, into: &effects)
    }

    // MARK: - Going on

    /// Starts what may be started: reading back first, since somebody waits for that.
    mutating func pump(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        verifyMore(tie, at: now, into: &effects)
        while let file = nextFile(tie) { take(file, tie, at: now, into: &effects) }
        endIfDone(tie, at: now, into: &effects)
    }

    /// The next file to take in, when there is room for it. Nobody may hold a copy of the intake while it goes on:
    /// then each of its lists would be copied for each file.
    private mutating func nextFile(_ tie: Tie) -> RemoteFile? {
        guard hasLane(tie.ip), folders[tie.folder].hasRoom, let intake = self[tie]?.intake,
            intake.phase == .fetching, intake.next < intake.files.count
        else { return nil }
        self[tie]?.intake?.next += 1
        return intake.files[intake.next]
    }

    private mutating func take(_ file: RemoteFile, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard folders[tie.folder].replicates(file.path) else { return pass(file, tie) }
        if file.isDeleted {
            self[tie]?.intake?.deletions.append(file)
            return
        }
        if folders[tie.folder].index.hasTwin(of: file.path) {
            self[tie]?.intake?.failures += 1
            pass(file, tie)
            return reject(tie.ip, "bad_path", into: &effects)
        }
        want(file, tie, at: now, into: &effects)
    }

    /// A file that nothing is done about.
    private mutating func pass(_ file: RemoteFile, _ tie: Tie) {
        if !file.isDeleted { self[tie]?.intake?.passedBytes &+= file.size }
    }

    mutating func endIfDone(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        switch phaseDone(tie) {
        case .fetching:
            // Deletes wait until the adds are done: a renamed file is copied from its old place.
            self[tie]?.intake?.phase = .deleting
            for file in (self[tie]?.intake?.deletions ?? []).sorted(by: { $0.path > $1.path }) {
                want(file, tie, at: now, into: &effects)
            }
            endIfDone(tie, at: now, into: &effects)
        case .deleting: endIntake(tie, at: now, into: &effects)
        default: break
        }
    }

    /// The phase in which nothing is left to do.
    private func phaseDone(_ tie: Tie) -> Intake.Phase? {
        guard let intake = self[tie]?.intake, intake.running == 0, intake.next == intake.files.count else {
            return nil
        }
        return intake.phase
    }

    // MARK: - The end

    private mutating func endIntake(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let intake = self[tie]?.intake else { return }
        self[tie]?.intake = nil
        if intake.isExtended {
            self[tie]?.node = intake.node
            let before = self[tie]?.sequence ?? 0
            if intake.failures + intake.overtaken.count == 0 { self[tie]?.sequence = max(intake.sequence, before) }
        }
        keepPartner(tie, into: &effects)
        effects.log(
            intake.doneFiles > 0 ? .info : .debug, "fetch_done",
            [
                "folder": .string(folders[tie.folder].name), "peer": .text(tie.ip),
                "files": .count(intake.doneFiles), "bytes": .count(intake.fetchedBytes),
                "failed": .count(intake.failures),
                "ms": .count((now.instant - intake.began).nanoseconds / 1_000_000),
            ])
        if intake.list != nil { report(intake, tie, at: now, into: &effects) }
        spread(intake.changed, tie.folder, besides: tie.ip, at: now, into: &effects)
        let newer = intake.behind + (intake.isJoining ? besides(intake.listed, tie.folder) : [])
        if self[tie]?.state == .trusted {
            for place in newer { self[tie]?.owe(place) }
            offerNext(tie, at: now, into: &effects)
        } else {
            self[tie]?.afterTrust = newer
            // Without a confirmation it is asked once more.
            if let index = folders[tie.folder].joins.firstIndex(where: { $0.ip == tie.ip }) {
                timers.set(.join(tie.folder, index), at: now.instant + Self.confirmationTime)
            }
        }
        self[tie]?.hasMissed = intake.failures > 0
        if intake.failures > 0, self[tie]?.state == .trusted {
            timers.set(.resync(tie), at: now.instant + Self.failurePause)
        }
        if !intake.overtaken.isEmpty, let times = self[tie]?.timesOvertaken {
            self[tie]?.timesOvertaken += 1
            askAgainFor(intake.overtaken.filter { intake.listed.contains($0) }, intake, tie)
            timers.set(.resync(tie), at: now.instant + Self.retries[min(times, Self.retries.count - 1)])
        } else {
            self[tie]?.timesOvertaken = 0
        }
        goOn(tie, at: now, into: &effects)
    }

    /// How long the confirmation of a report may take: all of it is read back.
    private static let confirmationTime: Duration = .seconds(600)
    /// From a round in which something failed to the next one.
    static let failurePause: Duration = .seconds(60)

    /// What came while the intake was at work.
    private mutating func goOn(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        if self[tie]?.nextList != nil {
            let list = takeNextList(tie)
            beginIntake(tie, list, isJoining: false, at: now, into: &effects)
        } else if self[tie]?.pullsAgain ?? false {
            self[tie]?.pullsAgain = false
            beginIntake(tie, nil, isJoining: false, at: now, into: &effects)
        }
    }

    /// Names of an offer that are to be reported as soon as they are here.
    private mutating func askAgainFor(_ names: [Path], _ intake: Intake, _ tie: Tie) {
        guard !names.isEmpty, let list = intake.list else { return }
        let again = FileList(
            list.kind, folder: list.folder, port: list.port, protocolName: list.protocolName, names: names)
        let waiting = self[tie]?.againList
        self[tie]?.againList = waiting.map { again.adding($0) } ?? again
    }

    /// The names that wait to be taken in.
    mutating func takeNextList(_ tie: Tie) -> FileList? {
        guard let partner = self[tie] else { return nil }
        self[tie]?.nextList = nil
        self[tie]?.againList = nil
        guard let again = partner.againList else { return partner.nextList }
        return partner.nextList.map { again.adding($0) } ?? again
    }

    /// Files of ours that a peer has not told of.
    private func besides(_ listed: Set<Path>, _ folder: Int) -> [Int] {
        let shared = folders[folder]
        guard shared.announces else { return [] }
        return shared.index.records.indices.filter {
            shared.offers($0) && !listed.contains(shared.index.records[$0].path)
        }
    }

    /// Tells what we hold (BePeer section 3.1). What may have changed here since it came is looked at before.
    private mutating func report(_ intake: Intake, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        let names = intake.held.filter { intake.listed.contains($0) }
        let shared = folders[tie.folder]
        let unsure = names.filter { shared.dirty[$0] != nil }
        guard unsure.isEmpty else {
            let questions = unsure.map { FileQuestion(shared.file($0), known: shared.known($0)) }
            errands[effects.store(.examine(questions, .sha256))] = .report(tie, names, unsure: unsure)
            return
        }
        // Nothing at all is said where nothing could be had. One who tells versions hears of it when all that was
        // offered is known here, and ours are newer.
        let isKnown = intake.isExtended && intake.failures == 0 && intake.overtaken.isEmpty
        tell(names, tie, isEmpty: intake.listed.isEmpty || isKnown, at: now, into: &effects)
    }

    mutating func reportExamined(
        _ tie: Tie, _ names: [Path], _ unsure: [Path], _ result: StoreResult, at now: Moment,
        into effects: inout Effects
    ) {
        var changed = Set(unsure)
        if case .examined(let findings) = result {
            for (path, finding) in zip(unsure, findings) where finding == .unchanged { changed.remove(path) }
        }
        tell(names.filter { !changed.contains($0) }, tie, isEmpty: false, at: now, into: &effects)
    }

    private mutating func tell(
        _ names: [Path], _ tie: Tie, isEmpty: Bool, at now: Moment, into effects: inout Effects
    ) {
        guard !names.isEmpty || isEmpty else { return }
        self[tie]?.reportedAt = now.instant
        if let partner = self[tie], facts(of: partner)?.isExtended != true {
            self[tie]?.unconfirmed.formUnion(names)
        }
        say(.list(list(.filesUpdated, names, tie.folder)), to: tie, at: now, into: &effects)
        effects.log(
            .info, "report_out",
            ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "names": .count(names.count)])
    }

    /// Nothing can be taken in at the moment.
    mutating func intakeFailed(
        _ tie: Tie, _ why: String, isUnreached: Bool = false, at now: Moment, into effects: inout Effects
    ) {
        guard let intake = self[tie]?.intake else { return }
        self[tie]?.intake?.isUnreached = isUnreached
        if intake.attempts < Self.retries.count {
            self[tie]?.intake?.attempts += 1
            self[tie]?.intake?.phase = .greeting
            self[tie]?.intake?.files = []
            timers.set(.intake(tie), at: now.instant + Self.retries[intake.attempts])
            return
        }
        self[tie]?.intake = nil
        effects.log(
            .warn, "fetch_failed",
            ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "why": .string(why)])
        if self[tie]?.state == .trusted {
            timers.set(.resync(tie), at: now.instant + configuration.unreachableInterval)
        } else if let index = folders[tie.folder].joins.firstIndex(where: { $0.ip == tie.ip }) {
            folders[tie.folder].joins[index].isAnswered = false
            timers.set(.join(tie.folder, index), at: now.instant + Self.failurePause)
        }
        goOn(tie, at: now, into: &effects)
    }

    /// A peer that was gone is back: what waited for that goes on.
    mutating func goOnWith(_ ip: IPAddress, at now: Moment) {
        for folder in folders.indices {
            let tie = Tie(folder: folder, ip: ip)
            guard self[tie]?.intake?.isUnreached ?? false, timers.isSet(.intake(tie)) else { continue }
            timers.set(.intake(tie), at: now.instant)
        }
        for (id, want) in wants where want.isUnreached && want.server.ip == ip && timers.isSet(.want(id)) {
            timers.set(.want(id), at: now.instant)
        }
    }

    mutating func retryIntake(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let intake = self[tie]?.intake, intake.phase == .greeting else { return }
        self[tie]?.intake?.isUnreached = false
        if knows(intake.server, for: tie, at: now, into: &effects) { beginList(tie, at: now, into: &effects) }
    }

    /// Pauses before a failed fetch is tried again (BePeer section 3.1).
    static let retries: [Duration] = [.seconds(1), .seconds(10), .seconds(60)]
}

extension FileList {
    /// The names of both, with the port of the later one.
    func adding(_ other: FileList) -> FileList {
        let known = Set(names)
        return FileList(
            kind, folder: folder, port: other.port, protocolName: other.protocolName,
            names: names + other.names.filter { !known.contains($0) })
    }
}

extension SharedFolder {
    /// Whether more may be fetched: what waits for the disk is in memory.
    var hasRoom: Bool { ready.count < 1024 && readyBytes < 16 << 20 }
}
