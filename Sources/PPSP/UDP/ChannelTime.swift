internal import PeerCore

// What time brings to channels (RFC 7574 digest, sections 7 and 8).

extension PPSP {
    /// Datagrams that must have gone unanswered before silence means the end (digest section 8).
    private static let unheardDatagrams = 3
    /// Silences in a row after which what was asked for is forgotten: it is for the other side to ask again.
    private static let mostSilences = 6

    /// Sees to it that the timer of a channel goes off in time.
    mutating func schedule(_ number: UInt32, at now: Moment) {
        guard let channel = channels[number] else { return }
        var next = channel.triesAgainAt ?? channel.saidAt + configuration.keepAlive
        if channel.theirs != nil { next = min(next, channel.heardAt + configuration.silence) }
        if let asks = asksPeers(channel) { next = min(next, asks) }
        // Who is told so late that silence ends at this very moment is looked at once more after a while.
        if next <= now.instant { next = now.instant + .seconds(1) }
        if let silenceEnds = channel.out.silenceEnds { next = min(next, silenceEnds) }
        if channel.out.hasPieces, channel.out.next > now.instant { next = min(next, channel.out.next) }
        if let timerAt = channel.timerAt, timerAt <= next { return }
        channels[number]?.timerAt = next
        timers.set(.channel(number), at: next)
    }

    mutating func channelDue(_ number: UInt32, at now: Moment, into effects: inout Effects) {
        guard let channel = channels[number] else { return }
        channels[number]?.timerAt = nil
        channels.touched.insert(number)
        guard channel.theirs != nil else {
            if channel.triesAgainAt.map({ $0 <= now.instant }) ?? true {
                tryHandshake(number, at: now, into: &effects)
            }
            return
        }
        if now.instant - channel.heardAt >= configuration.silence, channel.unheard >= Self.unheardDatagrams {
            return channelFailed(number, .silent, at: now, into: &effects)
        }
        if let ends = channel.out.silenceEnds, ends <= now.instant {
            channels[number]?.out.silence(at: now.instant)
            if channel.out.silences >= Self.mostSilences { channels[number]?.out.clear() }
        }
        if let asks = asksPeers(channel), asks <= now.instant { askPeers(number, at: now) }
        guard now.instant - channel.saidAt >= configuration.keepAlive else { return }
        // Two who have all have nothing to say to each other.
        let isDone = swarms[channel.swarm]?.phase == .complete && partners[channel.tie]?.has.isComplete ?? false
        if isDone, now.instant - channel.heardAt >= configuration.keepAlive {
            return removeChannel(number, at: now, into: &effects)
        }
        if !isDone { channels.speak(on: number) }
    }

    // MARK: - Those who are called by datagrams alone

    /// Somebody speaks RFC 7574 and may have a content.
    mutating func addCallee(_ remote: SocketAddress, _ swarm: Int, isGiven: Bool = true, at now: Moment) {
        guard let own = swarms[swarm] else { return }
        if own.callees[remote] == nil {
            let strangers = own.callees.filter { !$0.value.isGiven }.map(\.key)
            guard isGiven || hasRoom(for: remote, among: strangers) else { return }
            swarms[swarm]?.callees[remote] = Candidate(isGiven: isGiven)
        }
        timers.set(.meet(swarm), at: now.instant)
    }

    /// Opens channels for a content that is not complete; when to come back to it.
    mutating func call(_ swarm: Int, at now: Moment, into effects: inout Effects) -> Instant? {
        guard let own = swarms[swarm], speaksDatagrams else { return nil }
        let callees = own.callees.filter { $0.value.isGiven || own.peers.count < configuration.maxPeers }
        var next: Instant?
        for (remote, callee) in callees.sorted(by: { $0.key < $1.key }) {
            let place = Channels.Place(remote: remote, swarm: swarm, isOurs: true)
            let isAway = isBanned(Culprit(ip: remote.ip, peerID: .zero), at: now.instant)
            guard channels.number(at: place) == nil, !isAway else { continue }
            if callee.next <= now.instant {
                openChannel(swarm, to: remote, .chunks32, by: nil, at: now, into: &effects)
            } else {
                next = min(next ?? callee.next, callee.next)
            }
        }
        return next
    }

    /// Somebody did not answer, or went away: later once more, or never if nobody but a peer has told of it.
    mutating func callFailed(
        _ channel: Channel, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        guard var callee = swarms[channel.swarm]?.callees[channel.remote] else { return }
        callee.failures += 1
        guard !callee.isUseless else {
            swarms[channel.swarm]?.callees[channel.remote] = nil
            return
        }
        let pause = min(Self.longestPause, Self.firstPause * (1 << min(callee.failures - 1, 6)))
        callee.next = now.instant + pause / 2 + (pause / 2) * Double.random(in: 0...1, using: &random)
        swarms[channel.swarm]?.callees[channel.remote] = callee
        timers.set(.meet(channel.swarm), at: callee.next)
        guard callee.failures == 1, channel.theirs == nil else { return }
        refusedWatchers(channel.swarm, .address(channel.remote), reason, into: &effects)
    }
}
