internal import PeerCore
internal import PeerCrypto

// MARK: - The file is whole, or it failed (P+2 sections 6.2 and 8)

extension PPlusTwo {
    /// The file is whole; whether it is the right one depends on what the peer has told of it.
    mutating func verify(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number], let whole = download.whole else { return }
        guard let stat = download.stat else {
            return whole.octets > 0
                ? name(number, 1, into: &effects) : fail(number, .emptyOrMissing, at: now, into: &effects)
        }
        guard let digest = stat.digest else {
            guard download.restats < Download.mostRestats, download.isExtended == true else {
                return name(number, 1, into: &effects)
            }
            downloads[number]?.restats += 1
            return timers.set(.restat(number), at: now.instant + Download.restatPause)
        }
        guard whole.octets == stat.size, whole.digest == digest else {
            return tryAgain(number, at: now, into: &effects)
        }
        name(number, 1, into: &effects)
    }

    /// What came is not what was announced: once more, from the beginning (P+2 section 8).
    private mutating func tryAgain(_ number: UInt64, at now: Moment, into effects: inout Effects) {
        guard let download = downloads[number] else { return }
        guard download.attempt < Download.mostAttempts else {
            return fail(number, .verification, at: now, into: &effects)
        }
        effects.log(
            .warn, "download_mismatch",
            ["peer": .text(download.peer), "name": .string(RemoteName.shown(download.name))],
            "what came is not what the peer had announced; it is fetched once more from the beginning")
        parts.forget(download.token, into: &effects)
        errands[effects.store(.remove(Parts.whole(download.token)))] = .nothing
        let token = newToken()
        downloads[number]?.token = token
        downloads[number]?.attempt += 1
        downloads[number]?.offset = 0
        downloads[number]?.whole = nil
        downloads[number]?.stat = nil
        downloads[number]?.restats = 0
        askStat(number, at: now, into: &effects)
    }

    mutating func succeed(_ number: UInt64, _ path: String, at now: Moment, into effects: inout Effects) {
        guard let download = downloads.removeValue(forKey: number), let whole = download.whole else { return }
        parts.forget(download.token, into: &effects)
        // An empty file has nothing that could be wrong.
        let isVerified = download.stat.map { $0.digest != nil || $0.size == 0 } ?? false
        let result: Record = [
            "bytes": .count(whole.octets), "ms": .milliseconds(now.instant - download.began),
            "complete": isVerified ? "verified" : "unverified",
        ]
        counters.downloadsDone += 1
        effects.log(
            .info, "download_done",
            (["peer": .text(download.peer), "path": .string(path)] as Record).appending(result))
        effects.reply(download.command, [(["path": .string(path)] as Record).appending(result)])
    }

    mutating func fail(
        _ number: UInt64, _ failure: Download.Failure, at now: Moment, into effects: inout Effects
    ) {
        guard let download = downloads.removeValue(forKey: number) else { return }
        timers.cancel(.progress(number))
        timers.cancel(.restat(number))
        if let connection = download.connection {
            downloadPlaces[connection] = nil
            effects.append(.abort(connection, failure == .stalled ? .timeout : .operatorRequest))
        }
        for connection in questions.keys.sorted() where questions[connection]?.asker == .download(number) {
            effects.append(.abort(connection, .operatorRequest))
            questions[connection] = nil
            timers.cancel(.answer(connection))
        }
        if download.whole != nil, failure != .verification, parts[download.token] != nil {
            // All octets are there and only their proof is not: the next try goes on behind the last one.
            let part = Parts.part(download.token).path
            errands[effects.store(.rename(Parts.whole(download.token), to: part, replacing: true))] = .nothing
        } else if download.whole != nil {
            errands[effects.store(.remove(Parts.whole(download.token)))] = .nothing
            parts.forget(download.token, into: &effects)
        }
        parts.release(download.token)
        counters.downloadsFailed += 1
        effects.log(
            .warn, "download_failed",
            [
                "peer": .text(download.peer), "name": .string(RemoteName.shown(download.name)),
                "reason": .string(failure.rawValue), "bytes": .count(download.offset + download.received),
            ], failure.explanation)
        effects.reply(download.command, [], .refused("\(failure.rawValue): \(failure.explanation)"))
    }
}
