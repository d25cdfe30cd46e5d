public import PeerCore

extension Gossip {
    /// The section `gossip` of the configuration file (gossip section 7, decisions 1, 25 and 26).
    public struct Configuration: Configurable, Hashable, Sendable {
        /// Who must have found an item well-formed before it is spread (gossip section 3.6).
        public enum ValidationMode: String, Sendable {
            /// All local programs that have registered its data type.
            case all
            /// The first that answers.
            case first
        }

        /// How a neighbour is reached (gossip sections 5.5 and 5.6).
        public enum ConnectMode: String, Sendable {
            /// CONNECT by UDP, the other side dials; TCP when nothing comes of it.
            case udp
            /// TCP at once.
            case tcp
        }

        /// Where peers reach us, by TCP and UDP.
        public var p2pAddress: SocketAddress
        /// Where local programs reach us.
        public var apiAddress: SocketAddress
        /// Bootstrap servers.
        public var bootstrap: [Destination]
        /// Neighbours to be, without having been told of them.
        public var peers: [Destination]
        /// Most neighbours.
        public var degree: Int
        /// Items that are kept.
        public var cacheSize: Int
        /// Time between two NEIGHBORS on a link.
        public var heartbeatInterval: Duration
        /// A cap for the TTL of local programs; 0: none.
        public var maxTTL: UInt8
        /// Whose verdict counts.
        public var validation: ValidationMode
        /// How long a verdict is awaited.
        public var validationTimeout: Duration
        /// Whether only subscribers may announce.
        public var requireSubscription: Bool
        /// How neighbours are reached.
        public var connectMode: ConnectMode
        /// How long, and how many, items are remembered.
        public var seenTTL: Duration
        /// See `seenTTL`.
        public var maxSeenKeys: Int
        /// Items a second from one neighbour above which they are dropped; 0: no limit.
        public var itemRate: Int
        /// Whether the network is one of the authors' program of 2017 (gossip section 9).
        public var isAuthors2017: Bool
        /// Whether neighbours beyond `eagerLinks` are only told of items.
        public var lazyPush: Bool
        /// Neighbours that are sent every item at first.
        public var eagerLinks: Int
        /// Octets of data above which neighbours are told that an item is here; 0: never.
        public var haveItBytes: Int
        /// Most local programs.
        public var maxClients: Int
        /// Most open votes.
        public var maxOpenVotes: Int
        /// Octets that may wait for one neighbour or local program.
        public var maxQueueBytes: Int
        /// Octets that may wait for all of them together.
        public var maxQueuedBytes: Int
        /// CONNECT from one IPv4 address or IPv6 /64 in 10 s (on loopback: from one socket).
        public var maxConnectsPerAddress: Int
        /// CONNECT from all together in a second.
        public var maxConnectsPerSecond: Int
        /// Endpoints in the candidate table.
        public var maxCandidates: Int
    }
}

// MARK: - The settings

extension Gossip.Configuration {
    /// The table of the manual and of the schema.
    public static let settings: [Setting] = addresses + items + overlay + limits

    private static let addresses: [Setting] = [
        Setting(
            "p2pAddress", .address, standard: "0.0.0.0:6001",
            "Address for peers, one port number for TCP and UDP."),
        Setting(
            "apiAddress", .address, standard: "127.0.0.1:7001",
            "TCP address for local programs (messages 500 to 503). Who reaches it may announce and read everything."),
        Setting(
            "bootstrap", .list(.destination), standard: [],
            "UDP servers that give an ID and addresses of peers."),
        Setting(
            "peers", .list(.destination), standard: [],
            "Peers that are always known and tried again and again."),
        Setting(
            "connectMode", .word(["udp", "tcp"]), standard: "udp", isLive: true,
            "How a peer is reached: CONNECT by UDP, so that it dials back, or TCP at once."),
        Setting(
            "compat", .word(["none", "authors-2017"]), standard: "none",
            "Another wire between peers: that of the protocol's authors' program of 2017."),
    ]

    private static let items: [Setting] = [
        Setting(
            "cacheSize", .int(1...1_000_000), standard: 50,
            "Items that are kept for neighbours that ask for them."),
        Setting(
            "maxTtl", .int(0...255), standard: 0, isLive: true,
            "Hops that an item of a local program may make at most; 0: no limit."),
        Setting(
            "validation", .word(["all", "first"]), standard: "all", isLive: true,
            "Which local programs must find an item well-formed before it is spread: all, or the first that answers."),
        Setting(
            "validationTimeoutSeconds", .number(0.01...3600), standard: 5, isLive: true,
            "A program that has not answered by then has no say; without a yes the item is dropped."),
        Setting(
            "requireSubscription", .bool, standard: false, isLive: true,
            "Whether a program that announces a data type it has not registered is closed."),
        Setting(
            "seenTtlSeconds", .int(1...3600), standard: 120,
            "How long an item is known again."),
        Setting(
            "maxSeenKeys", .int(4096...16_777_216), standard: 1_048_576,
            "Items that are known again at most; 28 octets of memory each."),
    ]

