public import PeerCore

extension PPlusTwo {
    /// The section `files` of the configuration file (P+2 section 3.2 and where each key is named).
    public struct Configuration: Configurable, Hashable, Sendable {
        /// What one of the three services allows (P+2 section 3.2).
        public struct ServiceLimits: Hashable, Sendable {
            /// Octets of a request line.
            public var lineOctets: Int
            /// Connections of callers, of all and of one address.
            public var connections: Int
            /// See `connections`.
            public var perAddress: Int
            /// How long a dial may take.
            public var connectTimeout: Duration
        }

        /// The address of port p; nil: no listeners.
        public var listen: SocketAddress?
        /// Where shared files lie and downloads go; for the host.
        public var folder: String
        /// Whether the host keeps rows. It is no setting of the file: a command that fetches by itself keeps none.
        public var hasRows = true
        /// The identity that peers are told instead of the address that they see.
        public var announce: PeerIdentity?
        /// Peers to begin with.
        public var initialPeers: [PeerIdentity]
        /// Time between two dials of a peer list.
        public var peerListInterval: Duration
        var access: Access
        /// Whether queries find other case too.
        public var caseInsensitiveMatch: Bool
        /// Whether files of subfolders are shared.
        public var recursive: Bool
        /// Whether P2X/1 is spoken.
        public var extensions: Bool
        /// Peers that are asked at once for a search.
        public var parallelInterrogations: Int
        /// Matches that a search gives.
        public var maxMatches: Int
        var services: [Service: ServiceLimits]
        /// From accepting a caller to the end of its line.
        public var lineTimeout: Duration
        /// How long an answer of a list or query may take.
        public var answerTimeout: Duration
        /// A download without an octet for so long has failed.
        public var downloadStall: Duration
        /// An upload of which nothing is taken for so long is given up.
        public var uploadStall: Duration
        /// What is told in answers.
        public var maxListAnswerLines: Int
        /// See `maxListAnswerLines`.
        public var maxListAnswerBytes: Int
        /// See `maxListAnswerLines`.
        public var maxQueryAnswerLines: Int
        /// See `maxListAnswerLines`.
        public var maxQueryAnswerBytes: Int
        /// What is taken of answers.
        public var acceptedList: AnswerLines.Limits
        /// See `acceptedList`.
        public var acceptedQuery: AnswerLines.Limits
        /// Identities in the list.
        public var maxPeers: Int
        /// New ones from one answer.
        public var maxNewPeersPerAnswer: Int
        /// Identities of others that one public address may announce in an hour.
        public var maxForeignIdentitiesPerHour: Int
        var patience: KnownPeers.Patience
        /// Files that are sent at once.
        public var maxUploads: Int
        /// Octets that are sent in a second, shared fairly; 0: no limit but the node's.
        public var maxUploadBytesPerSecond: Int
        /// Callers that wait for one of those.
        public var maxWaitingUploads: Int
        /// Downloads at once.
        public var maxDownloads: Int
        /// Octets of a download.
        public var maxDownloadBytes: UInt64?
        /// Free space that downloads leave.
        public var minFreeBytes: UInt64
        /// Files in the index.
        public var maxSharedFiles: Int
    }
}

// MARK: - The settings

extension PPlusTwo.Configuration {
    /// The table of the manual and of the schema.
    public static let settings: [Setting] = peers + sharing + downloads + services + answers + lives

    private static let identity = Setting.Kind.form(
        "an identity, IPv4:port with a port of 1 to 65533",
        check: { PeerIdentity($0) == nil ? "it is none" : nil })

    private static let block = Setting.Kind.form(
        "an address or a block such as 192.0.2.0/24", check: { IPPrefix($0) == nil ? "it is none" : nil })

