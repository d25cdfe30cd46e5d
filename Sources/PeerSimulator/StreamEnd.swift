internal import PeerCore

/// Who has the use of one end of a stream.
protocol StreamOwner: AnyObject {
    var machine: Machine { get }
    var limits: StreamLimits { get }
    /// False when its process is gone.
    var isAlive: Bool { get }
    /// Runs `action` as soon as the owner runs.
    func perform(_ action: @escaping () -> Void)
    /// Tells the owner; dropped when `end` was given up before the owner could hear of it.
    func enqueue(_ input: Input, about end: StreamEnd?)
    /// There may be something to read.
    func wake(_ end: StreamEnd)
    /// There is something to send when the turn is over.
    func sendLater(_ end: StreamEnd)
    /// Takes an accepted connection in.
    func admit(_ end: StreamEnd) -> ConnectionID
    func forget(_ end: StreamEnd)
}

/// One end of a stream: what TCP or a Unix socket does, and what the host does with it.
final class StreamEnd {
    enum Phase { case dialing, open, closed }

    /// What goes over the network.
    enum Segment {
        case open
        case data(Bytes)
        case end
        case reset
    }

    /// What waits to be sent.
    enum Piece {
        case bytes(Bytes)
        case file(FileSending)
    }

    let owner: any StreamOwner
    let machine: Machine
    let world: World
    var connection = ConnectionID(0)
    var local: SocketAddress
    var remote: SocketAddress
    /// Where it was accepted.
    let socket: Socket?
    private(set) var other: StreamEnd?
    var phase = Phase.dialing
    /// The other system has answered the dial; the owner may not know yet.
    var isAnswered = false
    var traffic = Traffic()

    // Sending.
    var waiting = Queue<Piece>()
    /// Octets in `waiting`, files not counted: they do not lie in memory.
    var waitingOctets = 0
    /// Octets that the systems hold for the other side's program.
    var inFlight = 0
    var isUnsent = false
    var isAboveHigh = false
    var isFinishing = false
    var hasSentEnd = false
    /// A file could not be sent whole, when the core had already ended the stream.
    private var isCutShort = false
    private var roomIsPlanned = false
    private var lastArrival = Instant(nanoseconds: 0)

    // Receiving.
    var arrived = Queue<Segment>()
    /// Lost on the way to here; the other side's system sends it again when there is a way.
    private var lost: [Segment] = []
    private var losses = 0
    private var isCoalescing = false
    var isListed = false
    private(set) var otherHasEnded = false
    var reception: Reception?
    /// Its machine does not have its address any more.
    var isStranded = false
    private var diedWithProcess = false
    private var lostPower = false

    /// How long TCP tries to get octets through (Linux, `tcp_retries2` 15: 924.6 s).
    private static let retransmission = Duration.milliseconds(924_600)
    /// How long after the network has healed TCP's next try may come.
    private static let nextRetransmission = Duration.zero ... .seconds(1)
    /// How long the system waits for more before it wakes the reader, when it coalesces.
    private static let coalescing = Duration.zero ... .milliseconds(1)

    init(_ owner: any StreamOwner, local: SocketAddress, remote: SocketAddress, acceptedOn socket: Socket? = nil) {
        self.owner = owner
        machine = owner.machine
        world = owner.machine.world
        self.local = local
        self.remote = remote
        self.socket = socket
    }

    /// Whether its owner still wants to hear of it.
    var isHeard: Bool { phase != .closed && !isFinishing }

    func link(with other: StreamEnd) {
        self.other = other
        other.other = self
    }

    /// Breaks the circle of the two ends, once both are closed.
    func unlink() {
        other?.other = nil
        other = nil
    }
}

// The network.
extension StreamEnd {
    /// Hands a segment to the network, which keeps their order.
    func transmit(_ segment: Segment, octets: Int = 0) {
        guard let other else { return }
        let arrival = max(lastArrival, world.arrival(from: machine, at: other.machine, octets: octets))
        lastArrival = arrival
        world.schedule(at: arrival) { other.arrive(segment) }
    }

    private func arrive(_ segment: Segment) {
        guard world.isWhole || !isCutOff, lost.isEmpty else { return lose(segment) }
        if phase != .closed, !owner.isAlive { vanish(.process) }
        if phase == .closed { return answer(segment) }
        if case .open = segment { socket?.pending.append(self) }
        arrived.append(segment)
        guard case .data = segment, !isCoalescing, world.chance(world.network.coalescing) else {
            return isCoalescing ? () : owner.wake(self)
        }
        isCoalescing = true
        world.schedule(after: world.draw(Self.coalescing)) { [self] in
            isCoalescing = false
            owner.wake(self)
        }
    }

    private var isCutOff: Bool {
        guard let other else { return true }
        return world.isCut(other.machine, machine) || isStranded || other.isStranded
    }

