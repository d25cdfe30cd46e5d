internal import PeerCore

/// Chunks that go out on a channel: asked for, read from the file, sent, and at last acknowledged.
struct Outflow {
    /// Octets that one read of a file has at most, and that are read ahead at least: a disk likes runs, and a read
    /// costs a visit to a worker thread.
    static let readOctets = 256 << 10
    /// Datagrams that go at once although they should be spread over a round trip: two turns of the clock, which
    /// counts in milliseconds.
    private static let burst = Duration.milliseconds(2)
    /// How much faster than a window in a round trip chunks go (RFC 9002 section 7.7 says why), and in slow start.
    private static let (pace, quickPace) = (1.25, 2.0)
    /// Octets of a datagram beside its chunk: channel, head of DATA, and an uncle.
    private static let headBytes = 64
    /// Times that a chunk is sent; then it is for the other side to ask again.
    private static let mostTimes = 8
    /// Ranges that are remembered; what is asked for beyond them is asked for again.
    private static let mostWanted = 4096
    /// So long after a loss nothing counts as known that was only sent.
    private static let carefulTime = Duration.seconds(10)

    /// Chunks that are wanted and not read yet, in order.
    private(set) var wanted: [ChunkRange] = []
    /// All chunks that are wanted, read, or under way: a second request for one of them changes nothing.
    private var due = ChunkSet()
    private var ready: [Piece] = []
    private var readyHead = 0
    private(set) var readyOctets = 0
    /// Lost ones, which go first.
    private var again: [Piece] = []
    /// Octets that are being read.
    private var readingOctets = 0
    private(set) var flight = Flight()
    private(set) var ledbat: Ledbat
    private(set) var roundTrip = RoundTrip()
    /// Not before.
    private(set) var next = Instant(nanoseconds: 0)
    /// Chunks that were sent since the last loss: the hashes beside them are known if they have come.
    var sent = ChunkSet()
    private var lostAt: Instant?
    /// Silences without an acknowledgement between them.
    private(set) var silences = 0

    /// What goes to `remote` by these rules.
    init(_ rules: ChunkRules, to remote: SocketAddress) {
        ledbat = Ledbat(
            segment: Int(rules.chunkSize ?? PPSP.usualChunkSize) + Self.headBytes,
            target: remote.ip.isLoopback ? Ledbat.localTarget : Ledbat.target)
    }

    /// Whether nothing is to be sent and nothing to be waited for.
    var isIdle: Bool { flight.isEmpty && again.isEmpty && readyHead == ready.count && wanted.isEmpty }

    /// Whether something waits for room or time only.
    var hasPieces: Bool { !again.isEmpty || readyHead < ready.count }

    // MARK: - Requests

    /// Chunks of a content of `count` are wanted.
    mutating func want(_ range: ChunkRange, of count: UInt64) {
        if due.limit != count { (due, sent) = (ChunkSet(due, limit: count), ChunkSet(sent, limit: count)) }
        let missing = due.missingRanges(from: range.first).prefix { $0.first <= range.last }
        let parts = missing.prefix(max(0, Self.mostWanted - wanted.count)).map {
            ChunkRange($0.first, min($0.last, range.last))
        }
        for part in parts { due.insert(part) }
        wanted += parts
    }

    /// Chunks are not wanted any more.
    mutating func skip(_ range: ChunkRange) {
        guard due.intersects(range) else { return }
        due.remove(range)
        if !wanted.isEmpty { wanted = wanted.flatMap { $0.without(range) } }
        let kept = ready[readyHead...].filter { !range.contains($0.chunk) }
        readyOctets = kept.reduce(0) { $0 + $1.payload.count }
        (ready, readyHead) = (Array(kept), 0)
        again.removeAll { range.contains($0.chunk) }
    }

    /// Nothing is wanted any more.
    mutating func clear() {
        _ = flight.takeAll()
        (wanted, ready, readyHead, readyOctets, again) = ([], [], 0, 0, [])
        due.removeAll()
    }

    // MARK: - Reading

    /// The next chunks to read, as far as the window will need them soon.
    mutating func nextRead(_ have: ChunkSet, chunkSize: Int) -> ChunkRange? {
        let enough = max(Self.readOctets, Int(ledbat.window))
        guard readyOctets + readingOctets < enough, readingOctets <= Self.readOctets else { return nil }
        while let first = wanted.first {
            guard have.contains(first.first) else {
                // What is not here is not answered.
                let missing = have.first(from: first.first).map { min($0 - 1, first.last) } ?? first.last
                due.remove(ChunkRange(first.first, missing))
                drop(through: missing)
                continue
            }
            let most = UInt64(max(1, Self.readOctets / max(1, chunkSize)))
            let end = min(first.last, first.first + most - 1)
            let last = have.firstMissing(from: first.first).map { min($0 - 1, end) } ?? end
            drop(through: last)
            readingOctets += Int(last - first.first + 1) * chunkSize
            return ChunkRange(first.first, last)
        }
        return nil
    }

