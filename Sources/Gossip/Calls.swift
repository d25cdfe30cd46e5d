internal import Bootstrap
internal import PeerCore

/// A CONNECT that was sent to somebody who is to dial back (gossip section 5.5).
struct Call {
    /// The ID that is expected there; nil: not known.
    let id: UInt16?
    /// CONNECT that were sent.
    var tries: Int
    /// Who waits for it.
    var commands: [CommandID] = []
    /// The peer is a neighbour; a second connection of it may still come.
    var isAnswered = false

    /// CONNECT is repeated after 1 s and 3 s; after 5 s we dial ourselves; after 10 s nobody may dial back any more.
    static let pauses: [Duration] = [.seconds(1), .seconds(2), .seconds(2), .seconds(5)]
    /// CONNECT sent at most; the next step is to dial.
    static let maximumTries = 3
}

// MARK: - Calling

extension Gossip {
    /// Calls as many candidates as neighbours are missing.
    mutating func callCandidates(at now: Moment, into effects: inout Effects) {
        bootstrap.setWanting(open.count < configuration.degree, at: now, into: &effects)
        let missing = configuration.degree - open.count - underWay
        guard missing > 0 else { return }
        let connected = Set(open.places.compactMap { links[$0]?.endpoint })
        var due = candidates.due(at: now.instant).filter { address in
            !connected.contains(address) && calls[address] == nil && !own.contains(address)
                && !pending.values.contains { $0.address == address }
        }
        due.shuffle(using: &random)
        for address in due.prefix(missing) { call(address, at: now, into: &effects) }
    }

    /// Neighbours that may come of what was begun.
    private var underWay: Int {
        calls.values.count { $0.tries <= Call.maximumTries && !$0.isAnswered }
            + pending.values.count { $0.role != .inbound }
    }

    /// Every 10 s, whatever happened meanwhile (gossip section 5.7).
    mutating func keepOverlay(at now: Moment, into effects: inout Effects) {
        timers.set(.overlay, at: now.instant + Self.overlayInterval)
        health.improve()
        replaceWorst(at: now, into: &effects)
        life.needsSettling = true
    }

    /// Between two looks at the neighbours (gossip section 5.7).
    static let overlayInterval: Duration = .seconds(10)

    /// A full node exchanges a neighbour that does more harm than good for somebody else.
    private mutating func replaceWorst(at now: Moment, into effects: inout Effects) {
        guard open.count >= configuration.degree, !candidates.due(at: now.instant).isEmpty,
            let worst = open.places.min(by: { (links[$0]?.score ?? 0) < (links[$1]?.score ?? 0) }),
            let score = links[worst]?.score, score < 0
        else { return }
        close(worst, .replaced, at: now, into: &effects)
    }

    /// Sends CONNECT, or dials at once where that is the rule.
    mutating func call(
        _ address: SocketAddress, commands: [CommandID] = [], at now: Moment, into effects: inout Effects
    ) {
        candidates.tried(address, at: now.instant)
        guard configuration.connectMode == .udp, !configuration.isAuthors2017 else {
            return dial(address, .direct, commands: commands, at: now, into: &effects)
        }
        calls[address] = Call(id: candidates.id(of: address), tries: 1, commands: commands)
        sendConnect(to: address, into: &effects)
        timers.set(.call(address), at: now.instant + health.stretch(Call.pauses[0]))
    }

    private func sendConnect(to address: SocketAddress, into effects: inout Effects) {
        let message = Greeting.bytes(MessageType.connect, id: bootstrap.id)
        effects.append(.sendDatagram(message, from: Listener.datagrams, to: address))
        effects.log(.debug, "connect_sent", ["address": .text(address)])
    }

    /// Nobody has dialled back yet.
    mutating func callAgain(_ address: SocketAddress, at now: Moment, into effects: inout Effects) {
        guard var call = calls[address] else { return }
        call.tries += 1
        guard call.tries <= Call.pauses.count else {
            calls[address] = nil
            return
        }
        guard !call.isAnswered else {
            calls[address] = call
            return timers.set(.call(address), at: now.instant + Call.pauses[call.tries - 1])
        }
        let commands = call.commands
        if call.tries > Call.maximumTries { call.commands = [] }
        calls[address] = call
        timers.set(.call(address), at: now.instant + health.stretch(Call.pauses[call.tries - 1]))
        if call.tries <= Call.maximumTries { return sendConnect(to: address, into: &effects) }
        let isUnderWay = pending.values.contains { $0.remote.ip == address.ip && $0.role == .inbound && $0.isConnected }
        if isUnderWay, commands.isEmpty { return }
        dial(address, .direct, commands: commands, at: now, into: &effects)
    }

    /// Nothing more is expected from there.
    mutating func forgetCall(_ address: SocketAddress) {
        calls[address] = nil
        timers.cancel(.call(address))
    }
}

