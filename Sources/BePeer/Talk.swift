internal import PeerCore

/// One connection with messages, both ways (BePeer section 2.2).
struct Talk {
    let remote: SocketAddress?
    /// Whether we have dialled.
    let isOurs: Bool
    var isOpen: Bool
    var reader: MessageReader
    var hasSpoken = false
    /// Whether a message had begun when something came last.
    var wasInside = false
    /// Messages that wait until the dial succeeds, and for whom they are.
    var waiting: [(message: Message, tie: Tie)] = []
    /// Octets that wait until the other side has taken more.
    var unsent: [Bytes] = []
    var isFull = false
    /// Our own request, on a connection of its own.
    var join: (folder: Int, index: Int)?

    init(remote: SocketAddress?, isOurs: Bool, _ limits: MessageReader.Limits) {
        self.remote = remote
        self.isOurs = isOurs
        isOpen = !isOurs
        reader = MessageReader(limits)
    }
}

extension BePeer {
    // MARK: - Connections

    /// What a message may have now.
    var messageLimits: MessageReader.Limits {
        var limits = configuration.messageLimits
        limits.ignoreFolders = Set(folders.lazy.filter(\.settings.syncIgnore).map(\.name))
        return limits
    }

    mutating func accepted(
        _ connection: ConnectionID, from remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        let inbound = talks.values.filter { !$0.isOurs }
        let isFull =
            inbound.count >= configuration.messageConnections
            || inbound.count { $0.remote?.ip == remote.ip } >= configuration.messageConnectionsPerAddress
        guard !isFull, !life.isStopping else {
            reject(remote.ip, "limit", into: &effects)
            return effects.append(.abort(connection, .limit))
        }
        talks[connection] = Talk(remote: remote, isOurs: false, messageLimits)
        timers.set(.talk(connection), at: now.instant + configuration.firstMessageTime)
    }

    /// Says a message to a peer: on the connection on which it spoke last while that is open, else on a new one.
    mutating func say(_ message: Message, to tie: Tie, at now: Moment, into effects: inout Effects) {
        if let connection = self[tie]?.connection, talks[connection]?.isOpen ?? false {
            send(message.encoded, on: connection, into: &effects)
            timers.set(.talk(connection), at: now.instant + configuration.idleTime)
            return
        }
        // A dial that is under way takes it along.
        for connection in talks.keys.sorted()
        where talks[connection]?.waiting.first?.tie.ip == tie.ip {
            talks[connection]?.waiting.append((message, tie))
            return
        }
        let port = self[tie]?.messagePort ?? Self.standardPort
        let address = SocketAddress(tie.ip, port)
        let connection = effects.connect(to: .address(address), from: source, timeout: configuration.connectTimeout)
        var talk = Talk(remote: address, isOurs: true, messageLimits)
        talk.waiting = [(message, tie)]
        talks[connection] = talk
    }

    /// Octets of a long list that are sent at a time: more than the mark above which the host tells when they have
    /// left, and less than the one above which it gives the other side up.
    private static let pieceOctets = 2 << 20

    private mutating func send(_ bytes: Bytes, on connection: ConnectionID, into effects: inout Effects) {
        guard let talk = talks[connection] else { return }
        if bytes.count <= Self.pieceOctets, talk.unsent.isEmpty, !talk.isFull {
            return effects.send(bytes, on: connection)
        }
        talks[connection]?.unsent.append(bytes)
        sendMore(connection, into: &effects)
    }

    mutating func sendMore(_ connection: ConnectionID, into effects: inout Effects) {
        while let talk = talks[connection], !talk.isFull, let next = talk.unsent.first {
            let piece = next.slice(0..<min(next.count, Self.pieceOctets))
            if piece.count == next.count {
                talks[connection]?.unsent.removeFirst()
            } else {
                talks[connection]?.unsent[0] = next.dropping(piece.count)
            }
            talks[connection]?.isFull = piece.count == Self.pieceOctets
            effects.send(piece, on: connection)
        }
    }

    mutating func drained(_ connection: ConnectionID, into effects: inout Effects) {
        talks[connection]?.isFull = false
        sendMore(connection, into: &effects)
    }

    mutating func connected(
        _ connection: ConnectionID, to remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard var talk = talks[connection] else { return }
        let waiting = talk.waiting
        talk.isOpen = true
        talk.waiting = []
        talks[connection] = talk
        timers.set(.talk(connection), at: now.instant + configuration.idleTime)
        for (message, tie) in waiting {
            send(message.encoded, on: connection, into: &effects)
            self[tie]?.connection = connection
            reached(tie)
        }
        if let (folder, index) = talk.join {
            joinConnected(folder, index, connection, remote, at: now, into: &effects)
        }
    }

