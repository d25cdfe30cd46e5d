public import PeerCore

extension BePeer {
    /// The section `replication` of the configuration file (BePeer sections 2.1, 4, 5 and 9).
    public struct Configuration: Configurable, Hashable, Sendable {
        /// Where messages come in; nil: nobody can call.
        public var messageAddress: SocketAddress?
        /// Where files are served.
        public var httpAddress: SocketAddress
        /// What is shared.
        public var folders: [FolderSettings]
        /// Whether BePeer/1 over HTTP is spoken (BePeer section 8).
        public var extensions: Bool
        /// Whether joiners whose file server cannot be reached are confirmed all the same.
        public var confirmUnreachable: Bool
        /// When finished files are on the disk for certain.
        public var durability: Durability
        /// A file is looked at when it was quiet for so long.
        public var quiet: Duration
        /// A file that is never quiet is looked at after this time all the same.
        public var longestQuiet: Duration
        /// About the time between two full scans.
        public var scanInterval: Duration
        /// Time between two looks at what a trusted peer has.
        public var resyncInterval: Duration
        /// The same for a peer that was not reached.
        public var unreachableInterval: Duration
        /// How long overwritten and deleted files are kept; zero: not at all.
        public var trashTime: Duration
        /// How long parts of files are kept.
        public var partTime: Duration
        /// Free space that fetching leaves.
        public var minFreeBytes: UInt64
        /// Files up to this size are fetched into memory.
        public var smallFileBytes: UInt64
        /// Verification moves all of what was offered up to this size.
        public var verifyFullBytes: UInt64
        /// Above that, files above this size are proved.
        public var proofFileBytes: UInt64
        /// Fetches from one peer at a time.
        public var fetchesPerPeer: Int
        /// Joiners that are served at once; more are handed to other peers.
        public var maxJoiners: Int
        /// Message connections, of all and of one address.
        public var messageConnections: Int
        /// See `messageConnections`.
        public var messageConnectionsPerAddress: Int
        /// What one message may have.
        public var messageLimits: MessageReader.Limits
        /// From accepting a connection to the end of its first message.
        public var firstMessageTime: Duration
        /// From the first octet of a later message to its end.
        public var messageTime: Duration
        /// A connection without a message is closed after this time.
        public var idleTime: Duration
        /// How long a dial may take.
        public var connectTimeout: Duration
        /// A fetch without an octet for so long has failed.
        public var stallTime: Duration
        /// An offer without a report holds later ones back for so long.
        public var outstandingTime: Duration
        /// How long a dropped peer may not ask again.
        public var dropTime: Duration
        /// What clients of the file server may use.
        public var httpLimits: HTTPLimits

        /// Whether the servers can be reached from anywhere.
        var isPublic: Bool {
            [messageAddress?.ip, httpAddress.ip].contains { $0.map { !$0.isLoopback && !$0.isPrivate } ?? false }
        }
    }

    /// One folder or file that is shared.
    public struct FolderSettings: Hashable, Sendable {
        /// Which way changes go.
        public enum Mode: String, Hashable, Sendable, CaseIterable {
            /// Both ways.
            case sendReceive = "sendreceive"
            /// Only out.
            case sendOnly = "sendonly"
            /// Only in.
            case receiveOnly = "receiveonly"
        }

        /// Who may ask to become a peer.
        public enum Join: String, Hashable, Sendable, CaseIterable {
            /// Anyone who reaches the port.
            case open
            /// Addresses of the list.
            case list
            /// Nobody.
            case closed
        }

        /// Its name in messages; the name of the file, when it is a single one.
        public var name: String
        /// Where it is; for a single file the folder in which it is.
        public var path: String
        /// Whether only the file `name` is shared.
        public var isSingle: Bool
        /// Which way changes go.
        public var mode: Mode
        /// Who may ask; nil: `open` when nobody outside can reach the servers, else `list`.
        public var join: Join?
        /// The addresses of `list`.
        public var joinAllow: [IPPrefix]
        /// Message servers of peers to begin with.
        public var peers: [Destination]
        /// Whether the file with the patterns of what is ignored is replicated too.
        public var syncIgnore: Bool
        /// Octets of all files together; nil: no limit.
        public var maxBytes: UInt64?

