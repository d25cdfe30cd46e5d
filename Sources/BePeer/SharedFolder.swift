internal import PeerCore

/// One folder or file that is shared: what is in it, and who has to do with it.
struct SharedFolder {
    /// Where a folder is between the start and its work.
    enum Phase: Equatable {
        /// Its rows are being read.
        case recalling
        /// It is scanned and hashed for the first time.
        case opening
        /// It works.
        case ready
        /// Nothing is propagated, for this reason; what was known before is still served.
        case stopped(String)
    }

    var settings: BePeer.FolderSettings
    /// Whether a command has added it, and not the configuration.
    let isJoined: Bool
    /// Whether a command has ended it.
    var isLeft = false
    let id: FolderID
    var phase = Phase.recalling
    var index = FileIndex()
    /// The number of the last change.
    var sequence: UInt64 = 0
    var partners: [IPAddress: Partner] = [:]
    var joins: [Join] = []
    /// Requests that came before the folder was ready.
    var early: [ConnectionID] = []

    // What is looked at.
    var patterns = IgnorePatterns()
    var scan: Scan?
    /// A scan whose findings are being looked at.
    var scanned: Scan?
    var scanNumber: UInt32 = 0
    var needsScan = false
    var isWatched = false
    /// Files that have changed, and when they were heard of last.
    var dirty: [Path: Instant] = [:]
    var dirtySince: Instant?
    /// Files that wait to be looked at, with the size that a scan found.
    var unexamined: [(path: Path, size: UInt64)] = []
    var nextUnexamined = 0
    var examining = 0
    /// Changes that are not announced yet.
    var changes: [Int] = []
    /// Folders in which a scan has found nothing.
    var empty: Set<Path> = []
    /// What is gone, until it is certain that the folder is not.
    var missing: [Path] = []
    /// Names of which the log was told.
    var told: Set<String> = []

    // What is fetched.
    /// The one who fetches a file, and who waits for that.
    var claims: [Path: UInt64] = [:]
    var waiting: [Path: [UInt64]] = [:]
    var ready: [(want: UInt64, installation: Installation)] = []
    var readyBytes = 0
    var isInstalling = false
    /// Octets that may still be written, as far as is known.
    var space: UInt64?
    var lastChange: WallClock?

    init(_ settings: BePeer.FolderSettings, isJoined: Bool = false) {
        self.settings = settings
        self.isJoined = isJoined
        id = settings.id
    }

    /// The name in messages.
    var name: String { settings.name }

    var isReady: Bool { phase == .ready }

    /// Files that have changed, or may have, and were not looked at and told of yet.
    var changing: Int { dirty.count + unexamined.count - nextUnexamined + examining + changes.count }

    /// Whether local changes are told to others.
    var announces: Bool { settings.mode != .receiveOnly }

    /// Whether what others have is fetched.
    var receives: Bool { settings.mode != .sendOnly }

    /// A file of ours, or beside them.
    func file(_ path: RelativePath) -> FileName { FileName(id, path) }

    func file(_ path: Path) -> FileName { FileName(id, path.relative) }

    /// Those who have served the right content back, in order.
    var trusted: [IPAddress] { partners.values.filter { $0.state == .trusted }.map(\.ip).sorted() }

    /// A name of a file in this folder.
    func path(_ text: String) throws(PathRefusal) -> Path {
        settings.syncIgnore && text == Path.ignore.text ? .ignore : try Path(text)
    }

    /// Whether the name is one that this folder replicates. What is ignored by now is not gone: no more is told of it.
    func replicates(_ path: Path) -> Bool {
        if settings.isSingle { return path.text.utf8.elementsEqual(settings.name.utf8) }
        return path == .ignore ? settings.syncIgnore : !patterns.ignores(path)
    }

    /// Whether there is a file at that place of the index of which others may hear.
    func offers(_ place: Int) -> Bool { index.records[place].isFile && replicates(index.records[place].path) }

    /// The place turned out to be a file: then that one file is shared, when it has the name of the share.
    mutating func takesFileForShare() -> Bool {
        let parts = settings.path.split(separator: "/", omittingEmptySubsequences: true)
        guard !settings.isSingle, parts.count > 1, let last = parts.last, last.utf8.elementsEqual(name.utf8) else {
            return false
        }
        settings.isSingle = true
        settings.path = (settings.path.hasPrefix("/") ? "/" : "") + parts.dropLast().joined(separator: "/")
        return true
    }

    mutating func nextSequence() -> UInt64 {
        sequence += 1
        return sequence
    }
}

/// The folder beside the files, in which nothing is shared (BePeer sections 4.4 and 5.3).
enum Marker {
    static let name = ".bepeer"
    static let folder = hidden([name])
    static let lock = hidden([name, "lock"])
    static let staging = hidden([name, "part"])
    static let trash = hidden([name, "trash"])
    static let ignore = hidden([".bepeerignore"])

    /// The part file of a content: the same for everybody who has it, so that any of them can go on with it.
    static func part(_ hash: Bytes32) -> RelativePath { hidden([name, "part", "\(hash.hex.prefix(32)).part"]) }

    /// The part file of a content that is only known by its place on one server.
    static func part(of number: UInt64) -> RelativePath { hidden([name, "part", "n\(number).part"]) }

    /// Where an overwritten or deleted file goes: to a place of its own, down to the millisecond.
    static func trash(_ path: Path, at clock: WallClock) -> RelativePath? {
        let stamp = String(clock.timestamp.prefix(23)).split(separator: ":").joined()
        return RelativePath(components: [name, "trash", stamp] + path.relative.components, allowHidden: true)
    }

    private static func hidden(_ components: [String]) -> RelativePath {
        guard let path = RelativePath(components: components, allowHidden: true) else {
            preconditionFailure("no path: \(components)")
        }
        return path
    }
}
