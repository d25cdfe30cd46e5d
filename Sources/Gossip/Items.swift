internal import PeerCore
internal import PeerCrypto

/// Why an item was not spread.
enum Drop: String, CaseIterable {
    /// No local program has registered its data type.
    case unregistered
    /// A program found it not well-formed.
    case invalid
    /// Nobody said that it is well-formed in time.
    case silence
    /// The programs that could have said so are gone, or take nothing.
    case gone
    /// Too many votes are open.
    case votes
    /// Its neighbour sends more than `itemRate`.
    case rate
}

// MARK: - From local programs (gossip section 3.2)

extension Gossip {
    mutating func announced(
        _ announce: Announce, by place: Int, at now: Moment, into effects: inout Effects
    ) throws(DecodeError) {
        counters.announced += 1
        clients[place].announced += 1
        if configuration.requireSubscription, !clients[place].types.contains(announce.dataType) {
            throw .invalid(field: "data type, which this program has not registered")
        }
        var ttl = announce.ttl
        if configuration.maxTTL != 0, ttl == 0 || ttl > configuration.maxTTL { ttl = configuration.maxTTL }
        // The programs' octet is reserved; between peers it is the salt.
        var message = announce.salt == 0 ? announce.message : announce.salted(0)
        var key = key(of: message)
        if seen.find(key) != nil || repetitions.contains(key) {
            // Others may have announced the same under the next salts.
            let first = key
            for _ in 0...UInt8.max where seen.find(key) != nil || key == first {
                message = announce.salted(repetitions.next(of: first, at: now.instant))
                key = self.key(of: message)
            }
        }
        let number = seen.find(key) ?? seen.insert(key, ttl: ttl, at: now.instant)
        seen.update(number) { entry in
            entry.isValid = true
            entry.ttl = ttl
            entry.forwards = 1
        }
        let topic = topics.find(announce.dataType)
        keep(message, ttl: ttl, topic, seen: number, at: now)
        if let topic { tellPrograms(message, topic, but: place, seen: number, at: now, into: &effects) }
        forward(message, ttl: ttl, topic, seen: number, but: LinkSet(), name: nil, at: now, into: &effects)
        holdIfBlocked(place, at: now, into: &effects)
    }

    /// The other programs are notified; what they answer has no effect on spreading.
    private mutating func tellPrograms(
        _ message: Bytes, _ topic: Int, but announcer: Int, seen number: UInt64, at now: Moment,
        into effects: inout Effects
    ) {
        // These votes decide nothing: they must not push out those that do.
        let isVote = votes.open < configuration.maxOpenVotes / 2
        let vote = isVote ? votes.next : votes.over
        var asked: Int32 = 0
        for index in topics[topic].subscribers.indices {
            let place = topics[topic].subscribers[index]
            guard place != announcer else { continue }
            if ask(place, message, vote: vote) { asked += 1 }
        }
        guard asked > 0, isVote else { return }
        begin(
            Vote(
                message: Bytes(), seen: number, end: life.voteEnd, copies: LinkSet(), waiting: asked,
                source: Vote.Source.program.rawValue))
    }
}

// MARK: - From neighbours (gossip section 4.3)

extension Gossip {
    mutating func receivedItem(
        _ announce: Announce, _ key: Seen.Key, from place: Int, at now: Moment, into effects: inout Effects
    ) {
        counters.received += 1
        let topic = topics.find(announce.dataType)
        if let number = seen.findCurrent(key, at: now.instant) {
            return receivedCopy(announce, number, topic, from: place, at: now, into: &effects)
        }
        let number = seen.insert(key, ttl: announce.ttl, at: now.instant)
        links[place]!.firsts += 1
        guard let topic, !topics[topic].subscribers.isEmpty else { return drop(.unregistered) }
        cameFirst(topic, from: place, at: now)
        let name = nameAndTell(announce, topic, number, from: place, at: now)
        var asked: Int32 = 0
        for index in topics[topic].subscribers.indices
        where ask(topics[topic].subscribers[index], announce.message, vote: votes.next) {
            asked += 1
        }
        guard asked > 0 else { return drop(.gone) }
        var copies = lazyPush.takeHavers(of: name)
        copies.insert(place)
        if let name { lazyPush.names[number] = name }
        begin(
            Vote(
                message: mayShare(announce.message) ? announce.message : announce.message.released, seen: number,
                end: life.voteEnd, copies: copies, waiting: asked,
                source: Int16(place)))
    }

    /// Whether an item may hold on to the read buffer in which it came until its verdict: while few do, or when a good
    /// part of that buffer consists of such items. Otherwise a few octets would keep many from being freed.
    @inline(__always)
    private mutating func mayShare(_ message: Bytes) -> Bool {
        life.voted += message.count
        return votes.open < Self.sharedVotes
            || life.voted * Self.goodPart >= message.range.upperBound - life.inputStart
    }

