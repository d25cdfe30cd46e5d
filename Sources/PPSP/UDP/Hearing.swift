internal import PeerCore

// What comes in datagrams (RFC 7574 digest, sections 1, 2 and 4).

extension PPSP {
    mutating func heardDatagram(
        _ octets: Bytes, from remote: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard let number = Datagram.channel(of: octets) else { return ignore("datagram") }
        guard number != 0 else { return heardOpening(octets, from: remote, at: now, into: &effects) }
        guard let known = channels[number]?.remote else {
            guard proveChannel(number, from: remote, at: now, into: &effects) else { return ignore("channel") }
            return hear(octets, on: number, at: now, into: &effects)
        }
        // Somebody else knows or guesses the number (digest section 1).
        guard known == remote else { return ignore("channel") }
        hear(octets, on: number, at: now, into: &effects)
    }

    private mutating func hear(_ octets: Bytes, on number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let rules = channels[number]?.rules, let connection = channels[number]?.connection else { return }
        channels[number]?.heardAt = now.instant
        channels[number]?.unheard = 0
        links[connection]?.heardAt = now.instant
        switch DatagramReading(octets, rules) {
        case .datagram(let datagram): hear(datagram.messages[...], on: number, at: now, into: &effects)
        case .broken(let datagram, let error):
            hear(datagram.messages[...], on: number, at: now, into: &effects)
            // Who sends what cannot be read is not talked to any more (digest section 1).
            offend(connection, .malformed, "\(error)", into: &effects)
        case .oldDialect, .noise: ignore("datagram")
        }
    }

    /// What somebody says on a channel.
    mutating func hear(
        _ messages: ArraySlice<ChunkMessage>, on number: UInt32, at now: Moment, into effects: inout Effects
    ) {
        guard let tie = channels[number]?.tie else { return }
        var messages = messages
        if case .handshake(let handshake)? = messages.first {
            messages = messages.dropFirst()
            guard hear(handshake, on: number, at: now, into: &effects) else { return }
        }
        // Before our handshake is answered nothing else counts.
        guard channels[number]?.theirs != nil else { return }
        var arrived: [(chunks: ChunkRange, delay: UInt64?)] = []
        var hasNews = false
        for message in messages {
            switch message {
            case .data(let chunk, let time, let payload):
                dataCame(chunk, time, payload, tie, number, at: now, into: &effects)
            case .ack(let range, let delay):
                arrived.append((range, delay))
                partners[tie]?.has.insert(range)
            case .have(let range):
                arrived.append((range, nil))
                partners[tie]?.has.insert(range)
                partners[tie]?.isKnown = true
                hasNews = true
            case .integrity(let node, let hash): partners[tie]?.take?.keep(node, hash)
            default: hearRequest(message, tie, number, at: now, into: &effects)
            }
            guard channels[number] != nil else { return }
        }
        if !arrived.isEmpty { acknowledged(arrived, tie, number, at: now) }
        if hasNews { askForMore(of: tie, at: now, into: &effects) }
    }

    private mutating func hearRequest(
        _ message: ChunkMessage, _ tie: Tie, _ number: UInt32, at now: Moment, into effects: inout Effects
    ) {
        switch message {
        case .request(let range): wantedByDatagrams(range, tie, number, at: now, into: &effects)
        case .cancel(let range): channels[number]?.out.skip(range)
        case .choke:
            guard let take = partners[tie]?.take else { return }
            // Word that it may go on could be lost: it is asked once more then.
            timers.set(.chunks(tie), at: now.instant + configuration.chunkTime)
            release(take.choke(), tie.swarm)
        case .unchoke:
            partners[tie]?.take?.isChoked = false
            toPump.insert(tie.swarm)
        case .peerExchangeRequest: tellPeers(number, at: now)
        case .peer(let address): heardOf(address, number, at: now)
        case .handshake: offend(tie.connection, .protocolViolation, "handshake", into: &effects)
        // Live content and certificates are not spoken.
        default: break
        }
    }

    /// Whether what follows a handshake is to be heard.
    private mutating func hear(
        _ handshake: Handshake, on number: UInt32, at now: Moment, into effects: inout Effects
    ) -> Bool {
        guard let channel = channels[number] else { return false }
        if handshake.isClose {
            // There is nobody to be told any more.
            channels[number]?.theirs = nil
            channelFailed(number, channel.theirs == nil ? .refused : .closedByPeer, at: now, into: &effects)
            return false
        }
        if channel.theirs == nil {
            guard handshakeAnswered(handshake, number, at: now, into: &effects) else {
                channelFailed(number, .protocolViolation, at: now, into: &effects)
                return false
            }
            return true
        }
        // A duplicate: what we have said after the first did not come (digest section 9, rule 3).
        guard channel.isOurs, handshake.channel == channel.theirs else { return false }
        channels.speak(on: number)
        if partners[channel.tie]?.take?.asked.isEmpty == false { askAgain(number, isLate: { _ in true }, at: now) }
        return true
    }
}
