internal import PeerCore

// Each case has a number of its own, so that no two inputs or effects look alike.

extension Input: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .start: hash.add(1)
        case .stop: hash.add(2)
        case .deadline: hash.add(3)
        case .resumed(let gap): hash.add(case: 4, gap)
        case .interfaces(let addresses): hash.add(case: 5, addresses)
        case .listening(let listener, let address): hash.add(case: 6, listener, address)
        case .refused(let listener, let error): hash.add(case: 7, listener, error)
        case .accepted(let connection, let listener, let local, let remote):
            hash.add(case: 8, connection, listener, local, remote)
        case .connected(let connection, let local, let remote): hash.add(case: 9, connection, local, remote)
        case .received(let bytes, let connection): hash.add(case: 10, connection, bytes)
        case .drained(let connection): hash.add(case: 11, connection)
        case .ended(let connection): hash.add(case: 12, connection)
        case .closed(let connection, let reason, let traffic): hash.add(case: 13, connection, reason, traffic)
        case .datagram(let bytes, let listener, let source): hash.add(case: 14, listener, source, bytes)
        case .resolved(let request, let addresses): hash.add(case: 15, request, addresses)
        case .stored(let request, let result): hash.add(case: 16, request, result)
        case .changed(let folder, let paths): hash.add(case: 17, folder, paths)
        case .transferred(let connection, let file, let result): hash.add(case: 18, connection, file, result)
        case .recalled(let table, let rows, let more): hash.add(case: 19, table, rows, more)
        case .command(let id, let command): hash.add(case: 20, id, command)
        case .cancelled(let id): hash.add(case: 21, id)
        case .answered(let id, let reply): hash.add(case: 22, id, reply)
        case .stalled(let connection): hash.add(case: 23, connection)
        case .measured(let connection, let traffic): hash.add(case: 24, connection, traffic)
        case .requested(let id, let request, let listener, let source):
            hash.add(case: 25, id, request, listener, source)
        case .requestClosed(let id, let complete, let octets): hash.add(case: 26, id, complete, octets)
        case .fetching(let request, let octets): hash.add(case: 27, request, octets)
        case .fetched(let request, .success(let answer)): hash.add(case: 28, request, answer)
        case .fetched(let request, .failure(let failure)): hash.add(case: 29, request, failure)
        }
    }
}

extension Effect: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .listen(let listener, let address, let kind): hash.add(case: 101, listener, address, kind)
        case .unlisten(let listener): hash.add(case: 102, listener)
        case .connect(let connection, let destination, let local, let timeout):
            hash.add(case: 103, connection, destination, local, timeout)
        case .send(let bytes, let connection): hash.add(case: 104, connection, bytes)
        case .sendFile(let file, let offset, let count, let connection):
            hash.add(case: 105, file, offset, count, connection)
        case .receiveFile(let reception, let connection): hash.add(case: 106, connection, reception)
        case .finish(let connection): hash.add(case: 107, connection)
        case .abort(let connection, let reason): hash.add(case: 108, connection, reason)
        case .sendDatagram(let bytes, let listener, let address): hash.add(case: 109, listener, address, bytes)
        case .sendDatagrams(let list, let listener, let address): hash.add(case: 132, listener, address, list)
        case .resolve(let request, let name): hash.add(case: 110, request, name)
        case .store(let request, let operation): hash.add(case: 111, request, operation)
        case .remember(let table, let key, let record): hash.add(case: 112, table, key, record)
        case .forget(let table, let key): hash.add(case: 113, table, key)
        case .recall(let table, let after, let limit): hash.add(case: 114, table, after, limit)
        case .ban(let prefix, let until, let reason): hash.add(case: 115, prefix, until, reason)
        case .unban(let prefix): hash.add(case: 116, prefix)
        case .reply(let id, let reply): hash.add(case: 117, id, reply)
        case .ask(let id, let name, let command): hash.add(case: 118, id, name, command)
        case .withdraw(let id): hash.add(case: 119, id)
        case .hold(let connection): hash.add(case: 121, connection)
        case .release(let connection): hash.add(case: 122, connection)
        case .pause(let listener): hash.add(case: 123, listener)
        case .resume(let listener): hash.add(case: 124, listener)
        case .measure(let connection): hash.add(case: 125, connection)
        case .open(let folder, let path): hash.add(case: 131, folder, path)
        case .respond(let id, let response): hash.add(case: 126, id, response)
        case .stream(let id, let bytes): hash.add(case: 127, id, bytes)
        case .endStream(let id): hash.add(case: 128, id)
        case .fetch(let request, let fetch): hash.add(case: 129, request, fetch)
        case .cancelFetch(let request): hash.add(case: 130, request)
        case .log(let record): hash.add(case: 120, record.level.rawValue, record.event, record.fields, record.message)
        }
    }
}

