internal import PeerCore

// BePeer/1 over HTTP: what old peers never see (BePeer section 8).
extension BePeer {
    /// Entries of one answer; a reader asks on where it ends. Some hundred kilobytes, some tens of milliseconds.
    private static let entriesAtOnce = 4096

    mutating func extended(
        _ exchange: ExchangeID, _ request: HTTPRequest, _ components: [String], from source: SocketAddress,
        at now: Moment, into effects: inout Effects
    ) {
        guard configuration.extensions, components.count >= 3, components[1] == "1" else {
            return answer(exchange, 404, into: &effects)
        }
        if components[2...] == ["hello"] { return greet(exchange, request, into: &effects) }
        guard components[2] == "f", components.count >= 5, let folder = folder(named: components[3]),
            servesTo(source.ip, folder), folders[folder].phase != .recalling
        else {
            return answer(exchange, 404, into: &effects)
        }
        let rest = components[5...]
        switch (components[4], request.method) {
        case ("handle", .post) where rest.isEmpty:
            handle(exchange, request, Tie(folder: folder, ip: source.ip), at: now, into: &effects)
        case ("handle", _): answer(exchange, 405, [HTTPField("Allow", "POST")], into: &effects)
        case (_, .get), (_, .head):
            switch components[4] {
            case "manifest" where rest.isEmpty:
                let since = Target.parameter("since", of: request.target).flatMap { UInt64($0) } ?? 0
                manifest(exchange, folder, since: since, into: &effects)
            case "proof": prove(exchange, request, folder, rest, into: &effects)
            case "blocks": tellBlocks(exchange, folder, rest, into: &effects)
            default: answer(exchange, 404, into: &effects)
            }
        default: answer(exchange, 405, [HTTPField("Allow", "GET, HEAD")], into: &effects)
        }
    }

    private func greet(_ exchange: ExchangeID, _ request: HTTPRequest, into effects: inout Effects) {
        guard request.method == .get || request.method == .head else {
            return answer(exchange, 405, [HTTPField("Allow", "GET, HEAD")], into: &effects)
        }
        var record: Record = ["bepeer": 1, "node": .string(NodeNumber.text(node))]
        if let port = life.messagePort { record["messagePort"] = .count(port) }
        record["features"] = ["manifest", "hash", "blocks", "proof", "sample", "handle"]
        json(exchange, 200, Bytes(utf8: record.json), into: &effects)
    }

    private func json(_ exchange: ExchangeID, _ status: Int, _ body: Bytes, into effects: inout Effects) {
        let fields = [HTTPField("Content-Type", "application/json"), HTTPField("X-Content-Type-Options", "nosniff")]
        effects.append(.respond(exchange, HTTPResponse(status, fields: fields, .bytes(body))))
    }

    // MARK: - Manifest

    private func manifest(_ exchange: ExchangeID, _ folder: Int, since: UInt64, into effects: inout Effects) {
        let shared = folders[folder]
        let changes = shared.index.changes(after: since)
        let page = changes.prefix(Self.entriesAtOnce)
        let last = page.count == changes.count ? shared.sequence : shared.index.records[page[page.count - 1]].sequence
        var text: [UInt8] = []
        ManifestLine.head(folder: shared.name, node: node, sequence: shared.sequence).write(to: &text)
        var count = 0
        for place in page {
            let record = shared.index.records[place]
            // What was only changed here, where changes are nobody's business, is told as it was.
            guard !record.isDiverged, shared.replicates(record.path) else { continue }
            ManifestLine.file(record.remote).write(to: &text)
            count += 1
        }
        ManifestLine.tail(count: count, sequence: last).write(to: &text)
        json(exchange, 200, Bytes(text), into: &effects)
    }

    // MARK: - Proofs and blocks

    private mutating func prove(
        _ exchange: ExchangeID, _ request: HTTPRequest, _ folder: Int, _ components: ArraySlice<String>,
        into effects: inout Effects
    ) {
        guard let record = record(folder, components) else { return answer(exchange, 404, into: &effects) }
        guard let nonce = Target.parameter("nonce", of: request.target).flatMap({ Bytes32(hex: $0) }) else {
            return answer(exchange, 400, into: &effects)
        }
        let file = folders[folder].file(record.path)
        var source = DigestSource.blocks(file, offset: 0, count: record.size, block: record.size)
        if record.size == 0 { source = .bytes(Bytes()) }
        let sample = Target.parameter("sample", of: request.target)
        if let sample {
            guard let count = Int(sample), (1...Sample.mostCount).contains(count) else {
                return answer(exchange, 400, into: &effects)
            }
            source = Sample.source(file, size: record.size, nonce: nonce, count: count)
        }
        let request = effects.store(.digest(source, .sha256, key: Bytes(nonce.array)))
        errands[request] = .answerProof(exchange, isSample: sample != nil)
    }

