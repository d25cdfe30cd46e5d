internal import PeerCore
internal import UV

/// One connection of one core: what waits to be sent, what is being received, how it ends.
///
/// Back-pressure is one rule for all protocols: while more than `high` octets wait to be sent, the connection is not
/// read; reading resumes below `low`; above `hard` it is closed as too slow.
final class Connection {
    /// Octets that wait to be sent, at which something happens.
    struct Marks {
        /// Reading resumes below this.
        let low = 256 << 10
        /// Reading pauses above this.
        let high = 1 << 20
        /// The connection is closed above this (DDRP section 12: 4 MiB).
        let hard = 4 << 20
    }

    /// Why a connection is not read at the moment.
    struct Pause: OptionSet {
        let rawValue: UInt8
        /// It does not take what we send.
        static let sending = Pause(rawValue: 1)
        /// The disk does not take what it sends.
        static let storing = Pause(rawValue: 2)
        /// The node's download rate is used up.
        static let rate = Pause(rawValue: 4)
        /// The core wants it so.
        static let held = Pause(rawValue: 8)
    }

    private enum Outgoing {
        case bytes(Bytes)
        case file(FileSender)
    }

    private enum State {
        /// Both ways are open. Next: `finishing`, `closed`.
        case open
        /// Our side ends when the queue is empty. Next: `waiting`, `closed`.
        case finishing
        /// Our side has ended; the other side's end is awaited. Next: `closed`.
        case waiting
        /// Nothing more comes of it.
        case closed
    }

    let id: ConnectionID
    let remote: SocketAddress
    private(set) var traffic = Traffic()
    /// What the next octets of the connection become, when not inputs.
    var reception: FileReceiver?

    private unowned let owner: any ConnectionOwner
    private let stream: Stream
    private let marks = Marks()
    private var state = State.open
    private var hasEnded = false
    /// The end, or how it closed, waits for the file that is being received.
    private var endIsUntold = false
    private var closedBecause: CloseReason?
    private var isReading = false
    private var pauses: Pause = []
    private var queue: [Outgoing] = []
    private var queueHead = 0
    /// Octets that wait to be sent.
    private(set) var queuedBytes = 0
    private var isStalled = false
    /// The core was told that it should wait.
    private var isToldStalled = false
    private var finishTimer: Timer?
    /// Octets that came after our end.
    private var discarded = 0
    /// Whoever has our answer and goes on and on is not waited for (P+2 section 3.1).
    private static let mostDiscarded = 64 << 10

    /// How long the other side may take to end after us.
    private static let finishLimit: Duration = .seconds(5)
    /// How long, before our end, it may take nothing of what is queued (P+2 section 3.2).
    private static let stallLimit: Duration = .seconds(30)

    init(_ id: ConnectionID, _ stream: Stream, remote: SocketAddress, owner: any ConnectionOwner) {
        self.id = id
        self.stream = stream
        self.remote = remote
        self.owner = owner
    }

    func startReading() {
        guard pauses.isEmpty, state != .closed, !hasEnded, !isReading else { return }
        isReading = true
        stream.startReading { [unowned self] in happened($0) }
    }

    func pause(_ reason: Pause) {
        if pauses.isEmpty {
            stream.stopReading()
            isReading = false
        }
        pauses.insert(reason)
    }

    func resume(_ reason: Pause) {
        guard pauses.contains(reason) else { return }
        pauses.remove(reason)
        startReading()
    }

    private func happened(_ event: StreamEvent) {
        switch event {
        case .received(let bytes): received(bytes)
        case .ended: ended()
        case .failed(let error): close(error.closeReason)
        }
    }

    private func received(_ bytes: Bytes) {
        traffic.received += UInt64(bytes.count)
        owner.count(received: bytes.count, sent: 0)
        if owner.downloadAllowance <= 0 {
            pause(.rate)
            owner.waitForRate(self)
        }
        // After our own end nobody wants to know; reading on lets the other side end in order.
        if state == .waiting {
            discarded += bytes.count
            // Closed with input unread, the system sends a reset, which destroys what is still under way.
            if discarded > Self.mostDiscarded, stream.unacknowledged == 0 { return close(.finished) }
        }
        guard state == .open else { return }
        var offset = 0
        // What a piece leads to is on its way while the next one is worked off, so that nodes in a row work at the same
        // time.
        while offset < bytes.count, state == .open, reception == nil {
            // What has to wait in the queue is not cut: it may be a file's by then.
            let isCut = owner.isIdle && bytes.count <= Self.bulkBytes
            let end = isCut ? min(offset + Self.pieceBytes, bytes.count) : bytes.count
            owner.deliver(.received(bytes.slice(offset..<end), on: id))
            offset = end
        }
        // A piece may have made a file of what follows it.
        guard offset < bytes.count, state == .open, let reception else { return }
        reception.take(bytes.dropping(offset))
        if reception.isBehind { pause(.storing) }
    }

