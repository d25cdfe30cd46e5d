public import PeerCore

/// The lines of an answer, as the caller takes them (P+2 section 3).
///
/// A line ends with LF or CR LF. Blank lines are nobody's; a line that is too long is skipped; above the number of
/// lines or octets the rest is dropped.
public struct AnswerLines: Equatable, Sendable {
    /// How much of an answer is taken (P+2 section 3.2).
    public struct Limits: Hashable, Sendable {
        /// Lines of an answer.
        public var lines: Int
        /// Octets of an answer.
        public var octets: Int
        /// Octets of one line, its end not counted.
        public var lineOctets: Int

        /// These limits.
        public init(lines: Int, octets: Int, lineOctets: Int) {
            (self.lines, self.octets, self.lineOctets) = (lines, octets, lineOctets)
        }
    }

    private let limits: Limits
    private var line: [UInt8] = []
    private var isSkipping = false
    private var taken = 0
    private var count = 0

    /// An answer of which nothing has come.
    public init(_ limits: Limits) {
        self.limits = limits
    }

    /// Whether nothing more is taken.
    public var isFull: Bool { taken >= limits.octets || count >= limits.lines }

    /// Adds what has come and gives the lines that it completes.
    public mutating func take(_ bytes: Bytes) -> [Bytes] {
        var lines: [Bytes] = []
        var rest = bytes.slice(0..<min(bytes.count, limits.octets - taken))
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")), count < limits.lines {
            add(rest.slice(0..<end))
            taken += end + 1
            rest = rest.dropping(end + 1)
            if let line = endLine() { lines.append(line) }
        }
        guard count < limits.lines else { return lines }
        add(rest)
        taken += rest.count
        return lines
    }

    /// The other side has ended: a last line without its end, for services where that counts.
    public mutating func atEnd() -> Bytes? {
        isFull ? nil : endLine()
    }

    private mutating func add(_ part: Bytes) {
        // One more for a CR.
        guard !isSkipping, line.count + part.count <= limits.lineOctets + 1 else {
            isSkipping = true
            return
        }
        line.append(part)
    }

    private mutating func endLine() -> Bytes? {
        defer {
            line.removeAll(keepingCapacity: true)
            isSkipping = false
        }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        guard !isSkipping, !line.isEmpty, line.count <= limits.lineOctets else { return nil }
        count += 1
        return Bytes(line)
    }
}