    private static let overlay: [Setting] = [
        Setting(
            "degree", .int(1...120), standard: 30, isLive: true,
            "Most neighbours; as many are looked for."),
        Setting(
            "heartbeatIntervalSeconds", .number(0.1...600), standard: 10, isLive: true,
            "Time between two NEIGHBORS to a neighbour; one that is silent for 3.5 times as long is gone."),
        Setting(
            "lazyPush", .bool, standard: true,
            "Whether neighbours that can do so are sent an item only once, by a tree that finds itself."),
        Setting(
            "eagerLinks", .int(1...120), standard: 6,
            "Neighbours that are sent every item before the tree is found."),
        Setting(
            "haveItBytes", .int(0...65535), standard: 4096,
            "Neighbours are told that an item of more octets of data than this is here already; 0: never."),
    ]

    private static let limits: [Setting] = [
        Setting(
            "maxClients", .int(1...10_000), standard: 256, isLive: true, "Local programs at a time."),
        Setting(
            "maxOpenVotes", .int(1...32_768), standard: 4096, isLive: true,
            "Items whose verdict is awaited; the oldest is dropped for another."),
        Setting(
            "maxQueueBytes", .int(65_536...67_108_864), standard: 4_194_304, isLive: true,
            "Octets that may wait for one neighbour or program; above it items for it are dropped."),
        Setting(
            "maxQueuedBytes", .int(65_536...4_294_967_296), standard: 67_108_864, isLive: true,
            "Octets that may wait for all neighbours and programs; above it those that do not keep up lose items."),
        Setting(
            "itemRate", .int(0...10_000_000), standard: 0, isLive: true,
            "Items a second from one neighbour above which they are dropped; 0: no limit."),
        Setting(
            "maxConnectsPerAddress", .int(1...10_000), standard: 5, isLive: true,
            "CONNECT from one IPv4 address or IPv6 /64 in 10 s; on loopback from one socket."),
        Setting(
            "maxConnectsPerSecond", .int(1...100_000), standard: 100, isLive: true,
            "CONNECT from all addresses together."),
        Setting(
            "maxCandidates", .int(16...100_000), standard: 1024,
            "Addresses of peers that are known without being neighbours."),
    ]

    /// Settings that cannot both be meant.
    public static func contradictions(in values: Record) -> [Contradiction] {
        let settings = Gossip.Configuration(values)
        var found: [Contradiction] = []
        if settings.p2pAddress == settings.apiAddress, settings.apiAddress.port != 0 {
            found.append(Contradiction("apiAddress", message: "the same as /gossip/p2pAddress"))
        }
        if settings.isAuthors2017, settings.p2pAddress.ip.v4 == nil {
            found.append(
                Contradiction("p2pAddress", message: "not IPv4, which is all that /gossip/compat authors-2017 can name")
            )
        }
        if settings.isAuthors2017, settings.p2pAddress.port == 0 {
            found.append(
                Contradiction("p2pAddress", message: "without a port; all peers of authors-2017 use the same one"))
        }
        return found
    }

    /// Takes checked values over.
    public init(_ values: Record) {
        p2pAddress = values.address("p2pAddress")
        apiAddress = values.address("apiAddress")
        bootstrap = values.destinations("bootstrap")
        peers = values.destinations("peers")
        degree = values.number("degree")
        cacheSize = values.number("cacheSize")
        heartbeatInterval = values.duration("heartbeatIntervalSeconds")
        maxTTL = UInt8(clamping: values.number("maxTtl"))
        validation = ValidationMode(rawValue: values.text("validation")) ?? .all
        validationTimeout = values.duration("validationTimeoutSeconds")
        requireSubscription = values.flag("requireSubscription")
        connectMode = ConnectMode(rawValue: values.text("connectMode")) ?? .udp
        seenTTL = values.duration("seenTtlSeconds")
        maxSeenKeys = values.number("maxSeenKeys")
        itemRate = values.number("itemRate")
        isAuthors2017 = values.text("compat") == "authors-2017"
        lazyPush = values.flag("lazyPush")
        eagerLinks = values.number("eagerLinks")
        haveItBytes = values.number("haveItBytes")
        maxClients = values.number("maxClients")
        maxOpenVotes = values.number("maxOpenVotes")
        maxQueueBytes = values.number("maxQueueBytes")
        maxQueuedBytes = values.number("maxQueuedBytes")
        maxConnectsPerAddress = values.number("maxConnectsPerAddress")
        maxConnectsPerSecond = values.number("maxConnectsPerSecond")
        maxCandidates = values.number("maxCandidates")
    }

    /// The defaults of the table, on these addresses.
    public init(p2p: SocketAddress, api: SocketAddress) {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard ?? .null }
        values["p2pAddress"] = .text(p2p)
        values["apiAddress"] = .text(api)
        self.init(values)
    }

    /// The change to `new`, of which some settings apply only after a restart.
    func change(to new: Self) -> Reconfiguration<Self> {
        var change = Reconfiguration(from: self, to: new)
        change.keep(\.p2pAddress, "p2pAddress")
        change.keep(\.apiAddress, "apiAddress")
        change.keep(\.bootstrap, "bootstrap")
        change.keep(\.peers, "peers")
        change.keep(\.isAuthors2017, "compat")
        change.keep(\.cacheSize, "cacheSize")
        change.keep(\.seenTTL, "seenTtlSeconds")
        change.keep(\.maxSeenKeys, "maxSeenKeys")
        change.keep(\.lazyPush, "lazyPush")
        change.keep(\.eagerLinks, "eagerLinks")
        change.keep(\.haveItBytes, "haveItBytes")
        change.keep(\.maxCandidates, "maxCandidates")
        return change
    }
}
