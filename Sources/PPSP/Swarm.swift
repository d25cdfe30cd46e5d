internal import PeerCore

/// One content, as far as it is here. A class, since every chunk looks at it many times: its sets are not to be copied.
final class Swarm {
    /// How far it is.
    enum Phase: Hashable {
        /// Its files are looked at.
        case opening
        /// Chunks come in.
        case fetching
        /// All is here, and has its name.
        case complete
        /// It cannot be served or fetched; words for the operator.
        case broken(String)
    }

    let number: Int
    let id: SwarmID
    var phase = Phase.opening
    /// What the swarm is made with; not all of it is known until a peer has told.
    var metadata: SwarmMetadata
    /// The folder of the content, under a name of its own, and where that is.
    let folder: FolderID
    var place: String
    /// The name of the whole content below it, and where chunks go until all are there: `.NAME.ppsp`, beside it.
    var name: RelativePath { didSet { part = FileName(folder, Self.hidden(name)) } }
    private(set) var part: FileName
    /// Octets; known when the last chunk is here.
    var length: UInt64?
    /// The file as it was when it was hashed.
    var mark: FileMark?
    var tree: HashTree?
    /// Chunks that are verified and stored.
    var have = ChunkSet()
    /// The same, and those that are asked for, checked, or stored at present.
    var taken = ChunkSet()
    /// Chunks that are being checked or stored.
    var inHand = ChunkSet()
    /// Chunks that are being made durable.
    var keeping = ChunkSet()
    /// Chunks that are new since others were told.
    var news = ChunkSet()
    /// Chunks below nodes of the tree that are new since it was written.
    var unwritten = ChunkSet()
    /// Chunks come in order, for somebody who reads meanwhile.
    var isOrdered = false
    /// From when on a peer that has all is asked for more than the own share of what it has.
    var helpsFrom: Instant?
    /// Chunks whose row is written, and whether the row says that all are here.
    var durable = ChunkSet()
    var wasComplete = false
    /// Octets from the beginning on that are here without a gap.
    var prefix: UInt64 = 0

    /// Peers, in the order in which they came.
    var peers: [Partner] = []
    /// Whom to dial.
    var candidates: [Destination: Candidate] = [:]
    /// Those who are called by datagrams alone.
    var callees: [SocketAddress: Candidate] = [:]

    /// Chunks that have come and wait for their hash.
    var arrivals: [Arrival] = []
    var arrivedOctets = 0
    /// Chunks that were pushed while others have brought the same, which may be false: nobody pushes a chunk twice.
    var second: [UInt64: Arrival] = [:]
    /// Batches whose hashes are computed, in order.
    var checks: [Check] = []
    var lastCheck = 0
    /// Octets that are asked for, checked, or stored at present.
    var pendingOctets = 0
    /// Octets that have been stored since the start, for the rate.
    var stored: UInt64 = 0
    var meter = Meter()
    /// Whether something has been stored since the last checkpoint.
    var isDirty = false
    var isKeeping = false

    init(_ number: Int, _ id: SwarmID, at place: String, _ name: RelativePath) {
        self.number = number
        self.id = id
        metadata = SwarmMetadata(id)
        folder = FolderID("content/\(id.description.prefix(16))")
        self.place = place
        self.name = name
        part = FileName(folder, Self.hidden(name))
    }

    /// The number of chunks is known now; what was known of them before stays.
    func counted(_ count: UInt64) {
        taken = ChunkSet(taken, limit: count)
        inHand = ChunkSet(inHand, limit: count)
        have = ChunkSet(have, limit: count)
        durable = ChunkSet(durable, limit: count)
        news = ChunkSet(news, limit: count)
        // Smaller numbers come with other peaks.
        unwritten = have
    }

    /// Chunks are asked for.
    func ask(_ chunks: ChunkRange) {
        taken.insert(chunks)
        pendingOctets += Int(chunks.count * chunkSize)
    }

    /// A chunk has come.
    func arrive(_ arrival: Arrival) {
        arrivals.append(arrival)
        arrivedOctets += arrival.payload.count
        inHand.insert(arrival.chunk)
    }

    /// One that was asked for twice need not come any more.
    func withdraw() {
        pendingOctets -= Int(chunkSize)
    }

    /// A chunk is stored.
    func store(_ chunk: Stored) {
        pendingOctets -= Int(chunkSize)
        have.insert(chunk.chunk)
        news.insert(chunk.chunk)
        stored &+= UInt64(chunk.octets)
        guard chunk.chunk + 1 == chunkCount else { return }
        length = chunk.chunk * chunkSize + UInt64(chunk.octets)
        metadata.contentLength = length
    }

    /// How far somebody can read who reads from the beginning.
    func grow() {
        guard let chunkCount else { return }
        let missing = have.firstMissing(from: prefix / max(1, chunkSize)) ?? chunkCount
        prefix = missing >= chunkCount ? length ?? 0 : missing * chunkSize
    }

    /// How fast chunks are stored.
    func measure(at now: Instant) {
        meter.add(stored, at: now)
    }

    /// These chunks are here, and no others.
    func holds(_ chunks: ChunkSet) {
        have = chunks
        taken = chunks
    }

    /// The whole content.
    var file: FileName { FileName(folder, name) }

