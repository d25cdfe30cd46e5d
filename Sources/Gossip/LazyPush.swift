internal import PeerCore
internal import PeerCrypto

/// What neighbours tell each other of items instead of sending them (see `ExtensionMessage`).
///
/// Every data type has its own tree: a neighbour whose copies always come too late is told PRUNE and from then on only
/// tells what it has; when an item that was told does not come in time, the neighbour that told it is asked, and sends
/// everything again. Only items without a limit of hops go this way, since a tree is longer than the shortest path.
struct LazyPush {
    /// An item that we were told of and do not have.
    struct Wanted {
        let dataType: UInt16
        let since: Instant
        /// Who told us first: it has a share of what may be wanted.
        let first: Int
        /// Neighbours that have it, to be asked one after the other.
        var sources: [Int]
    }

    /// An item may take another way for so long before it is asked for: several round trips of the Internet.
    static let patience: Duration = .milliseconds(400)
    /// The same while other items of its data type keep coming.
    static let longestPatience: Duration = .seconds(2)
    /// Keys are gathered for so long.
    static let gathering: Duration = .milliseconds(20)
    /// Copies in a row that come too late before their sender is pruned.
    static let lateCopies = 8
    /// Between two PRUNE of one data type, so that two neighbours do not cut each other's way at once.
    static let pruneInterval: ClosedRange<Duration> = .milliseconds(100) ... .milliseconds(300)
    /// TTL from which on an item may go the longer way of a tree.
    private static let farTTL: UInt8 = 32
    /// Items that are wanted at most.
    static let maximumWanted = 8192
    /// Large items of which neighbours have told us before they came.
    private static let maximumHavers = 1024

    var wanted: [Bytes32: Wanted] = [:]
    /// In the order in which their time comes.
    var order = Fifo<(key: Bytes32, due: Instant)>()
    private var havers: [Bytes32: LinkSet] = [:]
    /// The names of items whose verdict is awaited, by their numbers among the seen items.
    var names: [UInt64: Bytes32] = [:]

    /// Whether an item with that TTL goes along a tree.
    @inline(__always)
    static func mayBeTold(_ ttl: UInt8) -> Bool { ttl == 0 || ttl >= farTTL }

    @inline(__always)
    mutating func takeName(of number: UInt64) -> Bytes32? {
        names.isEmpty ? nil : names.removeValue(forKey: number)
    }

    /// `place` has an item that is not here yet.
    mutating func note(_ place: Int, has key: Bytes32) {
        if havers.count >= Self.maximumHavers, havers[key] == nil { havers = [:] }
        havers[key, default: LinkSet()].insert(place)
    }

    /// Who has said so.
    mutating func takeHavers(of name: Bytes32?) -> LinkSet {
        guard !havers.isEmpty, let name else { return LinkSet() }
        return havers.removeValue(forKey: name) ?? LinkSet()
    }

    mutating func closed(_ place: Int) {
        for key in havers.keys { havers[key]?.remove(place) }
        for (key, item) in wanted where item.sources.contains(place) || item.first == place {
            // Its place may be another's: nobody answers for its share any more.
            wanted[key] = Wanted(
                dataType: item.dataType, since: item.since, first: item.first == place ? -1 : item.first,
                sources: item.sources.filter { $0 != place })
        }
    }
}

// MARK: - Names

extension Gossip {
    /// The seen key of an item (gossip section 4.2).
    static func name(of message: Bytes) -> Bytes32 { blake2b256(message.dropping(5)) }

    private static func key(of name: Bytes32) -> Seen.Key {
        Seen.Key(body: name.word0, tag: UInt32(truncatingIfNeeded: name.word1))
    }

    private mutating func enter(_ name: Bytes32, seen number: UInt64, at now: Moment) {
        let key = Self.key(of: name)
        let entry = named.find(key) ?? named.insert(key, ttl: 0, at: now.instant)
        named.update(entry) { $0.item = UInt32(truncatingIfNeeded: number) }
    }

    /// The number among the seen items of the item of that name.
    private func find(_ name: Bytes32) -> UInt64? {
        named.find(Self.key(of: name)).flatMap { named[$0] }.map { whole($0.item, below: seen.next) }
    }

    /// Names an item that has just come, when neighbours speak of it by its name, and says that it is here.
    @inline(__always)
    mutating func nameAndTell(
        _ announce: Announce, _ topic: Int, _ number: UInt64, from place: Int, at now: Moment
    ) -> Bytes32? {
        let isLarge = configuration.haveItBytes > 0 && announce.data.count > configuration.haveItBytes
        guard topics[topic].isTold || isLarge && !life.haveIt.isEmpty else { return nil }
        let name = Self.name(of: announce.message)
        enter(name, seen: number, at: now)
        if isLarge { sayHave(name, topic, from: place) }
        return name
    }