// MARK: - Datagrams

extension Gossip {
    mutating func receivedDatagram(
        _ bytes: Bytes, from source: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard !life.isStopping || bytes.count == Greeting.octets else { return }
        if configuration.isAuthors2017 { return receivedDatagramOfAuthors(bytes, from: source, at: now) }
        if let entries = bootstrap.datagram(bytes, from: source, at: now, into: &effects) {
            for entry in entries where isWorthKnowing(entry) {
                candidates.add(entry.address, id: entry.id, .bootstrap, at: now.instant)
            }
            life.needsSettling = true
            return
        }
        // One datagram is one message; everything else is dropped without a word (gossip section 1).
        guard bytes.count == Greeting.octets, Int(bytes.uint16(at: 0)) == bytes.count else { return }
        switch bytes.uint16(at: 2) {
        case MessageType.connect: called(bytes, from: source, at: now, into: &effects)
        case MessageType.disconnect: refused(bytes, by: source, at: now, into: &effects)
        default: break
        }
    }

    /// Somebody wants to be our neighbour: we dial back, or say that there is no room (gossip section 5.5, step 2).
    private mutating func called(
        _ bytes: Bytes, from source: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard let id = try? Greeting.id(decoding: bytes), source.port != 0, !own.contains(source) else { return }
        let limit = (configuration.maxConnectsPerAddress, configuration.maxConnectsPerSecond)
        guard callers.admit(source, perAddress: limit.0, perSecond: limit.1, at: now.instant) else {
            counters.connectsRefused += 1
            return
        }
        guard !life.isStopping else { return refuse(source, into: &effects) }
        // Its repetitions, while we are dialling.
        guard !pending.values.contains(where: { $0.address == source && $0.role != .inbound }) else { return }
        guard !open.places.contains(where: { links[$0]?.endpoint == source && links[$0]?.peerID == id }) else { return }
        let dialled = pending.values.count { $0.role.isDialBack }
        guard open.count + dialled < configuration.degree else { return refuse(source, into: &effects) }
        dial(source, .dialBack(id: id), at: now, into: &effects)
    }

    /// DISCONNECT by UDP: 8 octets answer 8.
    func refuse(_ address: SocketAddress, into effects: inout Effects) {
        let message = Greeting.bytes(MessageType.disconnect, id: bootstrap.id)
        effects.append(.sendDatagram(message, from: Listener.datagrams, to: address))
    }

    /// DISCONNECT from somebody whom we have sent CONNECT. Who has no neighbour asks once more by TCP, where a full
    /// node can see that.
    private mutating func refused(
        _ bytes: Bytes, by source: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard (try? Greeting.id(decoding: bytes)) != nil, let call = calls[source] else { return }
        forgetCall(source)
        let isDialled = pending.values.contains { $0.address == source }
        if open.isEmpty, !isDialled || !call.commands.isEmpty, call.tries <= Call.maximumTries {
            return dial(source, .direct, commands: call.commands, at: now, into: &effects)
        }
        for command in call.commands { effects.reply(command, [], .refused("\(source) has no room")) }
        let next = candidates.failed(source, isLonely: open.isEmpty, at: now.instant)
        life.needsSettling = true
        effects.log(
            .info, "dial_failed",
            [
                "address": .text(source), "reason": .string(CloseReason.refused.rawValue),
                "nextTrySeconds": next.map { .seconds($0) } ?? .null,
            ])
    }
}

/// Who has sent CONNECT lately (gossip section 5.7).
struct Callers {
    /// When the last CONNECT of each source came that were admitted.
    private var times: [SocketAddress: [Instant]] = [:]
    private var secondEnd = Instant(nanoseconds: .min)
    private var inSecond = 0

    /// The time in which a source may send so many (gossip section 5.7).
    private static let window: Duration = .seconds(10)
    /// Sources that are told apart.
    private static let capacity = 4096

    mutating func admit(_ source: SocketAddress, perAddress: Int, perSecond: Int, at now: Instant) -> Bool {
        if now >= secondEnd { (secondEnd, inSecond) = (now + .seconds(1), 0) }
        guard inSecond < perSecond else { return false }
        // All peers of one machine share its loopback address, but not a port.
        let key = source.ip.isLoopback ? source : SocketAddress(IPPrefix(of: source.ip, v4: 32, v6: 64).base, 0)
        if times.count >= Self.capacity, times[key] == nil {
            times = times.filter { now - ($0.value.last ?? now) < Self.window }
            guard times.count < Self.capacity else { return false }
        }
        var list = times[key, default: []].filter { now - $0 < Self.window }
        guard list.count < perAddress else { return false }
        list.append(now)
        times[key] = list
        inSecond += 1
        return true
    }
}
