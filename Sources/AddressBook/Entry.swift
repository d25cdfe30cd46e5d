public import PeerCore

extension AddressBook {
    /// What is known of one address.
    public struct Entry: Hashable, Sendable {
        /// Octets of a note that are kept: a user agent has at most 255 (DDRP section 6).
        static let maximumNoteBytes = 255

        /// Where the peer listens.
        public let address: SocketAddress
        /// The peer's ID: proven when the entry is verified, else as it was told.
        public internal(set) var identity: Bytes32?
        /// Who named the address first, or the operator when he named it later.
        public internal(set) var source: Source
        /// When it came into the book.
        public internal(set) var firstSeen: WallClock
        /// When the peer itself was last heard; nil: never. What others say of it does not count.
        public internal(set) var lastSeen: WallClock?
        /// `lastSeen` as it was when the row was last written.
        var writtenLastSeen: WallClock?
        /// Dials that succeeded.
        public internal(set) var successes: Int
        /// Dials that failed since the last success; the back-off grows with them.
        public internal(set) var failures: Int
        /// When a dial last succeeded.
        public internal(set) var lastSuccess: WallClock?
        /// When it may be dialled again. Monotonic, so not stored: after a restart it is due.
        public internal(set) var nextTry: Instant
        /// A word about it for the operator: user agent, or why the last dial failed.
        public internal(set) var note: String
        /// Whether a dial to it succeeded once: the only thing that a stranger cannot make up.
        public internal(set) var isVerified: Bool

        init(_ address: SocketAddress, identity: Bytes32?, source: Source, at now: Moment) {
            self.address = address
            self.identity = identity
            self.source = source
            self.firstSeen = now.wallClock
            self.successes = 0
            self.failures = 0
            self.nextTry = now.instant
            self.note = ""
            self.isVerified = false
        }

        /// Seeds and verified entries are dialled first.
        var rank: DuePool.Rank { isVerified || source == .seed ? .preferred : .other }

        /// The last sign of life, or when we heard of it.
        var lastEvidence: WallClock { max(firstSeen, lastSeen ?? firstSeen, lastSuccess ?? firstSeen) }

        /// Whether it was heard for at least `duration` after a dial that succeeded.
        public func wasGood(for duration: Duration) -> Bool {
            guard isVerified, let lastSuccess, let lastSeen else { return false }
            return lastSeen - lastSuccess >= duration
        }

        /// Whether its place may be given to another.
        var isEvictable: Bool { !isVerified && !source.isTrusted }

        mutating func setNote(_ text: String) {
            note = text.utf8.count <= Self.maximumNoteBytes ? text : String(text.prefix(Self.maximumNoteBytes / 4))
        }
    }
}

extension AddressBook.Entry {
    /// The row to remember: what `AddressBook.restore` reads. Times are milliseconds since 1970-01-01 UTC.
    public var record: Record {
        var record: Record = [
            "source": .text(source), "first_seen": .count(firstSeen.milliseconds), "successes": .count(successes),
            "failures": .count(failures), "verified": .bool(isVerified),
        ]
        if let identity { record["identity"] = .text(identity) }
        if let lastSeen { record["last_seen"] = .count(lastSeen.milliseconds) }
        if let lastSuccess { record["last_success"] = .count(lastSuccess.milliseconds) }
        if !note.isEmpty { record["note"] = .string(note) }
        return record
    }

    /// The entry of a row; nil when a value is missing or cannot be.
    ///
    /// What was a seed comes back as an operator's request: whether it still is a seed, the configuration says.
    /// Times later than now (the clock was set back) become now.
    init?(_ row: Row, at now: Moment) {
        let record = row.record
        func time(_ name: String) -> WallClock? {
            record.int(name).map { WallClock(milliseconds: min($0, now.wallClock.milliseconds)) }
        }
        guard let address = SocketAddress(row.key),
            let source = record.string("source").flatMap(AddressBook.Source.init),
            let firstSeen = time("first_seen"), let successes = record.int("successes"), (0..<1 << 32) ~= successes,
            let failures = record.int("failures"), (0..<1 << 32) ~= failures, let isVerified = record.bool("verified")
        else { return nil }
        self.init(address, identity: nil, source: source == .seed ? .operatorRequest : source, at: now)
        if let hex = record.string("identity") {
            guard let identity = Bytes32(hex: hex) else { return nil }
            self.identity = identity
        }
        self.firstSeen = firstSeen
        self.lastSeen = time("last_seen")
        self.writtenLastSeen = lastSeen
        self.lastSuccess = time("last_success")
        self.successes = Int(successes)
        self.failures = Int(failures)
        self.isVerified = isVerified
        setNote(record.string("note") ?? "")
    }

    /// Takes over the history of a stored row of the same address.
    mutating func adoptHistory(of stored: Self) {
        identity = identity ?? stored.identity
        firstSeen = stored.firstSeen
        lastSeen = lastSeen ?? stored.lastSeen
        lastSuccess = lastSuccess ?? stored.lastSuccess
        successes += stored.successes
        failures = stored.failures
        isVerified = isVerified || stored.isVerified
        if note.isEmpty { note = stored.note }
    }
}