        /// The folder's name for the host.
        public var id: FolderID { FolderID(name) }
    }
}

// MARK: - The settings

extension BePeer.Configuration {
    /// The table of the manual and of the schema.
    public static let settings: [Setting] = servers + files + times + limits

    private static let shareName = Setting.Kind.form(
        "a name without slashes that does not begin with .bepeer", check: { ShareName.isValid($0) ? nil : "it is none" }
    )
    private static let path = Setting.Kind.form(
        "a path", check: { $0.isEmpty || $0.utf8.contains(0) ? "it is none" : nil })
    private static let block = Setting.Kind.form(
        "an address or a block such as 192.0.2.0/24", check: { IPPrefix($0) == nil ? "it is none" : nil })
    private static let peer = Setting.Kind.form(
        "a host with or without a port", check: { BePeer.destination($0) == nil ? "it is none" : nil })

    private static let folder: [Setting] = [
        Setting("name", shareName, standard: nil, "Its name in messages; the name of the file for a single one."),
        Setting(
            "path", path, standard: nil,
            "The folder on the disk; for a single file the folder in which it is. It gets a folder .bepeer, without"
                + " which it is not touched."),
        Setting("single", .bool, standard: false, "Whether only the file called name is shared."),
        Setting(
            "mode", .word(BePeer.FolderSettings.Mode.allCases.map(\.rawValue)), standard: "sendreceive", isLive: true,
            "Which way changes go: both, sendonly or receiveonly."),
        Setting(
            "join", .optional(.word(BePeer.FolderSettings.Join.allCases.map(\.rawValue))), standard: .null,
            isLive: true,
            "Who may ask to become a peer, and read the files: open, list (joinAllow) or closed; null: open when both"
                + " servers are bound to loopback or private addresses, else list."),
        Setting("joinAllow", .list(block), standard: [], isLive: true, "The addresses of join list."),
        Setting(
            "peers", .list(peer), standard: [],
            "Message servers of peers to begin with, host:port; the port is 7009 when it is missing."),
        Setting(
            "syncIgnore", .bool, standard: false,
            "Whether .bepeerignore, which names what is not replicated, is itself replicated."),
        Setting(
            "maxFolderBytes", .optional(.int(1...Int64.max)), standard: .null, isLive: true,
            "Octets of all files together, above which nothing more is fetched; null: no limit."),
    ]

    private static let servers: [Setting] = [
        Setting(
            "messageAddress", .optional(.address), standard: "127.0.0.1:7009",
            "Where the four messages come in; null: nowhere, this node only calls."),
        Setting("httpAddress", .address, standard: "127.0.0.1:7010", "Where files are served over HTTP."),
        Setting("folders", .list(.section(folder)), standard: [], "What is shared, and with whom."),
        Setting(
            "extensions", .bool, standard: true,
            "Whether versions, hashes and deletes are told to peers that ask for them (BePeer/1 over HTTP)."),
        Setting(
            "confirmUnreachable", .bool, standard: false, isLive: true,
            "Whether joiners whose file server cannot be reached, behind a NAT, are trusted unverified."),
    ]

    private static let files: [Setting] = [
        Setting(
            "durability", .word(Durability.allCases.map(\.rawValue)), standard: "batch", isLive: true,
            "When fetched files are on the disk for certain: full (each before it gets its name), batch (many at"
                + " once) or off."),
        Setting(
            "trashDays", .number(0...36_500), standard: 30, isLive: true,
            "How long overwritten and deleted files stay in .bepeer/trash; 0: they are removed."),
        Setting("partDays", .number(0...36_500), standard: 7, isLive: true, "How long unfinished parts are kept."),
        bytes("minFreeBytes", 104_857_600, "Free space that fetching leaves on the disk."),
        Setting(
            "smallFileBytes", .int(0...16_777_216), standard: 262_144, isLive: true,
            "Files up to this size are fetched into memory, larger ones into part files."),
        bytes(
            "verifyFullBytes", 67_108_864,
            "What a peer reports is read back in full up to this size; above it larger files are proved."),
        bytes("proofFileBytes", 1_048_576, "Files up to this size are always read back in full."),
    ]

