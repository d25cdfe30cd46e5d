internal import PeerCore
internal import PeerJSON

/// What is known of a peer's file server.
struct ServerFacts {
    /// Whether it speaks BePeer/1 (BePeer section 8); nil while it is being asked.
    var isExtended: Bool?
    var node: UInt64?
    /// Whether it proves samples of large files.
    var samples = false
    var messagePort: UInt16?
    var layout: Target.Layout?
    var checkedAt = Instant(nanoseconds: 0)
    /// Who waits for the answer.
    var waiting: [Tie] = []
}

extension BePeer {
    /// Old peers are asked once an hour whether they still are (BePeer section 8).
    private static let helloInterval: Duration = .seconds(3600)
    /// Octets of an answer to hello: some names of features.
    private static let helloOctets = 4096

    /// Whether a server speaks the extension, as far as is known now. When it is not, it is asked, and `tie` goes on
    /// with the answer.
    mutating func knows(
        _ server: SocketAddress, for tie: Tie, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard configuration.extensions else {
            servers[server, default: ServerFacts()].isExtended = false
            return true
        }
        if let facts = servers[server] {
            if facts.isExtended == true { return true }
            if facts.isExtended == false, now.instant - facts.checkedAt < Self.helloInterval { return true }
            if facts.isExtended == nil, !facts.waiting.isEmpty {
                servers[server]?.waiting.append(tie)
                return false
            }
        }
        servers[server, default: ServerFacts()].isExtended = nil
        servers[server]?.waiting = [tie]
        let target = Bytes(utf8: "/.bepeer/1/hello")
        fetch(.get, server, target, into: .bytes(limit: Self.helloOctets), for: .hello(server), into: &effects)
        return false
    }

    /// One HTTP request to a peer.
    @discardableResult
    mutating func fetch(
        _ method: HTTPMethod, _ server: SocketAddress, _ target: Bytes, fields: [HTTPField] = [],
        body: Bytes = Bytes(), into sink: HTTPFetch.Sink, digest: DigestAlgorithm? = nil, for errand: Errand,
        into effects: inout Effects
    ) -> RequestID {
        var fetch = HTTPFetch(method, of: server, target, fields: fields, body: body, into: sink, digest: digest)
        fetch.from = source
        fetch.connectTime = configuration.connectTimeout
        fetch.stallTime = configuration.stallTime
        lanes[server.ip, default: 0] += 1
        let request = effects.fetch(fetch)
        errands[request] = errand
        return request
    }

    /// Whether one more fetch from there may begin.
    func hasLane(_ ip: IPAddress) -> Bool { lanes[ip, default: 0] < configuration.fetchesPerPeer }

    mutating func greeted(
        _ server: SocketAddress, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment,
        into effects: inout Effects
    ) {
        guard var facts = servers[server] else { return }
        let waiting = facts.waiting
        facts.waiting = []
        facts.checkedAt = now.instant
        switch result {
        case .success(let answer):
            facts.isExtended = false
            if answer.status == 200, case .record(let record)? = try? JSON.parse(answer.body, limit: Self.helloOctets),
                record.int("bepeer") == 1, let node = record.string("node").flatMap({ NodeNumber.number($0) })
            {
                facts.isExtended = true
                facts.node = node
                facts.samples = record.list("features")?.contains(.string("sample")) ?? false
                facts.messagePort = record.int("messagePort").flatMap { UInt16(exactly: $0) }
            }
            servers[server] = facts
        case .failure:
            servers[server] = nil
        }
        for tie in waiting {
            if let port = facts.messagePort, self[tie]?.server == server { self[tie]?.messagePort = port }
            if case .failure(let failure) = result {
                serverFailed(tie, failure, at: now, into: &effects)
            } else if facts.node == node {
                metSelf(tie, into: &effects)
            } else {
                serverKnown(tie, at: now, into: &effects)
            }
        }
    }

    /// Goes on with what had waited.
    private mutating func serverKnown(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        if let intake = self[tie]?.intake, intake.phase == .greeting { beginList(tie, at: now, into: &effects) }
        if self[tie]?.verification?.isWaiting ?? false { beginVerifying(tie, at: now, into: &effects) }
    }

    private mutating func serverFailed(
        _ tie: Tie, _ failure: HTTPFailure, at now: Moment, into effects: inout Effects
    ) {
        if let intake = self[tie]?.intake, intake.phase == .greeting {
            intakeFailed(tie, "\(failure)", isUnreached: failure.isConnection, at: now, into: &effects)
        }
        if self[tie]?.verification?.isWaiting ?? false {
            verificationUnreachable(tie, at: now, into: &effects)
        }
    }

    /// It is this node itself, under another address.
    private mutating func metSelf(_ tie: Tie, into effects: inout Effects) {
        effects.log(
            .warn, "peer_is_self", ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip)],
            "the configuration names this node as its own peer")
        self[tie]?.intake = nil
        self[tie]?.verification = nil
        self[tie]?.awaited = nil
        timers.cancel(.outstanding(tie))
    }
}
