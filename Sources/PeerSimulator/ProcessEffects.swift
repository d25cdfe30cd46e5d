internal import PeerCore

// Every effect, one place.
extension Process {
    func carryOut(_ effect: Effect, of seat: Seat) {
        switch effect {
        case .listen(let listener, let address, let kind): listen(listener, on: address, kind, seat)
        case .unlisten(let listener):
            if let socket = seat.listeners.removeValue(forKey: listener) { machine.sockets.close(socket) }
        case .pause(let listener): seat.listeners[listener]?.isPaused = true
        case .resume(let listener): resume(seat.listeners[listener])
        case .connect(let connection, let destination, let local, let timeout):
            connect(connection, to: destination, from: local, timeout: timeout, seat)
        case .send(let bytes, let connection): opened(connection, seat)?.send(bytes)
        case .sendFile(let file, let offset, let count, let connection):
            send(FileSending(file, offset: offset, count: count), on: connection, seat)
        case .receiveFile(let plan, let connection): receive(plan, from: connection, seat)
        case .hold(let connection): opened(connection, seat)?.hold()
        case .release(let connection): opened(connection, seat)?.release()
        case .measure(let connection):
            if let end = opened(connection, seat) { enqueue(.measured(connection, end.traffic), for: seat, about: end) }
        case .finish(let connection): opened(connection, seat)?.finish()
        case .abort(let connection, let reason): seat.connections[connection]?.close(reason, resetting: true)
        case .sendDatagram(let bytes, let listener, let address):
            if let socket = seat.listeners[listener] { world.send(bytes, from: socket, to: address) }
        case .sendDatagrams(let list, let listener, let address):
            guard let socket = seat.listeners[listener] else { return }
            for parts in list { world.send(Bytes(parts.head.array + parts.payload), from: socket, to: address) }
        case .respond(let id, let response): seat.http.exchanges[id]?.respond(response)
        case .stream(let id, let bytes): seat.http.exchanges[id]?.stream(bytes)
        case .endStream(let id): seat.http.exchanges[id]?.endStream()
        case .fetch(let request, let fetch): self.fetch(request, fetch, seat)
        case .cancelFetch(let request): seat.http.fetches[request]?.fail(.cancelled)
        case .resolve(let request, let name): resolve(request, name, seat)
        case .open(let folder, let path): machine.open(folder, at: path)
        case .store(let request, let operation): store(request, operation, seat)
        case .remember(let table, let key, let record): remember(table, key, record, seat)
        case .forget(let table, let key): stagedRows.append((table, key, nil))
        case .recall(let table, let after, let limit): recall(table, after: after, limit: limit, seat)
        case .ban(let prefix, let until, _): machine.ban(prefix, until: until)
        case .unban(let prefix): machine.unban(prefix)
        case .reply(let id, let reply): answer(id, reply, seat)
        case .ask(let id, let name, let command): ask(id, of: name, command, seat)
        case .withdraw(let id): withdraw(id, seat)
        case .log(let record): log(record, seat)
        }
    }

    /// A line that follows rows in its turn is written when those are committed.
    private func log(_ record: LogRecord, _ seat: Seat) {
        let line = LogLine(moment: machine.moment, node: machine.id, core: seat.name, record: record)
        if stagedRows.isEmpty {
            world.logs.append(line)
        } else {
            stagedLines.append(line)
        }
    }
}

// Sockets.
extension Process {
    private func listen(
        _ listener: ListenerID, on address: ListenAddress, _ kind: Effect.ListenerKind, _ seat: Seat
    ) {
        guard seat.listeners[listener] == nil else { return world.blame(seat, "\(listener) is open already") }
        if case .unix = address, kind != .stream { return enqueue(.refused(listener, .other("ENOTSUP")), for: seat) }
        if case .ip(let address) = address, !address.ip.isUnspecified, !machine.isLocal(address.ip) {
            return enqueue(.refused(listener, .addressNotAvailable), for: seat)
        }
        do throws(SystemError) {
            let socket = try machine.sockets.open(listener, seat, address, kind)
            seat.listeners[listener] = socket
            enqueue(.listening(listener, socket.address), for: seat)
        } catch {
            enqueue(.refused(listener, error), for: seat)
        }
    }

    private func resume(_ socket: Socket?) {
        socket?.isPaused = false
        for end in socket?.pending ?? [] { wake(end) }
    }

    private func connect(
        _ connection: ConnectionID, to destination: Destination, from local: IPAddress?, timeout: Duration,
        _ seat: Seat
    ) {
        guard seat.connections[connection] == nil else {
            return world.blame(seat, "\(connection) is in use")
        }
        let end = StreamEnd(seat, local: .none, remote: .none)
        end.connection = connection
        seat.connections[connection] = end
        end.dial(destination, from: local, timeout: timeout)
    }

    private func fetch(_ request: RequestID, _ fetch: HTTPFetch, _ seat: Seat) {
        guard seat.http.fetches[request] == nil else { return world.blame(seat, "\(request) is in use") }
        guard fetch.isSound else { return enqueue(.fetched(request, .failure(.malformed)), for: seat) }
        let own = HTTPFetching(request, fetch, seat)
        seat.http.fetches[request] = own
        own.start()
    }

    /// The end that the core names, if it is still its own. A dial can only be aborted.
    private func opened(_ connection: ConnectionID, _ seat: Seat) -> StreamEnd? {
        guard let end = seat.connections[connection] else { return nil }
        guard end.phase == .open else {
            world.blame(seat, "\(connection) is not connected yet")
            return nil
        }
        return end.isHeard ? end : nil
    }

