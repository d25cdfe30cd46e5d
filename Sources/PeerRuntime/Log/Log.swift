internal import Glibc
public import PeerCore
internal import UV

/// Where log lines go: one line for each record, written at once, so that a crash loses none.
public final class Log {
    /// How a line looks.
    public enum Format: String, Sendable {
        /// One JSON object.
        case json
        /// For a person at a terminal.
        case text
    }

    /// A line as it was written, for `events`.
    public struct Line: Sendable {
        /// Counted from 1.
        public let number: UInt64
        /// Time, level, category, event, the event's fields, message.
        public let record: Record
    }

    /// How a line looks.
    public var format: Format
    /// Whether lines for a person are coloured.
    public var isColoured = false
    /// Level of categories that have none of their own.
    public var standardLevel: LogLevel
    /// How addresses are shown.
    public var addresses = AddressPrivacy.full
    /// Begin each line with `<N>`, the priority that journald reads.
    public var writesPriority = false
    /// Told each line after it was written.
    public var followers: [Int: (Line) -> Void] = [:]
    /// The last lines, oldest first.
    public private(set) var recent: [Line] = []
    /// Lines written by level.
    public private(set) var counts: [LogLevel: UInt64] = [:]

    private var levels: [String: LogLevel] = [:]
    private var descriptor: Int32
    private var path: String?
    private var budget = LogBudget()
    private var lastNumber: UInt64 = 0
    /// Fields that stand before the event's own in every line: the node of a testbed.
    private let constant: Record

    /// Octets of most lines: one allocation each.
    private static let usualLine = 256
    /// Lines kept for `events`.
    private static let recentLines = 500

    /// A log on standard output.
    public init(format: Format = .json, level: LogLevel = .info, constant: Record = [:], descriptor: Int32 = 1) {
        self.format = format
        self.standardLevel = level
        self.constant = constant
        self.descriptor = descriptor
    }

    deinit {
        if path != nil { Glibc.close(descriptor) }
    }

    /// Writes to the end of a file from now on; throws when it cannot be opened.
    public func open(file: String) throws(SystemError) {
        let opened = unsafe Glibc.open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard opened >= 0 else { throw SystemError(code: errno) }
        if path != nil { Glibc.close(descriptor) }
        descriptor = opened
        path = file
    }

    /// Opens the file again, after somebody has moved it away.
    public func reopen() throws(SystemError) {
        if let path { try open(file: path) }
    }

    /// The level of a category.
    public func level(_ category: String) -> LogLevel { levels[category] ?? standardLevel }

    /// Gives a category a level of its own, or takes it away.
    public func setLevel(_ level: LogLevel?, for category: String) {
        levels[category] = level
    }

    /// The level of all categories but these.
    public func setLevels(standard: LogLevel, _ levels: [String: LogLevel]) {
        standardLevel = standard
        self.levels = levels
    }

    /// Writes a line, unless its level is off or its kind has used up its budget.
    public func write(_ record: LogRecord, category: String, at clock: WallClock) {
        guard record.level >= level(category) else { return }
        guard let left = budget.take(record, at: clock) else { return }
        var line: Record = [
            "ts": .time(clock), "level": .string(record.level.name), "cat": .string(category),
            "event": .string(record.event),
        ]
        line = line.appending(constant).appending(addresses.applied(to: record.fields))
        if left > 0 { line["leftOut"] = .count(left) }
        if !record.message.isEmpty { line["msg"] = .string(record.message) }
        output(line, record.level)
        keep(line, record.level)
    }

    private func output(_ line: Record, _ level: LogLevel) {
        var octets: [UInt8] = writesPriority ? Array("<\(level.priority)>".utf8) : []
        octets.reserveCapacity(Self.usualLine)
        switch format {
        case .json: line.write(to: &octets)
        case .text: octets += LogText.line(line, level, isColoured: isColoured).utf8
        }
        octets.append(UInt8(ascii: "\n"))
        writeAll(octets, to: descriptor)
    }

    private func keep(_ record: Record, _ level: LogLevel) {
        lastNumber += 1
        counts[level, default: 0] += 1
        let line = Line(number: lastNumber, record: record)
        if recent.count >= Self.recentLines * 2 { recent.removeFirst(Self.recentLines) }
        recent.append(line)
        for follower in followers.values { follower(line) }
    }
}

/// How addresses of peers are shown in the log.
public enum AddressPrivacy: String, Sendable, CaseIterable {
    /// As they are.
    case full
    /// Their IPv4 /24 or IPv6 /48 block.
    case prefix
    /// A name that is the same for the same address while the process lives, and says nothing.
    case hash

    private static let fields: Set<String> = ["address", "peer", "server", "from", "local", "remote"]

    func applied(to record: Record) -> Record {
        guard self != .full else { return record }
        var result = record
        for field in record.fields where Self.fields.contains(field.name) {
            guard case .string(let text) = field.value, let address = SocketAddress(text) else { continue }
            switch self {
            case .full: break
            case .prefix: result[field.name] = .text(IPPrefix(of: address.ip, v4: 24, v6: 48))
            case .hash:
                result[field.name] = .string("#" + String(UInt32(truncatingIfNeeded: address.hashValue), radix: 16))
            }
        }
        return result
    }
}

extension LogLevel {
    /// The priority of syslog.
    var priority: Int {
        switch self {
        case .error: 3
        case .warn: 4
        case .info: 6
        case .debug, .trace: 7
        }
    }
}
