public import PeerCore

extension PPSP {
    /// The section `content` of the configuration file (PPSP sections 8 to 10).
    public struct Configuration: Configurable, Hashable, Sendable {
        /// Where peers connect; nil: nowhere, this node only calls.
        public var listen: SocketAddress?
        /// Where ranges of contents are given over HTTP; nil: nowhere, and none are asked for.
        public var httpAddress: SocketAddress?
        /// Where datagrams of RFC 7574 come; nil: contents go over TCP only.
        public var udpAddress: SocketAddress?
        /// Handshakes do without the option for the chunk size from the first one on: libswift drops those with it.
        public var omitChunkSizeOption: Bool
        /// Those who are asked for every content by datagrams alone.
        public var udpPeers: [SocketAddress]
        /// Where contents go that are fetched without a place of their own.
        public var folder: String
        /// Peers that are asked for every content.
        public var peers: [Destination]
        /// Whether contents are taken from peers that push them.
        public var acceptPush: Bool
        /// Whether contents of which nobody has heard here are taken from peers that push them.
        public var acceptNewContent: Bool
        /// Peers that are given chunks at one time, one optimistic one not counted.
        public var uploadSlots: Int
        /// Only peers that prove an ID of this list are served, and asked; empty: anybody.
        public var allow: [Bytes32]
        /// Connections for one content.
        public var maxPeers: Int
        /// Connections in all.
        public var maxConnections: Int
        /// Those of one address, loopback exempt.
        public var maxConnectionsPerAddress: Int
        /// Octets of a control message or a chunk's frame.
        public var maxMessageBytes: Int
        /// Octets of one content.
        public var maxContentBytes: UInt64
        /// Octets that are asked of one peer and have not come.
        public var requestWindow: Int
        /// Octets that are asked for, checked or stored at one time, of all contents.
        public var maxPendingBytes: Int
        /// Longest time of a dial.
        public var connectTimeout: Duration
        /// From accepting a connection to the end of its first message.
        public var firstMessageTime: Duration
        /// A message that has begun must go on.
        public var messageTime: Duration
        /// How long a request may go without an answer.
        public var requestTime: Duration
        /// How long a chunk that was asked for may take.
        public var chunkTime: Duration
        /// A word is said when nothing was for so long.
        public var keepAlive: Duration
        /// A peer that says nothing for so long is gone.
        public var silence: Duration
        /// How long a peer that lied is kept away.
        public var banTime: Duration
    }
}

extension PPSP.Configuration {
    /// The table of settings.
    public static let settings: [Setting] = [
        Setting(
            "listen", .optional(.address), standard: .string("127.0.0.1:6778"),
            "Where peers connect; null: nowhere, this node only calls."),
        Setting(
            "httpAddress", .optional(.address), standard: .null,
            "Where any HTTP client gets ranges of contents; null: nowhere, and none are asked of peers either."),
        Setting(
            "udpAddress", .optional(.address), standard: .null,
            "Where datagrams of RFC 7574 come, such as the port of /content/listen; null: contents go over TCP only."),
        Setting(
            "omitChunkSizeOption", .bool, standard: .bool(false), isLive: true,
            "Leaves the option for the chunk size out of the first handshakes too: libswift drops those that have it."),
        Setting(
            "udpPeers", .list(.address), standard: .list([]), isLive: true,
            "Programs that speak RFC 7574 and not this protocol, as libswift does: asked for every content."),
        Setting(
            "folder", .string, standard: .string("./peernode-data/content"),
            "Where contents go that are fetched without a place of their own."),
        Setting(
            "peers", .list(.destination), standard: .list([]), isLive: true, "Peers that are asked for every content."),
        Setting(
            "acceptPush", .bool, standard: .bool(true), isLive: true,
            "Whether chunks of what is being fetched are taken from peers that push them."),
        Setting(
            "acceptNewContent", .bool, standard: .bool(false), isLive: true,
            "Whether contents that nobody here has asked for are taken from peers that push them."),
        Setting(
            "uploadSlots", .int(1...1000), standard: .int(4), isLive: true,
            "Peers that are given chunks at one time; one more is chosen at random every ten seconds."),
        Setting(
            "allow",
            .list(.form("64 hexadecimal digits") { Bytes32(hex: $0) == nil ? "is no peer ID" : nil }),
            standard: .list([]),
            "Only peers that prove one of these IDs are served and asked; empty: anybody."),
        count("maxPeers", 30, 1...1000, "Connections for one content."),
        count("maxConnections", 256, 1...100_000, "Connections in all."),
        count("maxConnectionsPerAddress", 8, 1...100_000, "Those of one address; loopback is exempt."),
        count("maxMessageBytes", 2_097_152, 65_536...16_777_216, "Octets of a message or a chunk's frame."),
        count("maxContentBytes", 1 << 40, 1...Int64.max, "Octets of one content that is fetched."),
        count("requestWindow", 4 << 20, 16_384...(1 << 30), "Octets that are asked of one peer and have not come."),
        count(
            "maxPendingBytes", 12 << 20, 1 << 20...(1 << 32),
            "Octets that are asked for, checked or being stored at one time."),
        seconds("connectTimeoutSeconds", 10, "How long a dial may take."),
        seconds("firstMessageSeconds", 10, "From accepting a connection to the end of its first message."),
        seconds("messageSeconds", 30, "How long a message that has begun may pause."),
        seconds("requestSeconds", 15, "How long a request may go without an answer; it is made twice."),
        seconds("chunkSeconds", 30, "How long a chunk that was asked for may take before another peer is asked."),
        seconds("keepAliveSeconds", 60, "A word is said when nothing was for so long."),
        seconds("silenceSeconds", 180, "A peer that says nothing for so long is gone."),
        seconds("banSeconds", 3600, "How long a peer that lied is kept away."),
    ]

