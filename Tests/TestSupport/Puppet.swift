public import PeerCore

/// A core without a protocol: it remembers what it heard, and has done what a test tells it.
///
/// Tests speak to it by the operator's command `Puppet.pull`, so it needs nothing of its host that other cores do not.
public struct Puppet: PeerProtocol {
    /// The strings of a puppet, which stay in the test's hands.
    public final class Strings {
        /// What the puppet heard, in order.
        public fileprivate(set) var heard: [Input] = []
        fileprivate var effects: [Effect] = []
        fileprivate var wakeAfter: Duration?

        /// Strings of a puppet to be.
        public init() {}

        /// Makes the puppet want these effects at the next `pull`, and, if asked, a deadline.
        public func prepare(_ effects: [Effect], wakeAfter: Duration? = nil) {
            self.effects += effects
            self.wakeAfter = wakeAfter
        }

        fileprivate func take() -> (effects: [Effect], wakeAfter: Duration?) {
            defer { (effects, wakeAfter) = ([], nil) }
            return (effects, wakeAfter)
        }
    }

    /// No settings.
    public struct Configuration: Sendable {
        /// None.
        public init() {}
    }

    /// The command by which a puppet does what was prepared.
    public static let pull = Command("pull")

    private let strings: Strings
    /// When the puppet wants to hear `deadline`.
    public private(set) var nextDeadline: Instant?

    /// A puppet on these strings.
    public init(_ strings: Strings) {
        self.strings = strings
    }

    /// Nothing to change.
    public mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] { [] }

    /// Does what was prepared, or remembers.
    public mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        if case .command(let id, Self.pull) = input {
            let prepared = strings.take()
            if let delay = prepared.wakeAfter { nextDeadline = now.instant + delay }
            for effect in prepared.effects { effects.append(effect) }
            return effects.reply(id, [])
        }
        if case .deadline = input { nextDeadline = nil }
        strings.heard.append(input)
    }

    /// How much it heard.
    public func status() -> [Record] { [["heard": .count(strings.heard.count)]] }
}