    private func send(_ file: FileSending, on connection: ConnectionID, _ seat: Seat) {
        guard let end = opened(connection, seat) else {
            return enqueue(.transferred(connection, file.file, .failed(.disconnected, octets: 0)), for: seat)
        }
        end.send(file)
    }

    private func receive(_ plan: FileReception, from connection: ConnectionID, _ seat: Seat) {
        guard let end = opened(connection, seat) else {
            return enqueue(.transferred(connection, plan.file, .failed(.disconnected, octets: 0)), for: seat)
        }
        guard end.reception == nil else {
            return world.blame(seat, "\(connection) receives a file already")
        }
        Reception.begin(plan, on: end)
    }

    private func resolve(_ request: RequestID, _ name: String, _ seat: Seat) {
        world.schedule(after: world.draw(world.network.lookup)) { [self] in
            perform { [self] in enqueue(.resolved(request, world.addresses(of: name)), for: seat) }
        }
    }
}

// Files and rows.
extension Process {
    /// Operations end in any order, but for those that name the same file. Digests keep no order.
    private func store(_ request: RequestID, _ operation: StoreOperation, _ seat: Seat) {
        let files = operation.filesInOrder
        var end = world.now + .nanoseconds(world.draw(world.network.disk))
        for file in files { end = max(end, fileIsFree[file] ?? end) }
        for file in files { fileIsFree[file] = end }
        world.schedule(at: end) { [self] in
            for file in files where fileIsFree[file] == end { fileIsFree[file] = nil }
            perform { [self] in enqueue(.stored(request, result(of: operation, seat)), for: seat) }
        }
    }

    private func result(of operation: StoreOperation, _ seat: Seat) -> StoreResult {
        switch operation {
        case .watch(let id, let hidden): return watch(id, seat, hidden)
        case .unwatch(let id): return watch(id, seat, nil)
        default: return machine.answer(operation)
        }
    }

    private func watch(_ id: FolderID, _ seat: Seat, _ hidden: HiddenNames?) -> StoreResult {
        guard let folder = machine.folders[id] else { return .failed(.notFound) }
        folder.watches.removeAll { $0.seat === seat }
        if let hidden { folder.watches.append(FolderWatch(id, seat, hidden)) }
        return .done
    }

    private func remember(_ table: String, _ key: String, _ record: Record, _ seat: Seat) {
        for field in record.fields {
            switch field.value {
            case .list, .record: world.blame(seat, "a row of \(table) has no place for \(field.name)")
            case .null, .bool, .int, .double, .string: break
            }
        }
        stagedRows.append((table, key, record))
    }

    private func recall(_ table: String, after: String?, limit: Int, _ seat: Seat) {
        let end = max(seat.recallIsFree, world.now + .nanoseconds(world.draw(world.network.disk)))
        seat.recallIsFree = end
        world.schedule(at: end) { [self] in
            perform { [self] in
                let page = machine.rows.rows(table, after: after, limit: limit)
                enqueue(.recalled(table: table, page.rows, more: page.more), for: seat)
            }
        }
    }
}

// Questions and answers.
extension Process {
    private func answer(_ id: CommandID, _ reply: Reply, _ seat: Seat) {
        guard let asker = seat.commands[id] else { return }
        if reply.outcome != .more { seat.commands[id] = nil }
        switch asker {
        case .operatorRequest(let question):
            question.replies.append(reply)
        case .core(let asker, let question):
            if reply.outcome != .more { asker.asked[question] = nil }
            enqueue(.answered(question, reply), for: asker)
        }
    }

    private func ask(_ id: CommandID, of name: String, _ command: Command, _ seat: Seat) {
        if name == "node", let answer = machine.answer {
            enqueue(.answered(id, answer(command)), for: seat)
        } else if let target = self.seat(name) {
            let question = target.effects.nextCommandID()
            target.commands[question] = .core(seat, id)
            seat.asked[id] = (target, question)
            enqueue(.command(question, command), for: target)
        } else {
            enqueue(.answered(id, Reply([], .refused("\(name) is not running on this node"))), for: seat)
        }
    }

    private func withdraw(_ id: CommandID, _ seat: Seat) {
        guard let (target, question) = seat.asked.removeValue(forKey: id) else { return }
        target.commands[question] = nil
        enqueue(.cancelled(question), for: target)
    }
}

/// Tells one core what changes in a folder: many changes of a moment in one input.
final class FolderWatch {
    let seat: Seat
    private let folder: FolderID
    private let hidden: HiddenNames
    private var paths: Set<RelativePath> = []

    /// How long changes are collected before they are told.
    private static let delay = Duration.milliseconds(10) ... .milliseconds(100)
    /// More than this is too much to say.
    private static let mostPaths = 4096

    init(_ folder: FolderID, _ seat: Seat, _ hidden: HiddenNames) {
        self.folder = folder
        self.hidden = hidden
        self.seat = seat
    }

    /// Hidden names are told as a scan lists them.
    func saw(_ path: RelativePath) {
        guard !hidden.leavesOut(path.components[...]) else { return }
        let world = seat.machine.world
        if paths.isEmpty {
            world.schedule(after: world.draw(Self.delay)) { [self] in
                seat.perform { self.tell() }
            }
        }
        paths.insert(path)
    }

    private func tell() {
        let told = paths.count > Self.mostPaths ? [] : paths.sorted()
        paths.removeAll()
        guard seat.machine.folders[folder]?.watches.contains(where: { $0 === self }) ?? false else { return }
        seat.enqueue(.changed(folder, told))
    }
}
