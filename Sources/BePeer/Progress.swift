internal import PeerCore

/// How many octets come in a second.
struct Meter {
    /// What is looked back at: long enough that single files do not show, short enough that a change does.
    private static let window: Duration = .seconds(5)
    /// Fetches tell once a second how far they are; after more than that, nothing has come.
    private static let silence: Duration = .milliseconds(1500)
    /// What comes closer together is one mark.
    private static let step: Duration = .milliseconds(500)

    /// Sums of all octets until then; the first is at the beginning, or before the window.
    private var marks: [(at: Instant, sum: UInt64)]

    /// Nothing has come yet.
    init(at now: Instant) {
        marks = [(now, 0)]
    }

    mutating func count(_ octets: UInt64, at now: Instant) {
        let mark = (at: now, sum: marks[marks.count - 1].sum &+ octets)
        if marks.count > 1, now - marks[marks.count - 2].at < Self.step {
            marks[marks.count - 1] = mark
        } else {
            marks.append(mark)
        }
        while marks.count > 2, now - marks[1].at >= Self.window { marks.removeFirst() }
    }

    func rate(at now: Instant) -> UInt64 {
        let last = marks[marks.count - 1]
        let end = now - last.at > Self.silence ? now : last.at
        let first = marks.last { end - $0.at >= Self.window } ?? marks[0]
        return UInt64(Double(last.sum &- first.sum) / max(1, (end - first.at).fractionalSeconds))
    }
}

/// How far the taking in of files is.
struct Progress {
    var files = 0
    var ofFiles = 0
    var bytes: UInt64 = 0
    var ofBytes: UInt64 = 0
    var bytesPerSecond: UInt64 = 0
    /// Files whose size is not known yet are not among the octets.
    var isWhole = true

    /// Octets that are still to come.
    var left: UInt64 { ofBytes - min(ofBytes, bytes) }

    var secondsLeft: UInt64? {
        guard isWhole, bytesPerSecond > 0, left > 0 else { return nil }
        return left.dividedRoundingUp(by: bytesPerSecond)
    }

    /// Adds it to a row for the operator.
    func tell(_ row: inout Record) {
        row["doneFiles"] = .count(files)
        row["ofFiles"] = .count(ofFiles)
        row["doneBytes"] = .count(bytes)
        row["ofBytes"] = .count(ofBytes)
        row["bytesPerSecond"] = .count(bytesPerSecond)
        if let secondsLeft { row["secondsLeft"] = .count(secondsLeft) }
    }
}

extension Want {
    /// The size of its content; nil while nobody has told it.
    var knownSize: UInt64? {
        if isTold { return remote.isDeleted ? 0 : remote.size }
        return size > 0 && size < UInt64(Int64.max) ? size : nil
    }

    /// Octets of the content that are here.
    var here: UInt64 {
        if let content { return content.size }
        let octets = plan.map { $0.passed &+ progress } ?? have &+ progress
        return min(octets, knownSize ?? 0)
    }
}

extension BePeer {
    /// What is taken in from a peer; nil when that is nothing.
    func progress(_ tie: Tie, at now: Instant) -> Progress? {
        guard let intake = self[tie]?.intake, [.fetching, .deleting].contains(intake.phase), !intake.files.isEmpty
        else { return nil }
        let waiting = intake.phase == .fetching ? intake.deletions.count : 0
        var progress = Progress(
            files: intake.next - intake.running - waiting, ofFiles: intake.files.count, bytes: intake.passedBytes,
            ofBytes: intake.totalBytes, bytesPerSecond: intake.meter.rate(at: now),
            isWhole: intake.isExtended || intake.next == intake.files.count)
        for want in wants.values where want.tie == tie {
            progress.bytes &+= want.here
            if !want.isTold { progress.ofBytes &+= want.knownSize ?? 0 }
        }
        return progress
    }

    /// What is taken in for a folder: peers mostly tell of the same files, so the one that is the farthest from its end
    /// shows how far all is.
    func progress(of folder: Int, at now: Instant) -> Progress? {
        let all = folders[folder].partners.keys.compactMap { progress(Tie(folder: folder, ip: $0), at: now) }
        guard var progress = all.max(by: { ($0.left, $0.ofFiles) < ($1.left, $1.ofFiles) }) else { return nil }
        progress.bytesPerSecond = all.reduce(0) { $0 &+ $1.bytesPerSecond }
        return progress
    }

    /// Octets that have come of the fetch under way for a file.
    mutating func arrived(_ octets: UInt64, _ id: UInt64, at now: Instant) {
        guard let want = wants[id], octets > want.progress else { return }
        wants[id]?.progress = octets
        let more = octets - want.progress
        counters.bytesFetched &+= more
        self[want.tie]?.intake?.fetchedBytes &+= more
        self[want.tie]?.intake?.meter.count(more, at: now)
    }

    /// How far a fetch is.
    mutating func fetching(_ request: RequestID, _ octets: UInt64, at now: Instant) {
        switch errands[request] {
        case .want(let id), .segment(let id): arrived(octets, id, at: now)
        default: break
        }
    }
}
