internal import PeerCore
internal import PeerJSON

/// How a large file comes of which an older version is here: what is equal is copied, the rest is fetched (BePeer
/// section 8.4).
struct BlockPlan {
    /// Octets that lie together, here or at the peer.
    struct Segment: Equatable {
        /// Where they belong.
        let offset: UInt64
        var count: UInt64
        /// Where they are in our older version; nil: only the peer has them.
        let source: UInt64?
    }

    private(set) var segments: [Segment] = []
    /// The one that comes next.
    var next = 0

    /// `theirs` are the digests of the new version's blocks, `ours` those of the old one's, in order.
    init(size: UInt64, theirs: [Bytes], oldSize: UInt64, ours: [Bytes], block: UInt64) {
        var places: [Bytes: UInt64] = [:]
        for (index, digest) in ours.enumerated() where places[digest] == nil { places[digest] = UInt64(index) * block }
        for (index, digest) in theirs.enumerated() {
            let offset = UInt64(index) * block
            let count = min(block, size - offset)
            // Blocks of other lengths have other digests, but for an accident that the digest of the whole finds.
            let source = places[digest].flatMap { $0 + count <= oldSize ? $0 : nil }
            append(Segment(offset: offset, count: count, source: source))
        }
    }

    private mutating func append(_ segment: Segment) {
        if let last = segments.last,
            last.source == nil && segment.source == nil || last.source.map({ $0 + last.count }) == segment.source
        {
            segments[segments.count - 1].count += segment.count
        } else {
            segments.append(segment)
        }
    }

    /// Octets of the segments that are here.
    var passed: UInt64 { segments.prefix(max(0, next - 1)).reduce(0) { $0 + $1.count } }

    /// Octets that have to be fetched.
    var fetched: UInt64 { segments.reduce(0) { $0 + ($1.source == nil ? $1.count : 0) } }
}

extension BePeer {
    /// Of a list of blocks no more is taken: there are fewer than 2000, of some 70 octets each.
    private static let listOctets = 256 << 10
    /// Where more than three quarters have changed, blocks are not worth their list.
    private static let (worth, worthOf): (UInt64, UInt64) = (3, 4)

    /// Whether an older version of the file may have blocks of the new one.
    func hasOlder(_ want: Want) -> Bool {
        guard let local = folders[want.tie.folder].index[want.remote.path] else { return false }
        return local.isFile && local.size > configuration.smallFileBytes
    }

    /// The part file is built anew, from its beginning.
    mutating func beginBlocks(_ id: UInt64, into effects: inout Effects) {
        guard let want = wants[id], let part = want.part else { return }
        errands[effects.store(.remove(folders[want.tie.folder].file(part)))] = .blocks(id)
    }

    mutating func partRemoved(_ id: UInt64, into effects: inout Effects) {
        guard let want = wants[id] else { return }
        wants[id]?.progress = 0
        _ = fetch(
            .get, want.server, Target.extended(folders[want.tie.folder].name, "blocks", want.remote.path),
            into: .bytes(limit: Self.listOctets), for: .blockList(id), into: &effects)
    }

    mutating func blockListCame(
        _ id: UInt64, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        wants[id]?.progress = 0
        guard case .success(let answer) = result, answer.status == 200, let list = BlockList(answer.body),
            list.size == want.size, let local = folders[want.tie.folder].index[want.remote.path], local.isFile
        else { return retryWant(id, at: now, into: &effects) }
        wants[id]?.theirs = list.digests
        let file = folders[want.tie.folder].file(want.remote.path)
        let source = DigestSource.blocks(file, offset: 0, count: local.size, block: Blocks.size(of: want.size))
        errands[effects.store(.digest(source, .sha256, key: nil))] = .blocksHere(id, local.size)
    }

    mutating func blocksHere(
        _ id: UInt64, _ oldSize: UInt64, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        guard let want = wants[id] else { return }
        wants[id]?.theirs = []
        guard case .digests(let ours) = result else { return retryWant(id, at: now, into: &effects) }
        let plan = BlockPlan(
            size: want.size, theirs: want.theirs, oldSize: oldSize, ours: ours, block: Blocks.size(of: want.size))
        guard plan.fetched / Self.worth <= want.size / Self.worthOf else {
            return retryWant(id, at: now, into: &effects)
        }
        wants[id]?.plan = plan
        nextSegment(id, at: now, into: &effects)
    }

    private mutating func nextSegment(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        guard let want = wants[id], let plan = want.plan, let part = want.part else { return }
        guard plan.next < plan.segments.count else {
            // The whole is looked at like any part that is complete.
            wants[id]?.plan = nil
            return retryWant(id, at: now, into: &effects)
        }
        wants[id]?.plan?.next += 1
        wants[id]?.progress = 0
        let segment = plan.segments[plan.next]
        let place = folders[want.tie.folder].file(part)
        if let source = segment.source {
            let old = folders[want.tie.folder].file(want.remote.path)
            let copy = StoreOperation.copyRange(
                old, offset: source, count: segment.count, to: place, at: segment.offset)
            errands[effects.store(copy)] = .segment(id)
            return
        }
        let layout = servers[want.server]?.layout ?? want.layout
        let fields = [
            HTTPField("Range", "bytes=\(segment.offset)-\(segment.offset + segment.count - 1)"),
            HTTPField("If-Range", want.remote.hash.map { "\"b-\($0.hex)\"" } ?? want.tag),
        ]
        _ = fetch(
            .get, want.server, Target.path(folders[want.tie.folder].name, want.remote.path, layout), fields: fields,
            into: .file(place, at: segment.offset, limit: want.size), for: .segment(id), into: &effects)
    }

    mutating func segmentCopied(_ id: UInt64, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard case .done = result else { return giveUpBlocks(id, at: now, into: &effects) }
        nextSegment(id, at: now, into: &effects)
    }

    mutating func segmentCame(
        _ id: UInt64, _ result: Result<HTTPAnswer, HTTPFailure>, at now: Moment, into effects: inout Effects
    ) {
        // With 200 the whole has come: another one than was told of, or from a server without ranges.
        guard case .success(let answer) = result, answer.status == 206 else {
            return giveUpBlocks(id, at: now, into: &effects)
        }
        nextSegment(id, at: now, into: &effects)
    }

    /// What is there so far is gone on with as with any part.
    private mutating func giveUpBlocks(_ id: UInt64, at now: Moment, into effects: inout Effects) {
        wants[id]?.plan = nil
        retryWant(id, at: now, into: &effects)
    }
}

/// What a peer tells of the blocks of a file (BePeer section 8.4).
struct BlockList {
    let size: UInt64
    let digests: [Bytes]

    /// nil: it is none, or not with the blocks that a file of that size has.
    init?(_ body: Bytes) {
        guard case .record(let record)? = try? JSON.parse(body, limit: body.count + 1),
            let size = record.int("size").flatMap({ UInt64(exactly: $0) }),
            let block = record.int("block").flatMap({ UInt64(exactly: $0) }), block == Blocks.size(of: size)
        else { return nil }
        let digests = (record.list("h") ?? []).compactMap { value -> Bytes? in
            guard case .string(let hex) = value, Bytes32(hex: hex) != nil else { return nil }
            return Bytes(hex: hex)
        }
        guard UInt64(digests.count) == size.dividedRoundingUp(by: block) else { return nil }
        self.size = size
        self.digests = digests
    }
}
