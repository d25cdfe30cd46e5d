/// Something that the operator asks of a core.
public struct Command: Hashable, Sendable {
    /// The command's name without the protocol: `peers`, `ban`.
    public let name: String
    /// Its arguments.
    public let arguments: Record

    /// Command `name`.
    public init(_ name: String, _ arguments: Record = [:]) {
        self.name = name
        self.arguments = arguments
    }
}

/// Records that answer a command.
public struct Reply: Hashable, Sendable {
    /// How a command stands.
    public enum Outcome: Hashable, Sendable {
        /// More records will follow.
        case more
        /// That was all.
        case done
        /// The answer is no, for this reason; a person reads it.
        case refused(String)
    }

    /// The rows.
    public let records: [Record]
    /// Whether more will follow.
    public let outcome: Outcome

    /// An answer.
    public init(_ records: [Record], _ outcome: Outcome = .done) {
        self.records = records
        self.outcome = outcome
    }
}
