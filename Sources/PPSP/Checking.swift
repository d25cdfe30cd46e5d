internal import PeerCore

/// A chunk that is verified and on its way to the disk.
struct Stored {
    let tie: Tie
    let chunk: UInt64
    let octets: Int
}

// Chunks are hashed in batches off the loop, proved in order, and only then written (PPSP section 9.3).
extension PPSP {
    /// Octets that one batch has at most: some milliseconds of a worker thread.
    private static let batchOctets = 2 << 20
    /// Octets that are worth a batch, and how long fewer wait for others when none is under way: handing work to a
    /// thread and back costs more than hashing a chunk.
    static let (fullOctets, gatherTime) = (1 << 20, Duration.milliseconds(10))
    /// Batches under way: more than there are cores brings nothing.
    private static let mostChecks = 4
    /// From the first chunk that is stored to the moment at which that is durable.
    private static let keepTime = Duration.seconds(2)

    /// Has what has come hashed; `isDue`: also when it is little.
    mutating func checkArrivals(_ number: Int, isDue: Bool = false, at now: Moment, into effects: inout Effects) {
        if let swarm = swarms[number], !isDue, gathers(swarm) {
            if !timers.isSet(.check(number)) { timers.set(.check(number), at: now.instant + Self.gatherTime) }
            return
        }
        timers.cancel(.check(number))
        while let swarm = swarms[number], !swarm.arrivals.isEmpty, swarm.metadata.hashFunction != nil,
            swarm.checks.count < Self.mostChecks, swarm.checks.isEmpty || swarm.arrivedOctets >= Self.fullOctets
        {
            var octets = 0
            let batch = swarm.arrivals.prefix { arrival in
                defer { octets += arrival.payload.count }
                return octets == 0 || octets + arrival.payload.count <= Self.batchOctets
            }
            octets = batch.reduce(0) { $0 + $1.payload.count }
            swarms[number]?.arrivals.removeFirst(batch.count)
            swarms[number]?.arrivedOctets -= octets
            check(Array(batch), number, into: &effects)
        }
    }

    /// Whether the chunks of a batch are still coming. Not when somebody reads along, for the first chunk, which tells
    /// how many there are, and for datagrams, whose senders wait for word.
    private func gathers(_ swarm: Swarm) -> Bool {
        let isComing = swarm.arrivals.count * Int(swarm.chunkSize) < swarm.pendingOctets
        return isComing && 0 < swarm.arrivedOctets && swarm.arrivedOctets < Self.fullOctets && swarm.checks.isEmpty
            && !swarm.isOrdered && !swarm.have.isEmpty && swarm.arrivals.allSatisfy { $0.delay == nil }
    }

    /// Has chunks hashed; `isRange`: they prove each other.
    mutating func check(_ batch: [Arrival], isRange: Bool = false, _ number: Int, into effects: inout Effects) {
        guard let swarm = swarms[number], let function = swarm.metadata.hashFunction else { return }
        let check = Check(number: swarm.lastCheck + 1, arrivals: batch, isRange: isRange)
        swarms[number]?.lastCheck += 1
        swarms[number]?.checks.append(check)
        let source = DigestSource.each(batch.map(\.payload))
        errands[effects.store(.digest(source, function.algorithm, key: nil))] = .checked(number, check: check.number)
    }

    /// Hashes are there. Proofs are taken in the order in which chunks came, since each may rest on the one before.
    mutating func checked(
        _ number: Int, _ check: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        guard let index = swarms[number]?.checks.firstIndex(where: { $0.number == check }) else { return }
        guard case .digests(let digests) = result else { preconditionFailure("octets in memory cannot be hashed") }
        swarms[number]?.checks[index].digests = digests
        while let check = swarms[number]?.checks.first, let digests = check.digests {
            swarms[number]?.checks.removeFirst()
            var pieces: [FilePiece] = []
            var stored: [Stored] = []
            for arrival in proved(check, digests, number, into: &effects) {
                let size = swarms[number]?.chunkSize ?? 0
                pieces.append(FilePiece(at: arrival.chunk * size, arrival.payload))
                stored.append(Stored(tie: arrival.tie, chunk: arrival.chunk, octets: arrival.payload.count))
            }
            guard !pieces.isEmpty, let part = swarms[number]?.part else { continue }
            errands[effects.store(.write(part, pieces))] = .written(number, stored)
        }
        toPump.insert(number)
    }

