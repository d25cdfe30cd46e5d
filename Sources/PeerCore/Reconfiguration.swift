/// New settings beside those in force: what only a restart applies stays as it was, and is told.
///
///     var change = Reconfiguration(from: configuration, to: new)
///     change.keep(\.listen, "listen")
public struct Reconfiguration<Settings> {
    /// The settings from now on.
    public private(set) var applied: Settings
    /// Those that were changed and did not become so.
    public private(set) var needed: [RestartNeeded] = []
    private let old: Settings

    /// All of `new` applies, but for what is kept.
    public init(from old: Settings, to new: Settings) {
        self.old = old
        applied = new
    }

    /// The setting `key` is not changed in life.
    public mutating func keep<Value: Equatable>(_ path: WritableKeyPath<Settings, Value>, _ key: String) {
        guard applied[keyPath: path] != old[keyPath: path] else { return }
        applied[keyPath: path] = old[keyPath: path]
        needed.append(RestartNeeded(key))
    }
}
