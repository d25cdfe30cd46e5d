internal import AddressBook
internal import Bootstrap
internal import PeerCore
internal import PeerCrypto

extension AddressPolicy {
    /// The port of strangers' addresses is looked at where they tell them: a bootstrap server, and a Hello in the text
    /// dialect, may name another than the standard one.
    init(_ configuration: DDRP.Configuration) {
        self.init(allowPrivate: configuration.allowPrivateAddresses)
    }
}

/// Addresses that need not be dialled. A copy, for the time of a search in the book.
struct Taken {
    fileprivate let occupied: [SocketAddress: Int]
    fileprivate let peers: [Bytes32: ConnectionID]
    fileprivate let denials: Denials
    fileprivate let now: Instant

    /// Whether there is a connection or a dial to the address, or its peer is connected, or it is left alone. Which
    /// peer is there counts only when it was proven: anybody can tell a wrong one.
    func contains(_ entry: AddressBook.Entry) -> Bool {
        occupied[entry.address] != nil || entry.isVerified && entry.identity.map { peers[$0] != nil } == true
            || denials.contains(entry.address.ip, at: now)
    }
}

// MARK: - Whom to dial (DDRP section 12)

extension DDRP {
    /// Time that the dial of a host name may take, looking the name up included.
    private static let namedConnectLimit: Duration = .seconds(10)

    /// Peers that a bootstrap server is asked for: enough for the case that half of them are full or gone.
    static func bootstrapDegree(for configuration: Configuration) -> UInt16 {
        UInt16(clamping: max(16, configuration.targetOutbound * 2))
    }

    /// Dials under way that will count for the target. Whoever was silent to the first Hello will hardly answer a
    /// second: while it is asked in the other dialect, its place goes to another.
    var fillsUnderWay: Int { initiators.values.count { $0.purpose == .fill && !$0.wasSilent } }

    /// Dials the best addresses of the book until enough are under way, then those that are to be probed.
    mutating func dialCandidates(at now: Moment, into effects: inout Effects) {
        while missing > 0, hasFreeDial, now.instant >= retries.nextDial, let entry = nextCandidate(at: now.instant) {
            dial(entry, for: .fill, at: now, into: &effects)
        }
        while hasFreeDial, let address = probing.queue.popLast() {
            guard let entry = book[address], !taken(at: now.instant).contains(entry) else { continue }
            dial(entry, for: .probe, at: now, into: &effects)
        }
        setDialTimer(at: now.instant)
        let isWanting = isBelowTarget
        bootstrap?.setWanting(isWanting, at: now, into: &effects)
    }

    private var hasFreeDial: Bool { initiators.count < configuration.maxPendingOutbound }

    private mutating func nextCandidate(at now: Instant) -> AddressBook.Entry? {
        var groups = Set(counted.compactMap { links[$0].flatMap { AddressBook.group(of: $0.remote.ip) } })
        groups.formUnion(initiators.values.compactMap { $0.address.flatMap { AddressBook.group(of: $0.ip) } })
        let taken = taken(at: now)
        return book.candidate(at: now, groups: groups, excluding: taken.contains, using: &random)
    }

    /// The addresses that need not be dialled at `now`.
    func taken(at now: Instant) -> Taken {
        Taken(occupied: occupied, peers: peers, denials: denials, now: now)
    }

    /// Wakes us when the next address is due, if we shall need it.
    private mutating func setDialTimer(at now: Instant) {
        guard missing > 0, hasFreeDial, let next = book.nextTry(after: now, excluding: taken(at: now).contains) else {
            return timers.cancel(.dial)
        }
        timers.set(.dial, at: max(next, retries.nextDial))
    }

    private mutating func dial(
        _ entry: AddressBook.Entry, for purpose: DialPurpose, at now: Moment, into effects: inout Effects
    ) {
        let seed = configuration.seeds.first { $0.address == entry.address }
        let locator = PeerLocator(identity: seed?.identity, destination: .address(entry.address))
        dial(
            Initiator(to: locator, dialect: firstDialect(for: entry), purpose: purpose, at: now.instant), at: now,
            into: &effects)
    }