    /// Octets in one input, and octets that go out at once instead of at the end of the turn: a write costs less than
    /// a tenth of what a core does with so many octets of small messages.
    private static let pieceBytes = 16 << 10
    /// Where more than this comes at once there are large messages, which small pieces would only cut.
    private static let bulkBytes = 64 << 10
    /// Octets that one turn sends before others get theirs.
    private static let octetsAtOnce: UInt64 = 1 << 20

    private func ended() {
        hasEnded = true
        isReading = false
        reception?.ended()
        switch state {
        case .open:
            // What came before the end is told before the end.
            if reception == nil { owner.deliver(.ended(id)) } else { endIsUntold = true }
        case .waiting: close(.finished)
        case .finishing, .closed: break
        }
    }

    // MARK: Sending

    func send(_ bytes: Bytes) {
        guard state == .open, bytes.count > 0 else { return }
        queue.append(.bytes(bytes))
        grow(by: bytes.count)
    }

    func send(_ file: FileSender) {
        guard state == .open else { return file.abandon(.disconnected) }
        queue.append(.file(file))
        owner.wantsFlush(self)
    }

    private func grow(by octets: Int) {
        queuedBytes += octets
        owner.buffered(octets)
        if queuedBytes > marks.hard { return close(.tooSlow) }
        if queuedBytes > marks.high, !pauses.contains(.sending) { pause(.sending) }
        guard !isStalled else { return tellStalled() }
        if queuedBytes >= Self.pieceBytes / 2 { flush() } else { owner.wantsFlush(self) }
    }

    /// Writes what the system takes; called once a turn, and when there is room again.
    func flush() {
        let before = traffic.sent
        while state != .closed, !isStalled, queueHead < queue.count {
            do {
                let isProgress: Bool
                if case .file(let file) = queue[queueHead] {
                    isProgress = try flush(file)
                } else {
                    isProgress = try flushBytes()
                }
                guard isProgress else {
                    if owner.uploadAllowance > 0 { try stall() } else { owner.waitForRate(self) }
                    return tellStalled()
                }
                // A reader as fast as we are would keep the loop from everybody else until its file ends.
                if traffic.sent - before >= Self.octetsAtOnce, state != .closed, queueHead < queue.count,
                    case .file = queue[queueHead]
                {
                    return try stall()
                }
            } catch let error as UVError {
                return close(error.closeReason)
            } catch {
                return close(.systemError)
            }
        }
        guard queueHead == queue.count, state == .finishing else { return }
        endOurSide()
    }

    private func flushBytes() throws -> Bool {
        var parts: [Bytes] = []
        var octets = 0
        for item in queue[queueHead...].prefix(64) {
            guard case .bytes(let bytes) = item else { break }
            parts.append(bytes)
            octets += bytes.count
        }
        guard owner.uploadAllowance > 0 else { return false }
        // One part at least, whatever the rate: what goes above it is owed to the next slice.
        while parts.count > 1, octets > owner.uploadAllowance { octets -= parts.removeLast().count }
        let written = try stream.write(parts, isMoreComing: isFile(behind: parts.count))
        sent(written)
        var rest = written
        while rest > 0, case .bytes(let bytes) = queue[queueHead] {
            if rest >= bytes.count {
                rest -= bytes.count
                queueHead += 1
            } else {
                queue[queueHead] = .bytes(bytes.dropping(rest))
                rest = 0
            }
        }
        compact()
        // Last: the core may be told, and may end the connection at once.
        shrink(by: written)
        return written > 0
    }

    /// Whether octets of a file go out next: their head need not be a packet of its own.
    private func isFile(behind parts: Int) -> Bool {
        guard queueHead + parts < queue.count, case .file(let file) = queue[queueHead + parts] else { return false }
        return file.isReady && owner.uploadAllowance > 0
    }

    private func flush(_ file: FileSender) throws -> Bool {
        guard owner.uploadAllowance > 0 else { return false }
        switch file.send(to: stream.descriptor, limit: max(Self.pieceBytes, owner.uploadAllowance)) {
        case .opening:
            file.whenOpen = { [weak self] in self?.unstall() }
            return false
        case .moved(let octets):
            sent(octets)
            return true
        case .noRoom: return false
        case .ended(let result):
            queueHead += 1
            compact()
            owner.deliver(.transferred(id, file.file, result))
            if case .failed = result { fileFailed() }
            return true
        }
    }