    /// Tells neighbours that would send a large item that it is here. Only those whose copies have crossed ours before.
    private mutating func sayHave(_ name: Bytes32, _ topic: Int, from source: Int) {
        var targets = open.intersection(life.haveIt).subtracting(topics[topic].lazy)
        targets.remove(source)
        let message = ExtensionMessage(.have, dataType: topics[topic].dataType, keys: [name]).bytes
        while let place = targets.popFirst() {
            guard links[place]!.duplicates > 0, !links[place]!.outbox.isStalled else { continue }
            links[place]!.outbox.write(control: message)
            listedLinks.insert(place)
        }
    }
}

// MARK: - Telling

extension Gossip {
    /// Tells neighbours of an item instead of sending it.
    mutating func tell(_ targets: LinkSet, _ message: Bytes, name: Bytes32?, seen number: UInt64, at now: Moment) {
        let name = name ?? Self.name(of: message)
        enter(name, seen: number, at: now)
        let dataType = message.uint16(at: 6)
        var targets = targets
        while let place = targets.popFirst() {
            let isOther = links[place]!.untoldType != dataType
            if links[place]!.untold.count >= ExtensionMessage.maximumKeys || isOther { tellItems(to: place) }
            links[place]!.untoldType = dataType
            links[place]!.untold.append(name)
            counters.told += 1
        }
        if !timers.isSet(.tell) { timers.set(.tell, at: now.instant + LazyPush.gathering) }
    }

    /// Sends what was gathered.
    mutating func tellItems(into effects: inout Effects) {
        for place in open.places { tellItems(to: place) }
    }

    private mutating func tellItems(to place: Int) {
        guard let keys = links[place]?.untold, !keys.isEmpty else { return }
        links[place]!.untold.removeAll(keepingCapacity: true)
        // A neighbour that does not keep up needs no list of what it misses.
        guard !links[place]!.outbox.isStalled else { return }
        links[place]!.outbox.write(
            control: ExtensionMessage(.iHave, dataType: links[place]!.untoldType, keys: keys).bytes)
        listedLinks.insert(place)
    }
}

// MARK: - The tree

extension Gossip {
    /// An item came first from `place`: that is a way worth keeping. One that was told to be lazy stays so: what it has
    /// left out meanwhile would come after what it would send now, and the order of items would be lost.
    @inline(__always)
    mutating func cameFirst(_ topic: Int, from place: Int, at now: Moment) {
        topics[topic].lastFirst = now.instant
        if !topics[topic].lateCopies.isEmpty { topics[topic].lateCopies[place] = nil }
    }

    /// A copy came too late from `place`. When that goes on, it shall only tell what it has.
    mutating func cameLate(
        _ topic: Int?, _ announce: Announce, from place: Int, at now: Moment, into effects: inout Effects
    ) {
        guard let topic, LazyPush.mayBeTold(announce.ttl), let link = links[place],
            link.capabilities.contains(.lazyPush)
        else { return }
        topics[topic].lateCopies[place, default: 0] += 1
        guard topics[topic].lateCopies[place, default: 0] >= LazyPush.lateCopies,
            now.instant >= topics[topic].nextPrune, hasOther(than: place, topic)
        else { return }
        topics[topic].lateCopies[place] = nil
        topics[topic].nextPrune = now.instant + random.duration(in: LazyPush.pruneInterval)
        setLazy(place, topic)
        send(ExtensionMessage(.prune, dataType: topics[topic].dataType), to: place)
    }

    private func hasOther(than place: Int, _ topic: Int) -> Bool {
        var eager = open.subtracting(topics[topic].lazy)
        eager.remove(place)
        return !eager.isEmpty
    }

    private mutating func setLazy(_ place: Int, _ topic: Int) {
        topics[topic].lazy.insert(place)
        topics[topic].isTold = true
    }

    private mutating func send(_ message: ExtensionMessage, to place: Int) {
        links[place]!.outbox.write(control: message.bytes)
        listedLinks.insert(place)
    }

    /// A neighbour is gone. Where only lazy ones are left, one of them shall send everything.
    mutating func mendTrees() {
        let others = open.intersection(topics.lazy)
        if open.subtracting(others).isEmpty, let next = others.places.randomElement(using: &random) {
            topics.setEager(next)
        }
        for topic in 0..<topics.count {
            let lazy = open.intersection(topics[topic].lazy)
            guard !lazy.isEmpty, open.subtracting(lazy).isEmpty, let next = lazy.places.randomElement(using: &random)
            else { continue }
            topics[topic].lazy.remove(next)
            send(ExtensionMessage(.iWant, dataType: topics[topic].dataType), to: next)
        }
    }

    /// A message of the extension; from a peer that did not tell that it speaks it, it is skipped.
    mutating func receivedExtension(
        _ message: ExtensionMessage, from place: Int, at now: Moment, into effects: inout Effects
    ) {
        let needed: Capabilities = message.kind == .have ? .haveIt : .lazyPush
        guard let link = links[place], link.capabilities.contains(needed) else { return }
        switch message.kind {
        case .iHave: told(message, by: place, at: now)
        case .iWant: send(message, to: place, into: &effects)
        case .have: noteHaver(message, place)
        case .prune:
            guard let topic = topic(toldOf: message.dataType), hasOther(than: place, topic) else { return }
            setLazy(place, topic)
        }
    }