    /// What the peer spoke last, else R (DDRP section 7).
    func firstDialect(for entry: AddressBook.Entry?) -> Dialect {
        configuration.dialect ?? entry.flatMap { Dialect(rawValue: $0.note) } ?? .reference
    }

    /// Begins a dial.
    mutating func dial(_ initiator: Initiator, at now: Moment, into effects: inout Effects) {
        let limit: Duration
        if let address = initiator.locator.address {
            limit = Initiator.connectLimit
            occupied[address, default: 0] += 1
            book.attempted(address, at: now)
        } else {
            limit = Self.namedConnectLimit
        }
        let local = localAddress(for: initiator.destination)
        let connection = effects.connect(to: initiator.destination, from: local, timeout: limit)
        initiators[connection] = initiator
        timers.set(.handshake(connection), at: initiator.deadline)
        effects.log(
            .debug, "dial",
            [
                "address": .text(initiator.destination), "dialect": .string(initiator.dialect.rawValue),
                "connection": .text(connection),
            ])
    }

    /// The address to dial from (decision 4): a loopback address does not reach other machines.
    private func localAddress(for destination: Destination) -> IPAddress? {
        guard configuration.bindOutbound, let ip = own.listener?.ip, !ip.isUnspecified,
            case .address(let remote) = destination, (remote.ip.v4 == nil) == (ip.v4 == nil),
            remote.ip.isLoopback == ip.isLoopback
        else { return nil }
        return ip
    }
}

// MARK: - How a dial ends

/// What is remembered of addresses that behaved oddly.
struct Retries {
    /// The text dialect is tried once per address and hour (DDRP section 7).
    private static let textPause: Duration = .seconds(3600)
    /// A second connection that lives a few seconds only, within this time, is a failure like any other.
    private static let shortLifePause: Duration = .seconds(60)
    /// How long fills wait when we cannot dial at all.
    static let pause: Duration = .seconds(1)
    /// Addresses that are remembered.
    private static let capacity = 4096

    /// Fills wait until then, after a dial that failed for no fault of its address.
    private(set) var nextDial = Instant(nanoseconds: .min)
    private var text: [SocketAddress: Instant] = [:]
    private var shortLives: [SocketAddress: Instant] = [:]

    /// Whether the text dialect may be tried at `address` now; if so, not again for an hour.
    mutating func takeTextTry(_ address: SocketAddress, at now: Instant) -> Bool {
        Self.take(&text, address, at: now, pause: Self.textPause)
    }

    /// Whether this is the first short life there in a minute.
    mutating func takeShortLife(_ address: SocketAddress, at now: Instant) -> Bool {
        Self.take(&shortLives, address, at: now, pause: Self.shortLifePause)
    }

    mutating func succeeded(_ address: SocketAddress) {
        text[address] = nil
    }

    /// We ourselves cannot dial: a limit, no descriptor, no network. To go through the book now would only spoil it.
    mutating func pauseDials(at now: Instant) {
        nextDial = now + Self.pause
    }

    private static func take(
        _ table: inout [SocketAddress: Instant], _ address: SocketAddress, at now: Instant, pause: Duration
    ) -> Bool {
        if let last = table[address], now - last < pause { return false }
        if table.count >= capacity { table = table.filter { now - $0.value < pause } }
        guard table.count < capacity else { return false }
        table[address] = now
        return true
    }
}

extension DDRP {
    /// A peer with which we dialled each other at once is dialled again after this time at most (DDRP section 12).
    private static let longestShortPause: Duration = .seconds(5)
    /// A banned address is not dialled for so long; if the ban is lifted before, its peer may dial us.
    private static let bannedPause: Duration = .seconds(3600)