    private static let peers: [Setting] = [
        Setting(
            "listen", .optional(.address), standard: .null,
            "Address of the peer list, port p; queries come in on p + 1, downloads on p + 2. null: no listeners, and"
                + " nothing is shared."),
        Setting(
            "folder", .form("a path", check: { $0.isEmpty || $0.utf8.contains(0) ? "it is none" : nil }), standard: nil,
            "The folder whose files are shared, and where downloads go."),
        Setting(
            "announce", .optional(identity), standard: .null,
            "The identity that peers are told; null: the address of the connection with our port."),
        Setting("initialPeers", .list(identity), standard: [], "Peers to begin with; they are never forgotten."),
        Setting(
            "peerListIntervalSeconds", .number(0.01...86_400), standard: 10, isLive: true,
            "Time from one dial of a peer list to the next. Below 10 only when the node listens on loopback."),
        Setting(
            "peerAllow", .list(block), standard: [], isLive: true,
            "When not empty, only these addresses may call and be peers."),
        Setting(
            "peerDeny", .list(block), standard: [], isLive: true,
            "These addresses may neither call nor be peers, even when peerAllow names them."),
        Setting(
            "maxPeers", .int(1...100_000), standard: 1000, isLive: true, "Identities in the list of known peers."),
        Setting(
            "maxNewPeersPerAnswer", .int(1...10_000), standard: 100, isLive: true,
            "Identities that one answer may add."),
        Setting(
            "maxForeignIdentitiesPerHour", .int(0...1_000_000), standard: 32, isLive: true,
            "Identities of others that one public address may announce in an hour."),
    ]

    private static let sharing: [Setting] = [
        Setting(
            "caseInsensitiveMatch", .bool, standard: false,
            "Whether queries find names in another case too."),
        Setting("recursive", .bool, standard: false, "Whether the files of subfolders are shared too."),
        Setting(
            "extensions", .bool, standard: true, isLive: true,
            "Whether sizes and digests of files are told and asked for (P2X/1), so that downloads are verified."),
        Setting("maxSharedFiles", .int(1...10_000_000), standard: 1_000_000, "Files in the index."),
        Setting("maxUploads", .int(1...10_000), standard: 16, isLive: true, "Files that are sent at once."),
        Setting(
            // Ten gigabytes a second are more than any link of today.
            "maxUploadBytesPerSecond", .int(0...12_500_000_000), standard: 0, isLive: true,
            "Octets sent in one second, shared by all who download; 0: no limit but that of the node."),
        Setting(
            "maxWaitingUploads", .int(0...10_000), standard: 48, isLive: true,
            "Callers that wait in order until a file less is sent."),
    ]

    private static let downloads: [Setting] = [
        Setting(
            "parallelInterrogations", .int(1...64), standard: 1, isLive: true,
            "Peers that a search asks at once; 1: one after the other."),
        Setting("maxMatches", .int(1...1_000_000), standard: 1000, isLive: true, "Matches that a search shows."),
        Setting("maxDownloads", .int(1...1000), standard: 16, isLive: true, "Downloads at once."),
        Setting(
            "maxDownloadBytes", .optional(.int(1...Int64.max)), standard: .null, isLive: true,
            "Octets of a download; null: no limit."),
        Setting(
            "minFreeBytes", .int(0...Int64.max), standard: 104_857_600, isLive: true,
            "Free space that downloads leave; below it they fail as disk full."),
    ]

    private static let services: [Setting] =
        service("list", line: 64, connections: 128, perAddress: 32, connect: 5)
        + service("query", line: 1024, connections: 128, perAddress: 32, connect: 3)
        + service("download", line: 4096, connections: 64, perAddress: 16, connect: 5) + [
            seconds("lineTimeoutSeconds", 30, "From accepting a caller to the end of its line."),
            seconds("answerTimeoutSeconds", 10, "How long a peer's answer to a list or query may take."),
            seconds("downloadStallSeconds", 60, "A download without an octet for so long has failed."),
            seconds("uploadStallSeconds", 60, "An upload of which nothing is taken for so long is given up."),
        ]

