public import PeerCore
internal import UV

/// Carries out the effects of one core on libuv and hands it its inputs, one at a time, never re-entered.
///
/// One turn: input, `handle`, all effects in order, next queued input; when the queue is empty, the one timer is set to
/// `nextDeadline`. An effect that fails at once queues an input.
public final class Host {
    /// The name of the core's section, which is also its category in the log.
    public let name: String
    /// What the node shares.
    public let runtime: Runtime
    /// Told each input with its moment and effects, when set: for recording.
    public var observer: ((Input, Moment, [Effect]) -> Void)?

    private let seat: Seat
    private var nextDeadline: Instant?
    private var queue: [Input] = []
    private var queueHead = 0
    private var isDraining = false
    private var isClosed = false
    /// The end of everything has begun.
    private(set) var isClosing = false
    private var timer: Timer
    private var armed: Instant?
    private var replies: [CommandID: (Reply) -> Void] = [:]
    private var asked: [CommandID: (host: Host, id: CommandID)] = [:]
    /// Log lines of the running turn that must wait for the rows of that turn.
    private var turnRemembers = false

    var streams: StreamTable
    var datagramSockets = DatagramSockets()
    var http = HTTPTable()
    let files: FileWork
    /// The file of which a part was sent last in this turn.
    var openedFile: OpenedFile?
    /// Numbers for the heartbeat.
    public var counters: HostCounters { counted }
    private var counted = HostCounters()
    /// What this protocol may send, within what all may.
    public var uploads = Rate()

    /// At most this many inputs in a row before other hosts and the sockets get their turn.
    private static let inputsAtOnce = 256

    /// A host for `core`; it starts with `start()`.
    public init(_ core: some PeerProtocol, name: String, runtime: Runtime, folders: Folders = Folders([:])) {
        self.seat = SeatOf(core, logLevel: runtime.log.level(name))
        self.name = name
        self.runtime = runtime
        self.timer = Timer(runtime.loop)
        self.streams = StreamTable()
        self.files = FileWork(loop: runtime.loop, folders: folders)
    }

    /// Gives the core its first input.
    public func start() {
        deliver(.start)
        runtime.add(self)
    }

    /// Hands new settings to the core, which is a `Core`; gives the keys that only a restart will apply.
    public func reconfigure<Core: PeerProtocol>(_: Core.Type, _ new: Core.Configuration) -> [RestartNeeded] {
        guard let seat = seat as? SeatOf<Core> else { preconditionFailure("the core of \(name) is no \(Core.self)") }
        let now = runtime.moment()
        var (needed, turn) = seat.reconfigure(new, at: now)
        carryOut(&turn)
        drain()
        return needed
    }

    /// Queues an input and lets the core work.
    public func deliver(_ input: Input) {
        guard !isClosed else { return }
        // Nearly every input finds nothing before it and needs no place in the queue.
        guard !isDraining, queue.isEmpty else { return enqueue(input) }
        isDraining = true
        let now = runtime.moment()
        guard queue.isEmpty else {
            // A gap was put before it.
            isDraining = false
            return enqueue(input)
        }
        handle(input, at: now)
        isDraining = false
        if queue.isEmpty { armTimer() } else { drain() }
    }

    /// Whether an input would be handled at once.
    var isIdle: Bool { !isDraining && queue.isEmpty }

    private func enqueue(_ input: Input) {
        queue.append(input)
        drain()
    }

    /// Queues an input before all others; the core hears it before its next one.
    public func deliverFirst(_ input: Input) {
        guard !isClosed else { return }
        queue.insert(input, at: queueHead)
        if !isDraining { runtime.continueLater(self) }
    }

    /// Lets the core work through its inputs, some hundreds at most before others get their turn.
    public func drain() {
        guard !isDraining, !isClosed else { return }
        isDraining = true
        var budget = Self.inputsAtOnce
        while queueHead < queue.count, budget > 0 {
            // The clock comes first: it may put a gap before the input.
            let now = runtime.moment()
            let input = queue[queueHead]
            queueHead += 1
            budget -= 1
            handle(input, at: now)
        }
        isDraining = false
        if queueHead == queue.count {
            queue.removeAll(keepingCapacity: queue.capacity <= 1024)
            queueHead = 0
            armTimer()
        } else {
            queue.removeFirst(queueHead)
            queueHead = 0
            runtime.continueLater(self)
        }
    }

    private func handle(_ input: Input, at now: Moment) {
        counted.inputs += 1
        var turn = seat.handle(input, at: now)
        observer?(input, now, turn.effects)
        carryOut(&turn)
    }

    private func carryOut(_ turn: inout Turn) {
        nextDeadline = turn.nextDeadline
        turnRemembers = false
        // Taken out one by one: to look at them in place would copy each.
        if turn.effects.count > 1 { turn.effects.reverse() }
        while let effect = turn.effects.popLast() { perform(effect) }
        seat.reuse(turn.effects)
    }

    private func armTimer() {
        guard nextDeadline != armed else { return }
        armed = nextDeadline
        guard let next = nextDeadline else { return timer.stop() }
        timer.start(at: next) { [unowned self] in
            armed = nil
            deliver(.deadline)
        }
    }

    /// The core's own status.
    public func status() -> [Record] { seat.status() }

    /// Lines of the core below this level are not made.
    public var logLevel: LogLevel {
        get { seat.logLevel }
        set { seat.logLevel = newValue }
    }

