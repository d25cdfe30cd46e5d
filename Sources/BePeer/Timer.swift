internal import PeerCore

extension BePeer {
    /// The timers of the protocol.
    enum Timer: Hashable {
        /// A connection has nothing to say, or does not come to an end (BePeer section 2.1).
        case talk(ConnectionID)
        /// A peer of the configuration is asked again (BePeer section 3.4).
        case join(Int, Int)
        /// A folder is scanned (BePeer section 6.2).
        case rescan(Int)
        /// Changed files may be quiet now.
        case quiet(Int)
        /// What was kept long enough goes.
        case tidy(Int)
        /// An offer was not answered (BePeer section 4.1).
        case outstanding(Tie)
        /// A trusted peer is asked what is new (BePeer section 6.3).
        case resync(Tie)
        /// An intake that could not begin is tried again.
        case intake(Tie)
        /// A file server that was not reached is tried again.
        case verify(Tie)
        /// Files that the operator gets may be there.
        case manual(Tie)
        /// A fetch that failed is tried again (BePeer section 3.1).
        case want(UInt64)
        /// Those who watch are told how far it is.
        case progress
    }

    /// Does what is due.
    mutating func fire(at now: Moment, into effects: inout Effects) {
        while let timer = timers.pop(due: now.instant) {
            switch timer {
            case .talk(let connection): talkTimedOut(connection, into: &effects)
            case .join(let folder, let index): ask(folder, index, at: now, into: &effects)
            case .rescan(let folder): rescanDue(folder, at: now, into: &effects)
            case .quiet(let folder): quietDue(folder, at: now, into: &effects)
            case .tidy(let folder): tidy(folder, at: now, into: &effects)
            case .outstanding(let tie): outstandingTimedOut(tie, at: now, into: &effects)
            case .resync(let tie): resync(tie, at: now, into: &effects)
            case .intake(let tie): retryIntake(tie, at: now, into: &effects)
            case .verify(let tie): verifyAgain(tie, at: now, into: &effects)
            case .manual(let tie): manualDue(tie, at: now, into: &effects)
            case .want(let id): retryWant(id, at: now, into: &effects)
            case .progress: tellProgress(at: now, into: &effects)
            }
        }
    }
}

/// What an answer of files, the disk or a server is for.
enum Errand {
    // The beginning of a folder, and scans.
    case marker(Int)
    case markerLock(Int)
    case markerContent(Int)
    case makeMarker(Int)
    case lock(Int)
    case watch(Int)
    case ignore(Int)
    case scan(Int)
    case scanEnd(Int)
    case examine(Int, [Path])
    case gone(Int, [Path])
    case byHand(Int, [Path], CommandID)
    // Fetching.
    case hello(SocketAddress)
    case manifest(Tie, since: UInt64)
    case space(Tie)
    case want(UInt64)
    case part(UInt64)
    case partDigest(UInt64)
    case blocks(UInt64)
    case blockList(UInt64)
    case blocksHere(UInt64, UInt64)
    case segment(UInt64)
    case folderMade(UInt64)
    case install(Int, [(want: UInt64, installation: Installation)])
    case emptied(Int, Path)
    case report(Tie, [Path], unsure: [Path])
    // Reading back.
    case verify(Tie, Int)
    case ownProof(Tie, Int, Bytes32)
    // What others asked.
    case answerProof(ExchangeID, isSample: Bool)
    case answerBlocks(ExchangeID, UInt64)
    // Tidying up.
    case parts(Int)
    case trash(Int)
    case trashed(Int, RelativePath)
    /// Nobody waits for it.
    case nothing

    /// Whether a server answers.
    var isFetch: Bool {
        switch self {
        case .hello, .manifest, .want, .blockList, .segment, .verify: true
        default: false
        }
    }
}

