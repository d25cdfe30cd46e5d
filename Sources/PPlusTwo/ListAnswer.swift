internal import PeerCore

// MARK: - Port p: the list of known peers (P+2 section 4.1)

extension PPlusTwo {
    /// Takes the caller in, then answers with the list: so it finds itself in it.
    mutating func answerList(
        _ connection: ConnectionID, _ line: Bytes, at now: Moment, into effects: inout Effects
    ) {
        guard let caller = callers[connection] else { return }
        let identity = PeerIdentity(line: line)
        let (echoed, verdict) = takeIn(identity, from: caller.remote, at: now, into: &effects)
        let told = listAnswer(echoing: echoed)
        counters.listsAnswered += 1
        effects.log(
            .info, "list_in",
            [
                "source": .text(caller.remote), "announced": identity.map { .text($0) } ?? .null,
                "verdict": .string(verdict), "sent": .count(told.count),
            ])
        var answer = ByteWriter()
        for identity in told { answer.write(identity.line) }
        finish(connection, with: answer.bytes, at: now, into: &effects)
    }

    /// Judges what a caller has announced. Gives what is echoed to it, and the verdict for the log.
    private mutating func takeIn(
        _ identity: PeerIdentity?, from source: SocketAddress, at now: Moment, into effects: inout Effects
    ) -> (PeerIdentity?, String) {
        guard let identity else {
            return (nil, "invalid")
        }
        guard !own.contains(identity) else { return (nil, "self") }
        let belief = Belief(identity, .announced(from: source.ip), configuration.access)
        switch belief {
        case .refuse:
            reject(.list, source, "scope", into: &effects)
            return (nil, belief.rawValue)
        case .echo:
            guard peers[identity] != nil || countForeign(from: source.ip) else {
                reject(.list, source, "limit", into: &effects)
                return (identity, "limit")
            }
        case .share, .candidate: break
        }
        let outcome = peers.learn(
            identity, isShared: belief == .share, isDirect: identity.ip == source.ip, at: now.instant)
        life.needsSettling = true
        switch outcome {
        case .added, .known, .revived:
            // Failed, and told of by somebody else: nobody is to be told of it.
            return (peers[identity]?.state == .failed ? nil : identity, belief.rawValue)
        case .tombstone, .full: return (identity, outcome.rawValue)
        }
    }

    /// Whether a public address may announce one identity of others more in this hour.
    private mutating func countForeign(from ip: IPAddress) -> Bool {
        // So many addresses in an hour are a flood: then nobody's word about others counts.
        guard foreign.count < 65_536 || foreign[ip] != nil else { return false }
        guard foreign[ip, default: 0] < configuration.maxForeignIdentitiesPerHour else { return false }
        foreign[ip, default: 0] += 1
        return true
    }

    /// What is told: live ones, the most recently met first, then those that may be told already, the caller last.
    func listAnswer(echoing caller: PeerIdentity?) -> [PeerIdentity] {
        var room = configuration.maxListAnswerLines
        var octets = configuration.maxListAnswerBytes
        func take(_ identity: PeerIdentity) -> Bool {
            let length = identity.description.utf8.count + 1
            guard room > 0, octets >= length else { return false }
            room -= 1
            octets -= length
            return true
        }
        let last = caller.filter { take($0) }
        var told: [PeerIdentity] = []
        for entry in peers.list where entry.isShared && entry.identity != caller {
            guard take(entry.identity) else { break }
            told.append(entry.identity)
        }
        return told + (last.map { [$0] } ?? [])
    }

    /// What is ourselves, or nobody's peer any more, leaves the list.
    mutating func dropOwn(at now: Moment) {
        for entry in peers.all where own.contains(entry.identity) { peers.remove(entry.identity) }
    }

    mutating func dropRefused(at now: Moment, into effects: inout Effects) {
        for entry in peers.all where !configuration.access.allows(entry.identity.ip) { peers.remove(entry.identity) }
        for connection in callers.keys.sorted() {
            guard let remote = callers[connection]?.remote, !configuration.access.allows(remote.ip) else { continue }
            effects.append(.abort(connection, .banned))
        }
    }
}

extension Optional {
    /// The value, if it passes.
    func filter(_ passes: (Wrapped) -> Bool) -> Wrapped? { flatMap { passes($0) ? $0 : nil } }
}
