public import PeerCore

/// Something that must never happen has happened. The seed runs it again.
public struct SimulationFailure: Error, Sendable {
    /// The seed of the run.
    public let seed: UInt64
    /// When it happened.
    public let instant: Instant
    /// What happened.
    public let what: String
    /// The last turns before it, oldest first, when `Simulator.keptTurns` asked for them.
    public let turns: [Turn]
}

extension SimulationFailure: CustomStringConvertible {
    /// Seed, time, fault, and the turns that led there.
    public var description: String {
        let head = "seed \(seed), \(instant.nanoseconds / 1_000) µs: \(what)"
        return ([head] + turns.map(\.description)).joined(separator: "\n")
    }
}

/// One turn of a core: what happened, and what the core wanted done.
public struct Turn: Sendable, CustomStringConvertible {
    /// The clocks of the node.
    public let moment: Moment
    /// The node.
    public let node: NodeID
    /// The core, by the name of its section.
    public let core: String
    /// What happened; nil when the core got new settings.
    public let input: Input?
    /// What the core wanted done.
    public let effects: [Effect]

    /// One line, long values cut.
    public var description: String {
        let cause = input.map { brief("\($0)") } ?? "reconfigure"
        let results = effects.map { brief("\($0)") }.joined(separator: ", ")
        return "\(moment.instant.nanoseconds / 1_000) µs \(node) \(core): \(cause) -> [\(results)]"
    }

    private func brief(_ text: String) -> String {
        let short = text.replacing("PeerCore.", with: "")
        return short.count > 200 ? short.prefix(200) + "…" : short
    }
}

/// A node of a simulation.
public struct NodeID: Hashable, Sendable, CustomStringConvertible {
    let index: Int
    /// Its name, for people.
    public let name: String

    /// The name.
    public var description: String { name }
}

/// A line of the log of one core.
public struct LogLine: Sendable {
    /// The clocks of the node.
    public let moment: Moment
    /// The node.
    public let node: NodeID
    /// The core, by the name of its section.
    public let core: String
    /// The line.
    public let record: LogRecord
}