    /// The dial is over: its place is free. Gives what it was.
    mutating func takeInitiator(_ connection: ConnectionID) -> Initiator? {
        guard let initiator = initiators.removeValue(forKey: connection) else { return nil }
        if let address = initiator.locator.address { vacate(address) }
        timers.cancel(.handshake(connection))
        return initiator
    }

    /// A connection or dial to `address` is over.
    mutating func vacate(_ address: SocketAddress) {
        guard let number = occupied[address] else { return }
        occupied[address] = number > 1 ? number - 1 : nil
    }

    /// When nothing at all answered our R Hello, the peer may speak T: dials once more (DDRP section 7), also when it
    /// spoke R before, since it may have changed.
    mutating func tryText(
        insteadOf connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard configuration.dialect == nil, let initiator = initiators[connection],
            case .awaitingHello = initiator.state, initiator.receivedBytes == 0, initiator.dialect == .reference,
            [.closedByPeer, .reset, .timeout].contains(reason), let address = initiator.address,
            retries.takeTextTry(address, at: now.instant)
        else { return false }
        _ = takeInitiator(connection)
        effects.log(
            .debug, "dialect_retry", ["address": .text(address), "reason": .string(reason.rawValue)],
            "no answer to a Hello of the reference dialect; trying the text dialect")
        var second = Initiator(
            to: initiator.locator, dialect: .text, purpose: initiator.purpose, commands: initiator.commands,
            at: now.instant)
        second.isSecondTry = true
        second.wasSilent = reason == .timeout
        life.needsSettling = true
        dial(second, at: now, into: &effects)
        return true
    }

    /// A dial came to nothing.
    mutating func dialFailed(_ connection: ConnectionID, _ fault: Fault, at now: Moment, into effects: inout Effects) {
        guard let initiator = takeInitiator(connection) else { return }
        failed(initiator, fault, at: now, into: &effects)
    }

    /// Counts a failed dial, lets its address rest, and says so in one line.
    mutating func failed(_ initiator: Initiator, _ fault: Fault, at now: Moment, into effects: inout Effects) {
        life.needsSettling = true
        count(outcome: fault.reason.rawValue)
        var fields: Record = ["address": .text(initiator.destination)]
        fields = fields.appending(fault.fields)
        let isOurs = fault.reason == .limit || fault.reason == .systemError
        if isOurs || fault.reason == .unreachable { retries.pauseDials(at: now.instant) }
        if isOurs, let address = initiator.address {
            book.postpone(address, until: now.instant + Retries.pause)
        } else if let address = initiator.address, let entry = book[address] {
            var rest = book.failed(address, at: now, using: &random)
            if fault.reason == .banned {
                rest = Self.bannedPause
                denials.add(IPPrefix(address.ip), until: now.instant + rest, at: now.instant)
            }
            fields["nextTrySeconds"] = .seconds(rest)
            // A peer that no longer answers to the dialect it spoke last is asked in R again.
            if entry.note == Dialect.text.rawValue, initiator.dialect == .text { book.note(address, "") }
        }
        effects.log(.info, "dial_failed", fields, fault.detail)
        let why = fault.detail.isEmpty ? fault.reason.rawValue : fault.detail
        refuseCommands(of: initiator, "no connection with \(initiator.destination): \(why)", into: &effects)
    }

    /// The other side ended a connection that we had dialled not long ago. Once in a minute it is dialled again: at
    /// once, or, when it had just opened, after a random time: the two may have dialled each other at once, and shall
    /// not meet again.
    mutating func returnAfterShortLife(_ link: Link, isVeryShort: Bool, at now: Moment) {
        if retries.takeShortLife(link.listens, at: now.instant) {
            guard isVeryShort else { return }
            let pause = random.duration(in: .zero...Self.longestShortPause)
            book.postpone(link.listens, until: now.instant + pause)
        } else {
            book.failed(link.listens, at: now, before: link.failuresBefore, using: &random)
        }
    }
}
