internal import PeerCore

/// The list of known peers, and the life of its entries (P+2 sections 4.2 to 4.4).
///
///     candidate ── met ──→ live ──┐
///         └────── failed ←────────┘ failed ── 3 times ──→ forgotten, with a tombstone
struct KnownPeers {
    enum State: String {
        /// Learned, never reached.
        case candidate
        /// The last connection to one of its ports succeeded.
        case live
        /// It could not be reached: it is nobody's peer, but tried again in private.
        case failed
    }

    struct Entry {
        let identity: PeerIdentity
        var state = State.candidate
        /// Whether others may be told.
        var isShared: Bool
        /// Configured: never forgotten.
        var isInitial: Bool
        /// Counted in the order of learning.
        let order: UInt64
        /// Counted in the order of meetings; 0: never met.
        var meeting: UInt64 = 0
        var lastAttempt: Instant?
        var lastMeeting: Instant?
        var failures = 0
        /// When a failed one is tried again.
        var nextTry = Instant(nanoseconds: 0)
        /// What is known of the extension, and when it was asked for.
        var isExtended: Bool?
        var asked: Instant?
    }

    /// What became of an identity that was told.
    enum Outcome: String {
        case added
        /// It was known.
        case known
        /// It had failed, and has told of itself again.
        case revived
        /// It was forgotten lately: hearsay does not bring it back.
        case tombstone
        /// There is no room.
        case full
    }

    /// How long entries that fail are kept (P+2 section 4.4).
    struct Patience: Hashable {
        var firstRetry: Duration
        var secondRetry: Duration
        var tombstone: Duration
        var initialRetry: Duration
    }

    /// Tombstones that are kept; the one that ends first makes room.
    private static let mostTombstones = 4096
    /// Whether a peer knows the extension is asked once in this time (P+2 section 8).
    private static let extensionPause: Duration = .seconds(3600)

    var capacity: Int
    var patience: Patience
    private var entries: [PeerIdentity: Entry] = [:]
    private(set) var tombstones: [PeerIdentity: Instant] = [:]
    private var lastOrder: UInt64 = 0
    private var lastMeeting: UInt64 = 0
    /// Entries whose rows are outdated.
    private var changed: Set<PeerIdentity> = []

    init(capacity: Int, patience: Patience) {
        (self.capacity, self.patience) = (capacity, patience)
    }

    subscript(identity: PeerIdentity) -> Entry? { entries[identity] }

    /// All entries in the order of learning.
    var all: [Entry] { entries.values.sorted { $0.order < $1.order } }

    func count(_ state: State) -> Int { entries.values.count { $0.state == state } }

    /// The list: live ones, the most recently met first, then candidates in the order of learning.
    var list: [Entry] {
        entries.values.filter { $0.state != .failed }
            .sorted { $0.meeting == $1.meeting ? $0.order < $1.order : $0.meeting > $1.meeting }
    }
}

// MARK: - Learning

extension KnownPeers {
    /// Takes an identity in. `isDirect`: the peer itself, or the operator, has told of it; then neither its failures
    /// nor its tombstone count.
    mutating func learn(
        _ identity: PeerIdentity, isShared: Bool, isDirect: Bool, isInitial: Bool = false, at now: Instant
    ) -> Outcome {
        if var entry = entries[identity] {
            let isRevived = isDirect && entry.state == .failed
            if isRevived {
                entry.state = .candidate
                entry.meeting = 0
                entry.failures = 0
                entry.lastAttempt = nil
            }
            if isRevived || isShared && !entry.isShared { changed.insert(identity) }
            entry.isShared = entry.isShared || isShared
            entry.isInitial = entry.isInitial || isInitial
            entries[identity] = entry
            return isRevived ? .revived : .known
        }
        if let end = tombstones[identity] {
            guard isDirect || end <= now else { return .tombstone }
            tombstones[identity] = nil
        }
        guard isInitial || makeRoom() else { return .full }
        lastOrder += 1
        entries[identity] = Entry(identity: identity, isShared: isShared, isInitial: isInitial, order: lastOrder)
        changed.insert(identity)
        return .added
    }

    /// The oldest that was never met makes room.
    private mutating func makeRoom() -> Bool {
        guard entries.count >= capacity else { return true }
        let unmet = entries.values.filter { $0.meeting == 0 && !$0.isInitial }
        guard let oldest = unmet.min(by: { $0.order < $1.order }) else { return false }
        remove(oldest.identity)
        return true
    }

    mutating func remove(_ identity: PeerIdentity) {
        guard entries.removeValue(forKey: identity) != nil else { return }
        changed.insert(identity)
    }

