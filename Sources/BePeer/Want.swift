internal import PeerCore

/// One file of an intake, from the first look to its place.
struct Want {
    /// How its content comes.
    enum Way {
        /// Into memory.
        case memory
        /// Its head only: whether it is what we have.
        case head
        /// All of it, and nothing is kept: whether it is what we have.
        case compare
        /// Into a part file.
        case part
    }

    /// A content that has come.
    struct Content {
        var hash: Bytes32
        var size: UInt64
        var modified: WallClock
        var bytes: Bytes?
    }

    let tie: Tie
    /// What the peer's manifest says; of an old peer's file the name only.
    let remote: RemoteFile
    var way = Way.memory
    /// Where the server is thought to have it, while that is not certain.
    var layout = Target.Layout.folder
    /// The server that is asked; another one when the first has failed.
    var server: SocketAddress
    var tried: [IPAddress]
    var attempts = 0
    /// There is no connection to the server at the moment.
    var isUnreached = false
    /// How often its place was found changed.
    var rounds = 0
    var copies = true
    /// The blocks of the new version, and what of them is here.
    var theirs: [Bytes] = []
    var plan: BlockPlan?
    var part: RelativePath?
    var have: UInt64 = 0
    var size: UInt64
    /// What the server said of the content: for `If-Range`, and to know it again.
    var tag = ""
    var modified: WallClock?
    /// When it said so, by its own clock.
    var answeredAt: WallClock?
    var content: Content?
    /// What is agreed on with a peer that tells no versions, when the file is done with.
    var agreed: Partner.Agreed?
    /// What its place is expected to hold, and is done with it.
    var decision = Decision.same
    /// Octets that have come of the fetch under way.
    var progress: UInt64 = 0

    /// Whether it is known of which content the part file is a part.
    var knowsPart: Bool { remote.hash != nil || !tag.isEmpty }

    /// Notes what the server says of the content.
    mutating func learn(from answer: HTTPAnswer, at clock: WallClock) {
        tag = answer.field("ETag") ?? answer.field("Last-Modified") ?? tag
        modified = answer.field("Last-Modified").flatMap { WallClock(httpDate: $0) } ?? modified
        // Its clock may differ from ours.
        answeredAt = answer.field("Date").flatMap { WallClock(httpDate: $0) } ?? clock
    }

    /// The tag by which the content is known again. A time of seconds tells nothing of a second change in the same one.
    var settledTag: String {
        if tag.hasPrefix("\"") { return tag }
        guard let modified, let answeredAt, answeredAt - modified >= Self.coarseness else { return "" }
        return tag
    }

    /// What Last-Modified cannot tell apart, and a little for the clocks.
    private static let coarseness: Duration = .seconds(2)

    /// Whether the peer tells hashes and versions.
    var isTold: Bool { remote.hash != nil || remote.isFolder || remote.isDeleted }
}

extension BePeer {
    /// How often the place of a file may be found changed while it is fetched.
    private static let mostRounds = 3

    mutating func want(_ file: RemoteFile, _ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let server = self[tie]?.intake?.server else { return }
        lastWant += 1
        wants[lastWant] = Want(tie: tie, remote: file, server: server, tried: [tie.ip], size: file.size)
        self[tie]?.intake?.running += 1
        consider(lastWant, at: now, into: &effects)
    }

    /// Decides what is to be done about a file, unless somebody else is at it.
    mutating func consider(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        let (folder, path) = (want.tie.folder, want.remote.path)
        if let other = folders[folder].claims[path], other != id {
            folders[folder].waiting[path, default: []].append(id)
            return
        }
        folders[folder].claims[path] = id
        let local = folders[folder].index[path]
        guard want.isTold else { return considerUntold(id, local, at: now, into: &effects) }
        let decision = Decision(local: local, remote: want.remote)
        wants[id]?.decision = decision
        switch decision {
        case .same: end(id, held: local?.isDeleted == false, at: now, into: &effects)
        case .merge, .note: merge(id, local, at: now, into: &effects)
        case .behind(let merging):
            tellNewer(id, local, merging: merging, at: now, into: &effects)
        case .beside: tellNewer(id, local, merging: false, at: now, into: &effects)
        case .touch: install(id, from: .present, at: now, into: &effects)
        case .delete: install(id, from: .nothing, at: now, into: &effects)
        case .makeFolder:
            errands[effects.store(.makeFolder(folders[folder].file(path)))] = .folderMade(id)
        case .fetch: beginFetch(id, at: now, into: &effects)
        }
    }

