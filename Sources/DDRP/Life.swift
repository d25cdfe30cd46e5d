internal import AddressBook
internal import Bootstrap
internal import PeerCore
internal import PeerCrypto

/// How far the protocol is between its start and its end.
struct Life {
    /// Our listener is open, or will never be.
    var isListenerSettled = false
    /// The book holds what was saved.
    var isBookRecalled = false
    /// The last inputs have come.
    var isStopping = false
    /// Something has changed that `settle` has to act on.
    var needsSettling = false

    /// Before the book is there we would forget its back-off, before the listener is there we would dial ourselves.
    var canDial: Bool { isListenerSettled && isBookRecalled && !isStopping }
}

// MARK: - Start and end

extension DDRP {
    mutating func start(at now: Moment, into effects: inout Effects) {
        effects.append(.listen(Listener.peers, on: .ip(configuration.listen), .stream))
        effects.log(
            .info, "own_id", ["peer": .text(identity.peerID)], "this node's peer ID is the hash of its public key")
        recallOwnAddresses(into: &effects)
        recallBook(after: nil, into: &effects)
        timers.set(.refill, at: now.instant + Self.refillInterval)
        timers.set(.upkeep, at: now.instant + Self.upkeepInterval)
        timers.set(.report, at: now.instant + Self.firstReportDelay)
    }

    mutating func listening(
        _ listener: ListenerID, _ address: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        effects.log(.info, "listening", ["listener": .text(listener), "address": .text(address)])
        guard listener == Listener.peers else {
            bootstrap?.start(at: now, into: &effects)
            life.needsSettling = true
            return
        }
        own.listener = address
        adoptOwnAddresses()
        life.isListenerSettled = true
        life.needsSettling = true
        if bootstrap != nil {
            effects.append(.listen(Listener.bootstrap, on: .ip(address), .datagram))
        }
    }

    mutating func cannotListen(_ listener: ListenerID, _ error: SystemError, into effects: inout Effects) {
        let address = listener == Listener.peers ? configuration.listen : own.listener ?? configuration.listen
        effects.log(
            .error, "listen_failed",
            ["listener": .text(listener), "address": .text(address), "error": .text(error)],
            listener == Listener.peers ? "nobody can connect to this node" : "no bootstrap server can be asked")
        if listener == Listener.peers { life.isListenerSettled = true }
        life.needsSettling = true
    }

    /// Ends what is open, in order; what is left after a few seconds the host cuts.
    mutating func stop(at now: Moment, into effects: inout Effects) {
        guard !life.isStopping else { return }
        life.isStopping = true
        effects.append(.unlisten(Listener.peers))
        for connection in responders.keys.sorted() {
            effects.append(.abort(connection, .shutdown))
            dropResponder(connection)
        }
        for connection in initiators.keys.sorted() {
            effects.append(.abort(connection, .shutdown))
            cancelDial(connection, "the node stops", into: &effects)
        }
        for connection in links.keys.sorted() { close(connection, Fault(.shutdown), at: now, into: &effects) }
        bootstrap?.stop(into: &effects)
        timers = Deadlines()
        save(at: now, into: &effects)
    }
}

// MARK: - The network

extension DDRP {
    /// The machine's addresses. When they have changed, what failed before may have failed for our own sake.
    mutating func interfacesAre(_ addresses: [IPAddress], at now: Moment, into effects: inout Effects) {
        let isChange = !own.interfaces.isEmpty && own.interfaces != addresses
        own.interfaces = addresses
        adoptOwnAddresses()
        guard isChange else { return }
        book.forgetBackOff()
        bootstrap?.resumed(at: now, into: &effects)
        life.needsSettling = true
    }
}

// MARK: - Gaps in time

/// By how much envelopes that wait for us may be older than the clock allows, since we were late and not they.
struct Lateness {
    /// What waited is read within this time after a gap.
    static let duration: Duration = .seconds(5)

    private var seconds: Int64 = 0
    private var end = Instant(nanoseconds: .min)

    mutating func note(gap: Duration, at now: Instant) {
        let late = gap.nanoseconds / 1_000_000_000 + 1
        seconds = now < end ? seconds + late : late
        end = now + Self.duration
    }

    /// Seconds by which a timestamp may be too old at `now`.
    func allowance(at now: Instant) -> Int64 { now < end ? seconds : 0 }
}

extension DDRP {
    /// A gap from which on we were away rather than busy: all that we knew about failed dials is outdated.
    private static let absence: Duration = .seconds(10)

    /// We were late: peers get that much longer (decision 17), and after an absence everything is tried again.
    mutating func resumed(after gap: Duration, at now: Moment, into effects: inout Effects) {
        guard gap > .zero else { return }
        lateness.note(gap: gap, at: now.instant)
        for connection in links.keys.sorted() { links[connection]?.extend(by: gap, at: now.instant) }
        for connection in initiators.keys.sorted() {
            initiators[connection]?.deadline += gap
            moveHandshakeTimer(connection, to: initiators[connection]?.deadline)
        }
        for connection in responders.keys.sorted() {
            responders[connection]?.deadline += gap
            moveHandshakeTimer(connection, to: responders[connection]?.deadline)
        }
        guard gap >= Self.absence else { return }
        // A dial whose time ran out meanwhile says nothing about its address.
        for (connection, initiator) in initiators.sorted(by: { $0.key < $1.key }) {
            guard case .dialling = initiator.state, initiator.commands.isEmpty else { continue }
            effects.append(.abort(connection, .timeout))
            cancelDial(connection, "", into: &effects)
        }
        book.forgetBackOff()
        bootstrap?.resumed(at: now, into: &effects)
        life.needsSettling = true
    }

    private mutating func moveHandshakeTimer(_ connection: ConnectionID, to deadline: Instant?) {
        if let deadline { timers.set(.handshake(connection), at: deadline) }
    }
}
