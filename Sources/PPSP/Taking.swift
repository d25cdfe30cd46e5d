internal import PeerCore

// Chunks that come (PPSP sections 8.1, 9.1 to 9.3).

extension PPSP {
    /// A request was answered with a transport: chunks can be asked for.
    mutating func beginTaking(
        _ answer: TransportOffer, _ id: UInt64, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        guard let swarm = swarms[tie.swarm] else { return }
        let agreed = transports(on: tie.connection).choose(
            from: answer, to: offer(swarm, on: tie.connection), about: swarm.metadata)
        guard let agreed, let function = agreed.swarm.hashFunction else {
            return offend(tie.connection, .protocolViolation, "transport", into: &effects)
        }
        guard swarm.phase == .fetching else {
            // The last chunk came before the answer; the other side tells its news by this transfer all the same.
            let rules = ChunkRules(.transfer, agreed.addressing, function)
            links[tie.connection]?.end(EndedTransfer(id: id, swarm: tie.swarm, rules: rules))
            return
        }
        if agreed.id == TransportID.datagrams, let endpoint = agreed.endpoint {
            // What it may still say by this transfer is no mistake.
            links[tie.connection]?.takes[id] = tie.swarm
            return beginTakingByDatagrams(agreed, from: endpoint, tie, at: now, into: &effects)
        }
        guard take(agreed, id, tie, isPush: false, at: now, into: &effects), agreed.id == TransportID.http else {
            return
        }
        beginTakingRanges(agreed, tie, into: &effects)
    }

    private mutating func take(
        _ agreed: AgreedTransport, _ id: UInt64, _ tie: Tie, isPush: Bool, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let function = agreed.swarm.hashFunction, adopt(agreed.swarm, tie.swarm) else { return false }
        if let old = partners[tie]?.take { abandon(old, tie) }
        let rules = ChunkRules(.transfer, agreed.addressing, function)
        let window = min(configuration.requestWindow, Int(agreed.requestWindow))
        partners[tie]?.take = Partner.Take(id: id, rules: rules, window: window, isPush: isPush)
        links[tie.connection]?.takes[id] = tie.swarm
        toPump.insert(tie.swarm)
        return true
    }

    /// What a swarm is made with is known now; false when it cannot be taken.
    mutating func adopt(_ metadata: SwarmMetadata, _ number: Int) -> Bool {
        guard let function = metadata.hashFunction, metadata.contentLength ?? 0 <= configuration.maxContentBytes else {
            return false
        }
        guard swarms[number]?.tree == nil else { return true }
        var metadata = metadata
        // The length is a claim until the last chunk is here.
        metadata.contentLength = nil
        swarms[number]?.metadata = metadata
        let most = mostChunks(metadata)
        swarms[number]?.tree = HashTree(root: metadata.swarmID.octets, function, maximumChunks: most)
        return true
    }

    private func mostChunks(_ metadata: SwarmMetadata) -> UInt64 {
        let size = UInt64(metadata.chunkSize ?? 1)
        let most = configuration.maxContentBytes / size + (configuration.maxContentBytes.isMultiple(of: size) ? 0 : 1)
        return min(max(1, most), HashTree.maximumChunks)
    }

    /// A transfer is given up; what was asked for by it others may give.
    mutating func abandon(_ take: Partner.Take, _ tie: Tie) {
        end(take, tie)
        partners[tie]?.take = nil
        release(take.asked.keys.sorted(), tie.swarm)
    }

    /// Whoever takes part in a transfer hears of its end later.
    mutating func end(_ take: Partner.Take, _ tie: Tie) {
        links[tie.connection]?.end(
            EndedTransfer(id: take.id, swarm: tie.swarm, rules: take.rules, octets: take.window))
    }

    /// A peer offers to push (PPSP section 8.2): the transport by which it may; nil: not so.
    mutating func acceptPush(
        _ offer: TransportOffer, _ id: UInt64, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) -> TransportOffer? {
        guard let swarm = swarms[tie.swarm], partners[tie]?.take == nil,
            case .transports(let answer) = pushTransports.answer(to: offer, about: swarm.metadata),
            let agreed = pushTransports.choose(from: answer, to: .ask, about: joined(swarm.metadata, offer)),
            agreed.id == TransportID.tcp, take(agreed, id, tie, isPush: true, at: now, into: &effects)
        else { return nil }
        return answer
    }

    /// What is known of a swarm with what an offer says of it.
    private func joined(_ metadata: SwarmMetadata, _ offer: TransportOffer) -> SwarmMetadata {
        let entry: TransportEntry? =
            switch offer {
            case .ask: nil
            case .mandatory(let entry): entry
            case .list(let entries): entries.first { $0.id == TransportID.tcp }
            }
        return entry.flatMap { metadata.joined(with: $0) } ?? metadata
    }