    private static func service(
        _ name: String, line: Int64, connections: Int64, perAddress: Int64, connect: Int64
    ) -> [Setting] {
        [
            Setting(
                "\(name)LineBytes", .int(16...65_536), standard: .int(line), isLive: true,
                "Octets of a request line of the \(name) service."),
            Setting(
                "\(name)Connections", .int(1...100_000), standard: .int(connections), isLive: true,
                "Callers of the \(name) service at a time."),
            Setting(
                "\(name)ConnectionsPerAddress", .int(1...100_000), standard: .int(perAddress), isLive: true,
                "Callers of the \(name) service from one address."),
            seconds("\(name)ConnectTimeoutSeconds", connect, "How long a dial of a peer's \(name) port may take."),
        ]
    }

    private static func seconds(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        // From what a test can wait for to a day.
        Setting(key, .number(0.01...86_400), standard: .int(standard), isLive: true, summary)
    }

    private static func count(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        Setting(key, .int(1...1_073_741_824), standard: .int(standard), isLive: true, summary)
    }

    private static let answers: [Setting] = [
        count("maxListAnswerLines", 256, "Lines of our answer to a list."),
        count("maxListAnswerBytes", 8192, "Octets of our answer to a list."),
        count("maxQueryAnswerLines", 10_000, "Lines of our answer to a query."),
        Setting(
            // A connection on which more waits to be sent is taken for too slow, and reset.
            "maxQueryAnswerBytes", .int(1...4_194_304), standard: 1_048_576, isLive: true,
            "Octets of our answer to a query."),
        count("maxListAcceptedLines", 1000, "Lines that are taken of a peer's list."),
        count("maxListAcceptedBytes", 65_536, "Octets that are taken of a peer's list."),
        count("maxListAcceptedLineBytes", 64, "Octets of one line of a peer's list; a longer one is skipped."),
        count("maxQueryAcceptedLines", 10_000, "Lines that are taken of a peer's answer to a query."),
        count("maxQueryAcceptedBytes", 4_194_304, "Octets that are taken of a peer's answer to a query."),
        count(
            "maxQueryAcceptedLineBytes", 4096,
            "Octets of one line of a peer's answer to a query; a longer one is skipped."),
    ]

    private static let lives: [Setting] = [
        seconds("firstRetrySeconds", 60, "From the first failure of a peer to the next try."),
        seconds("secondRetrySeconds", 300, "From its second failure to the last try."),
        seconds("initialRetrySeconds", 60, "From a failure of an initial peer to the next try."),
        seconds("tombstoneSeconds", 1800, "How long hearsay does not bring a forgotten peer back."),
    ]

    /// Settings that cannot both be meant.
    public static func contradictions(in values: Record) -> [Contradiction] {
        let settings = Self(values)
        var found: [Contradiction] = []
        if let listen = settings.listen {
            if listen.ip.v4 == nil {
                found.append(Contradiction("listen", message: "must be IPv4: an identity can be nothing else"))
            }
            if !PeerIdentity.ports.contains(listen.port) {
                let message = "must have a port of 1 to 65533: queries and downloads have the two ports after it"
                found.append(Contradiction("listen", message: message))
            }
        }
        // P+2 section 4.3.
        let isPolite = settings.peerListInterval >= .seconds(10) || settings.listen?.ip.isLoopback == true
        if !isPolite {
            found.append(
                Contradiction(
                    "peerListIntervalSeconds", message: "must be at least 10 unless \"listen\" is on loopback"))
        }
        return found
    }
}