    /// What the system answers for a stream that it does not know any more.
    private func answer(_ segment: Segment) {
        switch segment {
        case .reset: break
        case .end where !diedWithProcess: break
        case .open, .data, .end: if other?.phase != .closed { transmit(.reset) }
        }
    }

    private func lose(_ segment: Segment) {
        // A reset is sent once and not acknowledged.
        if case .reset = segment { return }
        if lost.isEmpty {
            world.stalled.append(self)
            losses += 1
            let loss = losses
            world.schedule(at: world.now + Self.retransmission) { [self] in
                guard !lost.isEmpty, losses == loss, let other else { return }
                other.owner.perform { other.close(.timeout, resetting: false) }
            }
        }
        lost.append(segment)
    }

    /// Lets what was lost arrive, if there is a way again.
    func retransmitLost() {
        guard !lost.isEmpty else { return }
        guard let other, !other.lostPower else { return lost.removeAll() }
        guard !isCutOff else { return world.stalled.append(self) }
        let delay = world.oneWay(from: other.machine, to: machine) + world.draw(Self.nextRetransmission)
        world.schedule(after: delay) { [self] in
            let segments = lost
            lost.removeAll()
            losses += 1
            for segment in segments { arrive(segment) }
        }
    }
}

// Sending.
extension StreamEnd {
    func send(_ bytes: Bytes) {
        guard isHeard, bytes.count > 0 else { return }
        waiting.append(.bytes(bytes))
        waitingOctets += bytes.count
        if waitingOctets > owner.limits.hard { return close(.tooSlow, resetting: true) }
        if waitingOctets > owner.limits.high { isAboveHigh = true }
        owner.sendLater(self)
    }

    func send(_ file: FileSending) {
        waiting.append(.file(file))
        owner.sendLater(self)
    }

    func finish() {
        guard isHeard else { return }
        isFinishing = true
        reception?.fail(.disconnected)
        owner.sendLater(self)
    }

    /// Hands to the system what it takes, then looks at the marks.
    func flush() {
        guard phase == .open else { return }
        write()
        if isAboveHigh, waitingOctets < owner.limits.low {
            isAboveHigh = false
            owner.enqueue(.drained(connection), about: self)
            owner.wake(self)
        }
        if isFinishing, !hasSentEnd { endSending() }
    }

    private func write() {
        var joined: [UInt8] = []
        while inFlight + joined.count < world.network.window, let piece = waiting.first {
            let room = world.network.window - inFlight - joined.count
            guard let bytes = take(piece, room) else { continue }
            if joined.isEmpty, waiting.isEmpty { return transmit(bytes) }
            joined.append(contentsOf: bytes.slice)
        }
        if !joined.isEmpty { transmit(Bytes(joined)) }
    }

    /// The next octets of the first piece, at most `room`; nil when there are none in it.
    private func take(_ piece: Piece, _ room: Int) -> Bytes? {
        switch piece {
        case .bytes(let bytes):
            let taken = bytes.slice(0..<min(room, bytes.count))
            waitingOctets -= taken.count
            if taken.count < bytes.count {
                waiting.first = .bytes(bytes.dropping(taken.count))
            } else {
                _ = waiting.removeFirst()
            }
            return taken
        case .file(var file):
            let octets = file.read(room, from: machine)
            guard let result = file.result else {
                waiting.first = .file(file)
                return octets
            }
            _ = waiting.removeFirst()
            owner.enqueue(.transferred(connection, file.file, result), about: nil)
            if case .failed = result {
                isCutShort = isFinishing
                dropWaiting()
            }
            return octets
        }
    }

    private func transmit(_ bytes: Bytes) {
        inFlight += bytes.count
        traffic.sent += UInt64(bytes.count)
        var rest = bytes
        if bytes.count > 1, world.chance(world.network.splitting) {
            for _ in 0..<Int.random(in: 1...3, using: &world.random) where rest.count > 1 {
                let cut = Int.random(in: 1..<rest.count, using: &world.random)
                transmit(.data(rest.slice(0..<cut)), octets: cut)
                rest = rest.dropping(cut)
            }
        }
        transmit(.data(rest), octets: rest.count)
    }

    /// Drops what waits: what follows a file that is cut short would be taken for its rest.
    private func dropWaiting() {
        waitingOctets = 0
        while let piece = waiting.removeFirst() {
            guard case .file(let file) = piece else { continue }
            let result = TransferResult.failed(.disconnected, octets: file.moved)
            owner.enqueue(.transferred(connection, file.file, result), about: nil)
        }
    }

    /// The other side's program has read: its system tells ours that there is room, if ours waits for it.
    private func gotRoom(_ octets: Int) {
        inFlight -= octets
        guard !waiting.isEmpty, !roomIsPlanned, let other else { return }
        roomIsPlanned = true
        world.schedule(after: world.oneWay(from: other.machine, to: machine)) { [self] in
            roomIsPlanned = false
            owner.perform { self.flush() }
        }
    }

