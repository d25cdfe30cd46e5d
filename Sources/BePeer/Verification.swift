internal import PeerCore
internal import PeerCrypto

/// What a peer says that it holds is read back (BePeer section 3.2).
struct Verification {
    struct Item {
        let place: Int
        let path: Path
        let offered: Partner.Offered
        /// Proved by a keyed digest instead of being moved.
        var nonce: Bytes32?
        /// The proof covers some blocks only.
        var isSampled = false
        var attempts = 0
        var layout = Target.Layout.folder
        /// Only what the peer says of it is asked: it may have changed it meanwhile.
        var isClaim = false
        /// What was wrong before that.
        var why = ""
    }

    /// Waits until it is known what the peer's server speaks.
    var isWaiting = true
    var items: [Item]
    var next = 0
    var running = 0
    var retrying: [Int] = []
    var good: [Path] = []
    var bad: [Path] = []
    var unreachable = 0
    let began: Instant
    var totalBytes: UInt64 = 0
    var doneBytes: UInt64 = 0
    /// Names that were reported meanwhile.
    var later: [Path] = []

    init(_ items: [Item], at now: Instant) {
        self.items = items
        began = now
        totalBytes = items.reduce(0) { $0.addingReportingOverflow($1.offered.size).partialValue }
    }
}

extension BePeer {
    /// Times that a peer may serve wrong content (BePeer sections 3.2 and 9).
    private static let mostFailures = 3
    /// Octets of the answer to a proof.
    private static let proofOctets = 1024

