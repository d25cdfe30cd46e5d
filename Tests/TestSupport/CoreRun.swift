public import PeerCore

/// One core in virtual time, and all that it wanted done.
public struct CoreRun<Core: PeerProtocol> {
    /// In the year in which simulations begin.
    public static var start: Moment {
        Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(seconds: 1_795_000_000))
    }

    /// The core under test.
    public var core: Core
    /// Virtual time.
    public private(set) var now: Moment
    private let start: Moment
    private var effects: Effects
    /// Everything since the beginning.
    public private(set) var history: [(at: Instant, effect: Effect)] = []

    /// A run that begins at `now`.
    public init(_ core: Core, at start: Moment = Self.start, logLevel: LogLevel) {
        self.core = core
        self.start = start
        now = start
        effects = Effects(logLevel: logLevel)
    }

    /// Hands the core an input and gives what it wants done.
    public mutating func callAsFunction(_ input: Input) -> [Effect] {
        core.handle(input, at: now, into: &effects)
        let list = effects.take()
        history += list.map { (now.instant, $0) }
        return list
    }

    /// Lets time pass; the core's deadlines come when they are due. Gives what it wants done meanwhile.
    public mutating func wait(_ duration: Duration) -> [Effect] {
        let end = now.instant + duration
        var list: [Effect] = []
        while let due = core.nextDeadline, due <= end {
            move(to: max(due, now.instant))
            list += self(.deadline)
        }
        move(to: end)
        return list
    }

    /// Moves the clocks without a word to the core.
    public mutating func move(to instant: Instant) {
        now = Moment(instant: instant, wallClock: start.wallClock + (instant - start.instant))
    }

    /// The connection that comes in or is dialled next.
    public mutating func nextConnection() -> ConnectionID { effects.nextConnectionID() }

    /// What the operator asks next.
    public mutating func nextCommand() -> CommandID { effects.nextCommandID() }
}