    // MARK: - Frames

    /// A TRANSFER: what it says of chunks we take, or of chunks we give. A peer says both by either transfer.
    mutating func heard(
        _ frame: TransferFrame, on connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard let link = links[connection], link.peerID != nil else {
            return offend(connection, .protocolViolation, "transfer_first", into: &effects)
        }
        guard let swarm = link.takes[frame.transferID] ?? link.gives[frame.transferID] else {
            return heardLate(frame, on: connection, into: &effects)
        }
        let tie = Tie(connection: connection, swarm: swarm)
        let isTake = link.takes[frame.transferID] != nil
        guard let partner = partners[tie], let rules = isTake ? partner.take?.rules : partner.give?.rules else {
            return
        }
        if !isTake { partners[tie]?.give?.isChosen = true }
        do throws(DecodeError) {
            for message in try frame.messages(rules) {
                heard(message, tie, isTake: isTake, at: now, into: &effects)
                guard links[connection]?.isLeaving == false else { return }
            }
        } catch {
            offend(connection, .malformed, "\(error)", into: &effects)
        }
        toPump.insert(swarm)
    }

    /// By a transfer that is over here: what a peer has counts, chunks that were on their way are dropped.
    private mutating func heardLate(_ frame: TransferFrame, on connection: ConnectionID, into effects: inout Effects) {
        guard let index = links[connection]?.over.firstIndex(where: { $0.id == frame.transferID }),
            let transfer = links[connection]?.over[index]
        else { return offend(connection, .protocolViolation, "transfer_id", into: &effects) }
        do throws(DecodeError) {
            for message in try frame.messages(transfer.rules) {
                if case .have(let range) = message {
                    partners[Tie(connection: connection, swarm: transfer.swarm)]?.has.insert(range)
                } else if case .data(_, _, let payload) = message {
                    guard transfer.octets >= payload.count else {
                        return offend(connection, .protocolViolation, "unasked", into: &effects)
                    }
                    links[connection]?.over[index].octets -= payload.count
                    counters.bytesReceived &+= UInt64(payload.count)
                    counters.bytesTwice &+= UInt64(payload.count)
                }
            }
        } catch {
            offend(connection, .malformed, "\(error)", into: &effects)
        }
        toPump.insert(transfer.swarm)
    }

    private mutating func heard(
        _ message: ChunkMessage, _ tie: Tie, isTake: Bool, at now: Moment, into effects: inout Effects
    ) {
        switch message {
        case .have(let range):
            partners[tie]?.has.insert(range)
            partners[tie]?.isKnown = true
            // Nobody need send what is there already.
            if partners[tie]?.give?.isPush ?? false {
                skip(range, tie)
                partners[tie]?.give?.unconfirmed.remove(range)
            }
        case .integrity(let node, let hash):
            guard isTake, let take = partners[tie]?.take else {
                return offend(tie.connection, .protocolViolation, "integrity", into: &effects)
            }
            guard take.told.count < UnverifiedHashes.capacity else {
                return offend(tie.connection, .flooding, "hashes", into: &effects)
            }
            take.told.append((node, Bytes(Array(hash))))
        case .data(let chunk, _, let payload):
            guard isTake else { return offend(tie.connection, .protocolViolation, "unasked", into: &effects) }
            arrived(chunk, payload, tie, at: now, into: &effects)
        case .request(let range):
            guard !isTake else { return offend(tie.connection, .protocolViolation, "request", into: &effects) }
            wanted(range, tie, at: now, into: &effects)
        case .cancel(let range): if !isTake { skip(range, tie) }
        case .choke where isTake: choked(tie, at: now, into: &effects)
        case .unchoke where isTake: partners[tie]?.take?.isChoked = false
        // A pushed peer stops us, or lets us go on.
        case .choke: partners[tie]?.give?.isChoked = true
        case .unchoke: partners[tie]?.give?.isChoked = false
        case .ack, .signedIntegrity, .handshake, .peerExchangeRequest, .peer, .certifiedPeer: break
        }
    }

    /// What is outstanding there will not come.
    private mutating func choked(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let take = partners[tie]?.take else { return }
        timers.cancel(.chunks(tie))
        release(take.choke(), tie.swarm)
    }

    // MARK: - Chunks