    /// With 64 KiB for each at most, 16 MiB.
    private static let sharedVotes = 256
    /// An eighth.
    private static let goodPart = 8

    /// Begins a vote, for which the oldest must leave when there are too many.
    @inline(__always)
    private mutating func begin(_ vote: consuming Vote) {
        while votes.open >= configuration.maxOpenVotes || votes.count >= 4 * configuration.maxOpenVotes {
            dropped(votes.end(votes.oldest), .votes)
        }
        let (item, isOfProgram) = (vote.seen, vote.isOfProgram)
        let number = votes.begin(vote)
        if !isOfProgram {
            seen.update(item) { entry in
                entry.state = .voting
                entry.item = UInt32(truncatingIfNeeded: number)
            }
        }
        guard !life.isVoteTimerSet else { return }
        life.isVoteTimerSet = true
        timers.set(.votes, at: life.voteEnd)
    }

    /// A copy that is already seen: its sender has it, and perhaps it may go further (gossip section 4.2).
    private mutating func receivedCopy(
        _ announce: Announce, _ number: UInt64, _ topic: Int?, from place: Int, at now: Moment,
        into effects: inout Effects
    ) {
        counters.duplicates += 1
        links[place]!.duplicates += 1
        guard let entry = seen[number] else { return }
        let isBetter = isFarther(announce.ttl, than: entry.ttl)
        if entry.state == .voting {
            let vote = whole(entry.item, below: votes.next)
            votes.update(vote) { vote in
                vote.copies.insert(place)
                if isBetter { vote.message = announce.message }
            }
            if isBetter { seen.update(number) { $0.ttl = announce.ttl } }
        } else if isBetter, announce.ttl != 1, entry.isValid, entry.forwards < Self.maximumForwards {
            seen.update(number) { entry in
                entry.ttl = announce.ttl
                entry.forwards += 1
            }
            forward(
                announce.message, ttl: announce.ttl == 0 ? 0 : announce.ttl - 1, topic, seen: number,
                but: LinkSet(place), name: nil, at: now, into: &effects)
        }
        cameLate(topic, announce, from: place, at: now, into: &effects)
    }

    /// Once, and three times more when it comes with a better TTL (gossip section 4.2).
    private static let maximumForwards: UInt8 = 4

    /// 0 goes farthest.
    private func isFarther(_ ttl: UInt8, than other: UInt8) -> Bool {
        other != 0 && (ttl == 0 || ttl > other)
    }

    mutating func drop(_ reason: Drop) {
        counters.drops[reason, default: 0] += 1
    }
}

// MARK: - Verdicts (gossip section 3.6)

extension Gossip {
    @inline(__always)
    mutating func judged(_ validation: Validation, by place: Int, at now: Moment, into effects: inout Effects) {
        clients[place].verdicts += 1
        guard let low = clients[place].questions.remove(validation.messageID) else {
            counters.unknownVerdicts += 1
            return
        }
        let number = whole(low, below: votes.next)
        if !votes.isOpen(number) { counters.unknownVerdicts += 1 }
        let outcome = votes.answer(
            number, isValid: validation.isValid, isFirst: configuration.validation == .first)
        settle(outcome, of: number, .invalid, at: now, into: &effects)
    }

    mutating func endSilentVotes(at now: Moment, into effects: inout Effects) {
        life.isVoteTimerSet = false
        while let end = votes.nextEnd, end <= now.instant {
            settle(votes.silence(votes.oldest), of: votes.oldest, .silence, at: now, into: &effects)
        }
        guard let end = votes.nextEnd else { return }
        life.isVoteTimerSet = true
        timers.set(.votes, at: end)
    }

    /// Spreads what was accepted; `reason` is why it is dropped otherwise.
    @inline(__always)
    mutating func settle(
        _ outcome: Votes.Outcome, of number: UInt64, _ reason: Drop, at now: Moment, into effects: inout Effects
    ) {
        switch outcome {
        case .none: break
        case .accepted: accepted(votes.end(number), at: now, into: &effects)
        case .dropped: dropped(votes.end(number), reason)
        }
    }

    private mutating func accepted(_ vote: Vote, at now: Moment, into effects: inout Effects) {
        counters.valid += 1
        guard !vote.isOfProgram else { return }
        let name = lazyPush.takeName(of: vote.seen)
        let ttl = vote.message[4]
        let topic = topics.find(vote.message.uint16(at: 6))
        seen.update(vote.seen) { entry in
            entry.state = .gone
            entry.isValid = true
            entry.forwards = 1
        }
        guard ttl != 1 else { return }
        let next = ttl == 0 ? 0 : ttl - 1
        keep(vote.message, ttl: next, topic, seen: vote.seen, at: now)
        forward(
            vote.message, ttl: next, topic, seen: vote.seen, but: vote.copies, name: name,
            at: now, into: &effects)
    }

