public import PeerCore

extension DDRP {
    /// The section `ddrp` of the configuration file (DDRP section 20, decisions 1 and 20).
    public struct Configuration: Configurable, Hashable, Sendable {
        /// Where we listen for connections, and for the bootstrap servers' datagrams.
        public var listen: SocketAddress
        /// The port that an address without one means, and the only one that peers tell each other (PIP-5).
        public var standardPort: UInt16
        /// The only dialect to speak; nil: both, chosen for each connection (DDRP section 7).
        public var dialect: Dialect?
        /// UDP servers that tell addresses of peers.
        public var bootstrapServers: [Destination]
        /// Peers to dial without having been told of them.
        public var seeds: [PeerLocator]
        /// Names whose addresses are dialled like seeds.
        public var dnsSeeds: [String]
        /// Connections that we look for, see `DDRP.counted`.
        public var targetOutbound: Int
        /// Open connections that others dialled.
        public var maxInbound: Int
        /// Inbound handshakes at a time from one IPv4 /24 or IPv6 /64; loopback is exempt.
        public var maxPendingInbound: Int
        /// Inbound handshakes at a time in all.
        public var maxPendingInboundTotal: Int
        /// Dials and outbound handshakes at a time.
        public var maxPendingOutbound: Int
        /// Time between two Pings on a connection.
        public var pingInterval: Duration
        /// A peer whose last valid envelope is older than this is down.
        public var peerTimeout: Duration
        /// Seconds by which a timestamp may be early or late.
        public var maxClockSkewSeconds: Int
        /// Time between two rounds of PeerReq below the target.
        public var peerExchangeInterval: Duration
        /// The same at or above the target.
        public var peerExchangeIdleInterval: Duration
        /// A peer's PeerReq is answered once in this time.
        public var peerResponseInterval: Duration
        /// Entries of a PeerRes that we send.
        public var maxSentPeers: Int
        /// Envelopes in a second above which a peer is flooding us, when it lasts.
        public var maxEnvelopesPerSecond: Int
        /// Addresses that the book holds.
        public var bookCapacity: Int
        /// Whether loopback and private addresses that others tell are dialled.
        public var allowPrivateAddresses: Bool
        /// Whether we dial from the address that we listen on.
        public var bindOutbound: Bool
    }
}

// MARK: - The settings

extension DDRP.Configuration {
    /// The table of the manual and of the schema.
    public static let settings: [Setting] = addresses + connections + timing + limits

    /// Settings that cannot both be meant.
    public static func contradictions(in values: Record) -> [Contradiction] {
        let settings = DDRP.Configuration(values)
        var found: [Contradiction] = []
        if settings.pingInterval >= settings.peerTimeout {
            found.append(
                Contradiction(
                    "pingIntervalSeconds", message: "not below /ddrp/peerTimeoutSeconds: every peer would seem silent"))
        }
        if settings.maxPendingInbound > settings.maxPendingInboundTotal {
            found.append(
                Contradiction("maxPendingInbound", message: "above /ddrp/maxPendingInboundTotal, which holds for all"))
        }
        return found
    }

    private static let addresses: [Setting] = [
        Setting(
            "listen", .address, standard: "0.0.0.0:9097",
            "TCP address for peers; UDP on the same port when there are bootstrap servers."),
        Setting(
            "standardPort", .int(1...65535), standard: 9097,
            "Port of an address without one, and the only port that peers tell each other (PIP-5)."),
        Setting(
            "dialect", .word(["auto", "reference", "text"]), standard: "auto",
            "What is spoken: the Go reference's bytes, those of the PIP texts, or both, chosen for each connection."),
        Setting(
            "bootstrapServers", .list(.destination), standard: [],
            "UDP servers that are asked for addresses of peers."),
        Setting(
            "seeds", .list(.form("IP, IP:port or ID@IP", check: PeerLocator.problemOfSeed)), standard: [],
            isLive: true, "Peers that are always known; with an ID, nobody else is accepted there."),
        Setting(
            "dnsSeeds", .list(.string), standard: [], isLive: true,
            "Host names whose addresses are dialled like seeds, on the standard port."),
        Setting(
            "allowPrivateAddresses", .optional(.bool), standard: .null,
            "Whether loopback and private addresses told by others are dialled; null: when we listen on one."),
        Setting(
            "bindOutbound", .optional(.bool), standard: .null,
            "Whether we dial from the address that we listen on; null: when it is a loopback address."),
    ]

