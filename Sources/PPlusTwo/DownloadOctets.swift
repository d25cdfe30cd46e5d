internal import PeerCore

// MARK: - Octets come (P+2 section 6.2)

extension PPlusTwo {
    /// How far is it?
    mutating func checkProgress(of number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let connection = downloads[number]?.connection else { return }
        effects.append(.measure(connection))
    }

    mutating func progressed(
        _ number: UInt64, received: UInt64, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number], download.connection != nil else { return }
        if received != download.received {
            downloads[number]?.received = received
            downloads[number]?.lastMove = now.instant
            var row: Record = ["bytes": .count(download.offset + received)]
            if let size = download.stat?.size { row["total"] = .count(size) }
            effects.reply(download.command, [row], .more)
        } else if let size = download.stat?.size, download.offset + received >= size {
            // All has come: it is the turn of our disk.
            downloads[number]?.lastMove = now.instant
        } else if now.instant - download.lastMove >= configuration.downloadStall {
            return fail(number, .stalled, at: now, into: &effects)
        }
        if received - min(received, download.spaceChecked) >= Download.spaceStep {
            downloads[number]?.spaceChecked = received
            errands[effects.store(.freeSpace(Share.folder))] = .download(number, .spaceAgain)
        }
        timers.set(.progress(number), at: now.instant + Download.progressPause)
    }

    /// The transfer has ended.
    mutating func received(
        _ number: UInt64, _ result: TransferResult, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        switch result {
        case .received(let octets, let digest):
            leave(number, into: &effects)
            let digest = digest.flatMap { $0.count == 32 ? Bytes32($0) : nil }
            downloads[number]?.whole = (download.offset + octets, digest)
            verify(number, at: now, into: &effects)
        // `closed` follows and says why.
        case .failed(.disconnected, _): break
        case .failed(.endOfFile, _): fail(number, .truncated, at: now, into: &effects)
        case .failed(.noSpace, _): fail(number, .diskFull, at: now, into: &effects)
        case .failed(.other("EFBIG"), _):
            fail(number, download.isRoomFree ? .diskFull : .tooLarge, at: now, into: &effects)
        case .failed: fail(number, .writeError, at: now, into: &effects)
        case .sent: break
        }
    }

    /// Nothing more is wanted of the connection.
    private mutating func leave(_ number: UInt64, into effects: inout Effects) {
        timers.cancel(.progress(number))
        guard let connection = downloads[number]?.connection else { return }
        downloads[number]?.connection = nil
        downloadPlaces[connection] = nil
        effects.append(.finish(connection))
    }

    mutating func downloadClosed(
        _ number: UInt64, _ connection: ConnectionID, _ reason: CloseReason, at now: Moment,
        into effects: inout Effects
    ) {
        guard let download = downloads[number] else { return }
        downloadPlaces[connection] = nil
        downloads[number]?.connection = nil
        if !timers.isSet(.progress(number)) { failed(download.peer, reason, at: now, into: &effects) }
        fail(number, Download.Failure(reason), at: now, into: &effects)
    }
}
