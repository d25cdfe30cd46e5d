public import PeerCore
internal import PeerCrypto

/// The part of a peer that asks bootstrap servers for an ID and for other peers (gossip sections 5.2 to 5.4).
///
/// A core that has a UDP listener embeds it and hands over what concerns it. With each server the dialogue is: INIT,
/// POPULATE with an ID, INIT with that ID at once (the echo that proves the way back), POPULATE with the full list;
/// then a renewal every minute. Without an answer, or while peers are wanted, it asks after 1, 2, 4 … 60 s.
public struct BootstrapClient: Sendable {
    private let listener: ListenerID
    private let degree: UInt16
    private var servers: [AskedServer]
    private var random: SeededRandom
    private var isRunning = false
    private var isWanting = true
    /// An ID of our own choice, for servers that could give none.
    private let ownChoice: UInt16

    /// A client of `servers` that sends from `listener` and asks for `degree` peers.
    public init(servers: [Destination], listener: ListenerID, degree: UInt16, seed: Bytes32) {
        self.listener = listener
        self.degree = degree
        self.servers = servers.map(AskedServer.init)
        self.random = SeededRandom(seed: seed)
        self.ownChoice = UInt16.random(in: 1...UInt16.max - 1, using: &random)
    }

    /// Our ID: that of the first server which gave one; until then, or when none gives one, a random one.
    public var id: UInt16 { servers.lazy.compactMap(\.id).first ?? ownChoice }

    /// When `deadline` is wanted; nil while it is not started, or without servers.
    public var nextDeadline: Instant? { isRunning ? servers.lazy.map(\.nextAsk).min() : nil }

    /// Asks all servers. Call it when the listener is open.
    public mutating func start(at now: Moment, into effects: inout Effects) {
        isRunning = true
        askAnew(at: now, into: &effects)
    }

    /// Whether the overlay has fewer peers than it wants: then the servers are asked again after 1, 2, 4 … 60 s.
    public mutating func setWanting(_ wanting: Bool, at now: Moment, into effects: inout Effects) {
        guard wanting != isWanting else { return }
        isWanting = wanting
        guard isRunning else { return }
        for index in servers.indices where servers[index].isSettled {
            servers[index].step = 0
            let pause = wanting ? Pace.pause(step: 0, using: &random) : Pace.renewal(using: &random)
            servers[index].nextAsk = (servers[index].lastAsk ?? now.instant) + pause
        }
    }

    /// A name was resolved. Gives whether this client had asked.
    public mutating func resolved(
        _ request: RequestID, _ addresses: [IPAddress], at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let index = servers.firstIndex(where: { $0.request == request }) else { return false }
        servers[index].request = nil
        guard isRunning, case .name(_, let port) = servers[index].destination else { return true }
        guard !addresses.isEmpty else {
            servers[index].problem = "the name has no address"
            return true
        }
        let ip = servers[index].choice(of: addresses)
        send(to: SocketAddress(ip, port), ofServer: index, at: now, into: &effects)
        return true
    }

    /// A datagram came in. Gives the usable entries of a POPULATE that answers this client, nil for everything else.
    public mutating func datagram(
        _ bytes: Bytes, from source: SocketAddress, at now: Moment, into effects: inout Effects
    ) -> [PeerAddress]? {
        guard isRunning, let index = servers.firstIndex(where: { $0.isAnswer(from: source, at: now.instant) })
        else { return nil }
        let populate: Populate
        do throws(DecodeError) {
            guard case .populate(let message) = try BootstrapMessage(decoding: bytes), message.id != .max
            else { throw .invalid(field: "message") }
            populate = message
        } catch {
            effects.log(.debug, "bootstrap_malformed", ["address": .text(source), "reason": .text(error)])
            return nil
        }
        let isEcho = servers[index].id == populate.id && servers[index].isEchoed
        // A server that was silent is there again: the pauses begin anew.
        if servers[index].unanswered > 1, isWanting {
            servers[index].step = 0
            servers[index].nextAsk = now.instant + Pace.pause(step: 0, using: &random)
        }
        let news = servers[index].answered(by: populate, from: source, at: now)
        report(populate, news: news, fromServer: index, into: &effects)
        planAfterAnswer(populate.id, wasEcho: isEcho, fromServer: index, at: now, into: &effects)
        return servers[index].lastEntries
    }

