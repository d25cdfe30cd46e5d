/// One setting of the configuration file: the single source for the check, the schema, the defaults and the manual.
public struct Setting: Sendable {
    /// What a value may be.
    public indirect enum Kind: Sendable {
        /// true or false.
        case bool
        /// A whole number in this range.
        case int(ClosedRange<Int64>)
        /// A number in this range.
        case number(ClosedRange<Double>)
        /// Any text.
        case string
        /// One of these words.
        case word([String])
        /// `"host:port"` or `"[v6]:port"` with a numeric host, to listen on.
        case address
        /// The same, or a name in place of the host.
        case destination
        /// A text of this form, told in words; the check gives what is wrong, or nil.
        case form(String, check: @Sendable (String) -> String?)
        /// A list of such values.
        case list(Kind)
        /// An object with these settings.
        case section([Setting])
        /// An object whose values are such, with these keys and no others; with any keys when the list is empty.
        case map(Kind, keys: [String])
        /// Such a value, or null.
        case optional(Kind)
        /// Such a value, or a list of them; the check makes a list of a single one.
        case oneOrMore(Kind)
    }

    /// The key, in camelCase with its unit as suffix.
    public let key: String
    /// What a value may be.
    public let kind: Kind
    /// The value when the key is missing; nil: the key must be there. `.null` where the code derives it; then null may
    /// also be written. For a section it is `.record([:])`, and the settings inside give the rest.
    public let standard: Record.Value?
    /// What it does, with unit and source, in a sentence or two.
    public let summary: String
    /// Whether SIGHUP applies a change; otherwise it needs a restart.
    public let isLive: Bool

    /// A setting.
    public init(
        _ key: String, _ kind: Kind, standard: Record.Value?, isLive: Bool = false, _ summary: String
    ) {
        self.key = key
        self.kind = kind
        self.standard = standard
        self.summary = summary
        self.isLive = isLive
    }
}

/// A configuration that describes its own settings.
public protocol Configurable {
    /// The settings of its section, in the order of the manual.
    static var settings: [Setting] { get }

    /// What is wrong between settings each of which is right by itself. `values` are as in `init`.
    static func contradictions(in values: Record) -> [Contradiction]

    /// Takes checked values over: every key of `settings` is there, with a value that its kind allows.
    init(_ values: Record)
}

extension Configurable {
    /// Nothing.
    public static func contradictions(in values: Record) -> [Contradiction] { [] }
}

/// A setting that another setting does not allow.
public struct Contradiction: Hashable, Sendable {
    /// The way to the setting from its section: keys, and numbers of list elements.
    public let path: [String]
    /// What is wrong, as the end of a sentence that begins with the setting: `must be below "maxInbound" (117)`.
    public let message: String

    /// The setting `path` is wrong because of another.
    public init(_ path: String..., message: String) {
        self.path = path
        self.message = message
    }
}

extension Record {
    /// The checked value called `name`. For configurations, where the check has made sure that it is there.
    private func checked<T>(_ name: String, _ value: T?) -> T {
        guard let value else { preconditionFailure("setting \(name) was not checked: \(json)") }
        return value
    }

    /// The checked text called `name`.
    public func text(_ name: String) -> String { checked(name, string(name)) }

    /// The checked whole number called `name`.
    public func number(_ name: String) -> Int { checked(name, int(name).flatMap { Int(exactly: $0) }) }

    /// The checked truth value called `name`.
    public func flag(_ name: String) -> Bool { checked(name, bool(name)) }

    /// The checked number of seconds called `name`.
    public func duration(_ name: String) -> Duration {
        .nanoseconds(Int64(checked(name, double(name)) * 1e9))
    }

    /// The checked texts called `name`.
    public func texts(_ name: String) -> [String] {
        checked(name, list(name)).map { if case .string(let text) = $0 { text } else { checked(name, nil) } }
    }

    /// The checked address called `name`.
    public func address(_ name: String) -> SocketAddress { checked(name, SocketAddress(text(name))) }

    /// The checked destinations called `name`.
    public func destinations(_ name: String) -> [Destination] {
        texts(name).map { checked(name, Destination($0)) }
    }
}
