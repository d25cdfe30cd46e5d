internal import PeerCore

/// A local program (gossip sections 2 and 3).
struct Client {
    /// A message that was begun must be complete after this time (gossip section 3.11).
    static let messageLimit: Duration = .seconds(30)
    /// A program that reads nothing for so long is closed (gossip section 3.11).
    static let unreadLimit: Duration = .seconds(60)

    let connection: ConnectionID
    let remote: SocketAddress
    let opened: Instant
    var buffer = ReceiveBuffer()
    var outbox = Outbox()
    /// The data types that it has registered.
    var types: Set<UInt16> = []
    /// The notifications that it has not answered.
    var questions = Questions()
    /// False when its place is free.
    var isOpen = true
    /// Whether the end of a message is awaited.
    var isInMessage = false
    /// When that message began.
    var messageBegan = Instant(nanoseconds: 0)

    // Counters.
    var announced = 0
    var notified = 0
    var dropped = 0
    var verdicts = 0
}

// MARK: - Life

extension Gossip {
    mutating func acceptedClient(
        _ connection: ConnectionID, remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard !life.isStopping else { return effects.append(.abort(connection, .shutdown)) }
        guard clientPlaces.count < configuration.maxClients else {
            reportLimit("maxClients", configuration.maxClients, "a program was refused", at: now, into: &effects)
            return effects.append(.abort(connection, .limit))
        }
        let client = Client(connection: connection, remote: remote, opened: now.instant)
        let place = clients.firstIndex { !$0.isOpen } ?? clients.count
        if place == clients.count { clients.append(client) } else { clients[place] = client }
        clientPlaces[connection] = place
        effects.log(.debug, "client_up", ["client": .text(remote), "clients": .count(clientPlaces.count)])
    }

    /// Ends a connection without an answer.
    mutating func close(client place: Int, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        clients[place].outbox.flushAll(on: clients[place].connection, into: &effects)
        effects.append(.finish(clients[place].connection))
        removeClient(place, reason, at: now, into: &effects)
    }

    /// Takes a program out of its subscriptions and of every open vote (gossip section 3.1).
    mutating func removeClient(_ place: Int, _ reason: CloseReason, at now: Moment, into effects: inout Effects) {
        let client = clients[place]
        clientPlaces[client.connection] = nil
        heldClients.remove(place)
        timers.cancel(.message(client.connection))
        timers.cancel(.unread(client.connection))
        topics.unsubscribe(place, from: client.types)
        clients[place].isOpen = false
        clients[place].buffer = ReceiveBuffer()
        clients[place].outbox.clear()
        clients[place].questions = Questions()
        for number in client.questions.votes.map({ whole($0, below: votes.next) }).sorted() {
            settle(votes.leave(number), of: number, .gone, at: now, into: &effects)
        }
        effects.log(
            .debug, "client_down",
            [
                "client": .text(client.remote), "reason": .string(reason.rawValue),
                "seconds": .seconds(now.instant - client.opened), "announced": .count(client.announced),
                "notified": .count(client.notified), "dropped": .count(client.dropped),
            ])
    }

    mutating func clientIsTooSlow(
        _ connection: ConnectionID, _ timer: Timer, at now: Moment, into effects: inout Effects
    ) {
        guard let place = clientPlaces[connection] else { return }
        let isUnread = timer == .unread(connection)
        if !isUnread, clients[place].messageBegan + Client.messageLimit > now.instant {
            return timers.set(timer, at: clients[place].messageBegan + Client.messageLimit)
        }
        effects.log(
            .warn, "client_refused",
            ["client": .text(clients[place].remote), "reason": .string(isUnread ? "too_slow" : "timeout")],
            isUnread ? "it has read nothing for a minute" : "it began a message and did not end it")
        guard isUnread else { return close(client: place, .timeout, at: now, into: &effects) }
        effects.append(.abort(connection, .tooSlow))
        removeClient(place, .tooSlow, at: now, into: &effects)
    }

    /// All that it had sent is carried out; a partial message is discarded (gossip section 3.9).
    mutating func clientEnded(_ place: Int, at now: Moment, into effects: inout Effects) {
        close(client: place, .closedByPeer, at: now, into: &effects)
    }
}

// MARK: - Messages