    mutating func received(
        _ bytes: Bytes, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let ip = remote(of: connection) else { return }
        talks[connection]?.reader.append(bytes)
        do throws(MessageFault) {
            while let message = try talks[connection]?.reader.next() {
                talks[connection]?.hasSpoken = true
                took(message, from: ip, on: connection, at: now, into: &effects)
            }
        } catch {
            reject(ip, error.rawValue, into: &effects)
            return effects.append(.abort(connection, .malformed))
        }
        guard let talk = talks[connection], talk.hasSpoken else { return }
        if !talk.reader.isInside {
            timers.set(.talk(connection), at: now.instant + configuration.idleTime)
        } else if !talk.wasInside {
            timers.set(.talk(connection), at: now.instant + configuration.messageTime)
        }
        talks[connection]?.wasInside = talk.reader.isInside
    }

    private func remote(of connection: ConnectionID) -> IPAddress? {
        guard let talk = talks[connection] else { return nil }
        if let (folder, index) = talk.join { return folders[folder].joins[index].ip }
        return talk.remote?.ip
    }

    /// The other side has sent all: what it has not finished is discarded whole.
    mutating func ended(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let talk = talks[connection] else { return }
        // One who asks, ends its side and listens still gets the answer.
        let isAwaited = folders.contains { $0.early.contains(connection) }
        if !isAwaited || talk.reader.isInside { effects.append(.finish(connection)) }
    }

    mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        timers.cancel(.talk(connection))
        guard let talk = talks.removeValue(forKey: connection) else { return }
        for folder in folders.indices {
            folders[folder].early.removeAll { $0 == connection }
            for ip in folders[folder].partners.keys.sorted() {
                let tie = Tie(folder: folder, ip: ip)
                if self[tie]?.connection == connection { self[tie]?.connection = nil }
            }
        }
        if let (folder, index) = talk.join {
            joinClosed(folder, index, reason, wasOpen: talk.isOpen, at: now, into: &effects)
        }
        for tie in Set(talk.waiting.map(\.tie)).sorted() {
            notReached(tie, reason, at: now, into: &effects)
        }
    }

    /// The timer of a connection: nothing came, or not all of a message.
    mutating func talkTimedOut(_ connection: ConnectionID, into effects: inout Effects) {
        guard let talk = talks[connection], let ip = remote(of: connection) else { return }
        if talk.hasSpoken && !talk.reader.isInside || talk.isOurs && !talk.reader.isInside {
            effects.append(.finish(connection))
        } else {
            reject(ip, "timeout", into: &effects)
            effects.append(.abort(connection, .timeout))
        }
    }

    // MARK: - Messages

    private mutating func took(
        _ message: Message, from ip: IPAddress, on connection: ConnectionID, at now: Moment,
        into effects: inout Effects
    ) {
        guard let folder = folder(named: message.folder) else {
            reject(ip, "unknown_folder", into: &effects)
            // Only who asks for a folder is told no, by the end of the connection.
            if case .request = message { effects.append(.finish(connection)) }
            return
        }
        let tie = Tie(folder: folder, ip: ip)
        self[tie]?.connection = connection
        self[tie]?.lastSeen = now.instant
        reached(tie)
        goOnWith(ip, at: now)
        switch message {
        case .request: tookRequest(tie, on: connection, at: now, into: &effects)
        case .list(let list):
            for refusal in list.refused {
                effects.log(
                    .debug, "reject", ["peer": .text(ip), "reason": "bad_path", "why": .string(refusal.rawValue)])
            }
            switch list.kind {
            case .filesToGet: tookOffer(list, tie, on: connection, at: now, into: &effects)
            case .filesUpdated: tookReport(list, tie, at: now, into: &effects)
            case .trustedPeerConfirm: tookConfirmation(list, tie, at: now, into: &effects)
            }
        }
    }

    /// Something that is not accepted, in the log and counted (BePeer section 11).
    mutating func reject(_ ip: IPAddress, _ reason: String, into effects: inout Effects) {
        counters.rejected[reason, default: 0] += 1
        effects.log(.info, "reject", ["peer": .text(ip), "reason": .string(reason)])
    }

    /// Whether a host may ask to become a peer of a folder (BePeer section 9).
    func admits(_ ip: IPAddress, _ folder: Int) -> Bool {
        let settings = folders[folder].settings
        return switch settings.join ?? (configuration.isPublic ? .list : .open) {
        case .open: true
        case .list: settings.joinAllow.contains { $0.contains(ip) }
        case .closed: false
        }
    }

    /// Whether a host may read a folder: also one to which we have something to show.
    func servesTo(_ ip: IPAddress, _ folder: Int) -> Bool {
        if admits(ip, folder) { return true }
        guard let partner = folders[folder].partners[ip] else { return false }
        return partner.state == .trusted || partner.state != .dropped && partner.reportedAt != nil
    }
}
