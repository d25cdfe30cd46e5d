internal import PeerCore

// Chunks that go out in datagrams (RFC 7574 digest, sections 4, 5 and 7).

extension PPSP {
    /// Octets of a datagram with several messages: it fits into the frames of nearly all networks, as 1 KiB of a chunk
    /// with its hashes does.
    private static let usualBytes = 1400
    /// The largest payload of a datagram over IPv4.
    private static let mostBytes = 65_507

    /// Chunks are asked for on a channel.
    mutating func wantedByDatagrams(
        _ range: ChunkRange, _ tie: Tie, _ number: UInt32, at now: Moment, into effects: inout Effects
    ) {
        guard partners[tie]?.give != nil, let count = swarms[tie.swarm]?.chunkCount,
            let inside = range.intersection(ChunkRange(0, count - 1))
        else { return }
        partners[tie]?.give?.usedAt = now.instant
        guard takesSlot(tie, at: now, into: &effects) else {
            // Word of it may have been lost.
            if channels[number]?.words.contains(.choke) == false { channels.say([.choke], on: number) }
            return
        }
        channels[number]?.out.want(inside, of: count)
        channels.touched.insert(number)
    }

    /// Chunks have come there, or are there already.
    mutating func acknowledged(
        _ ranges: [(chunks: ChunkRange, delay: UInt64?)], _ tie: Tie, _ number: UInt32, at now: Moment
    ) {
        partners[tie]?.give?.usedAt = now.instant
        guard channels[number]?.out.isIdle == false else { return }
        channels[number]?.out.arrive(ranges, at: now.instant)
        for (range, delay) in ranges where delay == nil { channels[number]?.out.skip(range) }
        channels.touched.insert(number)
    }

    // MARK: - What is to be said and sent

    /// Says and sends what waits on all channels.
    mutating func speak(at now: Moment, into effects: inout Effects) {
        while let number = channels.touched.min() {
            channels.touched.remove(number)
            sayWords(number, at: now, into: &effects)
            sendChunks(number, at: now, into: &effects)
            schedule(number, at: now)
        }
    }

    private mutating func sayWords(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let channel = channels[number], let theirs = channel.theirs,
            !channel.words.isEmpty || channel.mustSpeak
        else { return }
        channels[number]?.words = []
        channels[number]?.mustSpeak = false
        var writer = ByteWriter(capacity: 256)
        writer.write(theirs)
        func end(_ core: inout PPSP, _ effects: inout Effects) {
            effects.append(.sendDatagram(writer.bytes, from: Self.datagrams, to: channel.remote))
            core.channels[number]?.unheard += 1
            writer = ByteWriter(capacity: 256)
            writer.write(theirs)
        }
        for message in channel.words {
            // With bins a message has up to 48 parts (two for each layer), which is far less than what is left.
            message.encode(into: &writer, channel.rules)
            if writer.count > Self.usualBytes - 100 { end(&self, &effects) }
        }
        if writer.count > Datagram.headBytes || channel.words.isEmpty { end(&self, &effects) }
        channels[number]?.saidAt = now.instant
        links[channel.connection]?.saidAt = now.instant
    }

    private mutating func sendChunks(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard channels[number]?.out.isIdle == false, var channel = channels[number], let theirs = channel.theirs,
            let swarm = swarms[channel.swarm], let tree = swarm.tree, let has = partners[channel.tie]?.has
        else { return }
        // Moved, so that it is changed in its place.
        channels[number] = nil
        defer { channels[number] = channel }
        let size = Int(swarm.chunkSize)
        while let run = channel.out.nextRead(swarm.have, chunkSize: size) {
            let octets = Int(run.count) * size
            errands[
                effects.store(.readAt(swarm.content, offset: run.first * UInt64(size), count: octets))
            ] = .readAhead(number, run)
        }
        var (parts, sum, count): ([DatagramParts], UInt64, Int) = ([], 0, 0)
        let time = channels.time(now)
        while let piece = channel.out.nextPiece(at: now.instant) {
            let isCareful = piece.times > 0 || channel.out.isCareful(at: now.instant)
            let nodes = Self.nodes(tree, piece.chunk, has, isCareful ? nil : channel.out.sent)
            var hashes = ByteWriter(capacity: 32 + nodes.count * (channel.rules.hashBytes + 17))
            hashes.write(theirs)
            for node in nodes {
                guard let hash = tree.hash(of: node) else { continue }
                ChunkMessage.integrity(node, hash: hash).encode(into: &hashes, channel.rules)
            }
            let room = max(Self.usualBytes, size + 300)
            if !nodes.isEmpty, hashes.count + piece.payload.count > min(room, Self.mostBytes - 32) {
                parts.append(DatagramParts(hashes.bytes))
                hashes = ByteWriter(capacity: 32)
                hashes.write(theirs)
            }
            ChunkMessage.data(chunk: piece.chunk, time: time, payload: Bytes())
                .encodeHead(ofData: piece.chunk, time, into: &hashes, channel.rules)
            parts.append(DatagramParts(hashes.bytes, piece.payload))
            channel.out.send(piece, octets: hashes.count + piece.payload.count, at: now.instant)
            sum += UInt64(piece.payload.count)
            count += 1
        }
        guard !parts.isEmpty else { return }
        effects.append(.sendDatagrams(parts, from: Self.datagrams, to: channel.remote))
        channel.saidAt = now.instant
        channel.unheard += parts.count
        partners[channel.tie]?.give?.octets &+= sum
        counters.bytesSent &+= sum
    }

    /// The nodes whose hashes go before a chunk: peaks to who has acknowledged nothing, then uncles (digest section 5).
    /// What was only sent counts as known while nothing gets lost.
    private static func nodes(_ tree: HashTree, _ chunk: UInt64, _ has: ChunkSet, _ sent: ChunkSet?) -> [Subtree] {
        let knowsPeaks = !has.isEmpty || !(sent?.isEmpty ?? true)
        return (knowsPeaks ? [] : tree.peaks)
            + tree.uncles(of: chunk) { has.intersects($0) || sent?.intersects($0) ?? false }
    }

    /// A part of a file is read.
    mutating func readAhead(
        _ number: UInt32, _ run: ChunkRange, _ result: StoreResult, into effects: inout Effects
    ) {
        guard let channel = channels[number], let swarm = swarms[channel.swarm] else { return }
        channels.touched.insert(number)
        if case .bytes(let octets) = result, !octets.isEmpty {
            channels[number]?.out.read(run, octets, chunkSize: Int(swarm.chunkSize))
            return
        }
        // The file may just have got its name; then it is asked for again.
        channels[number]?.out.unread(run, chunkSize: Int(swarm.chunkSize))
        guard case .failed(let error) = result else { return }
        effects.log(.warn, "content_unreadable", ["address": .text(channel.remote), "error": .text(error)])
    }
}
