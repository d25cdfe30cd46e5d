internal import PeerCore

/// An answer over HTTP that is under way.
struct WebAnswer {
    let ip: IPAddress
}

// Chunks that go to others over HTTP (PPSP section 9.7). Any client may ask for any octets of a content; what begins
// and ends with a chunk is proved by `Content-Merkle`.
extension PPSP {
    static let web = ListenerID("http")
    /// When a client without a slot may ask again, in seconds: half of the time after which slots are chosen again.
    private static let retryAfter = "5"

    mutating func requested(
        _ exchange: ExchangeID, _ request: HTTPRequest, from source: SocketAddress, into effects: inout Effects
    ) {
        guard request.method == .get || request.method == .head else {
            return refuse(exchange, 405, [HTTPField("Allow", "GET, HEAD")], into: &effects)
        }
        guard let (swarmID, pass) = WebSource.parse(request.target) else {
            return refuse(exchange, 404, into: &effects)
        }
        guard isPassed(source.ip, pass) else {
            let field = HTTPField("WWW-Authenticate", "PPSP-PP-AUTH-1")
            return refuse(exchange, 401, [field], into: &effects)
        }
        guard let number = numbers[swarmID], let swarm = swarms[number], swarm.isServed, let count = swarm.chunkCount
        else { return refuse(exchange, 404, into: &effects) }
        let tag = "\"\(swarm.id)\""
        if request.knows(tag) {
            return refuse(exchange, 304, [HTTPField("ETag", tag)], into: &effects)
        }
        let size = swarm.length
        let field = request.field("If-Range").map { $0 == tag } ?? true ? request.field("Range") : nil
        let octets: Range<UInt64>
        let range = HTTPRange(field, size: size)
        switch (range, size) {
        case (.octets(let some), _): octets = some
        case (.whole, let size?): octets = 0..<size
        case (.unsatisfiable, let size?):
            return refuse(exchange, 416, [HTTPField("Content-Range", "bytes */\(size)")], into: &effects)
        case (_, nil): return refuse(exchange, 404, into: &effects)
        }
        let chunks = octets.lowerBound / swarm.chunkSize...(octets.upperBound - 1) / swarm.chunkSize
        guard chunks.upperBound < count, swarm.have.contains(ChunkRange(chunks.lowerBound, chunks.upperBound)) else {
            return refuse(exchange, 404, into: &effects)
        }
        guard request.method == .head || takesWebSlot(exchange, source.ip) else {
            return refuse(exchange, 503, [HTTPField("Retry-After", Self.retryAfter)], into: &effects)
        }
        give(octets, of: swarm, tag, isPart: range != .whole, exchange, into: &effects)
    }

    private mutating func give(
        _ octets: Range<UInt64>, of swarm: Swarm, _ tag: String, isPart: Bool, _ exchange: ExchangeID,
        into effects: inout Effects
    ) {
        var fields = [
            HTTPField("ETag", tag), HTTPField("Accept-Ranges", "bytes"),
            HTTPField("Content-Type", "application/octet-stream"), HTTPField("X-Content-Type-Options", "nosniff"),
        ]
        if isPart {
            let size = swarm.length.map { "\($0)" } ?? "*"
            let range = "bytes \(octets.lowerBound)-\(octets.upperBound - 1)/\(size)"
            fields.append(HTTPField("Content-Range", range))
        }
        if let proof = proof(of: octets, of: swarm) { fields.append(HTTPField(MerkleField.name, proof.text)) }
        let count = octets.upperBound - octets.lowerBound
        let body = HTTPResponse.Body.file(swarm.content, offset: octets.lowerBound, count: count)
        effects.append(.respond(exchange, HTTPResponse(isPart ? 206 : 200, fields: fields, body)))
    }

    /// What proves octets; nil unless they begin and end with a chunk.
    private func proof(of octets: Range<UInt64>, of swarm: Swarm) -> MerkleField? {
        let (size, end) = (swarm.chunkSize, octets.upperBound)
        guard octets.lowerBound.isMultiple(of: size), end.isMultiple(of: size) || end == swarm.length,
            let tree = swarm.tree, let chunkSize = swarm.metadata.chunkSize
        else { return nil }
        return MerkleField(tree, chunkSize: chunkSize, ChunkRange(octets.lowerBound / size, (end - 1) / size))
    }

    private func refuse(
        _ exchange: ExchangeID, _ status: Int, _ fields: [HTTPField] = [], into effects: inout Effects
    ) {
        effects.append(.respond(exchange, HTTPResponse(status, fields: fields)))
    }

    // MARK: - Slots

    /// Whether a client has a slot now; an address has one for all that it asks for at one time.
    private mutating func takesWebSlot(_ exchange: ExchangeID, _ ip: IPAddress) -> Bool {
        guard webAnswers.values.contains(where: { $0.ip == ip }) || slotsTaken <= configuration.uploadSlots else {
            return false
        }
        webAnswers[exchange] = WebAnswer(ip: ip)
        return true
    }

    /// Addresses that are given chunks over HTTP.
    var webClients: Int { webAnswers.isEmpty ? 0 : Set(webAnswers.values.map(\.ip)).count }

    mutating func requestClosed(
        _ exchange: ExchangeID, octets: UInt64, at now: Moment, into effects: inout Effects
    ) {
        guard webAnswers.removeValue(forKey: exchange) != nil else { return }
        counters.bytesSent &+= octets
        fillSlots(at: now, into: &effects)
    }

    // MARK: - Who may ask

    /// HTTP has no certificates: in a closed swarm a peer that has proved itself is told a URL with a pass, which is
    /// good at its address for as long as it is connected.
    private func isPassed(_ ip: IPAddress, _ pass: Bytes32?) -> Bool {
        guard !configuration.allow.isEmpty else { return true }
        guard let pass else { return false }
        return links.contains { $0.value.webPass == pass && $0.value.remote.ip == ip && admits($0.key) }
    }

    /// The entry that tells a peer where chunks are to be had over HTTP; nil: nowhere, or it has shown to be of no use.
    func webEntry(on connection: ConnectionID) -> TransportEntry? {
        guard let link = links[connection], !link.avoidsWeb, let server = webServer(for: connection),
            configuration.allow.isEmpty || link.webPass != nil
        else { return nil }
        var entry = TransportEntry(TransportID.http)
        entry.url = WebSource.url(at: server, pass: configuration.allow.isEmpty ? nil : link.webPass)
        return entry
    }

    private func webServer(for connection: ConnectionID) -> SocketAddress? {
        guard let address = configuration.httpAddress, let port = life.webPort else { return nil }
        let ip = address.ip.isUnspecified ? links[connection]?.local?.ip : address.ip
        return ip.map { SocketAddress($0, port) }
    }
}