    func proved(_ exchange: ExchangeID, isSample: Bool, _ result: StoreResult, into effects: inout Effects) {
        guard case .digests(let digests) = result, let digest = isSample ? Sample.digest(digests) : digests.first
        else { return answer(exchange, 404, into: &effects) }
        json(exchange, 200, Proof.write(digest), into: &effects)
    }

    private mutating func tellBlocks(
        _ exchange: ExchangeID, _ folder: Int, _ components: ArraySlice<String>, into effects: inout Effects
    ) {
        guard let record = record(folder, components) else { return answer(exchange, 404, into: &effects) }
        let block = Blocks.size(of: record.size)
        let source = DigestSource.blocks(
            folders[folder].file(record.path), offset: 0, count: record.size, block: block)
        errands[effects.store(.digest(source, .sha256, key: nil))] = .answerBlocks(exchange, record.size)
    }

    func blocksTold(_ exchange: ExchangeID, _ size: UInt64, _ result: StoreResult, into effects: inout Effects) {
        guard case .digests(let digests) = result else { return answer(exchange, 404, into: &effects) }
        let record: Record = [
            "size": .count(size), "block": .count(Blocks.size(of: size)),
            "h": .list(digests.map { .string($0.hex) }),
        ]
        json(exchange, 200, Bytes(utf8: record.json), into: &effects)
    }

    // MARK: - Handing over

    /// A joiner is handed to a peer that has the files too (BePeer sections 3.4 and 8.5). False: there is none.
    mutating func handOver(_ tie: Tie, at now: Moment, into effects: inout Effects) -> Bool {
        let others = folders[tie.folder].trusted.filter { ip in
            let partner = folders[tie.folder].partners[ip]
            return ip != tie.ip && partner?.isReachable ?? false
                && partner.flatMap { facts(of: $0) }?.isExtended ?? false
        }
        guard !others.isEmpty else { return false }
        let other = others[Int.random(in: others.indices, using: &random)]
        guard let server = folders[tie.folder].partners[other]?.server else { return false }
        let port = self[tie]?.messagePort ?? Self.standardPort
        fetch(
            .post, server, Target.extended(folders[tie.folder].name, "handle"),
            fields: [HTTPField("Content-Type", "application/json")],
            body: Proof.writeHandle(SocketAddress(tie.ip, port)), into: .bytes(limit: 0), for: .nothing,
            into: &effects)
        effects.log(
            .info, "handed_over",
            ["folder": .string(folders[tie.folder].name), "peer": .text(tie.ip), "to": .text(other)])
        return true
    }

    /// A trusted peer hands a joiner over to us.
    private mutating func handle(
        _ exchange: ExchangeID, _ request: HTTPRequest, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        guard !request.isBodyTooLarge else { return answer(exchange, 413, into: &effects) }
        guard self[tie]?.state == .trusted, let address = Proof.readHandle(request.body) else {
            return answer(exchange, 403, into: &effects)
        }
        guard folders[tie.folder].isReady, !life.isStopping else {
            return answer(exchange, 503, [HTTPField("Retry-After", "60")], into: &effects)
        }
        // Nobody outside may send us to a host of our own network.
        let isInside = address.ip.isLoopback || address.ip.isPrivate
        guard admits(address.ip, tie.folder), !isInside || tie.ip.isLoopback || tie.ip.isPrivate else {
            return answer(exchange, 403, into: &effects)
        }
        answer(exchange, 202, into: &effects)
        let joiner = Tie(folder: tie.folder, ip: address.ip)
        guard self[joiner]?.state != .dropped else { return }
        if self[joiner] == nil { self[joiner] = Partner(address.ip) }
        self[joiner]?.messagePort = address.port
        offerAll(joiner, at: now, into: &effects)
    }
}