    private static let connections: [Setting] = [
        Setting(
            "targetOutbound", .int(0...1000), standard: 8, isLive: true,
            "Connections that we look for (PIP-5: 8)."),
        Setting(
            "maxInbound", .int(0...100_000), standard: 117, isLive: true,
            "Open connections that others dialled; more are closed at once."),
        Setting(
            "maxPendingInbound", .int(1...10_000), standard: 12, isLive: true,
            "Inbound handshakes at a time from one IPv4 /24 or IPv6 /64; the oldest makes room. Loopback is exempt."),
        Setting(
            "maxPendingInboundTotal", .int(1...100_000), standard: 1024, isLive: true,
            "Inbound handshakes at a time in all; the oldest makes room."),
        Setting(
            "maxPendingOutbound", .int(1...1000), standard: 5, isLive: true,
            "Dials at a time."),
    ]

    private static let timing: [Setting] = [
        Setting(
            "pingIntervalSeconds", .number(0.1...30), standard: 5, isLive: true,
            "Time between two Pings on a connection (PIP-5: 5)."),
        Setting(
            "peerTimeoutSeconds", .number(1...3600), standard: 30, isLive: true,
            "A peer that was silent for longer is down (PIP-5: 30)."),
        Setting(
            "maxClockSkewSeconds", .int(1...7200), standard: 30, isLive: true,
            "Seconds by which a peer's timestamps may be early or late (PIP-2: 30, Go reference: 7200)."),
        Setting(
            "peerExchangeIntervalSeconds", .number(1...86_400), standard: 60, isLive: true,
            "Time between two rounds of asking peers for addresses, below the target."),
        Setting(
            "peerExchangeIdleIntervalSeconds", .number(1...86_400), standard: 3600, isLive: true,
            "The same with enough peers, to keep the book fresh."),
        Setting(
            "peerResponseIntervalSeconds", .number(0...3600), standard: 10, isLive: true,
            "A peer that asks for addresses is answered once in this time."),
    ]

    private static let limits: [Setting] = [
        Setting(
            "maxSentPeers", .int(0...127), standard: 127, isLive: true,
            "Addresses in an answer."),
        Setting(
            "maxEnvelopesPerSecond", .int(1...10_000_000), standard: 200, isLive: true,
            "A peer that sends more for 5 s is closed and banned for an hour."),
        Setting(
            "bookCapacity", .int(16...1_000_000), standard: 20_000,
            "Addresses that the book holds."),
    ]

    /// Takes checked values over; where one is null, the listen address decides.
    public init(_ values: Record) {
        listen = values.address("listen")
        let isNear = listen.ip.isLoopback || listen.ip.isPrivate
        standardPort = UInt16(clamping: values.number("standardPort"))
        dialect = Dialect(rawValue: values.text("dialect"))
        bootstrapServers = values.destinations("bootstrapServers")
        let port = standardPort
        seeds = values.texts("seeds").compactMap { PeerLocator($0, standardPort: port) }
        dnsSeeds = values.texts("dnsSeeds")
        targetOutbound = values.number("targetOutbound")
        maxInbound = values.number("maxInbound")
        maxPendingInbound = values.number("maxPendingInbound")
        maxPendingInboundTotal = values.number("maxPendingInboundTotal")
        maxPendingOutbound = values.number("maxPendingOutbound")
        pingInterval = values.duration("pingIntervalSeconds")
        peerTimeout = values.duration("peerTimeoutSeconds")
        maxClockSkewSeconds = values.number("maxClockSkewSeconds")
        peerExchangeInterval = values.duration("peerExchangeIntervalSeconds")
        peerExchangeIdleInterval = values.duration("peerExchangeIdleIntervalSeconds")
        peerResponseInterval = values.duration("peerResponseIntervalSeconds")
        maxSentPeers = values.number("maxSentPeers")
        maxEnvelopesPerSecond = values.number("maxEnvelopesPerSecond")
        bookCapacity = values.number("bookCapacity")
        allowPrivateAddresses = values.bool("allowPrivateAddresses") ?? isNear
        bindOutbound = values.bool("bindOutbound") ?? listen.ip.isLoopback
    }

    /// The defaults of the table, listening on `listen`.
    public init(listen: SocketAddress) {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard ?? .null }
        values["listen"] = .text(listen)
        self.init(values)
    }

    /// The change to `new`, of which some settings apply only after a restart.
    func change(to new: Self) -> Reconfiguration<Self> {
        var change = Reconfiguration(from: self, to: new)
        change.keep(\.listen, "listen")
        change.keep(\.standardPort, "standardPort")
        change.keep(\.dialect, "dialect")
        change.keep(\.bootstrapServers, "bootstrapServers")
        change.keep(\.allowPrivateAddresses, "allowPrivateAddresses")
        change.keep(\.bindOutbound, "bindOutbound")
        change.keep(\.bookCapacity, "bookCapacity")
        return change
    }
}
