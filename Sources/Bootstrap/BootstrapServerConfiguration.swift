public import PeerCore

extension BootstrapServer {
    /// Section `bootstrapServer`: where it listens, and the limits of gossip sections 6.2 and 6.3 and decision 24.
    public struct Configuration: Configurable, Hashable, Sendable {
        /// UDP address.
        public var listen: SocketAddress
        /// How long an entry waits for its validation.
        public var provisionalSeconds: Int
        /// Entries that wait for it; the oldest makes room.
        public var maximumProvisional: Int
        /// How long an entry lives after its last renewal.
        public var entrySeconds: Int
        /// How long nobody gets an ID that others were told of.
        public var quarantineSeconds: Int
        /// How long after the start a peer gets the ID that it asks for.
        public var reclaimSeconds: Int
        /// Most entries of an answer.
        public var maximumEntries: Int
        /// Most entries of an answer to a source that has not proven its address.
        public var maximumUnvalidatedEntries: Int
        /// Octets, headers included, to such sources; above it they get no entries.
        public var unvalidatedBytesPerSecond: Int
        /// IDs of one IPv4 address or IPv6 /64.
        public var maximumIDsPerAddress: Int
        /// IDs of one IPv4 /24 or IPv6 /48.
        public var maximumIDsPerPrefix: Int
        /// INITs of one source address and of all.
        var admission: Admission.Limits
        /// Pause between probes of an entry that never renews.
        public var probeIntervalSeconds: Int
        /// How long a probe waits for an answer.
        public var probeTimeout: Duration
        /// Failed probes in a row after which an entry is removed.
        public var maximumProbeFailures: Int
        var probes: Prober.Limits
    }
}

extension BootstrapServer.Configuration {
    /// The table of the manual and of the schema.
    public static let settings: [Setting] =
        [Setting("listen", .address, standard: nil, "UDP address of the bootstrap server.")]
        + lives + answers + quotas + rates + probing

    private static func live(_ key: String, _ range: ClosedRange<Int64>, _ standard: Int64, _ summary: String)
        -> Setting
    {
        Setting(key, .int(range), standard: .int(standard), isLive: true, summary)
    }

    private static func seconds(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        // A day is far above every use.
        Setting(key, .int(1...86_400), standard: .int(standard), isLive: true, summary)
    }

    private static let lives = [
        seconds("provisionalSeconds", 15, "How long an entry waits for its validation."),
        live("maxProvisional", 1...65_534, 4096, "Entries that wait for validation; the oldest makes room."),
        seconds("entrySeconds", 180, "How long an entry lives after its last renewal."),
        seconds("quarantineSeconds", 600, "How long nobody gets an ID that others were told of."),
        seconds(
            "reclaimSeconds", 180, "How long after the start a peer gets the ID that it had before, when it is free."),
    ]

    private static let answers = [
        live("maxEntries", 0...69, 69, "Most entries of an answer; 69 fill a datagram of 1400 octets."),
        live(
            "maxUnvalidatedEntries", 0...69, 3, "Most entries of an answer to a source that has not proven its address."
        ),
        live(
            "unvalidatedBytesPerSecond", 1...1_000_000_000, 100_000,
            "Octets to such sources, IP and UDP headers counted; above it their answers have no entries."),
    ]

    private static let quotas = [
        live("maxIdsPerAddress", 1...65_534, 64, "IDs of one IPv4 address or IPv6 /64."),
        live("maxIdsPerPrefix", 1...65_534, 1024, "IDs of one IPv4 /24 or IPv6 /48."),
    ]

    private static let rates = [
        live(
            "maxInitsPerAddress", 1...100_000_000, 5,
            "INITs of one source address in `initWindowSeconds`, also at once."),
        seconds("initWindowSeconds", 10, "The time for which `maxInitsPerAddress` counts."),
        live("maxInitsPerSecond", 1...100_000_000, 2000, "INITs of all sources in a second, also at once."),
    ]

    private static let probing = [
        seconds("probeIntervalSeconds", 60, "Pause between TCP probes of an entry that never renews."),
        Setting(
            // One INIT may lead to one SYN at most: the system sends another after a second.
            "probeTimeoutSeconds", .number(0.1...60), standard: 0.9, isLive: true,
            "How long a TCP probe waits for an answer."),
        live("maxProbeFailures", 1...255, 2, "Failed probes in a row after which an entry is removed."),
        live("maxProbesPerSecond", 1...1_000_000, 50, "TCP probes in a second."),
        seconds("probeAddressIntervalSeconds", 10, "Pause between TCP probes of one address."),
    ]

    /// Octets on the wire of an answer without entries: IPv4 and UDP headers, and the message.
    private static let bareAnswerBytes = 28 + BootstrapMessage.headBytes

    /// What is left for entries to unvalidated sources when all that may ask in a second get at least a bare answer
    /// (decision 24). Who allows more INITs than the limit has room for gives a quarter of it to entries.
    var unvalidatedEntryBytesPerSecond: Double {
        let limit = Double(unvalidatedBytesPerSecond)
        return max(limit - Double(Self.bareAnswerBytes * admission.perSecond), limit / 4)
    }

    /// The configuration of checked values.
    public init(_ values: Record) {
        listen = values.address("listen")
        provisionalSeconds = values.number("provisionalSeconds")
        maximumProvisional = values.number("maxProvisional")
        entrySeconds = values.number("entrySeconds")
        quarantineSeconds = values.number("quarantineSeconds")
        reclaimSeconds = values.number("reclaimSeconds")
        maximumEntries = values.number("maxEntries")
        maximumUnvalidatedEntries = values.number("maxUnvalidatedEntries")
        unvalidatedBytesPerSecond = values.number("unvalidatedBytesPerSecond")
        maximumIDsPerAddress = values.number("maxIdsPerAddress")
        maximumIDsPerPrefix = values.number("maxIdsPerPrefix")
        admission = Admission.Limits(
            perSource: values.number("maxInitsPerAddress"), window: values.duration("initWindowSeconds"),
            perSecond: values.number("maxInitsPerSecond"))
        probeIntervalSeconds = values.number("probeIntervalSeconds")
        probeTimeout = values.duration("probeTimeoutSeconds")
        maximumProbeFailures = values.number("maxProbeFailures")
        probes = Prober.Limits(
            perSecond: values.number("maxProbesPerSecond"),
            addressInterval: values.duration("probeAddressIntervalSeconds"), refusalMemory: .seconds(quarantineSeconds))
    }

    /// The standard configuration, listening on `listen`.
    public init(listen: SocketAddress) {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard }
        values["listen"] = .text(listen)
        self.init(values)
    }
}