    /// Takes an entry out, and keeps hearsay from bringing it back for a while.
    mutating func forget(_ identity: PeerIdentity, at now: Instant) {
        remove(identity)
        if tombstones.count >= Self.mostTombstones {
            tombstones = tombstones.filter { $0.value > now }
            if tombstones.count >= Self.mostTombstones,
                let first = tombstones.min(by: { ($0.value, $0.key) < ($1.value, $1.key) })
            {
                tombstones[first.key] = nil
            }
        }
        tombstones[identity] = now + patience.tombstone
    }
}

// MARK: - Meeting

extension KnownPeers {
    /// A connection to one of its ports succeeded. True when it was not live.
    mutating func met(_ identity: PeerIdentity, at now: Instant) -> Bool {
        guard var entry = entries[identity] else { return false }
        let isNews = entry.state != .live
        lastMeeting += 1
        entry.meeting = lastMeeting
        entry.lastMeeting = now
        entry.state = .live
        entry.failures = 0
        if isNews || !entry.isShared { changed.insert(identity) }
        entry.isShared = true
        entries[identity] = entry
        return isNews
    }

    /// What follows from a failure.
    enum Failure {
        /// It is tried again in private.
        case retry(after: Duration)
        /// It is forgotten.
        case forgotten
    }

    /// A connection could not be made.
    mutating func failed(_ identity: PeerIdentity, at now: Instant) -> Failure? {
        guard var entry = entries[identity] else { return nil }
        entry.state = .failed
        entry.meeting = 0
        entry.failures += 1
        changed.insert(identity)
        let pause =
            entry.isInitial
            ? patience.initialRetry : [patience.firstRetry, patience.secondRetry].dropFirst(entry.failures - 1).first
        guard let pause else {
            forget(identity, at: now)
            return .forgotten
        }
        entry.nextTry = now + pause
        entries[identity] = entry
        return .retry(after: pause)
    }

    /// Whose turn it is to be asked for its list: the one that was attempted longest ago (P+2 section 4.3).
    func next(at now: Instant) -> PeerIdentity? {
        let due = entries.values.filter { $0.state != .failed || $0.nextTry <= now }
        let first = due.min { a, b in
            switch (a.lastAttempt, b.lastAttempt) {
            case (nil, nil): a.order < b.order
            case (nil, _): true
            case (_, nil): false
            case (let a?, let b?) where a != b: a < b
            default: a.order < b.order
            }
        }
        return first?.identity
    }

    /// When the first failed one is tried again.
    var nextTry: Instant? { entries.values.lazy.filter { $0.state == .failed }.map(\.nextTry).min() }

    mutating func attempted(_ identity: PeerIdentity, at now: Instant) {
        entries[identity]?.lastAttempt = now
    }

    /// Failures are outdated: we were away ourselves.
    mutating func forgetFailures(at now: Instant) {
        for (identity, entry) in entries where entry.state == .failed { entries[identity]?.nextTry = now }
    }
}

// MARK: - The extension

extension KnownPeers {
    /// Whether the peer knows the extension; nil: it is to be asked.
    func isExtended(_ identity: PeerIdentity, at now: Instant) -> Bool? {
        guard let entry = entries[identity], let asked = entry.asked, now - asked < Self.extensionPause else {
            return nil
        }
        return entry.isExtended
    }

    mutating func learnExtension(_ isExtended: Bool, of identity: PeerIdentity, at now: Instant) {
        entries[identity]?.isExtended = isExtended
        entries[identity]?.asked = now
    }
}

// MARK: - Rows

extension KnownPeers {
    /// The rows that have changed; without a record they are to be removed. What has failed is not kept.
    mutating func takeChanges() -> [(key: String, record: Record?)] {
        let identities = changed.sorted()
        changed.removeAll()
        return identities.map { identity in
            guard let entry = entries[identity], entry.state != .failed else { return ("\(identity)", nil) }
            return ("\(identity)", ["shared": .bool(entry.isShared), "live": .bool(entry.state == .live)])
        }
    }

    /// Takes saved rows in as candidates.
    mutating func restore(_ rows: [Row], at now: Instant) {
        for row in rows {
            guard let identity = PeerIdentity(row.key), entries[identity] == nil else { continue }
            let isShared = row.record.bool("shared") ?? false
            if learn(identity, isShared: isShared, isDirect: true, at: now) == .added { changed.remove(identity) }
        }
    }

    var hasChanges: Bool { !changed.isEmpty }
}