    /// Ends our side as `shutdown` does, while a bare socket goes on reading.
    func endSendingOnly() {
        guard phase == .open, !hasSentEnd, waiting.isEmpty else { return }
        hasSentEnd = true
        transmit(.end)
        if otherHasEnded { close(.finished, resetting: false) }
    }

    private func endSending() {
        // An end in order would tell the other side that the file is whole.
        guard !isCutShort else { return close(.systemError, resetting: true) }
        guard waiting.isEmpty else { return watchStall() }
        hasSentEnd = true
        transmit(.end)
        guard !otherHasEnded else { return close(.finished, resetting: false) }
        world.schedule(at: world.now + owner.limits.finish) { [self] in
            owner.perform { self.close(.finished, resetting: false) }
        }
    }

    /// While ending, a peer that takes nothing is not waited for.
    private func watchStall() {
        let sent = traffic.sent
        world.schedule(at: world.now + owner.limits.stall) { [self] in
            guard phase == .open, !hasSentEnd, traffic.sent == sent else { return }
            owner.perform { self.close(.tooSlow, resetting: true) }
        }
    }
}

// Receiving.
extension StreamEnd {
    /// Octets that are read at once (the host's buffer for one read, 64 KiB).
    private static let readSize = 64 << 10

    /// Whether a read would give something now. The one rule of back-pressure stands here.
    var canRead: Bool {
        guard phase == .open, let first = arrived.first else { return false }
        if case .open = first { return true }
        return isFinishing || !(isAboveHigh || reception?.isStoring ?? false)
    }

    /// Reads once.
    func readOne() {
        guard canRead, let first = arrived.removeFirst() else { return }
        switch first {
        case .open: accept()
        case .data(let bytes): take(bytes)
        case .end: takeEnd()
        case .reset: close(.reset, resetting: false)
        }
    }

    private func accept() {
        socket?.pending.removeAll { $0 === self }
        guard socket?.isOpen ?? true, !machine.isBanned(remote.ip) else {
            phase = .closed
            return transmit(.reset)
        }
        connection = owner.admit(self)
        guard let socket else { return }
        owner.enqueue(.accepted(connection, on: socket.listener, local: local, remote: remote), about: self)
    }

    private func take(_ first: Bytes) {
        let bytes = joined(first)
        traffic.received += UInt64(bytes.count)
        other?.gotRoom(bytes.count)
        guard !isFinishing else { return }
        if let reception {
            reception.take(bytes)
        } else {
            owner.enqueue(.received(bytes, on: connection), about: self)
        }
    }

    /// `first` with what lies behind it, up to the size of one read; what is too much stays in its place.
    private func joined(_ first: Bytes) -> Bytes {
        var bytes = first
        if first.count < Self.readSize, case .data? = arrived.first {
            var joined = first.array
            while joined.count < Self.readSize, case .data(let next)? = arrived.first {
                _ = arrived.removeFirst()
                joined.append(contentsOf: next.slice)
            }
            bytes = Bytes(joined)
        }
        guard bytes.count > Self.readSize else { return bytes }
        arrived.prepend(.data(bytes.dropping(Self.readSize)))
        return bytes.slice(0..<Self.readSize)
    }

    private func takeEnd() {
        otherHasEnded = true
        guard !isFinishing else {
            if hasSentEnd { close(.finished, resetting: false) }
            return
        }
        let waits = reception?.takeEnd() ?? false
        if !waits { tellEnded() }
    }

    func tellEnded() {
        owner.enqueue(.ended(connection), about: self)
    }
}

extension Bytes {
    /// The octets as a part of the array that they lie in, which arrays copy at once.
    var slice: ArraySlice<UInt8> { storage[range] }
}

// The end.
extension StreamEnd {
    /// Closes this end. `closed` is the last that its owner hears.
    func close(_ reason: CloseReason, resetting: Bool) {
        guard phase != .closed else { return }
        let wasDialing = phase == .dialing
        reception?.fail(.disconnected)
        dropWaiting()
        phase = .closed
        if !wasDialing, resetting || holdsUnread { transmit(.reset) }
        arrived.removeAll()
        owner.forget(self)
        owner.enqueue(.closed(connection, reason, traffic), about: nil)
        if other?.phase == .closed { unlink() }
    }

    /// The system closes it, because nobody has the use of it any more.
    func vanish(_ death: Death) {
        guard phase != .closed else { return }
        let wasOpen = phase == .open
        phase = .closed
        diedWithProcess = true
        lostPower = death == .power
        waiting.removeAll()
        reception = nil
        if death == .process, wasOpen, !hasSentEnd { transmit(holdsUnread ? .reset : .end) }
        arrived.removeAll()
    }

    private var holdsUnread: Bool {
        if case .data? = arrived.first { true } else { false }
    }

}