    /// Who asks by datagrams proves nothing.
    public static func contradictions(in values: Record) -> [Contradiction] {
        guard values.string("udpAddress") != nil, !values.texts("allow").isEmpty else { return [] }
        return [Contradiction("udpAddress", message: "must be null where /content/allow names who is served")]
    }

    private static func count(
        _ key: String, _ standard: Int64, _ range: ClosedRange<Int64>, _ summary: String
    ) -> Setting {
        Setting(key, .int(range), standard: .int(standard), isLive: true, summary)
    }

    private static func seconds(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        // From what a test can wait for to a week.
        Setting(key, .number(0.001...604_800), standard: .int(standard), isLive: true, summary)
    }

    /// Takes checked values over.
    public init(_ values: Record) {
        listen = values.string("listen").flatMap { SocketAddress($0) }
        httpAddress = values.string("httpAddress").flatMap { SocketAddress($0) }
        udpAddress = values.string("udpAddress").flatMap { SocketAddress($0) }
        omitChunkSizeOption = values.flag("omitChunkSizeOption")
        udpPeers = values.texts("udpPeers").compactMap { SocketAddress($0) }
        folder = values.text("folder")
        peers = values.destinations("peers")
        acceptPush = values.flag("acceptPush")
        acceptNewContent = values.flag("acceptNewContent")
        uploadSlots = values.number("uploadSlots")
        allow = values.texts("allow").compactMap { Bytes32(hex: $0) }
        maxPeers = values.number("maxPeers")
        maxConnections = values.number("maxConnections")
        maxConnectionsPerAddress = values.number("maxConnectionsPerAddress")
        maxMessageBytes = values.number("maxMessageBytes")
        maxContentBytes = UInt64(values.number("maxContentBytes"))
        requestWindow = values.number("requestWindow")
        maxPendingBytes = values.number("maxPendingBytes")
        connectTimeout = values.duration("connectTimeoutSeconds")
        firstMessageTime = values.duration("firstMessageSeconds")
        messageTime = values.duration("messageSeconds")
        requestTime = values.duration("requestSeconds")
        chunkTime = values.duration("chunkSeconds")
        keepAlive = values.duration("keepAliveSeconds")
        silence = values.duration("silenceSeconds")
        banTime = values.duration("banSeconds")
    }

    /// The defaults of the table, for a node that listens here.
    public init(listen: SocketAddress?, folder: String = "/content") {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard ?? .null }
        self.init(values)
        self.listen = listen
        self.folder = folder
    }

    /// The change to `new`, of which some settings apply only after a restart.
    func change(to new: Self) -> Reconfiguration<Self> {
        var change = Reconfiguration(from: self, to: new)
        change.keep(\.listen, "listen")
        change.keep(\.httpAddress, "httpAddress")
        change.keep(\.udpAddress, "udpAddress")
        change.keep(\.folder, "folder")
        change.keep(\.allow, "allow")
        return change
    }
}
