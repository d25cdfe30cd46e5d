public import PeerCore

/// What the node takes of the machine at most, all protocols together. Each protocol has limits of its own beside them.
public struct LimitsConfiguration: Configurable, Hashable, Sendable {
    /// Connections at one time; nil: as many as the system's limit of descriptors allows.
    public let maxConnections: Int?
    /// Connections with one address at one time. Loopback is exempt.
    public let maxConnectionsPerAddress: Int
    /// Connections with one /24 of IPv4 or /64 of IPv6 at one time. Loopback is exempt.
    public let maxConnectionsPerPrefix: Int
    /// Connections taken in one second; 0: any number.
    public let acceptsPerSecond: Int
    /// Dials begun in one second; 0: any number.
    public let dialsPerSecond: Int
    /// Octets received in one second; 0: any number.
    public let downloadBytesPerSecond: Int
    /// Octets sent in one second; 0: any number.
    public let uploadBytesPerSecond: Int
    /// Octets in all queues and unfinished messages (decision 6).
    public let maxBufferedBytes: Int
    /// The congestion control tried first on loopback; nil: the system's.
    public let loopbackCongestionControl: String?

    /// The section `limits`.
    public static var settings: [Setting] {
        [
            Setting(
                // 2^20 is Linux's own bound of descriptors (fs.nr_open).
                "maxConnections", .optional(.int(1...1 << 20)), standard: .null, isLive: true,
                "Connections at one time; null: as many as the system's limit of descriptors allows."),
            Setting(
                // Several nodes behind one router, and the sixteen connections of one that fetches a folder.
                "maxConnectionsPerAddress", .int(1...1 << 20), standard: 64, isLive: true,
                "Connections with one address at one time. Loopback is exempt."),
            Setting(
                "maxConnectionsPerPrefix", .int(1...1 << 20), standard: 256, isLive: true,
                "Connections with one /24 of IPv4 or one /48 of IPv6 at one time. Loopback and private ranges are"
                    + " exempt."),
            Setting(
                // A handshake costs about 0.1 ms of computing, so this is a tenth of a core.
                "acceptsPerSecond", .int(0...1_000_000), standard: 1000, isLive: true,
                "Connections accepted in one second, above which callers wait; 0: any number."),
            Setting(
                // A search asks a hundred peers at once; more looks like a scan of the network to a hoster.
                "dialsPerSecond", .int(0...1_000_000), standard: 100, isLive: true,
                "Dials begun in one second, above which dials wait; 0: any number."),
            Setting(
                "downloadBytesPerSecond", .int(0...maximumRate), standard: 0, isLive: true,
                "Octets received in one second; 0: any number."),
            Setting(
                "uploadBytesPerSecond", .int(0...maximumRate), standard: 0, isLive: true,
                "Octets sent in one second; 0: any number."),
            Setting(
                // Below 1 MiB two messages of the largest kinds would not fit.
                "maxBufferedBytes", .int(1 << 20...1 << 40), standard: 268_435_456, isLive: true,
                "Octets in all queues and unfinished messages; what is worth least is dropped first."),
            Setting(
                "loopbackCongestionControl", .optional(.word(["reno", "cubic"])), standard: "reno", isLive: true,
                "The congestion control tried first for connections with this machine, since BBR slows them two to"
                    + " three times; null: the system's."),
        ]
    }

    /// 100 Gbit/s, above which a limit is none.
    private static let maximumRate: Int64 = 12_500_000_000

    /// The checked values.
    public init(_ values: Record) {
        maxConnections = values.int("maxConnections").map(Int.init)
        maxConnectionsPerAddress = values.number("maxConnectionsPerAddress")
        maxConnectionsPerPrefix = values.number("maxConnectionsPerPrefix")
        acceptsPerSecond = values.number("acceptsPerSecond")
        dialsPerSecond = values.number("dialsPerSecond")
        downloadBytesPerSecond = values.number("downloadBytesPerSecond")
        uploadBytesPerSecond = values.number("uploadBytesPerSecond")
        maxBufferedBytes = values.number("maxBufferedBytes")
        loopbackCongestionControl = values.string("loopbackCongestionControl")
    }
}