    /// Chunks that belong to the content.
    private mutating func proved(
        _ check: Check, _ digests: [Bytes], _ number: Int, into effects: inout Effects
    ) -> [Arrival] {
        guard check.isRange, let function = swarms[number]?.metadata.hashFunction else {
            return zip(check.arrivals, digests).compactMap { arrival, digest in
                // Moved, so that they are changed in their place.
                var hashes = UnverifiedHashes()
                let take = partners[arrival.tie]?.take
                if let take { swap(&hashes, &take.unverified) }
                for (node, hash) in arrival.hashes { hashes.insert(node, hash) }
                let holds = prove(arrival, digest, with: &hashes, number, into: &effects)
                take?.unverified = hashes
                return holds ? arrival : nil
            }
        }
        var hashes = told(check, digests, function)
        var holds = true
        return zip(check.arrivals, digests).compactMap { arrival, digest in
            guard !arrival.isSpare else { return nil }
            // Behind a chunk that does not hold, a range is worth nothing.
            guard holds else {
                putBack(arrival, number)
                return nil
            }
            holds = prove(arrival, digest, with: &hashes, isRange: true, number, into: &effects)
            return holds ? arrival : nil
        }
    }

    /// A chunk has not come.
    private mutating func putBack(_ arrival: Arrival, _ number: Int) {
        swarms[number]?.inHand.remove(arrival.chunk)
        release([arrival.chunk], number)
        guard let swarm = swarms[number], let second = swarm.second.removeValue(forKey: arrival.chunk) else { return }
        swarm.ask(ChunkRange(arrival.chunk))
        swarm.arrive(second)
    }

    /// Whether a chunk belongs to the content.
    private mutating func prove(
        _ arrival: Arrival, _ digest: Bytes, with hashes: inout UnverifiedHashes, isRange: Bool = false, _ number: Int,
        into effects: inout Effects
    ) -> Bool {
        let tie = arrival.tie
        guard swarms[number]?.phase == .fetching else { return false }
        let countBefore = swarms[number]?.chunkCount
        let verdict =
            swarms[number]?.tree?.verify(
                arrival.chunk, leaf: digest, length: arrival.payload.count, with: &hashes) ?? .missing
        if let count = swarms[number]?.chunkCount, count != countBefore { counted(number, count) }
        switch verdict {
        case .verified(let below):
            guard isWhole(arrival, number) else { break }
            let node = below ?? Subtree(leaf: arrival.chunk)
            swarms[number]?.unwritten.insert(node.range)
            acknowledge(arrival)
            return true
        case .missing:
            if let channel = channels.number(of: tie.connection) {
                missesHashes(arrival, channel, into: &effects)
                return false
            }
            if !isRange, !arrival.isLate, partners[tie]?.take?.isPush ?? false {
                // It rests on a chunk before it, of which somebody else's copy was false: that one comes first.
                var arrival = arrival
                arrival.isLate = true
                swarms[number]?.arrive(arrival)
                return false
            }
            putBack(arrival, number)
            if isRange {
                leaveWeb(tie, "hashes_missing", into: &effects)
                return false
            }
            // It believes to have told what we have not: the transfer begins anew.
            blame(tie, "hashes_missing", points: Conduct.slip, into: &effects)
            renew(tie, into: &effects)
            return false
        case .tooLarge:
            fail(number, "the content has more chunks than /content/maxContentBytes allows", into: &effects)
            return false
        case .contradicted: break
        }
        putBack(arrival, number)
        blame(tie, "chunk", into: &effects)
        return false
    }