extension BePeer {
    mutating func stored(
        _ request: RequestID, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        guard let errand = errands.removeValue(forKey: request), !life.isStopping else { return }
        switch errand {
        case .marker(let folder): marked(folder, result, at: now, into: &effects)
        case .markerLock(let folder), .markerContent(let folder):
            markerKnown(folder, result, at: now, into: &effects)
        case .makeMarker(let folder): markerMade(folder, result, at: now, into: &effects)
        case .lock(let folder): locked(folder, result, at: now, into: &effects)
        case .watch(let folder): watched(folder, result, at: now, into: &effects)
        case .ignore(let folder): ignoreRead(folder, result, into: &effects)
        case .scan(let folder): scanned(folder, result, at: now, into: &effects)
        case .scanEnd(let folder): scanEnded(folder, result, at: now, into: &effects)
        case .examine(let folder, let paths): examined(folder, paths, result, at: now, into: &effects)
        case .gone(let folder, let paths): goneFor(paths, folder, result, at: now, into: &effects)
        case .byHand(let folder, let names, let id): confirmed(folder, names, id, result, at: now, into: &effects)
        case .space(let tie): measured(tie, result, at: now, into: &effects)
        case .part(let id): partInspected(id, result, at: now, into: &effects)
        case .partDigest(let id): partDigested(id, result, at: now, into: &effects)
        case .blocks(let id): partRemoved(id, into: &effects)
        case .blocksHere(let id, let size): blocksHere(id, size, result, at: now, into: &effects)
        case .segment(let id): segmentCopied(id, result, at: now, into: &effects)
        case .folderMade(let id): folderMade(id, result, at: now, into: &effects)
        case .install(let folder, let batch): installed(folder, batch, result, at: now, into: &effects)
        case .emptied(let folder, let path): emptied(folder, path, result, into: &effects)
        case .report(let tie, let names, let unsure):
            reportExamined(tie, names, unsure, result, at: now, into: &effects)
        case .ownProof(let tie, let index, let told): ownProof(index, tie, told, result, at: now, into: &effects)
        case .answerProof(let exchange, let isSample):
            proved(exchange, isSample: isSample, result, into: &effects)
        case .answerBlocks(let exchange, let size): blocksTold(exchange, size, result, into: &effects)
        case .parts(let folder): partsFound(folder, result, at: now, into: &effects)
        case .trash(let folder): trashFound(folder, result, at: now, into: &effects)
        case .trashed(let folder, let place): trashListed(folder, place, result, into: &effects)
        case .hello, .manifest, .want, .blockList, .verify, .nothing: break
        }
    }

    mutating func fetched(
        _ request: RequestID, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment, into effects: inout Effects
    ) {
        guard let errand = errands.removeValue(forKey: request) else { return }
        switch errand {
        case .hello(let server):
            free(server.ip)
            guard !life.isStopping else { return }
            greeted(server, result, at: now, into: &effects)
        case .manifest(let tie, let since):
            free(tie.ip)
            guard !life.isStopping else { return }
            manifestCame(tie, since: since, result, at: now, into: &effects)
        case .want(let id):
            guard let want = wants[id] else { return }
            free(want.server.ip)
            guard !life.isStopping else { return }
            toPump.insert(want.tie)
            contentFetched(id, result, at: now, into: &effects)
        case .blockList(let id), .segment(let id):
            guard let want = wants[id] else { return }
            free(want.server.ip)
            guard !life.isStopping else { return }
            arrived(result.octets, id, at: now.instant)
            if case .segment = errand {
                segmentCame(id, result, at: now, into: &effects)
            } else {
                blockListCame(id, result, at: now, into: &effects)
            }
        case .verify(let tie, let index):
            free(tie.ip)
            guard !life.isStopping else { return }
            toPump.insert(tie)
            readBack(index, tie, result, at: now, into: &effects)
        default: break
        }
    }

    private mutating func free(_ ip: IPAddress) {
        for folder in folders.indices where folders[folder].partners[ip]?.isBusy ?? false {
            toPump.insert(Tie(folder: folder, ip: ip))
        }
        guard let count = lanes[ip], count > 1 else {
            lanes[ip] = nil
            return
        }
        lanes[ip] = count - 1
    }
}
