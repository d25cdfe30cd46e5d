public import PeerCore

/// What one core heard and answered, so that it can be heard again.
public final class Recording<Core: PeerProtocol> {
    /// What happened to the core.
    public enum Cause {
        /// Something happened.
        case input(Input)
        /// The operator changed its settings.
        case configuration(Core.Configuration)
    }

    /// One turn.
    public struct Entry {
        /// The clocks.
        public let moment: Moment
        /// What happened.
        public let cause: Cause
        /// What the core wanted done.
        public let effects: [Effect]
        /// When it wanted to hear `deadline` afterwards.
        public let nextDeadline: Instant?
        /// The state of the counters of IDs before, and the level of the log.
        fileprivate let before: Effects
    }

    /// The turns, first to last.
    public fileprivate(set) var entries: [Entry] = []

    /// Nothing yet.
    public init() {}

    /// Plays the inputs to a fresh core, made as the recorded one was; nil when it does the same in every turn.
    public func replay(into fresh: Core) -> Divergence? {
        var core = fresh
        for (index, entry) in entries.enumerated() {
            var effects = entry.before
            switch entry.cause {
            case .input(let input):
                core.handle(input, at: entry.moment, into: &effects)
            case .configuration(let configuration):
                _ = core.reconfigure(configuration, at: entry.moment, into: &effects)
            }
            let found = effects.take()
            guard found == entry.effects, core.nextDeadline == entry.nextDeadline else {
                return Divergence(
                    turn: index, cause: "\(entry.cause)", expected: entry.effects, found: found,
                    expectedDeadline: entry.nextDeadline, foundDeadline: core.nextDeadline)
            }
        }
        return nil
    }
}

/// The first turn in which a replayed core did something else than the recorded one.
public struct Divergence: Error, CustomStringConvertible {
    /// Counted from 0.
    public let turn: Int
    /// What happened.
    public let cause: String
    /// What the recorded core did.
    public let expected: [Effect]
    /// What the replayed core did.
    public let found: [Effect]
    /// The deadline of the recorded core.
    public let expectedDeadline: Instant?
    /// The deadline of the replayed core.
    public let foundDeadline: Instant?

    /// All of it.
    public var description: String {
        """
        turn \(turn): \(cause)
          recorded: \(expected), deadline \(String(describing: expectedDeadline))
          replayed: \(found), deadline \(String(describing: foundDeadline))
        """
    }
}

/// A core that does what the core inside does, and records it. It runs in the simulator and in the real host alike.
public struct Recorder<Core: PeerProtocol>: PeerProtocol {
    /// The core inside.
    public private(set) var core: Core
    private let recording: Recording<Core>

    /// `core`, recorded into `recording`.
    public init(_ core: Core, into recording: Recording<Core>) {
        self.core = core
        self.recording = recording
    }

    /// Passes on and records.
    public mutating func reconfigure(
        _ new: Core.Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        let before = effects
        let restarts = core.reconfigure(new, at: now, into: &effects)
        record(.configuration(new), now, before, effects)
        return restarts
    }

    /// Passes on and records.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        let before = effects
        core.handle(input, at: now, into: &effects)
        record(.input(input), now, before, effects)
    }

    /// The core's.
    public var nextDeadline: Instant? { core.nextDeadline }

    /// The core's.
    public func status() -> [Record] { core.status() }

    private func record(_ cause: Recording<Core>.Cause, _ now: Moment, _ before: Effects, _ after: Effects) {
        let new = Array(after.list.dropFirst(before.list.count))
        var counters = before
        _ = counters.take()
        recording.entries.append(
            Recording.Entry(
                moment: now, cause: cause, effects: new, nextDeadline: core.nextDeadline, before: counters))
    }
}