    /// All chunks but the last have the same size.
    private func isWhole(_ arrival: Arrival, _ number: Int) -> Bool {
        guard let swarm = swarms[number], let count = swarm.chunkCount else { return false }
        return arrival.chunk + 1 == count || arrival.payload.count == swarm.chunkSize
    }

    /// The number of chunks is known, or is smaller than somebody has made believe.
    private mutating func counted(_ number: Int, _ count: UInt64) {
        swarms[number]?.counted(count)
        for partner in swarms[number]?.peers ?? [] { partner.has = ChunkSet(partner.has, limit: count) }
    }

    // MARK: - On the disk

    mutating func written(
        _ number: Int, _ chunks: [Stored], _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        for chunk in chunks {
            swarms[number]?.inHand.remove(chunk.chunk)
            swarms[number]?.second[chunk.chunk] = nil
        }
        if case .failed(let error) = result {
            release(chunks.map(\.chunk), number)
            return fail(number, "\(error)", into: &effects)
        }
        guard let before = swarms[number]?.prefix else { return }
        for chunk in chunks { swarms[number]?.store(chunk) }
        swarms[number]?.measure(at: now.instant)
        counters.bytesStored &+= UInt64(chunks.reduce(0) { $0 + $1.octets })
        if swarms[number]?.isDirty == false {
            swarms[number]?.isDirty = true
            timers.set(.keep(number), at: now.instant + Self.keepTime)
        }
        spread(number, at: now, into: &effects)
        swarms[number]?.grow()
        if swarms[number]?.have.isComplete ?? false {
            keep(number, into: &effects)
        } else if swarms[number]?.isOrdered ?? false, swarms[number]?.prefix != before {
            tellProgress(of: number, at: now, into: &effects)
        }
        toPump.insert(number)
    }

    /// What has come becomes durable: the chunks, then their hashes, then the row that tells of them.
    mutating func keep(_ number: Int, into effects: inout Effects) {
        timers.cancel(.keep(number))
        guard let swarm = swarms[number], swarm.isDirty, !swarm.isKeeping, let tree = swarm.tree else { return }
        swarms[number]?.isKeeping = true
        swarms[number]?.isDirty = false
        // The peaks stand above chunks of which none may be here.
        let fixed = [0..<HashTree.headBytes] + tree.peaks.map { tree.place(of: $0) }
        let pieces =
            fixed.map { FilePiece(at: UInt64($0.lowerBound), tree.encoded($0)) }
            + swarm.unwritten.ranges().map { range in
                let octets = tree.fileRange(of: range)
                return FilePiece(at: UInt64(octets.lowerBound), tree.encoded(octets))
            }
        swarms[number]?.unwritten.removeAll()
        swarms[number]?.keeping = swarm.have
        errands[effects.store(.write(swarm.hashes, pieces))] = .nothing
        errands[effects.store(.truncate(swarm.hashes, size: UInt64(tree.encoded.count)))] = .nothing
        // Behind the hashes, in the folder in which these are; the chunks have been written before.
        errands[effects.store(.sync([swarm.hashes, swarm.part]))] = .kept(number)
    }

    mutating func kept(_ number: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        swarms[number]?.isKeeping = false
        if case .failed(let error) = result { return fail(number, "\(error)", into: &effects) }
        rememberMap(number, swarm.keeping, into: &effects)
        effects.log(
            .debug, "content_saved", ["swarm": .text(swarm.id), "chunks": .count(swarm.keeping.count)])
        if swarm.keeping.isComplete, swarm.phase == .fetching {
            finish(number, attempt: 0, into: &effects)
        } else if swarm.isDirty {
            timers.set(.keep(number), at: now.instant + Self.keepTime)
            if swarm.have.isComplete { keep(number, into: &effects) }
        }
    }
}
