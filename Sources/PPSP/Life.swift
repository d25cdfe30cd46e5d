internal import PeerCore

/// How far the protocol is between its start and its end.
struct Life {
    var isListening = false
    /// The port of the listener, once it is known.
    var port: UInt16?
    /// That of the HTTP server, once it listens.
    var webPort: UInt16?
    /// All rows are there.
    var isComplete = false
    /// What the operator has asked before the rows were there.
    var early: [(id: CommandID, command: Command)] = []
    var isStopping = false
}

// MARK: - Start and end

extension PPSP {
    mutating func start(into effects: inout Effects) {
        if let address = configuration.listen {
            effects.append(.listen(Self.control, on: .ip(address), .stream))
            life.port = address.port
        }
        if let address = configuration.httpAddress {
            effects.append(.listen(Self.web, on: .ip(address), .http(HTTPLimits())))
        }
        if let address = configuration.udpAddress {
            channels.begin(using: &random)
            effects.append(.listen(Self.datagrams, on: .ip(address), .datagram))
        }
        effects.append(.recall(table: Rows.contents, after: nil, limit: Rows.page))
    }

    mutating func listening(_ listener: ListenerID, _ address: ListenAddress, into effects: inout Effects) {
        if listener == Self.web {
            if case .ip(let address) = address { life.webPort = address.port }
        } else if case .ip(let address) = address, listener == Self.datagrams {
            channels.port = address.port
            // Those who are called by datagrams could not be before.
            for swarm in swarms.keys.sorted() { timers.set(.meet(swarm), at: clock.instant) }
        } else {
            life.isListening = true
            if case .ip(let address) = address { life.port = address.port }
        }
        effects.log(.info, "listening", ["listener": .text(listener), "address": .text(address)])
    }

    mutating func cannotListen(_ listener: ListenerID, _ error: SystemError, into effects: inout Effects) {
        guard listener != Self.web else {
            return effects.log(
                .error, "listen_failed",
                ["address": .string(configuration.httpAddress?.description ?? ""), "error": .text(error)],
                "contents are not given over HTTP")
        }
        guard listener != Self.datagrams else {
            return effects.log(
                .error, "listen_failed",
                ["address": .string(configuration.udpAddress?.description ?? ""), "error": .text(error)],
                "contents go over TCP only")
        }
        effects.log(
            .error, "listen_failed",
            ["address": .string(configuration.listen?.description ?? ""), "error": .text(error)],
            "peers cannot connect to this node; it still fetches")
    }

    mutating func stop(into effects: inout Effects) {
        guard !life.isStopping else { return }
        life.isStopping = true
        if life.isListening { effects.append(.unlisten(Self.control)) }
        if life.webPort != nil { effects.append(.unlisten(Self.web)) }
        for request in webRanges.keys.sorted(by: { $0.number < $1.number }) { effects.append(.cancelFetch(request)) }
        for number in channels.table.keys.sorted() { removeChannel(number, at: clock, into: &effects) }
        if channels.port != nil { effects.append(.unlisten(Self.datagrams)) }
        for connection in links.keys.sorted() { effects.append(.finish(connection)) }
        for swarm in swarms.keys.sorted() { keep(swarm, into: &effects) }
        for id in watchers.keys.sorted(by: { $0.number < $1.number }) {
            effects.reply(id, [], .refused("the node stops; it goes on with the fetch when it starts again"))
        }
        for (id, _) in life.early { effects.reply(id, [], .refused("the node stops")) }
        (watchers, life.early) = ([:], [])
        webRanges = [:]
        timers = Deadlines()
    }

    /// We were late: others get that much longer.
    mutating func resumed(after gap: Duration, at now: Moment) {
        guard gap > .zero else { return }
        for connection in links.keys.sorted() {
            links[connection]?.heardAt += gap
            if let number = channels.number(of: connection) { channels[number]?.heardAt += gap }
            guard let link = links[connection] else { continue }
            for id in link.questions.keys.sorted() {
                timers.set(.question(connection, id), at: now.instant + configuration.requestTime)
            }
        }
        for tie in partners.keys.sorted() {
            for chunk in partners[tie]?.take?.asked.keys.sorted() ?? [] { partners[tie]?.take?.asked[chunk]? += gap }
        }
    }

    /// The name of a swarm, for the log.
    func name(of swarm: Int) -> String { swarms[swarm]?.id.description ?? "" }
}
