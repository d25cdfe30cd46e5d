internal import PeerCore

extension Partner {
    /// Chunks come from it by ranges of its HTTP server.
    struct Web {
        let source: WebSource
        /// What is asked for at present.
        var ranges: [RequestID: ChunkRange] = [:]
        /// Failures since the last success that may have been those of a moment.
        var failures = 0
    }
}

/// A range that is asked for.
struct WebRange {
    let tie: Tie
    /// The transfer for which it is.
    let take: UInt64
}

// Chunks that come over HTTP (PPSP section 9.7): a few ranges of each peer at one time, proved like all others before
// they count. Whoever does not give them so is asked by PPSP-TCP, which every peer has.
extension PPSP {
    /// Ranges that are asked of one peer at one time: the next ones are on their way while one is read.
    private static let mostRanges = 4
    /// Chunks of one range: with those that the chunks themselves tell, their hashes are no more than a receiver keeps
    /// (PPSP section 9.3).
    private static let mostChunks: UInt64 = 64
    /// Octets of one range: so many that what a request costs is small beside them, and a quarter of the window.
    private static let rangeOctets: UInt64 = 256 << 10
    /// Failures of a moment, one after the other, after which a server is left.
    private static let mostFailures = 2
    /// From a failure to the next try when the server does not say.
    private static let pause = Duration.seconds(1)
    /// What a server without a free slot may ask for, in seconds; an overloaded peer is asked again after so long
    /// (PPSP section 8.1).
    private static let retryAfter = 1...30

    /// Chunks come by ranges from now on.
    mutating func beginTakingRanges(_ agreed: AgreedTransport, _ tie: Tie, into effects: inout Effects) {
        guard let link = links[tie.connection], let url = agreed.url, let source = WebSource(url, of: link.remote.ip)
        else { return leaveWeb(tie, "url", into: &effects) }
        partners[tie]?.take?.web = Partner.Web(source: source)
    }

    /// Ranges that may be asked of a peer now.
    func rangesLeft(_ take: Partner.Take, _ swarm: Int) -> Int {
        guard let web = take.web else { return .max }
        // While nothing is proved, one chunk tells how many there are.
        return (swarms[swarm]?.chunkCount == nil ? 1 : Self.mostRanges) - web.ranges.count
    }

    /// Chunks of one question to a peer.
    func chunksLeft(_ take: Partner.Take, _ swarm: Swarm) -> UInt64 {
        guard take.web != nil else { return .max }
        guard swarm.chunkCount != nil, swarm.chunkSize > 0 else { return 1 }
        return min(Self.mostChunks, max(1, Self.rangeOctets / swarm.chunkSize))
    }

    /// What is asked for, and what is not wanted any more.
    mutating func say(
        _ messages: [ChunkMessage], to web: Partner.Web, _ take: Partner.Take, _ tie: Tie, into effects: inout Effects
    ) {
        for case .request(let range) in messages { ask(range, of: web.source, take, tie, into: &effects) }
        for case .cancel in messages { cancelIdle(tie, into: &effects) }
    }

    private mutating func ask(
        _ range: ChunkRange, of source: WebSource, _ take: Partner.Take, _ tie: Tie, into effects: inout Effects
    ) {
        guard let swarm = swarms[tie.swarm] else { return }
        let start = range.first * swarm.chunkSize
        let end = min((range.last + 1) * swarm.chunkSize, swarm.length ?? .max)
        let field = HTTPField("Range", "bytes=\(start)-\(end - 1)")
        var fetch = HTTPFetch(
            .get, of: source.server, source.target(swarm.id), fields: [field], into: .bytes(limit: Int(end - start)))
        fetch.from = self.source
        fetch.connectTime = configuration.connectTimeout
        fetch.stallTime = configuration.chunkTime
        let request = effects.fetch(fetch)
        partners[tie]?.take?.web?.ranges[request] = range
        webRanges[request] = WebRange(tie: tie, take: take.id)
    }

    /// Ranges of which all chunks have come from others, or are late, are not wanted.
    private mutating func cancelIdle(_ tie: Tie, into effects: inout Effects) {
        guard let take = partners[tie]?.take, let web = take.web else { return }
        for (request, range) in web.ranges.sorted(by: { $0.key.number < $1.key.number })
        where !(range.first...range.last).contains(where: { take.asked[$0] != nil }) {
            partners[tie]?.take?.web?.ranges[request] = nil
            webRanges[request] = nil
            effects.append(.cancelFetch(request))
        }
    }

    /// Ranges of transfers that are over are not wanted.
    mutating func cancelEnded(_ swarm: Int, into effects: inout Effects) {
        guard !webRanges.isEmpty else { return }
        for (request, range) in webRanges.sorted(by: { $0.key.number < $1.key.number })
        where range.tie.swarm == swarm && partners[range.tie]?.take?.id != range.take {
            webRanges[request] = nil
            effects.append(.cancelFetch(request))
        }
    }

    // MARK: - Answers

    mutating func fetched(
        _ request: RequestID, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment, into effects: inout Effects
    ) {
        guard let asked = webRanges.removeValue(forKey: request) else { return }
        let tie = asked.tie
        guard let take = partners[tie]?.take, take.id == asked.take,
            let range = partners[tie]?.take?.web?.ranges.removeValue(forKey: request)
        else { return }
        if case .success(let answer) = result, let field = proof(answer, range, tie.swarm) {
            partners[tie]?.take?.web?.failures = 0
            partners[tie]?.take?.restsUntil = nil
            return rangeCame(range, answer.body, field, tie, at: now, into: &effects)
        }
        let chunks = (range.first...range.last).filter { take.asked[$0] != nil }
        for chunk in chunks { partners[tie]?.take?.asked[chunk] = nil }
        release(chunks, tie.swarm)
        rangeFailed(result, tie, at: now, into: &effects)
    }