    private func tellStalled() {
        guard state == .open, !isToldStalled, queuedBytes > marks.low else { return }
        isToldStalled = true
        owner.deliver(.stalled(id))
    }

    private func stall() throws {
        isStalled = true
        if case .file(let file)? = queueHead < queue.count ? queue[queueHead] : nil, file.isOpening { return }
        try stream.whenWritable { [weak self] in self?.unstall() }
    }

    /// The next slice of a limited rate has begun.
    func resumeRate() {
        if pauses.contains(.rate), owner.downloadAllowance <= 0 {
            // What was read above the rate is not worked off yet.
            owner.waitForRate(self)
        } else {
            resume(.rate)
        }
        flush()
    }

    private func unstall() {
        guard state != .closed else { return }
        isStalled = false
        flush()
    }

    private func sent(_ octets: Int) {
        traffic.sent += UInt64(octets)
        owner.count(received: 0, sent: octets)
    }

    private func shrink(by octets: Int) {
        queuedBytes -= octets
        owner.buffered(-octets)
        guard queuedBytes < marks.low, isToldStalled || pauses.contains(.sending) else { return }
        isToldStalled = false
        resume(.sending)
        if state == .open { owner.deliver(.drained(id)) }
    }

    private func compact() {
        if queueHead == queue.count {
            queue.removeAll(keepingCapacity: queue.capacity <= 64)
            queueHead = 0
        } else if queueHead > 64, queueHead > queue.count / 2 {
            queue.removeFirst(queueHead)
            queueHead = 0
        }
    }

    /// After a file that could not be sent whole, what follows would be taken for its rest, and an end in order would
    /// say that all was sent.
    private func fileFailed() {
        dropQueue()
        if state == .finishing { abort(.systemError) }
    }

    private func dropQueue() {
        for case .file(let file) in queue[queueHead...] { file.abandon(.disconnected) }
        queue = []
        queueHead = 0
        owner.buffered(-queuedBytes)
        queuedBytes = 0
    }

    // MARK: The end

    /// Ends our side after everything queued and waits a short time for the other side's end.
    func finish() {
        guard state == .open else { return }
        state = .finishing
        finishTimer = Timer(stream.loop)
        watchStall()
        owner.wantsFlush(self)
    }

    /// What is queued goes out as long as the other side takes some of it. When it does not, an end in order would say
    /// that this was all.
    private func watchStall() {
        let sent = traffic.sent
        finishTimer?.start(at: stream.loop.instant + Self.stallLimit) { [unowned self] in
            if traffic.sent == sent { abort(.tooSlow) } else { watchStall() }
        }
    }

    private func endOurSide() {
        state = .waiting
        finishTimer?.start(at: stream.loop.instant + Self.finishLimit) { [unowned self] in close(.finished) }
        guard !hasEnded else { return close(.finished) }
        stream.shutdown()
        pauses = []
        startReading()
    }

    /// Ends it now; the other side sees a reset.
    func abort(_ reason: CloseReason) {
        guard state != .closed else { return }
        if let tcp = stream as? TCP { tcp.reset() }
        close(reason)
    }

    private func close(_ reason: CloseReason) {
        guard state != .closed else { return }
        state = .closed
        if reason == .tooSlow, let tcp = stream as? TCP { tcp.reset() }
        stream.close()
        finishTimer?.close()
        dropQueue()
        guard let reception else { return owner.closed(self, reason) }
        closedBecause = reason
        reception.connectionClosed()
    }

    /// The file that was being received is complete, or failed, and the core was told: `rest` did not belong to it.
    func receptionEnded(_ rest: Bytes) {
        reception = nil
        if rest.count > 0 { owner.deliver(.received(rest, on: id)) }
        if endIsUntold { owner.deliver(.ended(id)) }
        endIsUntold = false
        if let closedBecause { return owner.closed(self, closedBecause) }
        resume(.storing)
    }
}

/// What a connection needs of its host.
protocol ConnectionOwner: AnyObject {
    /// Hands an input to the core.
    func deliver(_ input: Input)
    /// Whether the core would hear an input at once.
    var isIdle: Bool { get }
    /// Calls `flush()` of the connection at the end of the turn.
    func wantsFlush(_ connection: Connection)
    /// Octets went over a connection.
    func count(received: Int, sent: Int)
    /// So many octets more (or fewer) wait in a send queue.
    func buffered(_ change: Int)
    /// Octets that may be received and sent before the next slice of a limited rate.
    var downloadAllowance: Int { get }
    var uploadAllowance: Int { get }
    /// Calls `resumeRate()` when that slice begins.
    func waitForRate(_ connection: Connection)
    /// The connection is no more.
    func closed(_ connection: Connection, _ reason: CloseReason)
}
