public import PeerCore

/// The settings of the node itself, beside those of the protocols.
public struct NodeConfiguration: Configurable, Sendable {
    /// Where the state lives. Relative to the folder in which the node was started, like every path of the file: the
    /// checked-in `config/peernode.json` then keeps its data below that folder, wherever the file itself lies.
    public let dataDirectory: String
    /// What is logged, and how.
    public let log: LogConfiguration
    /// The operator's interface.
    public let admin: AdminConfiguration
    /// What the node takes of the machine at most.
    public let limits: LimitsConfiguration

    /// The top level of the file, without the protocols.
    public static var settings: [Setting] {
        [
            Setting(
                "$schema", .string, standard: .null, isLive: true,
                "Where editors find the schema of this file. The node does not read it."),
            Setting(
                "dataDirectory", path, standard: "./peernode-data",
                "The folder of identity, peernode.sqlite, admin socket and lock; made with mode 0700. Like every path"
                    + " in this file it is relative to the folder in which the node is started."),
            Setting("log", .section(LogConfiguration.settings), standard: .record([:]), "What is logged, and how."),
            Setting(
                "admin", .section(AdminConfiguration.settings), standard: .record([:]), "The operator's interface."),
            Setting(
                "limits", .section(LimitsConfiguration.settings), standard: .record([:]),
                "What the node takes of the machine at most, all protocols together."),
        ]
    }

    /// The derived path of the admin socket is too long.
    public static func contradictions(in values: Record) -> [Contradiction] {
        let node = NodeConfiguration(values)
        guard node.admin.socket == nil, socketComplaint(node.adminSocket) != nil else { return [] }
        let message =
            "too long: the path of admin.sock in this folder has \(node.adminSocket.utf8.count) octets, and a"
            + " socket's may have \(maximumSocketPath); shorten it or set /admin/socket"
        return [Contradiction("dataDirectory", message: message)]
    }

    /// The checked values.
    public init(_ values: Record) {
        dataDirectory = values.text("dataDirectory")
        log = LogConfiguration(values.record("log") ?? [:])
        admin = AdminConfiguration(values.record("admin") ?? [:])
        limits = LimitsConfiguration(values.record("limits") ?? [:])
    }

    /// The path of the admin socket: as configured, or in the data folder.
    public var adminSocket: String { admin.socket ?? dataDirectory + "/admin.sock" }
}

/// What is logged, and how (program, section 4).
public struct LogConfiguration: Configurable, Hashable, Sendable {
    /// How lines look.
    public enum Format: String, CaseIterable, Sendable {
        /// Text on a terminal, JSON elsewhere.
        case auto
        /// A JSON object on each line.
        case json
        /// For people.
        case text
    }

    /// How much of addresses is shown.
    public enum Addresses: String, CaseIterable, Sendable {
        /// All of them.
        case full
        /// The network only.
        case prefix
        /// A hash, so that lines of one peer can still be put together.
        case hash
    }

    /// Lines below are not written.
    public let level: LogLevel
    /// How lines look.
    public let format: Format
    /// Where lines go instead of standard output.
    public let file: String?
    /// Levels of single categories.
    public let categories: [String: LogLevel]
    /// Time between two `heartbeat` lines.
    public let heartbeat: Duration
    /// How much of addresses is shown.
    public let addresses: Addresses

    private static let levels = Setting.Kind.word(LogLevel.allCases.reversed().map(\.name))

    /// The section `log`.
    public static var settings: [Setting] {
        [
            Setting("level", levels, standard: "info", isLive: true, "Less important lines are not written."),
            Setting(
                "format", .word(Format.allCases.map(\.rawValue)), standard: "auto",
                "JSON lines, or text for people; auto is text on a terminal."),
            Setting(
                "file", .optional(path), standard: .null,
                "Where lines go instead of standard output. SIGUSR1 opens it anew, for rotation."),
            Setting(
                "categories", .map(levels, keys: ["node"] + Protocols.all.map(\.category) + ["admin"]),
                standard: .record([:]), isLive: true, "Levels of single categories, by their names."),
            Setting(
                // A tenth of a second is for tests; a day for quiet logs.
                "heartbeatSeconds", .number(0.1...86_400), standard: 30, isLive: true,
                "Time between two lines that say how the node is."),
            Setting(
                "addresses", .word(Addresses.allCases.map(\.rawValue)), standard: "full", isLive: true,
                "How much of peers' addresses is shown: all, the network, or a hash."),
        ]
    }

    /// The checked values.
    public init(_ values: Record) {
        level = LogLevel(name: values.text("level")) ?? .info
        format = Format(rawValue: values.text("format")) ?? .auto
        file = values.string("file")
        categories = (values.record("categories") ?? [:]).fields.reduce(into: [:]) { categories, field in
            categories[field.name] = LogLevel(name: field.value.plain)
        }
        heartbeat = values.duration("heartbeatSeconds")
        addresses = Addresses(rawValue: values.text("addresses")) ?? .full
    }
}

/// The operator's interface (program, section 5).
public struct AdminConfiguration: Configurable, Hashable, Sendable {
    /// The path of the Unix socket; nil: `admin.sock` in the data folder.
    public let socket: String?

    /// The section `admin`.
    public static var settings: [Setting] {
        [
            Setting(
                "socket",
                .optional(
                    .form("the path of a Unix socket, at most \(maximumSocketPath) octets", check: socketComplaint)),
                standard: .null, "The path of the Unix socket; null: admin.sock in the data folder. Mode 0600."),
            Setting(
                "http", .form("null", check: { _ in "this version has no HTTP interface; use the Unix socket" }),
                standard: .null, "The address of the HTTP interface. This version has none, so only null is allowed."),
            Setting(
                "token", .optional(.string), standard: .null,
                "The word that changing commands over HTTP must bring along. Of no use while http is null."),
        ]
    }

    /// The checked values.
    public init(_ values: Record) {
        socket = values.string("socket")
    }
}

/// A path that the system can have.
private let path = Setting.Kind.form(
    "a path", check: pathComplaint)

/// `sun_path` of `sockaddr_un` has 108 octets with the final NUL (unix(7)).
private let maximumSocketPath = 107

@Sendable private func pathComplaint(_ path: String) -> String? {
    path.isEmpty ? "it is empty" : path.utf8.contains(0) ? "it holds a NUL" : nil
}

@Sendable private func socketComplaint(_ path: String) -> String? {
    pathComplaint(path) ?? (path.utf8.count > maximumSocketPath ? "it has \(path.utf8.count) octets" : nil)
}
