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
    /// The core was told that it should wait.
    var isToldStalled = false
    /// The core does not want it to be read.
    var isHeld = false
    var isFinishing = false
    var hasSentEnd = false
    /// A file could not be sent whole, when the core had already ended the stream.
    var isCutShort = false
    var roomIsPlanned = false
    var lastArrival = Instant(nanoseconds: 0)

    // Receiving.
    var arrived = Queue<Segment>()
    /// Lost on the way to here; the other side's system sends it again when there is a way.
    var lost: [Segment] = []
    var losses = 0
    var isCoalescing = false
    var isListed = false
    var otherHasEnded = false
    var reception: Reception?
    /// Its machine does not have its address any more.
    var isStranded = false
    var diedWithProcess = false
    var lostPower = false

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

    /// Whether something came that the program did not take: then the system says goodbye with a reset.
    private var holdsUnread: Bool {
        switch arrived.first {
        case .open, .data: true
        case .end, .reset, nil: false
        }
    }

}