    /// Hands a command to the core; `answer` is called for each reply.
    public func command(_ command: Command, _ answer: @escaping (Reply) -> Void) -> CommandID {
        let id = seat.nextCommandID()
        replies[id] = answer
        deliver(.command(id, command))
        return id
    }

    /// Nobody waits for the answer any more.
    public func cancel(_ id: CommandID) {
        guard replies.removeValue(forKey: id) != nil else { return }
        deliver(.cancelled(id))
    }

    /// Ends listeners, dials and connections without telling the core, and takes the host out of the node.
    public func close() {
        guard !isClosing else { return }
        isClosing = true
        closeSockets()
        closeHTTP()
        isClosed = true
        files.close()
        timer.close()
        observer = nil
        runtime.remove(self)
    }
}

// MARK: - Effects

extension Host {
    private func perform(_ effect: Effect) {
        switch effect {
        case .listen(let listener, let address, let kind): listen(listener, on: address, kind)
        case .unlisten(let listener): unlisten(listener)
        case .pause(let listener): pause(listener)
        case .resume(let listener): resume(listener)
        case .connect(let id, let destination, let local, let timeout):
            connect(id, to: destination, from: local, timeout: timeout)
        case .send(let bytes, let id): streams[id]?.send(bytes)
        case .sendFile(let file, let offset, let count, let id): sendFile(file, offset: offset, count: count, on: id)
        case .receiveFile(let reception, let id): receiveFile(reception, from: id)
        case .hold(let id): streams[id]?.pause(.held)
        case .release(let id): streams[id]?.resume(.held)
        case .measure(let id): if let connection = streams[id] { deliver(.measured(id, connection.traffic)) }
        case .finish(let id): streams[id]?.finish()
        case .abort(let id, let reason): abort(id, reason)
        case .sendDatagram(let bytes, let listener, let address): sendDatagram(bytes, from: listener, to: address)
        case .sendDatagrams(let list, let listener, let address): sendDatagrams(list, from: listener, to: address)
        case .respond(let id, let response): http.exchanges[id]?.respond(response)
        case .stream(let id, let bytes): http.exchanges[id]?.add(bytes)
        case .endStream(let id): http.exchanges[id]?.endStream()
        case .fetch(let request, let fetch): self.fetch(request, fetch)
        case .cancelFetch(let request): http.client?.cancel(request)
        case .resolve(let request, let name):
            runtime.loop.resolve(name) { [weak self] in self?.deliver(.resolved(request, $0)) }
        case .open(let folder, let path): files.open(folder, at: path)
        case .store(let request, let operation):
            files.carryOut(operation, changed: { [weak self] in self?.deliver(.changed($0, $1)) }) { [weak self] in
                self?.deliver(.stored(request, $0))
            }
        case .remember(let table, let key, let record):
            turnRemembers = true
            runtime.rows?.remember(table, key, record)
        case .forget(let table, let key):
            turnRemembers = true
            runtime.rows?.forget(table, key)
        case .recall(let table, let after, let limit): recall(table, after: after, limit: limit)
        case .ban(let prefix, let until, let reason): runtime.ban(prefix, Ban(until: until, reason: reason))
        case .unban(let prefix): runtime.ban(prefix, nil)
        case .reply(let id, let reply): self.reply(id, reply)
        case .ask(let id, let name, let command): ask(id, name, command)
        case .withdraw(let id): withdraw(id)
        case .log(let record): write(record)
        }
    }

    /// A line that follows rows in its turn is written when those rows are on the disk.
    private func write(_ record: LogRecord) {
        let clock = runtime.loop.wallClock
        guard turnRemembers, let rows = runtime.rows else {
            return runtime.log.write(record, category: name, at: clock)
        }
        rows.whenCommitted { [name, log = runtime.log] isCommitted in
            if isCommitted { log.write(record, category: name, at: clock) }
        }
    }

    private func recall(_ table: String, after: String?, limit: Int) {
        guard let rows = runtime.rows else { return deliver(.recalled(table: table, [], more: false)) }
        rows.recall(table, after: after, limit: limit) { [weak self] list, more in
            self?.deliver(.recalled(table: table, list, more: more))
        }
    }

    private func reply(_ id: CommandID, _ reply: Reply) {
        guard let answer = replies[id] else { return }
        if reply.outcome != .more { replies[id] = nil }
        answer(reply)
    }

    private func ask(_ id: CommandID, _ name: String, _ command: Command) {
        if name == "node" { return runtime.nodeCommand(id, command, self) }
        guard let other = runtime.host(name) else {
            return deliver(.answered(id, Reply([], .refused("\(name) is not running on this node"))))
        }
        let theirs = other.command(command) { [weak self] reply in
            if reply.outcome != .more { self?.asked[id] = nil }
            self?.deliver(.answered(id, reply))
        }
        asked[id] = (other, theirs)
    }

    private func withdraw(_ id: CommandID) {
        guard let (host, theirs) = asked.removeValue(forKey: id) else {
            return runtime.nodeCommand(id, Command("withdraw"), self)
        }
        host.cancel(theirs)
    }

    func count(received: Int = 0, sent: Int = 0) {
        counted.traffic.received += UInt64(received)
        counted.traffic.sent += UInt64(sent)
        runtime.limits.downloads.took(received)
        runtime.limits.uploads.took(sent)
        uploads.took(sent)
        if received > 0 { counted.lastReceived = runtime.loop.turnStart }
    }

    func countConnections(_ change: Int) {
        counted.connections += change
    }

    /// The name of an accepted connection.
    func nextConnectionID() -> ConnectionID { seat.nextConnectionID() }
}
