internal import PeerCore
internal import PeerCrypto

// The content of a file comes (BePeer section 5.3).
extension BePeer {
    /// Octets above which nothing is a file.
    private static let mostOctets = UInt64(Int64.max)

    /// What a part file holds already.
    mutating func partInspected(_ id: UInt64, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id], let part = want.part else { return }
        wants[id]?.have = 0
        if case .entries(let entries, _, _) = result, let entry = entries.first, !entry.isFolder, want.knowsPart {
            if entry.size == want.size, want.size > 0 {
                let file = folders[want.tie.folder].file(part)
                let source = DigestSource.blocks(file, offset: 0, count: entry.size, block: entry.size)
                errands[effects.store(.digest(source, .sha256, key: nil))] = .partDigest(id)
                return
            }
            if entry.size < want.size { wants[id]?.have = entry.size }
        }
        fetchContent(id, at: now, into: &effects)
    }

    /// A part that is complete counts when its content is right.
    mutating func partDigested(_ id: UInt64, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        if case .digests(let digests) = result, let digest = digests.first, digest.count == 32,
            want.remote.hash == nil || Bytes32(digest) == want.remote.hash
        {
            let modified = want.remote.hash == nil ? want.modified ?? now.wallClock : want.remote.modified
            return contentCame(
                id, Want.Content(hash: Bytes32(digest), size: want.size, modified: modified), at: now, into: &effects)
        }
        wants[id]?.have = 0
        fetchContent(id, at: now, into: &effects)
    }

    /// Asks for the content, or for its head.
    mutating func fetchContent(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        let name = folders[want.tie.folder].name
        let layout =
            folders[want.tie.folder].settings.isSingle ? .bare : servers[want.server]?.layout ?? want.layout
        wants[id]?.layout = layout
        let target = Target.path(name, want.remote.path, layout)
        let limit = want.remote.hash == nil ? Self.mostOctets : want.size
        var fields: [HTTPField] = []
        let sink: HTTPFetch.Sink
        switch want.way {
        case .head: sink = .bytes(limit: 0)
        case .memory:
            sink = .bytes(
                limit: Int(clamping: want.remote.hash == nil ? configuration.smallFileBytes : want.size))
        case .compare: sink = .digest(limit: limit)
        case .part:
            guard let part = want.part else { return }
            if want.have > 0 {
                fields = [HTTPField("Range", "bytes=\(want.have)-")]
                let tag = want.remote.hash.map { "\"b-\($0.hex)\"" } ?? want.tag
                fields.append(HTTPField("If-Range", tag))
            }
            sink = .file(folders[want.tie.folder].file(part), at: want.have, limit: limit)
        }
        wants[id]?.progress = 0
        wants[id]?.isUnreached = false
        fetch(
            want.way == .head ? .head : .get, want.server, target, fields: fields, into: sink,
            digest: want.way == .head ? nil : .sha256, for: .want(id), into: &effects)
        guard want.way != .head else { return }
        effects.log(
            .debug, "fetch_start",
            [
                "folder": .string(name), "peer": .text(want.server.ip), "path": .text(want.remote.path),
                "from": .count(want.have),
            ])
    }

    mutating func contentFetched(
        _ id: UInt64, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        arrived(result.octets, id, at: now.instant)
        switch result {
        case .failure(.tooLarge) where want.way == .memory && want.remote.hash == nil:
            // More than memory is for: its head tells how to keep a part of it.
            wants[id]?.way = .head
            wants[id]?.size = .max
            fetchContent(id, at: now, into: &effects)
        case .failure(.tooLarge) where mayBeOvertaken(want): overtaken(id, at: now, into: &effects)
        case .failure(.file(.noSpace)):
            folders[want.tie.folder].space = 0
            fail(id, "disk_full", at: now, into: &effects)
        case .failure(.malformed) where want.have > 0: beginAgain(id, "malformed", at: now, into: &effects)
        case .failure(let failure):
            wants[id]?.isUnreached = failure.isConnection
            tryAgain(id, "\(failure)", at: now, into: &effects)
        case .success(let answer):
            switch answer.status {
            case 200 where want.way == .head: headCame(id, answer, at: now, into: &effects)
            case 200: octetsCame(id, answer, at: now, into: &effects)
            case 206: restCame(id, answer, at: now, into: &effects)
            case 404: notFound(id, at: now, into: &effects)
            case 405 where want.way == .head, 501 where want.way == .head:
                wants[id]?.size = Self.mostOctets
                beginUntold(id, at: now, into: &effects)
            case 416 where want.have > 0: nothingMore(id, answer, at: now, into: &effects)
            case 300..<400: tryAgain(id, "redirect", at: now, into: &effects)
            default: tryAgain(id, "\(answer.status)", at: now, into: &effects)
            }
        }
    }

    // MARK: - Going on with a part

    /// The rest of a file counts when it is that of the content of which the part is.
    private mutating func restCame(
        _ id: UInt64, _ answer: HTTPAnswer, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id], want.have > 0,
            let (octets, size) = HTTPRange.content(answer.field("Content-Range")), octets.lowerBound == want.have,
            let size, size == want.size || want.size == Self.mostOctets,
            want.remote.hash != nil || (answer.field("ETag") ?? answer.field("Last-Modified") ?? want.tag) == want.tag
        else {
            return beginAgain(id, "206", at: now, into: &effects)
        }
        guard want.have + answer.octets == size else { return tryAgain(id, "short", at: now, into: &effects) }
        octetsCame(id, answer, at: now, into: &effects)
    }

    /// Behind what is here already there is nothing: then it is all, or of another content.
    private mutating func nothingMore(
        _ id: UInt64, _ answer: HTTPAnswer, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        guard want.remote.hash == nil, HTTPRange.wholeSize(answer.field("Content-Range")) == want.have else {
            return beginAgain(id, "416", at: now, into: &effects)
        }
        wants[id]?.size = want.have
        retryWant(id, at: now, into: &effects)
    }

    /// What is here cannot be gone on with.
    private mutating func beginAgain(_ id: UInt64, _ why: String, at now: Moment, into effects: inout Effects) {
        throwPartAway(id, into: &effects)
        tryAgain(id, why, at: now, into: &effects)
    }

    private mutating func throwPartAway(_ id: UInt64, into effects: inout Effects) {
        guard let want = wants[id], let part = want.part else { return }
        wants[id]?.have = 0
        errands[effects.store(.remove(folders[want.tie.folder].file(part)))] = .nothing
    }

    // MARK: - Answers

    private mutating func headCame(
        _ id: UInt64, _ answer: HTTPAnswer, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        let folder = want.tie.folder
        let local = folders[folder].index[want.remote.path]
        wants[id]?.learn(from: answer, at: now.wallClock)
        let size = answer.field("Content-Length").flatMap { UInt64($0) }
        wants[id]?.size = size ?? Self.mostOctets
        let told = answer.toldHash
        if self[want.tie]?.intake?.isExtended ?? false, let local {
            // Its manifest has told of this file before: either we have the same, or the next round must tell.
            if local.isFile, told == local.hash { return end(id, held: true, at: now, into: &effects) }
            self[want.tie]?.sequence = 0
            self[want.tie]?.pullsAgain = true
            return end(id, held: false, at: now, into: &effects)
        }
        if let local, local.isFile {
            let agreed = self[want.tie]?.agreed[want.remote.path]
            let tag = wants[id]?.tag ?? ""
            let isRemembered = agreed.map { $0.tag == tag && !tag.isEmpty && $0.hash == local.hash } ?? false
            if size == local.size, isRemembered || told == local.hash {
                return end(id, held: true, at: now, into: &effects)
            }
            if size == local.size {
                // Most likely equal: it is read, and not written.
                wants[id]?.way = .compare
                return fetchContent(id, at: now, into: &effects)
            }
        }
        beginUntold(id, at: now, into: &effects)
    }

    /// Fetches what is not as we have it, of a size that is known now.
    private mutating func beginUntold(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        let size = want.size == Self.mostOctets ? 0 : want.size
        guard fits(size, want.tie.folder) else { return postpone(id, at: now, into: &effects) }
        if want.size <= configuration.smallFileBytes, self[want.tie]?.intake?.isExtended ?? false {
            wants[id]?.way = .memory
            return fetchContent(id, at: now, into: &effects)
        }
        // Its name says of which content it is a part: one of another time is never gone on with.
        let place = "\(want.tie.ip)/\(folders[want.tie.folder].name)/\(want.remote.path.text)"
        let part = Marker.part(blake2b256(Bytes(utf8: "\(place)\n\(want.tag)\n\(want.size)")))
        wants[id]?.way = .part
        wants[id]?.part = part
        errands[effects.store(.inspect(folders[want.tie.folder].file(part)))] = .part(id)
    }

    private mutating func octetsCame(
        _ id: UInt64, _ answer: HTTPAnswer, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id], let digest = answer.digest, digest.count == 32 else {
            return tryAgain(id, "no digest", at: now, into: &effects)
        }
        if let encoding = answer.field("Content-Encoding"), encoding.lowercased() != "identity" {
            return tryAgain(id, "encoded", at: now, into: &effects)
        }
        let hash = Bytes32(digest)
        if let expected = want.remote.hash, expected != hash {
            if let told = answer.toldHash, told != expected, mayBeOvertaken(want) {
                throwPartAway(id, into: &effects)
                return overtaken(id, at: now, into: &effects)
            }
            return beginAgain(id, "hash", at: now, into: &effects)
        }
        wants[id]?.learn(from: answer, at: now.wallClock)
        let size =
            want.way == .memory ? UInt64(answer.body.count) : (answer.status == 206 ? want.have : 0) + answer.octets
        servers[want.server, default: ServerFacts()].layout = want.layout
        let content = Want.Content(
            hash: hash, size: size,
            modified: want.remote.hash == nil ? wants[id]?.modified ?? now.wallClock : want.remote.modified,
            bytes: want.way == .memory ? answer.body : nil)
        contentCame(id, content, at: now, into: &effects)
    }

    /// A stock server may have been started in the folder itself (BePeer section 5.1).
    private mutating func notFound(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        let facts = servers[want.server]
        if facts?.isExtended != true, facts?.layout != .folder, want.layout == .folder {
            wants[id]?.layout = .bare
            return fetchContent(id, at: now, into: &effects)
        }
        if mayBeOvertaken(want) { return overtaken(id, at: now, into: &effects) }
        // What is on its way to another name may be back in a moment; what is gone is not worth more.
        if want.attempts == 0 { return tryAgain(id, "not_found", at: now, into: &effects) }
        fail(id, "not_found", at: now, into: &effects)
    }

    /// Whether the peer can be asked at once what it has instead.
    private func mayBeOvertaken(_ want: Want) -> Bool {
        guard let partner = self[want.tie], want.server.ip == want.tie.ip else { return false }
        return partner.state == .trusted && partner.intake?.isExtended ?? false
    }

    /// After 1, 10 and 60 seconds; then from another trusted peer that may have the same content (BePeer section 5.3).
    private mutating func tryAgain(_ id: UInt64, _ why: String, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        effects.log(
            .debug, "fetch_retry",
            [
                "folder": .string(folders[want.tie.folder].name), "peer": .text(want.server.ip),
                "path": .text(want.remote.path), "why": .string(why), "attempts": .count(want.attempts),
            ])
        if want.attempts < Self.retries.count {
            wants[id]?.attempts += 1
            timers.set(.want(id), at: now.instant + Self.retries[want.attempts])
            return
        }
        let others = folders[want.tie.folder].trusted.filter { !want.tried.contains($0) }
        if want.remote.hash != nil, let ip = others.first,
            let server = self[Tie(folder: want.tie.folder, ip: ip)]?.server
        {
            wants[id]?.tried.append(ip)
            wants[id]?.server = server
            wants[id]?.attempts = 0
            return retryWant(id, at: now, into: &effects)
        }
        fail(id, why, at: now, into: &effects)
    }

    mutating func retryWant(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        if want.way == .part, let part = want.part {
            errands[effects.store(.inspect(folders[want.tie.folder].file(part)))] = .part(id)
        } else {
            fetchContent(id, at: now, into: &effects)
        }
    }
}

extension HTTPAnswer {
    /// The hash that the server says the content has (BePeer section 8.3).
    fileprivate var toldHash: Bytes32? {
        field("BePeer-Hash").flatMap { $0.hasPrefix("sha-256=") ? Bytes32(hex: String($0.dropFirst(8))) : nil }
    }
}

extension Result<HTTPAnswer, HTTPFailure> {
    /// Octets that came.
    var octets: UInt64 {
        if case .success(let answer) = self { answer.octets } else { 0 }
    }
}

extension HTTPFailure {
    /// Whether the server was not reached, or is gone.
    var isConnection: Bool { if case .connection = self { true } else { false } }
}