    private static let times: [Setting] = [
        seconds("quietSeconds", 2, "A changed file is taken in when it was quiet for so long."),
        seconds("longestQuietSeconds", 30, "A file that keeps changing is taken in after this time all the same."),
        seconds("scanSeconds", 3600, "About the time between two full scans; changes are noticed at once."),
        Setting(
            "resyncMinutes", .number(0.01...10_080), standard: 60, isLive: true,
            "Time between two looks at what a trusted peer has."),
        Setting(
            "unreachableMinutes", .number(0.01...10_080), standard: 10, isLive: true,
            "Longest time between two tries of a peer that cannot be reached."),
        seconds("firstMessageSeconds", 30, "From accepting a connection to the end of its first message."),
        seconds("messageSeconds", 60, "From the first octet of a later message to its end."),
        seconds("idleSeconds", 120, "A connection without a message is closed after this time."),
        seconds("connectTimeoutSeconds", 10, "How long a dial may take."),
        seconds("stallSeconds", 60, "A fetch without an octet for so long has failed."),
        seconds("outstandingSeconds", 60, "How long an offer that is not answered holds the next one back."),
        seconds("dropSeconds", 3600, "How long a peer that served wrong content may not ask again."),
    ]

    private static let limits: [Setting] = [
        count("fetchesPerPeer", 16, 1...64, "Fetches from one peer at a time."),
        count("maxJoiners", 64, 1...10_000, "Joiners served at once; more are handed to other peers."),
        count("messageConnections", 256, 1...100_000, "Message connections that others have opened."),
        count("messageConnectionsPerAddress", 16, 1...100_000, "Those of one address."),
        count("messageLineBytes", 4096, 64...65_536, "Octets of a line of a message."),
        count("maxNames", 1_000_000, 1...10_000_000, "Names in a message."),
        count("messageBytes", 67_108_864, 1024...1_073_741_824, "Octets of a message."),
        count("httpConnections", 512, 1...100_000, "Connections to the file server."),
        count("httpConnectionsPerAddress", 128, 1...100_000, "Those of one address."),
    ]

    private static func bytes(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        Setting(key, .int(0...Int64.max), standard: .int(standard), isLive: true, summary)
    }

    private static func seconds(_ key: String, _ standard: Int64, _ summary: String) -> Setting {
        // From what a test can wait for to a week.
        Setting(key, .number(0.001...604_800), standard: .int(standard), isLive: true, summary)
    }

    private static func count(
        _ key: String, _ standard: Int64, _ range: ClosedRange<Int64>, _ summary: String
    ) -> Setting {
        Setting(key, .int(range), standard: .int(standard), isLive: !key.hasPrefix("http"), summary)
    }

    /// Settings that cannot both be meant.
    public static func contradictions(in values: Record) -> [Contradiction] {
        let settings = Self(values)
        let folders = settings.folders
        var found: [Contradiction] = []
        if settings.messageAddress == settings.httpAddress, settings.httpAddress.port != 0 {
            found.append(Contradiction("httpAddress", message: "the same as /replication/messageAddress"))
        }
        for (index, folder) in folders.enumerated() {
            if folders[..<index].contains(where: { $0.name.utf8.elementsEqual(folder.name.utf8) }) {
                found.append(
                    Contradiction("folders", "\(index)", "name", message: "is the name of another folder already"))
            }
            if folders[..<index].contains(where: { $0.path == folder.path }) {
                found.append(
                    Contradiction("folders", "\(index)", "path", message: "is the path of another folder already"))
            }
            if folder.join == .list, folder.joinAllow.isEmpty, folder.peers.isEmpty {
                let message = "is \"list\", but \"joinAllow\" names nobody"
                found.append(Contradiction("folders", "\(index)", "join", message: message))
            }
        }
        return found
    }
}
