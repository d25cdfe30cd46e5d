public import PeerCore
internal import PeerCrypto

/// The bootstrap server: keeps the peers of one overlay that are online, gives each an ID, and tells newcomers of
/// others (gossip section 6). State is in memory only; peers come back with their next renewal.
///
/// Nothing that a peer says enters the list, only the source address of its datagrams, and only after it has proven
/// that it is there: it echoed the ID that was sent to it, or took a TCP connection.
public struct BootstrapServer: PeerProtocol {
    /// Its one UDP listener.
    public static let listener = ListenerID("bootstrap")

    var configuration: Configuration
    var table: PeerTable
    var wheel = DueWheel()
    var admission: Admission
    var prober: Prober
    /// Octets of entries to sources that have not proven their address.
    var unvalidatedEntries: RateWindow
    var counters = BootstrapCounters()
    var clock = ServerClock()
    /// IDs come from here: whoever guesses one can claim an address that is not his.
    var random: SeededRandom
    var listing: ListingRandom
    var address: SocketAddress?
    var isStopping = false

    /// A server with these settings; `seed` is 32 random octets.
    public init(_ configuration: Configuration, seed: Bytes32) {
        self.configuration = configuration
        random = SeededRandom(seed: seed)
        let hash = KeyedHash(using: &random)
        table = PeerTable(hash: hash)
        admission = Admission(configuration.admission, hash: hash)
        prober = Prober(configuration.probes)
        unvalidatedEntries = RateWindow(configuration.unvalidatedEntryBytesPerSecond)
        listing = ListingRandom(seed: random.next())
    }

    /// Takes over the limits; another `listen` needs a restart.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let listen = configuration.listen
        let old = configuration
        configuration = new
        configuration.listen = listen
        if old.admission != new.admission { admission.setLimits(new.admission) }
        if old.probes != new.probes { prober.setLimits(new.probes) }
        if old.unvalidatedEntryBytesPerSecond != new.unvalidatedEntryBytesPerSecond {
            unvalidatedEntries = RateWindow(new.unvalidatedEntryBytesPerSecond)
        }
        return new.listen == listen ? [] : [RestartNeeded("listen")]
    }

    /// What happened.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        switch input {
        case .datagram(let bytes, on: _, from: let source):
            guard !isStopping else { return }
            received(bytes, from: source, at: clock.reading(now), into: &effects)
        case .start:
            clock.start(at: now)
            effects.append(.listen(Self.listener, on: .ip(configuration.listen), .datagram))
        case .stop: stop(into: &effects)
        case .deadline: deadline(at: now, into: &effects)
        case .resumed(let gap): clock.wasStopped(for: gap)
        case .listening(_, .ip(let address)):
            self.address = address
            effects.log(.info, "listening", ["listener": .text(Self.listener), "address": .text(address)])
        case .refused(_, let error): cannotListen(error, into: &effects)
        case .connected(let connection, _, _): connected(connection, at: now, into: &effects)
        case .closed(let connection, let reason, _): closed(connection, reason, at: now, into: &effects)
        case .command(let id, let command): carryOut(command, id, into: &effects)
        default: break
        }
    }

    /// The next time at which an entry is to be looked at, or refusals are to be told.
    public var nextDeadline: Instant? {
        guard !isStopping else { return nil }
        let entries = wheel.nextSecond.map(clock.instant(ofSecond:))
        guard let report = counters.reportAt.map(clock.instant(of:)) else { return entries }
        return min(report, entries ?? report)
    }

    private mutating func stop(into effects: inout Effects) {
        isStopping = true
        for connection in prober.connections { effects.append(.abort(connection, .shutdown)) }
    }

    private func cannotListen(_ error: SystemError, into effects: inout Effects) {
        effects.log(
            .error, "listen_failed",
            ["listener": .text(Self.listener), "address": .text(configuration.listen), "error": .text(error)],
            "no peer can ask this bootstrap server")
    }

    private mutating func deadline(at now: Moment, into effects: inout Effects) {
        let reading = clock.reading(now)
        if let refused = counters.report(at: reading.instant) {
            effects.log(.warn, "init_refused", refused, "bootstrap requests were refused")
        }
        for id in wheel.take(upTo: reading.second) { lookAt(id, at: reading, into: &effects) }
    }
}