    /// Neighbours begin to speak of a data type by names: the items that are here get theirs.
    private mutating func nameKept(of topic: Int, at now: Moment) {
        topics[topic].isTold = true
        let dataType = topics[topic].dataType
        for (message, number) in cache.items + votes.items where message.uint16(at: 6) == dataType {
            enter(Self.name(of: message), seen: number, at: now)
        }
    }

    private mutating func topic(toldOf dataType: UInt16) -> Int? {
        if let topic = topics.find(dataType) { return topic }
        return topics.count < Topics.maximumTold ? topics.make(dataType) : nil
    }

    private mutating func told(_ message: ExtensionMessage, by place: Int, at now: Moment) {
        guard let topic = topics.find(message.dataType), !topics[topic].subscribers.isEmpty else { return }
        if !topics[topic].isTold { nameKept(of: topic, at: now) }
        for key in message.keys where find(key) == nil {
            if let wanted = lazyPush.wanted[key] {
                if !wanted.sources.contains(place) { lazyPush.wanted[key]?.sources.append(place) }
            } else if links[place]!.wanted < LazyPush.maximumWanted / max(1, open.count) {
                links[place]!.wanted += 1
                lazyPush.wanted[key] = LazyPush.Wanted(
                    dataType: message.dataType, since: now.instant, first: place, sources: [place])
                lazyPush.order.append((key, now.instant + health.stretch(LazyPush.patience)))
            }
        }
        if let next = lazyPush.order.first, !timers.isSet(.wanted) { timers.set(.wanted, at: next.due) }
    }

    /// Items that were told and have not come: whoever told them is asked.
    mutating func askForWanted(at now: Moment, into effects: inout Effects) {
        var questions: [Int: [UInt16: [Bytes32]]] = [:]
        while let (key, due) = lazyPush.order.first, due <= now.instant {
            lazyPush.order.removeFirst()
            guard var wanted = lazyPush.wanted[key], find(key) == nil, !wanted.sources.isEmpty else {
                if let first = lazyPush.wanted.removeValue(forKey: key)?.first, first >= 0 {
                    links[first]?.wanted -= 1
                }
                continue
            }
            if isUnderWay(wanted, at: now) {
                lazyPush.order.append((key, now.instant + health.stretch(LazyPush.patience)))
                continue
            }
            let source = wanted.sources.removeFirst()
            lazyPush.wanted[key] = wanted
            lazyPush.order.append((key, now.instant + health.stretch(LazyPush.patience)))
            questions[source, default: [:]][wanted.dataType, default: []].append(key)
        }
        for (place, types) in questions.sorted(by: { $0.key < $1.key }) where open.contains(place) {
            for (dataType, keys) in types.sorted(by: { $0.key < $1.key }) { want(keys, dataType, of: place) }
        }
        if let next = lazyPush.order.first { timers.set(.wanted, at: next.due) }
    }

    /// While items of its data type keep coming, one that was told is most likely on its way behind them: asked for, it
    /// would come out of its order.
    private mutating func isUnderWay(_ wanted: LazyPush.Wanted, at now: Moment) -> Bool {
        guard let topic = topics.find(wanted.dataType), now.instant - wanted.since < LazyPush.longestPatience else {
            return false
        }
        return now.instant - topics[topic].lastFirst < LazyPush.patience / 4
    }

    private mutating func want(_ keys: [Bytes32], _ dataType: UInt16, of place: Int) {
        if let topic = topics.find(dataType) { topics[topic].lazy.remove(place) }
        counters.wanted += keys.count
        var rest = keys[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(ExtensionMessage.maximumKeys))
            rest = rest.dropFirst(part.count)
            send(ExtensionMessage(.iWant, dataType: dataType, keys: part), to: place)
        }
    }

    /// Sends what a neighbour wants, as far as it is kept and the neighbour takes it.
    private mutating func send(_ message: ExtensionMessage, to place: Int, into effects: inout Effects) {
        if let topic = topic(toldOf: message.dataType) { topics[topic].lazy.remove(place) }
        for key in message.keys {
            guard links[place]!.outbox.octets < configuration.maxQueueBytes / 4 else { return }
            guard let number = find(key), let entry = seen[number], entry.state == .kept,
                let item = cache[whole(entry.item, below: cache.next)]
            else {
                counters.unanswered += 1
                continue
            }
            links[place]!.outbox.write(
                item: item.message, UInt8(truncatingIfNeeded: MessageType.announce), item.ttl, item.message[5])
            links[place]!.sent += 1
            counters.forwarded += 1
            listedLinks.insert(place)
        }
    }

    private mutating func noteHaver(_ message: ExtensionMessage, _ place: Int) {
        for key in message.keys {
            guard let number = find(key) else {
                lazyPush.note(place, has: key)
                continue
            }
            guard let entry = seen[number], entry.state == .voting else { continue }
            votes.update(whole(entry.item, below: votes.next)) { $0.copies.insert(place) }
        }
    }
}