extension Gossip {
    mutating func receivedFromClient(_ bytes: Bytes, _ place: Int, at now: Moment, into effects: inout Effects) {
        clients[place].buffer.append(bytes)
        let waiting = clients[place].buffer.waiting
        var (begin, offset) = (0, 0)
        do throws(DecodeError) {
            while true {
                // Verdicts come in the largest numbers and in runs.
                while let validation = Validation.next(in: waiting, at: offset) {
                    offset += Validation.octets
                    judged(validation, by: place, at: now, into: &effects)
                }
                begin = offset
                guard let frame = try Frame.next(in: waiting, at: offset, Self.isFromClient) else { break }
                offset += frame.message.count
                switch frame.type {
                case MessageType.announce:
                    try announced(Announce(decoding: frame.message), by: place, at: now, into: &effects)
                case MessageType.notify: subscribe(place, try Notify(decoding: frame.message), into: &effects)
                default: judged(try Validation(decoding: frame.message), by: place, at: now, into: &effects)
                }
            }
        } catch {
            effects.log(
                .warn, "client_refused",
                [
                    "client": .text(clients[place].remote), "reason": .string("malformed"), "error": .text(error),
                    "header": .string(hexadecimal(waiting.dropping(begin).prefix(Frame.headerBytes))),
                ], "a program sent what is not for the module API")
            return close(client: place, .malformed, at: now, into: &effects)
        }
        clients[place].buffer.consume(offset)
        watchMessage(of: place, isNew: offset > 0, at: now)
    }

    /// What a program may send, judged by its header (gossip section 3.10).
    @inline(__always)
    private static func isFromClient(_ type: UInt16, _ size: Int) -> Bool {
        switch type {
        case MessageType.announce: size >= Announce.headBytes
        case MessageType.notify, MessageType.validation: size == Validation.octets
        default: false
        }
    }

    /// A message that was begun has 30 s to end.
    private mutating func watchMessage(of place: Int, isNew: Bool, at now: Moment) {
        let isInMessage = clients[place].buffer.count > 0
        if isInMessage, isNew || !clients[place].isInMessage { clients[place].messageBegan = now.instant }
        guard isInMessage != clients[place].isInMessage else { return }
        clients[place].isInMessage = isInMessage
        let timer = Timer.message(clients[place].connection)
        if isInMessage { timers.set(timer, at: now.instant + Client.messageLimit) } else { timers.cancel(timer) }
    }

    private mutating func subscribe(_ place: Int, _ notify: Notify, into effects: inout Effects) {
        guard clients[place].types.insert(notify.dataType).inserted else { return }
        let topic = topics.make(notify.dataType)
        topics[topic].subscribers.append(place)
        effects.log(
            .debug, "subscribed", ["client": .text(clients[place].remote), "type": .count(notify.dataType)])
    }

    /// Asks a program about an item; false when too much waits for it already (gossip section 3.11).
    @inline(__always)
    mutating func ask(_ place: Int, _ message: Bytes, vote: UInt64) -> Bool {
        guard clients[place].outbox.octets + message.count <= configuration.maxQueueBytes,
            !(life.isCrowded && clients[place].outbox.isStalled)
        else {
            clients[place].dropped += 1
            counters.unreadDrops += 1
            return false
        }
        var messageID = dice.messageID(using: &random)
        while !clients[place].questions.insert(messageID, vote: vote) {
            // Taken, or the table is full: perhaps by questions whose vote is over.
            if clients[place].questions.isFull { clients[place].questions.forget(votes) }
            messageID = dice.messageID(using: &random)
        }
        clients[place].outbox.write(
            item: message, UInt8(truncatingIfNeeded: MessageType.notification), UInt8(messageID >> 8),
            UInt8(truncatingIfNeeded: messageID))
        clients[place].notified += 1
        counters.delivered += 1
        list(client: place)
        return true
    }
}

/// Random numbers for message IDs: four from each draw.
struct Dice {
    private var bits: UInt64 = 0
    private var left = 0

    /// 1 to 65534 (gossip section 3.5).
    @inline(__always)
    mutating func messageID(using random: inout some RandomNumberGenerator) -> UInt16 {
        while true {
            if left == 0 {
                bits = random.next()
                left = 4
            }
            let value = UInt16(truncatingIfNeeded: bits)
            bits >>= 16
            left -= 1
            if value != 0, value != .max { return value }
        }
    }
}
