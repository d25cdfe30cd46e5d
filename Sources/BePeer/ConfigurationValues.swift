public import PeerCore

extension BePeer.Configuration {
    /// Takes checked values over.
    public init(_ values: Record) {
        messageAddress = values.string("messageAddress").flatMap { SocketAddress($0) }
        httpAddress = values.address("httpAddress")
        folders = (values.list("folders") ?? []).compactMap {
            if case .record(let folder) = $0 { BePeer.FolderSettings(folder) } else { nil }
        }
        extensions = values.flag("extensions")
        confirmUnreachable = values.flag("confirmUnreachable")
        durability = Durability(rawValue: values.text("durability")) ?? .batch
        quiet = values.duration("quietSeconds")
        longestQuiet = values.duration("longestQuietSeconds")
        scanInterval = values.duration("scanSeconds")
        resyncInterval = Self.duration(values, "resyncMinutes", .seconds(60))
        unreachableInterval = Self.duration(values, "unreachableMinutes", .seconds(60))
        trashTime = Self.duration(values, "trashDays", .seconds(86_400))
        partTime = Self.duration(values, "partDays", .seconds(86_400))
        minFreeBytes = UInt64(values.number("minFreeBytes"))
        smallFileBytes = UInt64(values.number("smallFileBytes"))
        verifyFullBytes = UInt64(values.number("verifyFullBytes"))
        proofFileBytes = UInt64(values.number("proofFileBytes"))
        fetchesPerPeer = values.number("fetchesPerPeer")
        maxJoiners = values.number("maxJoiners")
        messageConnections = values.number("messageConnections")
        messageConnectionsPerAddress = values.number("messageConnectionsPerAddress")
        messageLimits = MessageReader.Limits()
        messageLimits.line = values.number("messageLineBytes")
        messageLimits.names = values.number("maxNames")
        messageLimits.octets = values.number("messageBytes")
        firstMessageTime = values.duration("firstMessageSeconds")
        messageTime = values.duration("messageSeconds")
        idleTime = values.duration("idleSeconds")
        connectTimeout = values.duration("connectTimeoutSeconds")
        stallTime = values.duration("stallSeconds")
        outstandingTime = values.duration("outstandingSeconds")
        dropTime = values.duration("dropSeconds")
        httpLimits = HTTPLimits()
        httpLimits.connections = values.number("httpConnections")
        httpLimits.connectionsPerAddress = values.number("httpConnectionsPerAddress")
    }

    private static func duration(_ values: Record, _ key: String, _ unit: Duration) -> Duration {
        unit * (values.double(key) ?? 0)
    }

    /// The defaults of the table, for a node with these servers and folders.
    public init(messageAddress: SocketAddress?, httpAddress: SocketAddress, folders: [BePeer.FolderSettings]) {
        var values = Record()
        for setting in Self.settings { values[setting.key] = setting.standard ?? .null }
        self.init(values)
        self.messageAddress = messageAddress
        self.httpAddress = httpAddress
        self.folders = folders
    }

    /// The change to `new`, of which some settings apply only after a restart.
    func change(to new: Self) -> Reconfiguration<Self> {
        var change = Reconfiguration(from: self, to: new)
        change.keep(\.messageAddress, "messageAddress")
        change.keep(\.httpAddress, "httpAddress")
        change.keep(\.extensions, "extensions")
        change.keep(\.httpLimits, "httpConnections")
        let fixed = folders.map(\.identity)
        // Folders come and go with a restart; who may use those that stay, and how, changes at once.
        if new.folders.map(\.identity) != fixed { change.keep(\.folders, "folders") }
        return change
    }
}

extension BePeer.FolderSettings {
    /// Takes checked values over.
    init(_ values: Record) {
        name = values.text("name")
        path = values.text("path")
        isSingle = values.flag("single")
        mode = Mode(rawValue: values.text("mode")) ?? .sendReceive
        join = values.string("join").flatMap { Join(rawValue: $0) }
        joinAllow = values.texts("joinAllow").compactMap { IPPrefix($0) }
        peers = values.texts("peers").compactMap { BePeer.destination($0) }
        syncIgnore = values.flag("syncIgnore")
        maxBytes = values.int("maxFolderBytes").map { UInt64($0) }
    }

    /// A folder with the defaults of the table.
    public init(name: String, path: String, peers: [Destination] = []) {
        self.init(
            name: name, path: path, isSingle: false, mode: .sendReceive, join: nil, joinAllow: [],
            peers: peers, syncIgnore: false, maxBytes: nil)
    }

    /// What cannot change in life.
    fileprivate var identity: [String] {
        [name, path, "\(isSingle)", "\(syncIgnore)", peers.map(\.description).joined(separator: " ")]
    }
}

extension BePeer {
    /// The port of messages (BePeer section 1).
    public static let standardPort: UInt16 = 7009

    /// Where a peer's message server is: `host:port`, or a host alone for the standard port.
    public static func destination(_ text: String) -> Destination? {
        if let ip = IPAddress(text) { return .address(SocketAddress(ip, standardPort)) }
        return Destination(text) ?? Destination("\(text):\(standardPort)")
    }
}
