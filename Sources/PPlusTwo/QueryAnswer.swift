internal import PeerCore

// MARK: - Port p + 1: names that contain a text (P+2 sections 5 and 8)

extension PPlusTwo {
    mutating func answerQuery(
        _ connection: ConnectionID, _ line: Bytes, at now: Moment, into effects: inout Effects
    ) {
        if configuration.extensions, ExtensionRequest.isMeant(by: line) {
            return answerExtension(connection, ExtensionRequest(line: line), at: now, into: &effects)
        }
        let found = share.names.indices(containing: line)
        var answer = ByteWriter()
        var lines = 0
        for index in found.prefix(configuration.maxQueryAnswerLines) {
            let name = share.names.name(index)
            guard answer.count + name.count < configuration.maxQueryAnswerBytes else { break }
            answer.write(name)
            answer.write([UInt8(ascii: "\n")])
            lines += 1
        }
        tellQuery(connection, line, matches: found.count, sent: lines, into: &effects)
        finish(connection, with: answer.bytes, at: now, into: &effects)
    }

    private mutating func tellQuery(
        _ connection: ConnectionID, _ line: Bytes, matches: Int, sent: Int, into effects: inout Effects
    ) {
        counters.queriesAnswered += 1
        effects.log(
            .info, "query_in",
            [
                "source": callers[connection].map { .text($0.remote) } ?? .null, "bytes": .count(line.count),
                "matches": .count(matches), "sent": .count(sent),
            ])
    }

    // MARK: The extension

    private mutating func answerExtension(
        _ connection: ConnectionID, _ request: ExtensionRequest?, at now: Moment, into effects: inout Effects
    ) {
        counters.extensionsAnswered += 1
        switch request {
        case .hello: finishExtension(connection, "features stat find range\n", at: now, into: &effects)
        case .stat(let name):
            guard let file = file(name) else { return finishExtension(connection, "", at: now, into: &effects) }
            errands[effects.store(.inspect(file))] = .stat(connection)
        case .find(let text): answerFind(connection, text, at: now, into: &effects)
        case .range, nil: finish(connection, at: now, into: &effects)
        }
    }

    private mutating func finishExtension(
        _ connection: ConnectionID, _ rest: String, at now: Moment, into effects: inout Effects
    ) {
        var answer = ByteWriter()
        answer.write(ExtensionRequest.banner)
        answer.write("\n\(rest)".utf8)
        finish(connection, with: answer.bytes, at: now, into: &effects)
    }

    private mutating func answerFind(
        _ connection: ConnectionID, _ text: Bytes, at now: Moment, into effects: inout Effects
    ) {
        let found = share.names.indices(containing: text)
        var answer = ByteWriter()
        answer.write(ExtensionRequest.banner)
        answer.write([UInt8(ascii: "\n")])
        var lines = 0
        for index in found.prefix(configuration.maxQueryAnswerLines) {
            let file = FoundFile(
                size: share.names.sizes[index], modified: share.names.times[index].seconds,
                name: share.names.name(index))
            let line = file.line
            guard answer.count + line.count <= configuration.maxQueryAnswerBytes else { break }
            answer.write(line)
            lines += 1
        }
        tellQuery(connection, text, matches: found.count, sent: lines, into: &effects)
        finish(connection, with: answer.bytes, at: now, into: &effects)
    }

    /// The file that a caller asks about was looked at: its digest is known, or is computed.
    mutating func inspected(
        _ entry: FileEntry?, for connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard callers[connection]?.phase == .waiting else { return }
        guard let entry else { return finishExtension(connection, "", at: now, into: &effects) }
        let file = FileName(Share.folder, entry.path)
        callers[connection]?.stat = Caller.Stat(file: file, entry: entry)
        guard hashes.digest(of: entry) == nil, hashes.want(file, entry) else {
            return answerStat(connection, at: now, into: &effects)
        }
        timers.set(.digest(connection), at: now.instant + Hashes.patience)
        hashNext(into: &effects)
    }

    /// Tells what is known of the file.
    mutating func answerStat(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        timers.cancel(.digest(connection))
        guard let stat = callers[connection]?.stat else { return }
        let answer = FileStat(
            size: stat.entry.size, modified: stat.entry.modified.seconds, digest: hashes.digest(of: stat.entry))
        finishExtension(connection, answer.lines, at: now, into: &effects)
    }
}