    /// A file of which only the name is known (BePeer section 4.1).
    private mutating func considerUntold(
        _ id: UInt64, _ local: FileRecord?, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        let isExtended = self[want.tie]?.intake?.isExtended ?? false
        if let local, local.isFile {
            let isRemembered = self[want.tie]?.agreed[want.remote.path]?.tag.isEmpty == false
            wants[id]?.way =
                isExtended || isRemembered || local.size > configuration.smallFileBytes ? .head : .memory
        } else if !isExtended {
            // Its head tells how a part of it can be gone on with.
            wants[id]?.way = .head
        }
        fetchContent(id, at: now, into: &effects)
    }

    private mutating func beginFetch(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id], let hash = want.remote.hash else { return }
        let folder = want.tie.folder
        if want.copies, let twin = folders[folder].index.file(with: hash), twin.path != want.remote.path {
            // A renamed file, or a copy: its octets need not travel (BePeer section 4.4).
            wants[id]?.content = Want.Content(hash: hash, size: twin.size, modified: want.remote.modified)
            return install(id, from: .copy(of: twin.path.relative, twin.mark), at: now, into: &effects)
        }
        guard fits(want.size, folder) else { return postpone(id, at: now, into: &effects) }
        if want.size <= configuration.smallFileBytes {
            fetchContent(id, at: now, into: &effects)
        } else {
            wants[id]?.way = .part
            let part = Marker.part(hash)
            wants[id]?.part = part
            if hasOlder(want) { return beginBlocks(id, into: &effects) }
            errands[effects.store(.inspect(folders[folder].file(part)))] = .part(id)
        }
    }

    /// Whether the disk, and the quota, take so much more.
    func fits(_ size: UInt64, _ folder: Int) -> Bool {
        let (needed, overflow) = size.addingReportingOverflow(configuration.minFreeBytes)
        if let space = folders[folder].space, overflow || space < needed { return false }
        guard let quota = folders[folder].settings.maxBytes else { return true }
        let (sum, tooMuch) = folders[folder].index.liveBytes.addingReportingOverflow(size)
        return !tooMuch && sum <= quota
    }

    mutating func postpone(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        effects.log(
            .warn, "disk_full",
            [
                "folder": .string(folders[want.tie.folder].name), "path": .text(want.remote.path),
                "bytes": .count(want.size),
            ], "it is fetched when there is room; the folder is served as it is")
        fail(id, "disk_full", at: now, into: &effects)
    }

    // MARK: - Results without a fetch

    /// The changes of the peer count as seen.
    private mutating func merge(
        _ id: UInt64, _ local: FileRecord?, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        var record = local ?? FileRecord(want.remote.path)
        if local == nil {
            record.isDeleted = true
            record.hash = want.remote.hash ?? .zero
            record.size = want.remote.size
        }
        see(want.remote.version, &record, want.tie.folder, into: &effects)
        end(id, held: !record.isDeleted, at: now, into: &effects)
    }

    private mutating func see(
        _ version: VersionVector, _ record: inout FileRecord, _ folder: Int, into effects: inout Effects
    ) {
        let merged = record.version.merged(with: version)
        guard merged != record.version || record.isDiverged else { return }
        record.version = merged
        record.isDiverged = false
        record.sequence = folders[folder].nextSequence()
        keep(record, folder, into: &effects)
    }

    /// Ours is the better one: the peer hears of it in its turn.
    private mutating func tellNewer(
        _ id: UInt64, _ local: FileRecord?, merging: Bool, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id], var record = local else { return end(id, held: false, at: now, into: &effects) }
        if merging, !record.isDiverged { see(want.remote.version, &record, want.tie.folder, into: &effects) }
        tellOurs(id)
        end(id, held: false, at: now, into: &effects)
    }

    /// The peer is to hear of ours, unless that is nobody's business.
    mutating func tellOurs(_ id: UInt64) {
        guard let want = wants[id], let place = folders[want.tie.folder].index.place(of: want.remote.path),
            folders[want.tie.folder].announces, !folders[want.tie.folder].index.records[place].isDiverged
        else { return }
        self[want.tie]?.intake?.behind.append(place)
    }

    mutating func folderMade(_ id: UInt64, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        if case .failed(let error) = result { return fail(id, error.description, at: now, into: &effects) }
        let folder = want.tie.folder
        var record = folders[folder].index[want.remote.path] ?? FileRecord(want.remote.path)
        record.isFolder = true
        record.isDeleted = false
        record.hash = .zero
        record.size = 0
        record.scan = folders[folder].scanNumber
        adopt(&record, want, into: &effects)
        end(id, held: true, at: now, into: &effects)
    }

    /// What came from a peer gets its place in the index, and is told of to others.
    mutating func adopt(_ record: inout FileRecord, _ want: Want, into effects: inout Effects) {
        let folder = want.tie.folder
        if want.isTold {
            record.version = record.version.merged(with: want.remote.version)
        } else {
            // An old peer tells no versions: for others it is our change.
            record.version.advance(node, atLeast: UInt64(clamping: record.modified.seconds))
        }
        record.isDiverged = false
        record.sequence = folders[folder].nextSequence()
        let place = keep(record, folder, into: &effects)
        self[want.tie]?.intake?.changed.append(place)
        // It has told of a newer one itself: it will not report ours.
        noLongerAwaited([place], want.tie, into: &effects)
        folders[folder].lastChange = clock.wallClock
    }

    // MARK: - The end of a want

    /// The file is as the peer has it (`held`), or as it must be.
    mutating func end(_ id: UInt64, held: Bool, at now: Moment, into effects: inout Effects) {
        guard let want = wants.removeValue(forKey: id) else { return }
        if held { self[want.tie]?.intake?.held.append(want.remote.path) }
        if let agreed = want.agreed { agree(agreed, on: want.remote.path, with: want.tie, into: &effects) }
        if want.content != nil { self[want.tie]?.intake?.doneFiles += 1 }
        release(id, want, at: now, into: &effects)
    }

    mutating func fail(_ id: UInt64, _ why: String, at now: Moment, into effects: inout Effects) {
        guard let want = wants.removeValue(forKey: id) else { return }
        counters.fetchesFailed += 1
        self[want.tie]?.intake?.failures += 1
        effects.log(
            .warn, "fetch_failed",
            [
                "folder": .string(folders[want.tie.folder].name), "peer": .text(want.server.ip),
                "path": .text(want.remote.path), "why": .string(why),
            ])
        release(id, want, at: now, into: &effects)
    }

    /// The peer has another content by now than its manifest told of: that tells what is to be done instead.
    mutating func overtaken(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants.removeValue(forKey: id) else { return }
        self[want.tie]?.intake?.overtaken.append(want.remote.path)
        effects.log(
            .debug, "fetch_overtaken",
            [
                "folder": .string(folders[want.tie.folder].name), "peer": .text(want.server.ip),
                "path": .text(want.remote.path),
            ])
        release(id, want, at: now, into: &effects)
    }

    private mutating func release(_ id: UInt64, _ want: Want, at now: Moment, into effects: inout Effects) {
        let (folder, path) = (want.tie.folder, want.remote.path)
        self[want.tie]?.intake?.running -= 1
        let size = want.knownSize ?? 0
        self[want.tie]?.intake?.passedBytes &+= size
        if !want.isTold { self[want.tie]?.intake?.totalBytes &+= size }
        if folders[folder].claims[path] == id { folders[folder].claims[path] = nil }
        for next in folders[folder].waiting.removeValue(forKey: path) ?? [] {
            consider(next, at: now, into: &effects)
        }
        toPump.insert(want.tie)
    }

    /// Somebody has changed the file meanwhile: it is looked at, and then decided about anew.
    mutating func foundChanged(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        wants[id]?.rounds += 1
        wants[id]?.agreed = nil
        guard want.rounds < Self.mostRounds else { return fail(id, "changing", at: now, into: &effects) }
        let (folder, path) = (want.tie.folder, want.remote.path)
        folders[folder].claims[path] = nil
        folders[folder].waiting[path, default: []].append(id)
        examineNow(path, folder, at: now, into: &effects)
    }

    /// A file was looked at: who waits for that goes on.
    mutating func retryWaiting(on path: Path, _ folder: Int, at now: Moment, into effects: inout Effects) {
        guard folders[folder].claims[path] == nil else { return }
        for id in folders[folder].waiting.removeValue(forKey: path) ?? [] {
            consider(id, at: now, into: &effects)
        }
    }
}
