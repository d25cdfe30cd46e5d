/// The network between the nodes, and the disks below them, as a value. Everything random is drawn from the seed.
public struct NetworkModel: Sendable {
    /// One-way delay between two nodes, drawn once for each ordered pair: the two directions differ.
    public var delay: ClosedRange<Duration>
    /// Added to the delay of each packet, between nothing and this. It turns the order of datagrams around.
    public var jitter: Duration
    /// Share of datagrams that are lost, 0 to 1.
    public var loss = 0.0
    /// Share of datagrams that come twice, 0 to 1.
    public var duplication = 0.0
    /// Share of datagrams that are held back by up to four times the longest delay, 0 to 1.
    public var reordering = 0.0
    /// Share of writes on streams that arrive in pieces, cut at any octet, 0 to 1.
    public var splitting = 0.0
    /// Share of pieces on streams that wait up to a millisecond for the next ones and are read with them, 0 to 1.
    public var coalescing = 0.0
    /// Octets that a node can send in a second, to all others together; nil for no limit.
    public var bandwidth: Int?
    /// Octets that may wait in front of that; a datagram that finds more is lost. nil for no limit.
    public var backlog: Int?
    /// Octets of one direction of a stream that the two systems hold for their programs (send and receive buffer).
    public var window = 256 << 10
    /// How long the name service takes.
    public var lookup: ClosedRange<Duration> = .milliseconds(1) ... .milliseconds(30)
    /// How long work on files and rows takes.
    public var disk: ClosedRange<Duration> = .microseconds(100) ... .milliseconds(5)

    /// A network with this delay, which neither loses nor splits anything.
    public init(
        delay: ClosedRange<Duration> = .milliseconds(10) ... .milliseconds(10), jitter: Duration = .zero
    ) {
        self.delay = delay
        self.jitter = jitter
    }

    /// A bad day on the Internet: 10 to 150 ms one way, some loss, and no chunk boundary to rely on.
    public static var hostile: NetworkModel {
        var model = NetworkModel(delay: .milliseconds(10) ... .milliseconds(150), jitter: .milliseconds(20))
        model.loss = 0.05
        model.duplication = 0.02
        model.reordering = 0.05
        model.splitting = 0.5
        model.coalescing = 0.5
        return model
    }
}

/// The host's rules for streams: one for back-pressure, and how long an ending may take.
public struct StreamLimits: Sendable {
    /// While more octets than this wait to be sent, the connection is not read.
    public var high = 1 << 20
    /// Below this it is read again, and the core hears `drained`.
    public var low = 256 << 10
    /// With more than this waiting, it is closed as too slow (DDRP section 12: 4 MiB).
    public var hard = 4 << 20
    /// How long `finish` waits for the other side's end after ours is sent.
    public var finish: Duration = .seconds(5)
    /// How long `finish` waits for a peer that takes nothing of what is queued.
    public var stall: Duration = .seconds(30)
    /// How long connections may live after `stop` (program.md section 6: at most 10 s for everything).
    public var stop: Duration = .seconds(2)

    /// The limits as they are documented.
    public init() {}
}