    /// A peer tells what it holds (BePeer section 4.2).
    mutating func tookReport(_ list: FileList, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], let since = partner.offeredAt, now.instant - since <= Self.offerTime,
            partner.state != .dropped
        else {
            return reject(tie.ip, "unsolicited", into: &effects)
        }
        self[tie]?.httpPort = list.port
        effects.log(
            .info, "report_in",
            ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "names": .count(list.names.count)])
        guard list.isHTTP else { return reject(tie.ip, "protocol", into: &effects) }
        if partner.verification != nil {
            self[tie]?.verification?.later += list.names
        } else {
            verify(list.names, tie, at: now, into: &effects)
        }
    }

    private mutating func verify(_ names: [Path], _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], let server = partner.server else { return }
        if names.isEmpty, let awaited = partner.awaited, !awaited.isEmpty {
            // It has nothing of what it was offered: whom we trust has newer ones, another one gets no trust by that.
            if partner.state == .trusted { settled(tie, at: now, into: &effects) }
            return
        }
        var items: [Verification.Item] = []
        for name in names {
            guard let place = folders[tie.folder].index.place(of: name), let offered = partner.offered[place] else {
                effects.log(.debug, "reject", ["peer": .text(tie.ip), "reason": "unsolicited", "path": .text(name)])
                continue
            }
            items.append(Verification.Item(place: place, path: name, offered: offered))
        }
        guard !items.isEmpty || names.isEmpty else {
            // An offer without names has no other answer than that something is reported.
            if partner.awaited?.isEmpty ?? false { settled(tie, at: now, into: &effects) }
            return
        }
        self[tie]?.verification = Verification(items, at: now.instant)
        if knows(server, for: tie, at: now, into: &effects) { beginVerifying(tie, at: now, into: &effects) }
    }

    mutating func beginVerifying(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let verification = self[tie]?.verification, let server = self[tie]?.server else { return }
        self[tie]?.verification?.isWaiting = false
        let isExtended = servers[server]?.isExtended ?? false
        if isExtended, verification.totalBytes > configuration.verifyFullBytes {
            for (index, item) in verification.items.enumerated()
            where item.offered.size > configuration.proofFileBytes && isAsOffered(item, tie.folder) {
                let nonce = random.nextBytes32()
                self[tie]?.verification?.items[index].nonce = nonce
                let isSampled = item.offered.size >= Sample.leastOctets && servers[server]?.samples ?? false
                self[tie]?.verification?.items[index].isSampled = isSampled
            }
        }
        pump(tie, at: now, into: &effects)
    }

    /// Whether we still have what was offered, to compare a proof with.
    private func isAsOffered(_ item: Verification.Item, _ folder: Int) -> Bool {
        let record = folders[folder].index.records[item.place]
        return record.isFile && record.hash == item.offered.hash
    }

    mutating func verifyMore(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        while let index = nextItem(tie) { readBack(index, tie, into: &effects) }
        let isDone = self[tie]?.verification.map { !$0.isWaiting && $0.running == 0 && $0.next == $0.items.count }
        if isDone ?? false { endVerification(tie, at: now, into: &effects) }
    }

    /// The next file to read back, when there is room for it.
    private mutating func nextItem(_ tie: Tie) -> Int? {
        guard hasLane(tie.ip), let verification = self[tie]?.verification, !verification.isWaiting,
            verification.next < verification.items.count
        else { return nil }
        self[tie]?.verification?.next += 1
        self[tie]?.verification?.running += 1
        return verification.next
    }

    private mutating func readBack(_ index: Int, _ tie: Tie, into effects: inout Effects) {
        guard let item = self[tie]?.verification?.items[index], let server = self[tie]?.server else { return }
        let name = folders[tie.folder].name
        if item.isClaim {
            fetch(
                .head, server, Target.path(name, item.path), into: .bytes(limit: 0), for: .verify(tie, index),
                into: &effects)
        } else if let nonce = item.nonce {
            let query = "nonce=\(nonce.hex)" + (item.isSampled ? "&sample=\(Sample.count)" : "")
            fetch(
                .get, server, Target.extended(name, "proof", item.path, query: query),
                into: .bytes(limit: Self.proofOctets), for: .verify(tie, index), into: &effects)
        } else {
            let layout = folders[tie.folder].settings.isSingle ? .bare : servers[server]?.layout ?? item.layout
            self[tie]?.verification?.items[index].layout = layout
            fetch(
                .get, server, Target.path(name, item.path, layout), into: .digest(limit: item.offered.size),
                digest: .sha256, for: .verify(tie, index), into: &effects)
            effects.log(
                .debug, "verify_start",
                ["folder": .string(name), "peer": .text(tie.ip), "path": .text(item.path)])
        }
    }

    mutating func readBack(
        _ index: Int, _ tie: Tie, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment,
        into effects: inout Effects
    ) {
        counters.bytesVerified &+= result.octets
        guard let item = self[tie]?.verification?.items[index], let server = self[tie]?.server else { return }
        switch result {
        case .success(let answer) where item.isClaim: compareClaim(index, item, tie, answer, into: &effects)
        case .success(let answer) where answer.status == 200 && item.nonce != nil:
            compareProof(index, item, tie, answer, into: &effects)
            return
        case .success(let answer) where answer.status == 200:
            servers[server, default: ServerFacts()].layout = item.layout
            let digest = answer.digest.flatMap { $0.count == 32 ? Bytes32($0) : nil }
            judge(index, tie, digest, at: now, into: &effects)
        case .success(let answer)
        where answer.status == 404 && item.nonce == nil && item.layout == .folder
            && servers[server]?.isExtended != true && servers[server]?.layout != .folder:
            self[tie]?.verification?.items[index].layout = .bare
            return readBack(index, tie, into: &effects)
        case .success(let answer) where answer.status == 503: unanswered(index, item, tie, at: now, into: &effects)
        case .failure(.connection), .failure(.stalled), .failure(.short), .failure(.cancelled):
            unanswered(index, item, tie, at: now, into: &effects)
        case .success(let answer): notAsOffered(index, tie, "\(answer.status)", into: &effects)
        case .failure(let failure): notAsOffered(index, tie, "\(failure)", into: &effects)
        }
    }

    /// It must be the offered content; what we have by now is as good.
    private mutating func judge(
        _ index: Int, _ tie: Tie, _ digest: Bytes32?, at now: Moment, into effects: inout Effects
    ) {
        guard let item = self[tie]?.verification?.items[index] else { return }
        let record = folders[tie.folder].index.records[item.place]
        guard let digest, digest == item.offered.hash || record.isFile && digest == record.hash else {
            return notAsOffered(index, tie, "content", into: &effects)
        }
        self[tie]?.verification?.running -= 1
        self[tie]?.verification?.good.append(item.path)
        self[tie]?.verification?.doneBytes += item.offered.size
        if facts(of: tie)?.isExtended != true {
            let agreed = self[tie]?.agreed[item.path]
            agree(
                .init(hash: digest, tag: agreed?.hash == digest ? agreed?.tag ?? "" : ""), on: item.path, with: tie,
                into: &effects)
        }
    }

    private func facts(of tie: Tie) -> ServerFacts? { self[tie].flatMap { facts(of: $0) } }

    private mutating func notAsOffered(_ index: Int, _ tie: Tie, _ why: String, into effects: inout Effects) {
        guard let item = self[tie]?.verification?.items[index] else { return }
        let hasOffered = self[tie]?.intake?.listed.contains(item.path) ?? false
        if hasOffered || self[tie]?.nextList?.names.contains(item.path) ?? false {
            // It has changed it meanwhile, and says so.
            self[tie]?.verification?.running -= 1
            self[tie]?.offered[item.place] = nil
            return
        }
        if facts(of: tie)?.isExtended ?? false, !item.isClaim {
            self[tie]?.verification?.items[index].isClaim = true
            self[tie]?.verification?.items[index].why = why
            return readBack(index, tie, into: &effects)
        }
        self[tie]?.verification?.running -= 1
        self[tie]?.verification?.bad.append(item.path)
        effects.log(
            .warn, "verify_bad",
            [
                "folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "path": .text(item.path),
                "why": .string(why),
            ])
    }

    /// A peer that says itself that it has another content by now has changed it: that is no lie, and it will tell.
    private mutating func compareClaim(
        _ index: Int, _ item: Verification.Item, _ tie: Tie, _ answer: HTTPAnswer, into effects: inout Effects
    ) {
        let claim = answer.field("BePeer-Hash")
        let isOther = answer.status == 404 || claim.map { $0 != "sha-256=\(item.offered.hash.hex)" } ?? false
        guard isOther else { return notAsOffered(index, tie, item.why, into: &effects) }
        self[tie]?.verification?.running -= 1
        self[tie]?.offered[item.place] = nil
    }

    /// No answer is no wrong answer: it is tried again.
    private mutating func unanswered(
        _ index: Int, _ item: Verification.Item, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        guard item.attempts < Self.retries.count else {
            self[tie]?.verification?.running -= 1
            self[tie]?.verification?.unreachable += 1
            if configuration.confirmUnreachable { self[tie]?.verification?.good.append(item.path) }
            return
        }
        self[tie]?.verification?.items[index].attempts += 1
        self[tie]?.verification?.retrying.append(index)
        if !timers.isSet(.verify(tie)) { timers.set(.verify(tie), at: now.instant + Self.retries[item.attempts]) }
    }

    mutating func verifyAgain(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let verification = self[tie]?.verification else { return }
        if verification.isWaiting {
            guard let server = self[tie]?.server else { return }
            if knows(server, for: tie, at: now, into: &effects) { beginVerifying(tie, at: now, into: &effects) }
            return
        }
        self[tie]?.verification?.retrying = []
        for index in verification.retrying { readBack(index, tie, into: &effects) }
    }

    /// The server does not even say what it speaks.
    mutating func verificationUnreachable(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let verification = self[tie]?.verification else { return }
        if verification.unreachable < Self.retries.count {
            self[tie]?.verification?.unreachable += 1
            timers.set(.verify(tie), at: now.instant + Self.retries[verification.unreachable])
            return
        }
        if configuration.confirmUnreachable { self[tie]?.verification?.good = verification.items.map(\.path) }
        self[tie]?.verification?.next = verification.items.count
        endVerification(tie, at: now, into: &effects)
    }

    // MARK: - Proofs

    private mutating func compareProof(
        _ index: Int, _ item: Verification.Item, _ tie: Tie, _ answer: HTTPAnswer, into effects: inout Effects
    ) {
        guard let nonce = item.nonce, let told = Proof.read(answer.body), isAsOffered(item, tie.folder) else {
            // We have changed it ourselves, or the answer is none: all of it is read instead.
            self[tie]?.verification?.items[index].nonce = nil
            return readBack(index, tie, into: &effects)
        }
        let file = folders[tie.folder].file(item.path)
        let size = item.offered.size
        let source =
            item.isSampled
            ? Sample.source(file, size: size, nonce: nonce, count: Sample.count)
            : .blocks(file, offset: 0, count: size, block: size)
        errands[effects.store(.digest(source, .sha256, key: Bytes(nonce.array)))] = .ownProof(tie, index, told)
    }

    mutating func ownProof(
        _ index: Int, _ tie: Tie, _ told: Bytes32, _ result: StoreResult, at now: Moment,
        into effects: inout Effects
    ) {
        guard let item = self[tie]?.verification?.items[index] else { return }
        if case .digests(let digests) = result, isAsOffered(item, tie.folder),
            let own = item.isSampled ? Sample.digest(digests) : digests.first, own.count == 32
        {
            judge(index, tie, Bytes32(own) == told ? item.offered.hash : nil, at: now, into: &effects)
            pump(tie, at: now, into: &effects)
        } else {
            self[tie]?.verification?.items[index].nonce = nil
            readBack(index, tie, into: &effects)
        }
    }

    // MARK: - The end

    private mutating func endVerification(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let verification = self[tie]?.verification else { return }
        self[tie]?.verification = nil
        let isNobody = verification.good.isEmpty && !verification.items.isEmpty
        if !verification.bad.isEmpty {
            failed(verification, tie, at: now, into: &effects)
        } else if isNobody, verification.unreachable == 0 {
            // All of it was changed meanwhile: what it has now is the next round's.
            settled(tie, at: now, into: &effects)
        } else if isNobody {
            effects.log(
                .warn, "verify_bad",
                ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "why": "unreachable"],
                "its file server cannot be reached, so it stays a candidate")
            settled(tie, at: now, into: &effects)
        } else {
            confirm(verification, tie, at: now, into: &effects)
        }
        if !verification.later.isEmpty { verify(verification.later, tie, at: now, into: &effects) }
    }

    private mutating func failed(
        _ verification: Verification, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        for path in verification.bad { self[tie]?.wrong[path, default: 0] += 1 }
        self[tie]?.forgive(verification.good)
        guard let failures = self[tie]?.failures, failures >= Self.mostFailures else {
            return offerAgain(verification.bad, tie, at: now, into: &effects)
        }
        self[tie]?.state = .dropped
        self[tie]?.droppedAt = now.wallClock
        self[tie]?.awaited = nil
        self[tie]?.offered = [:]
        self[tie]?.offeredAt = nil
        self[tie]?.reportedAt = nil
        timers.cancel(.outstanding(tie))
        keepPartner(tie, into: &effects)
        effects.log(
            .warn, "untrusted", ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip)],
            "it has served wrong content \(failures) times")
    }

    private mutating func confirm(
        _ verification: Verification, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        for item in verification.items { self[tie]?.offered[item.place] = nil }
        self[tie]?.failures = 0
        self[tie]?.wrong = [:]
        effects.log(
            .info, "verify_ok",
            [
                "folder": .string(folders[tie.folder].name), "peer": .text(tie.ip),
                "names": .count(verification.good.count), "bytes": .count(verification.doneBytes),
                "ms": .count((now.instant - verification.began).nanoseconds / 1_000_000),
            ])
        say(
            .list(list(.trustedPeerConfirm, verification.good, tie.folder)), to: tie, at: now, into: &effects)
        trust(tie, at: now, into: &effects)
        settled(tie, at: now, into: &effects)
    }

    /// A peer has served the right content back, or says that we have.
    mutating func trust(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        let isNew = self[tie]?.state != .trusted
        self[tie]?.state = .trusted
        self[tie]?.lastSeen = now.instant
        keepPartner(tie, into: &effects)
        guard isNew else { return }
        effects.log(.info, "trusted", ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip)])
        let hasMissed = self[tie]?.hasMissed ?? false
        timers.set(.resync(tie), at: now.instant + (hasMissed ? Self.failurePause : resyncPause()))
    }

    /// A peer has read back what we told it (BePeer sections 3.3 and 4.2).
    mutating func tookConfirmation(_ list: FileList, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let partner = self[tie], let since = partner.reportedAt, now.instant - since <= Self.offerTime,
            partner.state != .dropped
        else {
            return reject(tie.ip, "unsolicited", into: &effects)
        }
        let isNew = partner.state != .trusted
        self[tie]?.unconfirmed.subtract(list.names)
        trust(tie, at: now, into: &effects)
        if isNew {
            // What is told of only now comes after that.
            let records = folders[tie.folder].index.records
            let told = partner.afterTrust.map { records[$0].sequence - 1 }.min() ?? folders[tie.folder].sequence
            self[tie]?.told = told
            self[tie]?.offeredSequence = told
            keepPartner(tie, into: &effects)
        }
        for place in partner.afterTrust { self[tie]?.owe(place) }
        self[tie]?.afterTrust = []
        offerNext(tie, at: now, into: &effects)
        confirmed(tie, list.names.count, at: now, into: &effects)
    }
}
