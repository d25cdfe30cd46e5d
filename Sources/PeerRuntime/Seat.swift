internal import PeerCore

/// What an input leads to.
struct Turn {
    var effects: [Effect]
    /// When the core wants to hear of the time.
    let nextDeadline: Instant?
}

/// A core in its host, whatever the core is: the only part of a host that depends on the type of its core.
class Seat {
    fileprivate(set) var effects: Effects

    fileprivate init(_ effects: Effects) {
        self.effects = effects
    }

    /// One turn of the core.
    func handle(_ input: Input, at now: Moment) -> Turn {
        preconditionFailure("a seat without a core")
    }

    /// Takes the effects of a turn back after they were carried out: their memory serves the next turn.
    final func reuse(_ spent: consuming [Effect]) {
        effects.reuse(spent)
    }

    /// The core's own status.
    func status() -> [Record] {
        preconditionFailure("a seat without a core")
    }

    /// Lines of the core below this level are not made.
    final var logLevel: LogLevel {
        get { effects.logLevel }
        set { effects.logLevel = newValue }
    }

    final func nextCommandID() -> CommandID { effects.nextCommandID() }

    final func nextConnectionID() -> ConnectionID { effects.nextConnectionID() }
}

/// A core in its place, where it is asked: to read it from outside would copy the whole of it.
final class SeatOf<Core: PeerProtocol>: Seat {
    private var core: Core

    init(_ core: Core, logLevel: LogLevel) {
        self.core = core
        super.init(Effects(logLevel: logLevel))
    }

    override func handle(_ input: Input, at now: Moment) -> Turn {
        Self.handle(input, at: now, by: &core, into: &effects)
    }

    /// Both are borrowed once for the whole turn.
    private static func handle(
        _ input: Input, at now: Moment, by core: inout Core, into effects: inout Effects
    ) -> Turn {
        core.handle(input, at: now, into: &effects)
        return Turn(effects: effects.take(), nextDeadline: core.nextDeadline)
    }

    /// The turn in which settings change; gives the keys that only a restart will apply too.
    func reconfigure(_ new: Core.Configuration, at now: Moment) -> ([RestartNeeded], Turn) {
        let needed = core.reconfigure(new, at: now, into: &effects)
        return (needed, Turn(effects: effects.take(), nextDeadline: core.nextDeadline))
    }

    override func status() -> [Record] { core.status() }
}
