internal import Glibc
internal import PeerCore
internal import PeerRuntime

/// How far a long piece of work is, on standard error: a bar on a terminal, a plain line every few seconds elsewhere,
/// nothing when that is asked for.
///
///     photo.iso  [=========>            ]  42%  12.3 MB of 29.1 MB  4.2 MB/s  0:04 left
struct Progress {
    /// How it is shown.
    enum Style {
        /// A line that is written over again and again.
        case bar
        /// A line every few seconds.
        case lines
        /// Not at all.
        case none

        /// What suits standard error.
        static var standard: Style { Terminal.isTerminal(STDERR_FILENO) ? .bar : .lines }
    }

    /// A bar moves at most so often: faster than that nobody reads.
    private static let barPause: Duration = .milliseconds(100)
    /// From one plain line to the next.
    private static let linePause: Duration = .seconds(5)
    /// The rate is that of this time: long enough to be steady, short enough to be true.
    private static let rateSpan: Duration = .seconds(5)
    /// A bar of fewer columns shows nothing that the numbers do not.
    private static let shortestBar = 8

    private let title: String
    private let style: Style
    private var samples: [(at: Instant, done: UInt64)] = []
    private var lastShown: Instant?
    private var isOnScreen = false

    /// Of what is called `title`, from now on. What comes from the network is escaped already.
    init(_ title: String, _ style: Style, at now: Instant) {
        self.title = title
        self.style = style
        // The first plain line has something to tell.
        lastShown = style == .lines ? now : nil
    }

    /// So much is done, of so much if that is known.
    mutating func update(_ done: UInt64, of total: UInt64?, at now: Instant) {
        samples.append((now, done))
        while samples.count > 2, now - samples[0].at > Self.rateSpan { samples.removeFirst() }
        guard style != .none else { return }
        if let lastShown, now - lastShown < (style == .bar ? Self.barPause : Self.linePause) { return }
        lastShown = now
        if style == .bar {
            let line = bar(done, of: total, columns: Terminal.columns(of: STDERR_FILENO) - 1)
            put("\r\(line)\u{1b}[K")
            isOnScreen = true
        } else {
            put("\(title): \(facts(done, of: total).joined(separator: ", "))\n")
        }
    }

    /// Takes the bar off the screen.
    mutating func finish() {
        if isOnScreen { put("\r\u{1b}[K") }
        isOnScreen = false
    }

    private func put(_ text: String) { writeAll(Array(text.utf8), to: STDERR_FILENO) }

    /// Octets a second, of late.
    private var rate: Double? {
        guard let first = samples.first, let last = samples.last, last.at > first.at, last.done >= first.done else {
            return nil
        }
        return Double(last.done - first.done) / (Double((last.at - first.at).nanoseconds) / 1e9)
    }

    private func facts(_ done: UInt64, of total: UInt64?) -> [String] {
        var facts: [String] = []
        if let total, total > 0 { facts.append("\(min(100, Int(Double(done) / Double(total) * 100)))%") }
        facts.append(Amount.octets(done) + (total.map { " of \(Amount.octets($0))" } ?? ""))
        guard let rate else { return facts }
        facts.append(Amount.octets(UInt64(rate)) + "/s")
        if let total, total >= done, rate >= 1 {
            // Nobody waits for a thousand days.
            let left = min(Double(total - done) / rate, 1000 * 86_400)
            facts.append(Amount.time(Int64(left.rounded(.up))) + " left")
        }
        return facts
    }

    private func bar(_ done: UInt64, of total: UInt64?, columns: Int) -> String {
        let facts = facts(done, of: total).joined(separator: "  ")
        let room = columns - Columns.count(facts) - 2
        let name = Columns.cut(title, max(0, min(room, columns / 3)))
        let places = room - Columns.count(name) - 4
        guard let total, total > 0, places >= Self.shortestBar else {
            return Columns.cut(name.isEmpty ? facts : "\(name)  \(facts)", columns)
        }
        let full = min(places, Int(Double(done) / Double(total) * Double(places)))
        let filled = String(repeating: "=", count: max(0, full - 1)) + (full > 0 ? ">" : "")
        let painted = Terminal.isColoured(STDERR_FILENO) ? "\u{1b}[32m\(filled)\u{1b}[0m" : filled
        return "\(name)  [\(painted)\(String(repeating: " ", count: places - full))]  \(facts)"
    }
}