extension StoreOperation: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .scan(let folder, let under, let after, let limit, _, _): hash.add(case: 1, folder, under, after, limit)
        case .watch(let folder, _): hash.add(case: 2, folder)
        case .unwatch(let folder): hash.add(case: 3, folder)
        case .inspect(let file): hash.add(case: 4, file)
        case .readAt(let file, let offset, let count): hash.add(case: 5, file, offset, count)
        case .write(let file, let pieces): hash.add(case: 6, file, pieces)
        case .allocate(let file, let size): hash.add(case: 7, file, size)
        case .truncate(let file, let size): hash.add(case: 8, file, size)
        case .save(let file, let bytes): hash.add(case: 9, file, bytes)
        case .rename(let file, let name, let replacing): hash.add(case: 10, file, name, replacing)
        case .copyRange(let source, let offset, let count, let target, let position):
            hash.add(case: 11, source, offset, count, target, position)
        case .move(let source, let target): hash.add(case: 12, source, target)
        case .remove(let file): hash.add(case: 13, file)
        case .setTimes(let file, let modified): hash.add(case: 14, file, modified)
        case .sync(let files): hash.add(case: 15, files)
        case .freeSpace(let folder): hash.add(case: 16, folder)
        case .digest(.bytes(let bytes), let algorithm, let key): hash.add(case: 17, bytes, algorithm.rawValue, key)
        case .digest(.each(let list), let algorithm, let key): hash.add(case: 24, list, algorithm.rawValue, key)
        case .digest(.blocks(let file, let offset, let count, let block), let algorithm, let key):
            hash.add(case: 18, file, offset, count, block, algorithm.rawValue, key)
        case .digest(.pieces(let file, let places, let count), let algorithm, let key):
            hash.add(case: 23, file, places, count, algorithm.rawValue, key)
        case .makeFolder(let file): hash.add(case: 19, file)
        case .lock(let file): hash.add(case: 20, file)
        case .examine(let questions, let algorithm): hash.add(case: 21, questions, algorithm.rawValue)
        case .install(let installations, let staging, let durability, let marker):
            hash.add(case: 22, installations, staging, durability.rawValue, marker)
        }
    }
}

extension StoreResult: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .done: hash.add(1)
        case .entries(let entries, let more, let leftOut): hash.add(case: 2, entries, more, leftOut)
        case .bytes(let bytes): hash.add(case: 3, bytes)
        case .space(let octets): hash.add(case: 4, octets)
        case .digests(let digests): hash.add(case: 5, digests)
        case .failed(let error): hash.add(case: 6, error)
        case .examined(let findings): hash.add(case: 7, findings)
        case .installed(let results):
            hash.add(case: 8, UInt64(results.count))
            for result in results {
                switch result {
                case .success(let entry): hash.add(case: 1, entry)
                case .failure(let error): hash.add(case: 2, error)
                }
            }
        }
    }
}

extension FileMark: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, size, modified, stamp) }
}

extension FileQuestion: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, file, known) }
}

extension Finding: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .unchanged: hash.add(1)
        case .file(let entry, let digest): hash.add(case: 2, entry, digest)
        case .unsteady: hash.add(3)
        case .folder(let entry): hash.add(case: 4, entry)
        case .missing: hash.add(5)
        case .failed(let error): hash.add(case: 6, error)
        }
    }
}

extension Installation: Traceable {
    func trace(into hash: inout TraceHash) {
        switch source {
        case .bytes(let bytes): hash.add(case: 1, bytes)
        case .file(let path): hash.add(case: 2, path)
        case .copy(let path, let mark): hash.add(case: 3, path, mark)
        case .present: hash.add(4)
        case .nothing: hash.add(5)
        }
        hash.add(case: 6, file, modified, isExecutable, expected, aside)
    }
}

extension TransferResult: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .sent(let octets): hash.add(case: 1, octets)
        case .received(let octets, let digest): hash.add(case: 2, octets, digest)
        case .failed(let error, let octets): hash.add(case: 3, error, octets)
        }
    }
}

extension FileReception: Traceable {
    func trace(into hash: inout TraceHash) {
        switch length {
        case .exactly(let count): hash.add(case: 1, count)
        case .toEnd(let limit): hash.add(case: 2, limit)
        }
        hash.add(case: 3, file, part, appends, first, digest?.rawValue, replacing, keepsPart)
    }
}

extension FileEntry: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, path, isFolder, size, modified, stamp, isExecutable) }
}

extension FilePiece: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, offset, octets) }
}

extension LeftOut: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, name, why.rawValue) }
}

extension Row: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, key, record) }
}

extension Command: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, name, arguments) }
}

extension Reply: Traceable {
    func trace(into hash: inout TraceHash) {
        switch outcome {
        case .more: hash.add(case: 1, records)
        case .done: hash.add(case: 2, records)
        case .refused(let reason): hash.add(case: 3, records, reason)
        }
    }
}

extension Record: Traceable {
    func trace(into hash: inout TraceHash) {
        hash.add(UInt64(fields.count))
        for field in fields { hash.add(case: 1, field.name, field.value) }
    }
}

extension Record.Value: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .null: hash.add(1)
        case .bool(let value): hash.add(case: 2, value)
        case .int(let value): hash.add(case: 3, value)
        case .double(let value): hash.add(case: 4, value.bitPattern)
        case .string(let value): hash.add(case: 5, value)
        case .list(let values): hash.add(case: 6, values)
        case .record(let value): hash.add(case: 7, value)
        }
    }
}