    private mutating func drop(through last: UInt64) {
        guard let first = wanted.first else { return }
        if first.last <= last { wanted.removeFirst() } else { wanted[0] = ChunkRange(last + 1, first.last) }
    }

    /// A read is done.
    mutating func read(_ range: ChunkRange, _ octets: Bytes, chunkSize: Int) {
        readingOctets -= Int(range.count) * chunkSize
        if readyHead == ready.count { (ready, readyHead) = ([], 0) }
        for (index, chunk) in (range.first...range.last).enumerated() where due.contains(chunk) {
            let start = index * chunkSize
            guard start < octets.count else { return }
            let payload = octets.slice(start..<min(octets.count, start + chunkSize))
            ready.append(Piece(chunk: chunk, payload: payload))
            readyOctets += payload.count
        }
    }

    /// A read did not work.
    mutating func unread(_ range: ChunkRange, chunkSize: Int) {
        readingOctets -= Int(range.count) * chunkSize
        due.remove(range)
    }

    // MARK: - Sending

    /// The next chunk, if the window and its pace have room for it now.
    mutating func nextPiece(at now: Instant) -> Piece? {
        guard hasPieces, next <= now else { return nil }
        let size = Double((again.last ?? ready[readyHead]).payload.count)
        guard flight.isEmpty || Double(flight.octets) + size <= ledbat.window else { return nil }
        if let piece = again.popLast() { return piece }
        defer { readyHead += 1 }
        readyOctets -= ready[readyHead].payload.count
        return ready[readyHead]
    }

    /// A chunk is sent, with so many octets.
    mutating func send(_ piece: Piece, octets: Int, at now: Instant) {
        var piece = piece
        piece.times += 1
        flight.send(piece, octets: octets, at: now)
        sent.insert(piece.chunk)
        guard let mean = roundTrip.mean else { return }
        let factor = ledbat.isSlowStart ? Self.quickPace : Self.pace
        let seconds = Double(octets) * mean / (ledbat.window * factor)
        next = max(next, now - Self.burst) + .nanoseconds(Int64(seconds * 1e9))
    }

    /// Whether only what is surely known there may be left out of a proof.
    func isCareful(at now: Instant) -> Bool { lostAt.map { now - $0 < Self.carefulTime } ?? false }

    // MARK: - Acknowledgements

    /// Chunks have come, each so late.
    mutating func arrive(_ ranges: [(chunks: ChunkRange, delay: UInt64?)], at now: Instant) {
        let before = flight.octets
        var octets = 0
        for (range, delay) in ranges {
            let found = flight.arrive(range, at: now)
            guard !found.chunks.isEmpty else { continue }
            for chunk in found.chunks { due.remove(chunk) }
            octets += found.octets
            if let delay { ledbat.sample(delay, at: now) }
            if let time = found.time { roundTrip.measure(time) }
        }
        guard octets > 0 else { return }
        silences = 0
        ledbat.acknowledge(octets, of: before)
        sendAgain(flight.takeLost(at: now, roundTrip: roundTrip.duration), at: now)
    }

    /// When nothing was acknowledged for too long.
    var silenceEnds: Instant? { flight.oldest.map { $0 + roundTrip.timeout } }

    /// Nothing was.
    mutating func silence(at now: Instant) {
        silences += 1
        roundTrip.double()
        ledbat.silence(at: now)
        sendAgain(flight.takeAll(), at: now)
    }

    private mutating func sendAgain(_ lost: [Piece], at now: Instant) {
        guard !lost.isEmpty else { return }
        ledbat.lose(at: now, roundTrip: roundTrip.duration)
        lostAt = now
        sent.removeAll()
        for piece in lost where piece.times >= Self.mostTimes { due.remove(piece.chunk) }
        // The last one goes first.
        again = lost.filter { $0.times < Self.mostTimes }.reversed() + again
    }
}

extension ChunkRange {
    /// What is left of it without another one.
    func without(_ other: ChunkRange) -> [ChunkRange] {
        guard intersection(other) != nil else { return [self] }
        var rest: [ChunkRange] = []
        if first < other.first { rest.append(ChunkRange(first, other.first - 1)) }
        if last > other.last { rest.append(ChunkRange(other.last + 1, last)) }
        return rest
    }
}
