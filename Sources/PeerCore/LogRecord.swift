/// How much a log line matters.
public enum LogLevel: Int, CaseIterable, Comparable, Hashable, Sendable {
    /// Every message and every byte count.
    case trace
    /// For someone who looks for a fault.
    case debug
    /// What an operator wants to have read afterwards.
    case info
    /// Something is wrong and the node goes on.
    case warn
    /// Something is wrong and a service of the node is missing.
    case error

    /// Less important is less.
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

    /// The word in the log.
    public var name: String {
        switch self {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .warn: "warn"
        case .error: "error"
        }
    }

    /// The level of that name, or nil.
    public init?(name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }
}

/// One line of the log, before the host adds time and category.
public struct LogRecord: Hashable, Sendable {
    /// How much it matters.
    public let level: LogLevel
    /// What happened, in snake_case: a documented, stable name.
    public let event: String
    /// The event's own fields.
    public let fields: Record
    /// A sentence for a person; may be empty.
    public let message: String

    /// A line of the log.
    public init(_ level: LogLevel, _ event: String, _ fields: Record = [:], _ message: String = "") {
        self.level = level
        self.event = event
        self.fields = fields
        self.message = message
    }
}
