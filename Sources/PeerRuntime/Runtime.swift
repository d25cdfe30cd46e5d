public import PeerCore
public import UV

/// What the hosts of one node share: the loop and its clock, limits, bans, rows and the log.
public final class Runtime {
    /// The loop that everything runs on.
    public let loop: Loop
    /// Where log lines go.
    public let log: Log
    /// Durable rows; nil when the node keeps none.
    public let rows: RowStore?
    /// Blocks of addresses that are kept away.
    public let bans = BanList()
    /// Limits for all protocols together, and what they count.
    public let limits: Limits
    /// Lateness of the loop.
    public let lag = LoopLag()
    /// Carries out what a core asks of the node itself; the node sets it.
    public var nodeCommand: (CommandID, Command, Host) -> Void = { id, _, host in
        host.deliver(.answered(id, Reply([], .refused("the node takes no commands"))))
    }
    /// Told when an address to listen on could not be had.
    public var listenerRefused: (ListenerID, ListenAddress, SystemError) -> Void = { _, _, _ in }
    /// Told after a ban was set or lifted, for its row.
    public var banChanged: (IPPrefix, Ban?) -> Void = { _, _ in }

    /// Paths on which this process listens itself.
    var unixPaths: Set<String> = []
    private(set) var hosts: [Host] = []
    private var waiting: [Host] = []
    private var prepare: Prepare?
    private var idle: Idle?
    private var tick: Timer?
    private var rates: Timer?
    private var interfaceTimer: Timer?
    private var interfaces: [IPAddress] = []
    private var lastAwake: Instant
    private var isWaitingForRate = false

    /// The loop is looked at once a second, which finds the time in which it stood still.
    private static let tickInterval: Duration = .seconds(1)
    /// More than this beyond a tick is told to the cores as a gap.
    private static let tolerance: Duration = .milliseconds(500)
    /// How often the machine's addresses are compared.
    private static let interfaceInterval: Duration = .seconds(30)

    /// A runtime on `loop`.
    public init(loop: Loop, log: Log, rows: RowStore?, limits: Limits) {
        self.loop = loop
        self.log = log
        self.rows = rows
        self.limits = limits
        self.lastAwake = loop.instant
        prepare = Prepare(loop) { [unowned self] in finishTurn() }
        idle = Idle(loop) { [unowned self] in resumeWaiting() }
        tick = Timer(loop)
        tick?.unreference()
        tick?.start(every: Self.tickInterval) { [unowned self] in ticked() }
        rates = Timer(loop)
        rates?.unreference()
        interfaces = interfaceAddresses()
        interfaceTimer = Timer(loop)
        interfaceTimer?.unreference()
        interfaceTimer?.start(every: Self.interfaceInterval) { [unowned self] in compareInterfaces() }
    }

    /// Closes what the runtime itself holds open; its hosts must be closed before.
    public func close() {
        prepare?.close()
        idle?.close()
        tick?.close()
        rates?.close()
        interfaceTimer?.close()
        (prepare, idle, tick, rates, interfaceTimer) = (nil, nil, nil, nil, nil)
        hosts = []
    }

    /// The host of the section `name`.
    public func host(_ name: String) -> Host? {
        hosts.first { $0.name == name }
    }

    func add(_ host: Host) {
        hosts.append(host)
        host.deliver(.interfaces(interfaces))
    }

    func remove(_ host: Host) {
        hosts.removeAll { $0 === host }
    }

    /// Both clocks for an input. Tells every host first when the loop has stood still.
    func moment() -> Moment {
        let now = loop.now
        let gap = now.instant - lastAwake
        if gap > Self.tickInterval + Self.tolerance {
            lastAwake = now.instant
            lag.record(gap - Self.tickInterval)
            for host in hosts { host.deliverFirst(.resumed(gap: gap)) }
        }
        return now
    }

    /// Lets `host` go on with its inputs in the next turn of the loop.
    func continueLater(_ host: Host) {
        waiting.append(host)
        idle?.start()
    }

    /// Whether an address is kept away now. The clock is read only when there are bans.
    func isBanned(_ address: IPAddress) -> Bool {
        !bans.isEmpty && bans.ban(of: address, at: loop.wallClock) != nil
    }

    /// Sets or lifts a ban for all protocols.
    public func ban(_ prefix: IPPrefix, _ ban: Ban?) {
        bans[prefix] = ban
        banChanged(prefix, ban)
    }

    private func resumeWaiting() {
        idle?.stop()
        let ready = waiting
        waiting = []
        for host in ready { host.drain() }
    }

    /// All that the turn wants to send goes out in one write for each connection, and one commit takes its rows.
    private func finishTurn() {
        for host in hosts { host.flush() }
        rows?.commit()
    }

    /// A connection waits for the next slice of a limited rate.
    func waitForRate() {
        guard !isWaitingForRate else { return }
        isWaitingForRate = true
        rates?.start(at: loop.instant + .seconds(1) / Rate.slicesPerSecond) { [unowned self] in
            isWaitingForRate = false
            limits.downloads.refill()
            limits.uploads.refill()
            for host in hosts { host.resumeRates() }
        }
    }

    private func ticked() {
        let now = loop.instant
        lag.record(max(.zero, (now - lastAwake) - Self.tickInterval))
        _ = moment()
        lastAwake = now
        limits.refill()
        for host in hosts {
            host.resumeConnecting()
            host.lookAtHTTP()
        }
    }

    private func compareInterfaces() {
        let current = interfaceAddresses()
        guard current != interfaces else { return }
        interfaces = current
        for host in hosts { host.deliver(.interfaces(current)) }
    }
}

/// What a host has counted.
public struct HostCounters: Sendable {
    /// Connections that are open now.
    public var connections = 0
    /// Octets over all connections and datagrams so far.
    public var traffic = Traffic()
    /// Inputs that the core has handled.
    public var inputs: UInt64 = 0
    /// When octets came last.
    public var lastReceived: Instant?
}

/// How late the loop was, over the time since the last heartbeat.
public final class LoopLag {
    private var samples: [Duration] = []
    /// More than the samples of a heartbeat that is ten minutes long.
    private static let capacity = 1024

    func record(_ lag: Duration) {
        if samples.count == Self.capacity { samples.removeFirst(Self.capacity / 2) }
        samples.append(lag)
    }

    /// The next heartbeat tells of what comes from here on.
    public func forget() {
        samples = []
    }

    /// Median and maximum.
    public var sinceHeartbeat: (median: Duration, maximum: Duration) {
        let sorted = samples.sorted()
        guard let last = sorted.last else { return (.zero, .zero) }
        return (sorted[sorted.count / 2], last)
    }
}
