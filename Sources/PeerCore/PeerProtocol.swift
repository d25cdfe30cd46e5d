/// A value that *is* a protocol: what happened goes in, what must be done comes out, somebody else does it.
///
/// A core imports nothing but this vocabulary and pure functions. Time is an argument, randomness comes from a seed
/// that it was made with. Same configuration, seed and inputs give the same effects.
public protocol PeerProtocol {
    /// The settings of the protocol.
    associatedtype Configuration

    /// Takes over new settings, already validated. Settings that only a restart can change stay as they are; their
    /// keys are given back.
    mutating func reconfigure(
        _ new: Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded]

    /// Something happened. Never calls back, never waits.
    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects)

    /// When `.deadline` is wanted; nil for never.
    var nextDeadline: Instant? { get }

    /// How the protocol stands: a record for the screen of the operator.
    func status() -> [Record]
}

/// A setting that was changed and that only a restart will apply.
public struct RestartNeeded: Hashable, Sendable {
    /// The key in the protocol's section.
    public let key: String

    /// The setting `key`.
    public init(_ key: String) {
        self.key = key
    }
}
