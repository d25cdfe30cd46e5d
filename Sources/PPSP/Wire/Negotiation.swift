/// The transports of a peer, and how two peers agree on one of them in one round (PPSP section 6).
public struct Transports: Hashable, Sendable {
    /// What is known here, in order of preference: ID, endpoint, URL and request window; the rest comes from the swarm.
    private let own: [TransportEntry]

    /// These transports, in order of preference; PPSP-TCP, which every peer has, is added when it is not among them.
    public init(_ own: [TransportEntry]) {
        let isComplete = own.contains { $0.id == TransportID.tcp }
        self.own = isComplete ? own : own + [TransportEntry(TransportID.tcp)]
    }

    /// The whole list, for an offer or for who asks.
    public func list(for swarm: SwarmMetadata) -> [TransportEntry] {
        own.filter { Self.isPossible($0.id, swarm) }.map { entry($0, swarm, Self.preferredAddressing($0.id, swarm)) }
    }

    /// TRANSPORT_MANDATORY with the parameters of PPSP-TCP.
    public func mandatory(for swarm: SwarmMetadata) -> TransportOffer {
        let tcp = own.first { $0.id == TransportID.tcp } ?? TransportEntry(TransportID.tcp)
        return .mandatory(entry(tcp, swarm, .chunks64))
    }

    private func entry(_ own: TransportEntry, _ swarm: SwarmMetadata, _ addressing: ChunkAddressing) -> TransportEntry {
        var entry = own
        entry.chunkSize = swarm.chunkSize
        entry.addressing = own.id == TransportID.http ? nil : addressing.rawValue
        entry.integrityMethod = SwarmMetadata.merkleTree
        entry.hashFunction = swarm.hashFunction?.rawValue
        entry.contentLength = swarm.contentLength
        return entry
    }

    /// Whether a swarm can travel so: RFC 7574 has no code for our private hash function (PPSP section 6), and a
    /// datagram has no room for large chunks.
    private static func isPossible(_ id: UInt16, _ swarm: SwarmMetadata) -> Bool {
        id != TransportID.datagrams
            || swarm.hashFunction?.isStandard ?? true && swarm.chunkSize ?? 0 <= PPSP.mostDatagramChunk
    }

    /// 64-bit chunk ranges (PPSP section 9.2); over datagrams the default of RFC 7574, which libswift has, while the
    /// chunks have numbers in it.
    private static func preferredAddressing(_ id: UInt16, _ swarm: SwarmMetadata) -> ChunkAddressing {
        id == TransportID.datagrams && swarm.fits(.chunks32) ? .chunks32 : .chunks64
    }

    /// The addressing that an entry means; nil when it is none that its transport may have here.
    private static func addressing(of entry: TransportEntry, _ swarm: SwarmMetadata) -> ChunkAddressing? {
        guard entry.id != TransportID.http else { return .chunks64 }
        let code = entry.addressing ?? ChunkAddressing.chunks64.rawValue
        return ChunkAddressing(rawValue: code).flatMap { swarm.fits($0) ? $0 : nil }
    }
}

// MARK: - Answering

/// The answer to an offer.
public enum TransportAnswer: Hashable, Sendable {
    /// A RESPONSE with this.
    case transports(TransportOffer)
    /// OBJECT NOT FOUND: the offer is about another content.
    case objectNotFound
}

extension Transports {
    /// The answer to an offer about a swarm of which this is known.
    ///
    /// A list gets those of its entries that are spoken here and whose parameters are acceptable, in our order; when
    /// there are none, PPSP-TCP, or OBJECT NOT FOUND if it is their content that differs. Who asks gets the whole list,
    /// who speaks PPSP-TCP only gets that. (PPSP section 6)
    public func answer(to offer: TransportOffer, about swarm: SwarmMetadata) -> TransportAnswer {
        switch offer {
        case .ask: return .transports(.list(list(for: swarm)))
        case .mandatory(let offered):
            return swarm.joined(with: offered).map { .transports(mandatory(for: $0)) } ?? .objectNotFound
        case .list(let offered):
            var accepted: [TransportEntry] = []
            var isOther = false
            for transport in own where Self.isPossible(transport.id, swarm) {
                guard let theirs = offered.first(where: { $0.id == transport.id }) else { continue }
                guard let swarm = swarm.joined(with: theirs) else {
                    isOther = true
                    continue
                }
                guard Self.isPossible(transport.id, swarm), let addressing = Self.addressing(of: theirs, swarm) else {
                    continue
                }
                accepted.append(entry(transport, swarm, addressing))
            }
            if !accepted.isEmpty { return .transports(.list(accepted)) }
            return isOther ? .objectNotFound : .transports(mandatory(for: swarm))
        }
    }
}

// MARK: - Choosing

/// The transport that an asker uses, and what was learnt of the swarm.
public struct AgreedTransport: Hashable, Sendable {
    /// Which transport.
    public let id: UInt16
    /// How chunks are named.
    public let addressing: ChunkAddressing
    /// The swarm, whose chunk size and hash function are known now.
    public let swarm: SwarmMetadata
    /// Where it is reached, if not on this connection.
    public let endpoint: Endpoint?
    /// Base URL of HTTP.
    public let url: String?
    /// Octets that the other side lets be outstanding.
    public let requestWindow: UInt32

    /// The request window of who does not tell it (PPSP section 6).
    public static let defaultRequestWindow: UInt32 = 1 << 20
}

extension Transports {
    /// The first entry of an answer that can be used; nil when there is none.
    ///
    /// Only what was offered may be in the answer to a list; PPSP-TCP may always be. Datagrams need an endpoint to go
    /// to, HTTP a URL, and each the chunk size. (PPSP section 6)
    public func choose(
        from answer: TransportOffer, to offer: TransportOffer, about swarm: SwarmMetadata
    ) -> AgreedTransport? {
        switch answer {
        case .ask: return nil
        case .mandatory(let entry): return agreed(entry, swarm)
        case .list(let entries):
            for entry in entries where offer.mayBeAnswered(with: entry.id) {
                if let agreed = agreed(entry, swarm) { return agreed }
            }
            return nil
        }
    }

    private func agreed(_ entry: TransportEntry, _ swarm: SwarmMetadata) -> AgreedTransport? {
        guard own.contains(where: { $0.id == entry.id }), let swarm = swarm.joined(with: entry),
            swarm.chunkSize != nil, Self.isPossible(entry.id, swarm),
            let addressing = Self.addressing(of: entry, swarm)
        else { return nil }
        switch entry.id {
        case TransportID.datagrams: guard entry.endpoint?.kind == .datagrams else { return nil }
        case TransportID.http: guard entry.url != nil else { return nil }
        default: break
        }
        return AgreedTransport(
            id: entry.id, addressing: addressing, swarm: swarm, endpoint: entry.endpoint, url: entry.url,
            requestWindow: entry.requestWindow ?? AgreedTransport.defaultRequestWindow)
    }
}

extension TransportOffer {
    /// Whether an answer to it may name that transport.
    fileprivate func mayBeAnswered(with id: UInt16) -> Bool {
        switch self {
        case .ask: true
        case .mandatory: id == TransportID.tcp
        case .list(let entries): id == TransportID.tcp || entries.contains { $0.id == id }
        }
    }
}