    /// `nextDeadline` has come: asks the servers whose time it is.
    public mutating func deadline(at now: Moment, into effects: inout Effects) {
        guard isRunning else { return }
        for index in servers.indices where servers[index].nextAsk <= now.instant {
            ask(index, at: now, into: &effects)
        }
    }

    /// After a gap in time: asks all servers at once.
    public mutating func resumed(at now: Moment, into effects: inout Effects) {
        guard isRunning else { return }
        askAnew(at: now, into: &effects)
    }

    /// Says goodbye to the servers that gave an ID.
    public mutating func stop(into effects: inout Effects) {
        guard isRunning else { return }
        isRunning = false
        for server in servers {
            guard let id = server.id, let address = server.answeredFrom else { continue }
            effects.append(.sendDatagram(Disconnect(id: id).bytes, from: listener, to: address))
        }
    }

    /// A record for each server.
    public func status() -> [Record] { servers.map(\.record) }
}

extension BootstrapClient {
    private mutating func askAnew(at now: Moment, into effects: inout Effects) {
        for index in servers.indices {
            servers[index].step = 0
            ask(index, at: now, into: &effects)
        }
    }

    /// Resolves the server's name, or sends INIT, and sets the time of the next attempt.
    private mutating func ask(_ index: Int, at now: Moment, into effects: inout Effects) {
        if servers[index].beginAttempt() {
            effects.log(
                .warn, "bootstrap_silent",
                [
                    "server": .text(servers[index].destination), "tries": .count(servers[index].unanswered),
                    "reason": .string(servers[index].problem),
                ],
                "the bootstrap server does not answer")
        }
        servers[index].nextAsk = now.instant + Pace.pause(step: servers[index].step, using: &random)
        servers[index].step += 1
        servers[index].lastAsk = now.instant
        switch servers[index].destination {
        case .address(let address): send(to: address, ofServer: index, at: now, into: &effects)
        case .name(let name, _): servers[index].request = effects.resolve(name)
        }
    }

    private mutating func send(
        to address: SocketAddress, ofServer index: Int, at now: Moment, into effects: inout Effects
    ) {
        let id = servers[index].id ?? 0
        servers[index].sent(to: address, at: now.instant)
        effects.append(.sendDatagram(Init(degree: degree, id: id).bytes, from: listener, to: address))
        effects.log(
            .debug, "bootstrap_asked",
            ["server": .text(servers[index].destination), "address": .text(address), "id": .count(id)])
    }

    private func report(_ populate: Populate, news: Int, fromServer index: Int, into effects: inout Effects) {
        // A renewal is no news for the operator.
        effects.log(
            isWanting || !servers[index].isSettled ? .info : .debug, "bootstrap_populated",
            [
                "server": .text(servers[index].destination), "id": .count(populate.id),
                "entries": .count(servers[index].lastEntries.count), "new": .count(news),
            ])
    }

    /// A new ID is echoed at once; once the echo is answered, the server is settled.
    private mutating func planAfterAnswer(
        _ id: UInt16, wasEcho: Bool, fromServer index: Int, at now: Moment, into effects: inout Effects
    ) {
        servers[index].isSettled = wasEcho || id == 0
        if id == 0 {
            servers[index].nextAsk = now.instant + Pace.afterRefusal
        } else if !servers[index].isEchoed, let address = servers[index].answeredFrom {
            servers[index].isEchoed = true
            servers[index].lastAsk = now.instant
            send(to: address, ofServer: index, at: now, into: &effects)
        } else if wasEcho, !isWanting {
            servers[index].step = 0
            servers[index].nextAsk = (servers[index].lastAsk ?? now.instant) + Pace.renewal(using: &random)
        }
    }
}
