internal import PeerCore

/// Somebody who has called one of our ports (P+2 section 3).
struct Caller {
    enum Phase {
        /// Its line is not complete.
        case reading
        /// Its line is complete; the answer is being looked for, or it waits for its turn.
        case waiting
        /// A file goes to it.
        case sending
        /// The answer is queued, and our side ends behind it.
        case ending
    }

    /// What it wants to know of a file, while its digest is being computed.
    struct Stat {
        let file: FileName
        let entry: FileEntry
    }

    let service: Service
    let remote: SocketAddress
    let accepted: Instant
    var phase = Phase.reading
    var line: RequestLine
    var stat: Stat?
    /// The file that it wants, and from where.
    var wanted: FileName?
    var first: UInt64 = 0
    /// When the upload began, how much of it was sent when we last looked, and when that last grew.
    var began = Instant(nanoseconds: 0)
    var sent: UInt64 = 0
    var lastMove = Instant(nanoseconds: 0)

    init(_ service: Service, _ remote: SocketAddress, lineOctets: Int, at now: Instant) {
        (self.service, self.remote, accepted) = (service, remote, now)
        line = RequestLine(limit: lineOctets)
    }

    var isReading: Bool { phase == .reading }
}

/// Those who call one service.
private struct Crowd {
    var all = 0
    /// From the address that was asked for.
    var fromThere = 0
    /// The one who has kept us waiting for its line longest.
    var oldestReading: ConnectionID?
}

extension [ConnectionID: Caller] {
    fileprivate func crowd(at service: Service, from ip: IPAddress?) -> Crowd {
        var crowd = Crowd()
        for (connection, caller) in self where caller.service == service {
            crowd.all += 1
            if caller.remote.ip == ip { crowd.fromThere += 1 }
            guard caller.isReading else { continue }
            crowd.oldestReading = Swift.min(connection, crowd.oldestReading ?? connection)
        }
        return crowd
    }
}

extension PPlusTwo {
    // MARK: Coming

    mutating func accepted(
        _ connection: ConnectionID, on listener: ListenerID, local: SocketAddress, remote: SocketAddress,
        at now: Moment, into effects: inout Effects
    ) {
        guard let service = Service(listener), !life.isStopping else {
            return effects.append(.abort(connection, .shutdown))
        }
        if service == .list { metOurselves(from: remote, at: now, into: &effects) }
        guard configuration.access.allows(remote.ip) else {
            reject(service, remote, "scope", into: &effects)
            return effects.append(.abort(connection, .banned))
        }
        guard makeRoom(for: remote.ip, service, into: &effects) else {
            reject(service, remote, "limit", into: &effects)
            return effects.append(.abort(connection, .limit))
        }
        let lineOctets = configuration.limits(of: service).lineOctets
        callers[connection] = Caller(service, remote, lineOctets: lineOctets, at: now.instant)
        timers.set(.line(connection), at: now.instant + configuration.lineTimeout)
        pauseOrAccept(service, into: &effects)
    }

    /// Whether there is room for one caller more. When the service is full, the oldest that has not said its line makes
    /// room (P+2 section 3.2).
    private mutating func makeRoom(for ip: IPAddress, _ service: Service, into effects: inout Effects) -> Bool {
        let limits = configuration.limits(of: service)
        let crowd = callers.crowd(at: service, from: ip)
        guard crowd.fromThere < limits.perAddress else { return false }
        guard crowd.all >= limits.connections else { return true }
        guard let oldest = crowd.oldestReading, let caller = callers[oldest] else { return false }
        reject(service, caller.remote, "limit", into: &effects)
        effects.append(.abort(oldest, .limit))
        forgetCaller(oldest)
        return true
    }

    /// Accepts nobody while there is no room and nobody to make any: callers wait in the system's queue.
    private mutating func pauseOrAccept(_ service: Service, into effects: inout Effects) {
        // Only who is many can be too many.
        let limit = configuration.limits(of: service).connections
        guard callers.count >= limit || paused.contains(service) else { return }
        let crowd = callers.crowd(at: service, from: nil)
        let isFull = crowd.all >= limit && crowd.oldestReading == nil
        guard isFull != paused.contains(service), life.listening.contains(service), !life.isStopping else { return }
        if isFull {
            paused.insert(service)
            effects.append(.pause(service.listener))
        } else {
            paused.remove(service)
            effects.append(.resume(service.listener))
        }
    }

    private mutating func forgetCaller(_ connection: ConnectionID) {
        callers[connection] = nil
        timers.cancel(.line(connection))
        timers.cancel(.digest(connection))
        timers.cancel(.upload(connection))
    }

    // MARK: The line

    mutating func callerSaid(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        // What follows the line is nobody's.
        guard callers[connection]?.isReading ?? false else { return }
        do throws(DecodeError) {
            guard let line = try callers[connection]?.line.take(bytes) else { return }
            answer(connection, line, at: now, into: &effects)
        } catch {
            lineIsTooLong(connection, at: now, into: &effects)
        }
    }

    mutating func callerEnded(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let caller = callers[connection], caller.isReading else { return }
        do throws(DecodeError) {
            guard let line = try caller.line.atEnd() else { return finish(connection, at: now, into: &effects) }
            answer(connection, line, at: now, into: &effects)
        } catch {
            lineIsTooLong(connection, at: now, into: &effects)
        }
    }

    private mutating func lineIsTooLong(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        if let caller = callers[connection] { reject(caller.service, caller.remote, "line_too_long", into: &effects) }
        finish(connection, at: now, into: &effects)
    }

    mutating func lineTimedOut(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let caller = callers[connection], caller.isReading else { return }
        reject(caller.service, caller.remote, "line_timeout", into: &effects)
        finish(connection, at: now, into: &effects)
    }

    private mutating func answer(
        _ connection: ConnectionID, _ line: Bytes, at now: Moment, into effects: inout Effects
    ) {
        guard let service = callers[connection]?.service else { return }
        callers[connection]?.phase = .waiting
        timers.cancel(.line(connection))
        switch service {
        case .list: answerList(connection, line, at: now, into: &effects)
        case .query: answerQuery(connection, line, at: now, into: &effects)
        case .download: answerDownload(connection, line, at: now, into: &effects)
        }
        pauseOrAccept(service, into: &effects)
    }

    // MARK: The end

    /// Sends an answer and ends our side behind it (P+2 section 3.1).
    mutating func finish(
        _ connection: ConnectionID, with answer: Bytes = Bytes(), at now: Moment, into effects: inout Effects
    ) {
        guard callers[connection] != nil else { return }
        if !answer.isEmpty { effects.send(answer, on: connection) }
        effects.append(.finish(connection))
        callers[connection]?.phase = .ending
        callers[connection]?.stat = nil
        timers.cancel(.line(connection))
        timers.cancel(.upload(connection))
    }

    mutating func callerClosed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        guard let caller = callers[connection] else { return }
        forgetCaller(connection)
        if caller.service == .download { uploadClosed(connection, caller, reason, at: now, into: &effects) }
        pauseOrAccept(caller.service, into: &effects)
    }

    mutating func reject(
        _ service: Service, _ source: SocketAddress, _ reason: String, into effects: inout Effects
    ) {
        counters.rejected[reason, default: 0] += 1
        effects.log(
            .info, "reject",
            ["service": .string(service.rawValue), "source": .text(source), "reason": .string(reason)])
    }
}