    /// The hashes, where this node keeps what is its own.
    var hashes: FileName {
        guard let path = RelativePath(".hashes/\(id)", allowHidden: true) else { preconditionFailure("\(id)") }
        return FileName(PPSP.store, path)
    }

    /// Where chunks are read from and written to now.
    var content: FileName { phase == .complete ? file : part }

    /// A hidden name beside another one.
    private static func hidden(_ path: RelativePath) -> RelativePath {
        let last = path.components.last.map { "\($0)" } ?? ""
        let name = path.components.dropLast() + [".\(last).ppsp"]
        guard let hidden = RelativePath(name.joined(separator: "/"), allowHidden: true) else {
            preconditionFailure("no name beside \(path)")
        }
        return hidden
    }

    /// Where its peers are, in the same order.
    var ties: [Tie] { peers.map(\.tie) }

    /// Octets of every chunk but the last; 0 while nobody has told.
    var chunkSize: UInt64 { UInt64(metadata.chunkSize ?? 0) }

    /// Whether others may ask for chunks of it.
    var isServed: Bool { phase == .complete || phase == .fetching && metadata.chunkSize != nil }

    /// Number of chunks, once it is proved.
    var chunkCount: UInt64? { tree?.chunkCount }

    /// Octets of a chunk that is here.
    func octets(of chunk: UInt64) -> Int {
        guard let chunkCount, chunk + 1 == chunkCount, let length else { return Int(chunkSize) }
        return Int(length - chunk * chunkSize)
    }

    /// Octets that are verified and stored.
    var haveOctets: UInt64 {
        guard let chunkCount, have.count > 0 else { return 0 }
        return (have.count - 1) * chunkSize
            + (have.contains(chunkCount - 1) ? UInt64(octets(of: chunkCount - 1)) : chunkSize)
    }

    /// Octets in all: exact when the last chunk is here.
    var totalOctets: UInt64? {
        if let length { return length }
        return chunkCount.map { $0 * chunkSize }
    }
}

/// A chunk that has come and is not checked yet.
struct Arrival {
    let tie: Tie
    let chunk: UInt64
    let payload: Bytes
    /// What its sender told before it.
    let hashes: [(node: Subtree, hash: Bytes)]
    /// It is here already, and its hash only helps to prove others.
    var isSpare = false
    /// It could not be proved before those that came after it.
    var isLate = false
    /// How late it came on its channel, in microseconds.
    var delay: UInt64?
}

/// Chunks whose hashes are computed together.
struct Check {
    let number: Int
    let arrivals: [Arrival]
    /// An answer over HTTP, whose chunks prove each other.
    var isRange = false
    /// The hashes, when they are there and earlier batches are not done with.
    var digests: [Bytes]?
}

/// How fast a peer gives, and how much is to be asked of it so that it always has something to do.
///
/// Asking for more than it gives in a moment would only keep others from those chunks.
struct Pace {
    /// What a peer is asked for while its rate is not known.
    static let least = 64 << 10
    /// Seconds for which there is work beside what is on its way: as long as a node may be busy with other things.
    private static let slack = 0.02
    /// A rate is that of this time at least.
    private static let window = Duration.milliseconds(20)
    /// The part that a new rate has in the one that counts.
    private static let weight = 0.5

    private var since: Instant?
    private var octets = 0
    /// Octets in a second.
    private(set) var rate = 0.0
    /// Shortest time from asking to coming.
    private var delay: Double?

    /// Octets came that were asked for then.
    mutating func add(_ count: Int, askedAt: Instant?, at now: Instant) {
        octets += count
        if let askedAt { delay = min(delay ?? .infinity, (now - askedAt).fractionalSeconds) }
        guard let since else { return self.since = now }
        let seconds = (now - since).fractionalSeconds
        guard now - since >= Self.window else { return }
        rate += (Double(octets) / seconds - rate) * Self.weight
        (self.since, octets) = (now, 0)
    }

    /// Octets that may be outstanding.
    var outstanding: Int { max(Self.least, Int(min(rate * (2 * (delay ?? 0) + Self.slack), 1e9))) }

    /// Seconds for which there is work for who answers whole ranges, which come at any pace.
    private static let rangesTime = 2.0
    /// The request window of who does not tell it (PPSP section 6), which HTTP cannot tell.
    private static let mostOfRanges = Double(AgreedTransport.defaultRequestWindow)

    /// Octets of ranges that may be outstanding.
    var ofRanges: Int { max(2 * Self.least, Int(min(rate * Self.rangesTime, Self.mostOfRanges))) }
}

/// Octets in the last seconds.
struct Meter {
    /// Over how long a rate is told: long enough to be calm, short enough to follow.
    private static let window = Duration.seconds(5)

    private var marks: [(at: Instant, octets: UInt64)] = []

    /// So many in all, by now.
    mutating func add(_ total: UInt64, at now: Instant) {
        marks.append((now, total))
        while marks.count > 2, now - marks[1].at >= Self.window { marks.removeFirst() }
    }

    /// Octets in a second; nil while nothing can be said.
    var rate: Double? {
        guard let first = marks.first, let last = marks.last, last.at > first.at else { return nil }
        return Double(last.octets - first.octets) / (last.at - first.at).fractionalSeconds
    }
}