    private mutating func dropped(_ vote: Vote, _ reason: Drop) {
        if reason == .invalid { counters.invalid += 1 }
        if reason == .silence { counters.timedOut += 1 }
        guard !vote.isOfProgram else {
            // A program's own item is spread whatever others say, but not kept.
            if reason == .invalid, let entry = seen[vote.seen], entry.state == .kept {
                cache.drop(whole(entry.item, below: cache.next))
                seen.update(vote.seen) { $0.state = .gone }
            }
            return
        }
        drop(reason)
        _ = lazyPush.takeName(of: vote.seen)
        seen.update(vote.seen) { $0.state = .gone }
        if reason == .invalid, open.contains(Int(vote.source)) { links[Int(vote.source)]?.invalid += 1 }
    }
}

// MARK: - Spreading

extension Gossip {
    /// What an item is known by here.
    @inline(__always)
    func key(of message: Bytes) -> Seen.Key {
        Seen.Key(fingerprint(message.dropping(5)))
    }

    /// Hands an item to all neighbours but those that have it: sent to some, told to others.
    @inline(__always)
    mutating func forward(
        _ message: Bytes, ttl: UInt8, _ topic: Int?, seen number: UInt64, but excluded: LinkSet, name: Bytes32?,
        at now: Moment, into effects: inout Effects
    ) {
        var targets = open.subtracting(excluded)
        guard !targets.isEmpty else { return }
        if LazyPush.mayBeTold(ttl) {
            let lazy = targets.intersection(topic.map { topics[$0].lazy } ?? topics.lazy)
            if !lazy.isEmpty {
                targets = targets.subtracting(lazy)
                tell(lazy, message, name: name, seen: number, at: now)
            }
        }
        let type = UInt8(truncatingIfNeeded: MessageType.announce)
        listedLinks.formUnion(targets)
        while let place = targets.popFirst() {
            write(message, type, ttl, message[5], to: place)
        }
    }

    @inline(__always)
    private mutating func write(_ message: Bytes, _ type: UInt8, _ ttl: UInt8, _ salt: UInt8, to place: Int) {
        if links[place]!.isPaced { return paceItem(message, ttl, to: place) }
        if life.isCrowded, links[place]!.outbox.isStalled {
            links[place]!.lost += 1
            counters.unsentDrops += 1
            return
        }
        links[place]!.outbox.write(item: message, type, ttl, salt)
        links[place]!.sent += 1
        counters.forwarded += 1
        guard links[place]!.outbox.octets > configuration.maxQueueBytes else { return }
        let lost = links[place]!.outbox.trim(to: configuration.maxQueueBytes)
        links[place]!.lost += lost
        counters.unsentDrops += lost
    }

    /// Keeps an item for neighbours that ask.
    @inline(__always)
    private mutating func keep(_ message: Bytes, ttl: UInt8, _ topic: Int?, seen number: UInt64, at now: Moment) {
        let isPromised = !(topic.map { topics[$0].lazy } ?? topics.lazy).isEmpty
        while let left = cache.takeSurplus(isPromised: isPromised, at: now.instant) {
            seen.update(left) { $0.state = .gone }
        }
        let item = cache.keep(
            Cache.Item(message: isPromised ? message.released : message, ttl: ttl, seen: number, since: now.instant))
        seen.update(number) { entry in
            entry.state = .kept
            entry.item = UInt32(truncatingIfNeeded: item)
        }
    }
}

extension Bytes {
    /// These octets alone, when they lie in a buffer that is much larger.
    var released: Bytes { count * 4 < storage.count ? Bytes(Array(self)) : self }
}

extension Announce {
    /// The same item with another salt.
    func salted(_ salt: UInt8) -> Bytes {
        var octets = message.array
        octets[5] = salt
        return Bytes(octets)
    }
}

/// How often local programs have announced equal contents again within the seen window (gossip section 4.2).
struct Repetitions {
    private struct Count {
        var number: UInt8
        var last: Instant
    }

    private var counts: [Seen.Key: Count] = [:]
    /// Contents that are counted; those that were repeated longest ago leave.
    private static let capacity = 65_536

    @inline(__always)
    func contains(_ key: Seen.Key) -> Bool { !counts.isEmpty && counts[key] != nil }

    /// The salt of the next repetition.
    mutating func next(of key: Seen.Key, at now: Instant) -> UInt8 {
        if counts.count >= Self.capacity, counts[key] == nil {
            let last = counts.values.map(\.last).sorted()[counts.count / 2]
            counts = counts.filter { $0.value.last > last }
        }
        let number = (counts[key]?.number ?? 0) &+ 1
        counts[key] = Count(number: number, last: now)
        return number
    }

    /// Those of which no neighbour can remember a copy begin anew.
    mutating func expire(_ window: Duration, at now: Instant) {
        guard !counts.isEmpty else { return }
        counts = counts.filter { now - $0.value.last < window * 2 }
    }
}