extension PPlusTwo.Configuration {
    /// Takes checked values over.
    public init(_ values: Record) {
        listen = values.string("listen").flatMap { SocketAddress($0) }
        folder = values.text("folder")
        announce = values.string("announce").flatMap { PeerIdentity($0) }
        initialPeers = values.texts("initialPeers").compactMap { PeerIdentity($0) }
        peerListInterval = values.duration("peerListIntervalSeconds")
        access = Access(
            allowed: values.texts("peerAllow").compactMap { IPPrefix($0) },
            denied: values.texts("peerDeny").compactMap { IPPrefix($0) })
        caseInsensitiveMatch = values.flag("caseInsensitiveMatch")
        recursive = values.flag("recursive")
        extensions = values.flag("extensions")
        parallelInterrogations = values.number("parallelInterrogations")
        maxMatches = values.number("maxMatches")
        services = Service.allCases.reduce(into: [:]) { services, service in
            let name = service.rawValue
            services[service] = ServiceLimits(
                lineOctets: values.number("\(name)LineBytes"), connections: values.number("\(name)Connections"),
                perAddress: values.number("\(name)ConnectionsPerAddress"),
                connectTimeout: values.duration("\(name)ConnectTimeoutSeconds"))
        }
        lineTimeout = values.duration("lineTimeoutSeconds")
        answerTimeout = values.duration("answerTimeoutSeconds")
        downloadStall = values.duration("downloadStallSeconds")
        uploadStall = values.duration("uploadStallSeconds")
        maxListAnswerLines = values.number("maxListAnswerLines")
        maxListAnswerBytes = values.number("maxListAnswerBytes")
        maxQueryAnswerLines = values.number("maxQueryAnswerLines")
        maxQueryAnswerBytes = values.number("maxQueryAnswerBytes")
        acceptedList = AnswerLines.Limits(
            lines: values.number("maxListAcceptedLines"), octets: values.number("maxListAcceptedBytes"),
            lineOctets: values.number("maxListAcceptedLineBytes"))
        acceptedQuery = AnswerLines.Limits(
            lines: values.number("maxQueryAcceptedLines"), octets: values.number("maxQueryAcceptedBytes"),
            lineOctets: values.number("maxQueryAcceptedLineBytes"))
        maxPeers = values.number("maxPeers")
        maxNewPeersPerAnswer = values.number("maxNewPeersPerAnswer")
        maxForeignIdentitiesPerHour = values.number("maxForeignIdentitiesPerHour")
        patience = KnownPeers.Patience(
            firstRetry: values.duration("firstRetrySeconds"), secondRetry: values.duration("secondRetrySeconds"),
            tombstone: values.duration("tombstoneSeconds"), initialRetry: values.duration("initialRetrySeconds"))
        maxUploads = values.number("maxUploads")
        maxUploadBytesPerSecond = values.number("maxUploadBytesPerSecond")
        maxWaitingUploads = values.number("maxWaitingUploads")
        maxDownloads = values.number("maxDownloads")
        maxDownloadBytes = values.int("maxDownloadBytes").map { UInt64($0) }
        minFreeBytes = UInt64(values.number("minFreeBytes"))
        maxSharedFiles = values.number("maxSharedFiles")
    }

    /// The defaults of the table, for a node that listens there, or nowhere, and this folder.
    public init(listen: SocketAddress?, folder: String) {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard ?? .null }
        values["listen"] = listen.map { .text($0) } ?? .null
        values["folder"] = .string(folder)
        self.init(values)
    }

    /// The limits of `service`.
    func limits(of service: Service) -> ServiceLimits {
        guard let limits = services[service] else { preconditionFailure("no limits of \(service)") }
        return limits
    }

    /// The change to `new`, of which some settings apply only after a restart.
    func change(to new: Self) -> Reconfiguration<Self> {
        var change = Reconfiguration(from: self, to: new)
        change.keep(\.listen, "listen")
        change.keep(\.folder, "folder")
        change.keep(\.announce, "announce")
        change.keep(\.initialPeers, "initialPeers")
        change.keep(\.caseInsensitiveMatch, "caseInsensitiveMatch")
        change.keep(\.recursive, "recursive")
        change.keep(\.maxSharedFiles, "maxSharedFiles")
        return change
    }
}