    /// What proves the octets of an answer; nil when they are not those of the range, or nothing proves them.
    private func proof(_ answer: HTTPAnswer, _ range: ChunkRange, _ number: Int) -> MerkleField? {
        guard let swarm = swarms[number], answer.status == 206, swarm.phase == .fetching,
            let (octets, size) = HTTPRange.content(answer.field("Content-Range")),
            octets.lowerBound == range.first * swarm.chunkSize,
            octets.upperBound - octets.lowerBound == UInt64(answer.body.count),
            octets.upperBound == (range.last + 1) * swarm.chunkSize || octets.upperBound == size ?? swarm.length,
            let field = answer.field(MerkleField.name).flatMap({ MerkleField($0) }),
            field.function == swarm.metadata.hashFunction, field.chunkSize == swarm.metadata.chunkSize
        else { return nil }
        return field
    }

    private mutating func rangeFailed(
        _ result: Result<HTTPAnswer, HTTPFailure>, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        switch result {
        case .success(let answer) where answer.status == 503 || answer.status == 429:
            let told = answer.field("Retry-After").flatMap { Int($0) } ?? Self.retryAfter.lowerBound
            let seconds = min(max(told, Self.retryAfter.lowerBound), Self.retryAfter.upperBound)
            rest(tie, until: now.instant + .seconds(seconds))
        case .failure(let failure) where failure.mayPass:
            let failures = (partners[tie]?.take?.web?.failures ?? 0) + 1
            partners[tie]?.take?.web?.failures = failures
            guard failures < Self.mostFailures else { return leaveWeb(tie, "\(failure)", into: &effects) }
            rest(tie, until: now.instant + Self.pause)
        case .success(let answer) where answer.status != 206: leaveWeb(tie, "\(answer.status)", into: &effects)
        case .success: leaveWeb(tie, "unproved", into: &effects)
        case .failure(let failure): leaveWeb(tie, "\(failure)", into: &effects)
        }
    }

    private mutating func rest(_ tie: Tie, until end: Instant) {
        partners[tie]?.take?.restsUntil = end
        timers.set(.chunks(tie), at: end)
    }

    /// A peer is asked by PPSP-TCP from now on.
    mutating func leaveWeb(_ tie: Tie, _ reason: String, into effects: inout Effects) {
        guard let partner = partners[tie], links[tie.connection]?.avoidsWeb == false else { return }
        links[tie.connection]?.avoidsWeb = true
        effects.log(
            .info, "http_left",
            [
                "swarm": .string(name(of: tie.swarm)), "peer": .string(partner.peerID.hex), "reason": .string(reason),
            ])
        if let take = partner.take { abandon(take, tie) }
        timers.set(.askAgain(tie), at: clock.instant)
    }

    // MARK: - Chunks

    /// The chunks of a range are hashed together, whether others have given some of them meanwhile or not: the hashes
    /// of all may be needed to prove one.
    private mutating func rangeCame(
        _ range: ChunkRange, _ octets: Bytes, _ field: MerkleField, _ tie: Tie, at now: Moment,
        into effects: inout Effects
    ) {
        guard let swarm = swarms[tie.swarm], let take = partners[tie]?.take else { return }
        let asked = (range.first...range.last).filter { take.asked[$0] != nil }
        take.octets &+= UInt64(octets.count)
        take.pace.add(octets.count, askedAt: asked.first.flatMap { take.asked[$0] }, at: now.instant)
        for chunk in asked { take.asked[chunk] = nil }
        counters.bytesReceived &+= UInt64(octets.count)
        let size = Int(swarm.chunkSize)
        let hashes = field.hashes.map { (node: $0.node, hash: $0.hash) }
        var arrivals: [Arrival] = []
        for (index, start) in stride(from: 0, to: octets.count, by: size).enumerated() {
            let chunk = range.first + UInt64(index)
            var arrival = Arrival(
                tie: tie, chunk: chunk, payload: octets.slice(start..<min(start + size, octets.count)),
                hashes: index == 0 ? hashes : [])
            arrival.isSpare = !asked.contains(chunk)
            if arrival.isSpare {
                counters.bytesTwice &+= UInt64(arrival.payload.count)
            } else {
                swarms[tie.swarm]?.inHand.insert(chunk)
                withdraw(chunk, except: tie, into: &effects)
            }
            arrivals.append(arrival)
        }
        // Behind the last chunk of the content there is none.
        release(asked.filter { $0 >= range.first + UInt64(arrivals.count) }, tie.swarm)
        check(arrivals, isRange: true, tie.swarm, into: &effects)
    }

    /// What an answer has told of hashes, and what its chunks tell of others.
    func told(_ check: Check, _ digests: [Bytes], _ function: HashFunction) -> UnverifiedHashes {
        var told = UnverifiedHashes(capacity: MerkleField.most + 2 * digests.count)
        for (node, hash) in check.arrivals.first?.hashes ?? [] { told.insert(node, hash) }
        var level = zip(check.arrivals, digests).map { (node: Subtree(leaf: $0.chunk), hash: $1) }
        while !level.isEmpty {
            for (node, hash) in level where told[node] == nil { told.insert(node, hash) }
            var above: [(node: Subtree, hash: Bytes)] = []
            for (left, right) in zip(level, level.dropFirst()) where left.node.isLeft {
                above.append((left.node.parent, function.parent(left.hash, right.hash)))
            }
            level = above
        }
        return told
    }
}

extension HTTPFailure {
    /// Whether the same may succeed in a moment.
    fileprivate var mayPass: Bool {
        switch self {
        case .connection, .short: true
        default: false
        }
    }
}