    private mutating func arrived(
        _ chunk: UInt64, _ payload: Bytes, _ tie: Tie, at now: Moment, into effects: inout Effects
    ) {
        guard let take = partners[tie]?.take, let swarm = swarms[tie.swarm] else { return }
        let askedAt = take.asked[chunk]
        let wasAsked = askedAt != nil
        take.asked[chunk] = nil
        take.octets &+= UInt64(payload.count)
        take.pace.add(payload.count, askedAt: askedAt, at: now.instant)
        // After its rest it gives again.
        if let rests = take.restsUntil, rests <= now.instant { take.restsUntil = nil }
        let told = take.told
        take.told = []
        guard wasAsked || take.isPush || take.withdrawn.contains(chunk) else {
            return offend(tie.connection, .protocolViolation, "unasked", into: &effects)
        }
        guard payload.count <= swarm.chunkSize, swarm.chunkCount.map({ chunk < $0 }) ?? true else {
            if wasAsked { release([chunk], tie.swarm) }
            return blame(tie, "chunk_size", into: &effects)
        }
        counters.bytesReceived &+= UInt64(payload.count)
        let isKnown = swarm.have.contains(chunk) || swarm.inHand.contains(chunk)
        guard swarm.phase == .fetching, !isKnown else {
            counters.bytesTwice &+= UInt64(payload.count)
            if take.isPush, swarm.phase == .fetching, swarm.inHand.contains(chunk), swarm.second[chunk] == nil {
                swarm.second[chunk] = Arrival(tie: tie, chunk: chunk, payload: payload, hashes: told)
                return
            }
            // What it has told of hashes may be needed for its next chunks.
            for (node, hash) in told where !(swarm.tree?.isKnown(node) ?? false) { take.unverified.insert(node, hash) }
            // Who pushes waits for word of it.
            if take.isPush, swarm.have.contains(chunk) { send([.have(ChunkRange(chunk))], take, tie, into: &effects) }
            return
        }
        if !wasAsked { swarms[tie.swarm]?.ask(ChunkRange(chunk)) }
        swarms[tie.swarm]?.arrive(Arrival(tie: tie, chunk: chunk, payload: payload, hashes: told))
        withdraw(chunk, except: tie, into: &effects)
    }

    /// Others who were asked for it too need not send it (PPSP section 9.4).
    mutating func withdraw(_ chunk: UInt64, except tie: Tie, into effects: inout Effects) {
        for other in swarms[tie.swarm]?.peers ?? [] where other.tie != tie {
            guard let take = other.take, take.asked[chunk] != nil else { continue }
            take.asked[chunk] = nil
            take.withdrawn.insert(chunk)
            swarms[tie.swarm]?.withdraw()
            send([.cancel(ChunkRange(chunk))], take, other.tie, into: &effects)
        }
    }

    /// Chunk messages by a transfer.
    mutating func send(
        _ messages: [ChunkMessage], _ take: Partner.Take, _ tie: Tie, into effects: inout Effects
    ) {
        if let web = take.web { return say(messages, to: web, take, tie, into: &effects) }
        if let channel = channels.number(of: tie.connection) { return channels.say(messages, on: channel) }
        for part in TransferFrame.parts(messages, transferID: take.id, take.rules) {
            effects.send(part, on: tie.connection)
        }
    }

    /// Chunks that were asked for, or that did not hold, may be asked for again.
    mutating func release(_ chunks: [UInt64], _ number: Int) {
        guard let swarm = swarms[number] else { return }
        for chunk in chunks {
            swarms[number]?.pendingOctets -= Int(swarm.chunkSize)
            let isElsewhere =
                swarm.inHand.contains(chunk) || swarm.peers.contains { $0.take?.asked[chunk] != nil }
            if !swarm.have.contains(chunk), !isElsewhere { swarms[number]?.taken.remove(chunk) }
        }
        toPump.insert(number)
    }

    /// Some of what was asked for is late: others are asked, and this one counts for less (PPSP section 10.1).
    mutating func chunksDue(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        if let channel = channels.number(of: tie.connection) {
            return datagramsDue(channel, at: now, into: &effects)
        }
        guard let take = partners[tie]?.take else { return }
        let late = take.asked.filter { now.instant - $0.value >= configuration.chunkTime }.keys.sorted()
        for chunk in late {
            partners[tie]?.take?.asked[chunk] = nil
            partners[tie]?.take?.withdrawn.insert(chunk)
        }
        if !late.isEmpty {
            send(late.map { .cancel(ChunkRange($0)) }, take, tie, into: &effects)
            release(late, tie.swarm)
            effects.log(
                .info, "chunks_late",
                [
                    "swarm": .string(name(of: tie.swarm)), "peer": .string(partners[tie]?.peerID.hex ?? ""),
                    "chunks": .count(late.count),
                ])
            // It is left alone for a while.
            partners[tie]?.take?.restsUntil = now.instant + configuration.chunkTime
        }
        let rest = partners[tie]?.take?.asked.values.min().map { $0 + configuration.chunkTime }
        if let next = [rest, late.isEmpty ? nil : partners[tie]?.take?.restsUntil].compactMap(\.self).min() {
            timers.set(.chunks(tie), at: next)
        }
        toPump.insert(tie.swarm)
    }
}
