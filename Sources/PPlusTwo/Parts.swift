internal import PeerCore
internal import PeerCrypto

/// Files that have not come whole yet, and that a later download may go on with (P+2 section 8).
///
/// A row names the peer, the file and what was told of it; the part file itself knows how much is there.
struct Parts {
    static let table = "files_parts"
    /// Parts that are kept; the next ones are not.
    static let most = 1000
    /// Where they lie: hidden, so not shared, and in the same file system (P+2 section 6.2).
    private static let folder = [hiddenFolder, "partial"]
    static let hiddenFolder = ".peernode"

    private struct Part {
        let peer: PeerIdentity
        let name: Bytes
        let stat: FileStat

        var record: Record {
            [
                "peer": .text(peer), "name": .string(name.hex), "size": .count(stat.size),
                "modified": .int(stat.modified), "digest": stat.digest.map { .text($0) } ?? .null,
            ]
        }

        init(_ peer: PeerIdentity, _ name: Bytes, _ stat: FileStat) {
            (self.peer, self.name, self.stat) = (peer, name, stat)
        }

        init?(_ record: Record) {
            guard let peer = record.string("peer").flatMap({ PeerIdentity($0) }),
                let name = record.string("name").flatMap({ Bytes(hex: $0) }),
                let size = record.int("size").flatMap({ UInt64(exactly: $0) }), let modified = record.int("modified")
            else { return nil }
            let digest = record.string("digest").flatMap { Bytes32(hex: $0) }
            self.init(peer, name, FileStat(size: size, modified: modified, digest: digest))
        }
    }

    private var parts: [String: Part] = [:]
    private var inUse: Set<String> = []
    /// Whether rows are kept. Without them a part is found by its token, which then says what it is of, and parts that
    /// are not ours stay: their rows are elsewhere.
    let hasRows: Bool
    /// Whether the rows are there, if there are any.
    private(set) var isKnown: Bool

    init(hasRows: Bool) {
        self.hasRows = hasRows
        isKnown = !hasRows
    }

    /// Octets of a hash that tell files apart.
    static let tokenOctets = 16

    private static func token(_ peer: PeerIdentity, _ name: Bytes, _ stat: FileStat) -> String {
        let facts = Bytes(utf8: "\(peer) \(stat.size) \(stat.modified) ")
        return String(blake2b256(Bytes(facts.array + name.array)).hex.prefix(2 * tokenOctets))
    }

    /// Whether a part is known by `token`.
    subscript(token: String) -> Bool? { parts[token] == nil ? nil : true }

    private static func path(_ name: String) -> RelativePath {
        guard let path = RelativePath(components: folder + [name], allowHidden: true) else {
            preconditionFailure("\(name) is no name for a part")
        }
        return path
    }

    /// The file while it comes.
    static func part(_ token: String) -> FileName { FileName(Share.folder, path(token + ".part")) }

    /// The file when it has come.
    static func whole(_ token: String) -> FileName { FileName(Share.folder, path(token + ".whole")) }

    /// The folder that they are in.
    static var place: RelativePath? { RelativePath(components: folder, allowHidden: true) }
}

extension Parts {
    /// A part of that file, if it is still what it was; nobody else gets it. Parts of what it was are dropped.
    mutating func take(
        _ peer: PeerIdentity, _ name: Bytes, _ stat: FileStat, into effects: inout Effects
    ) -> String? {
        guard hasRows else {
            let token = Self.token(peer, name, stat)
            guard inUse.insert(token).inserted else { return nil }
            parts[token] = Part(peer, name, stat)
            return token
        }
        var found: String?
        for (token, part) in parts.sorted(by: { $0.key < $1.key })
        where part.peer == peer && part.name == name && !inUse.contains(token) {
            if part.stat.isSame(as: stat), found == nil {
                found = token
                inUse.insert(token)
            } else {
                drop(token, into: &effects)
            }
        }
        return found
    }

    mutating func remember(_ download: Download, _ stat: FileStat, into effects: inout Effects) {
        guard parts.count < Self.most || parts[download.token] != nil else { return }
        inUse.insert(download.token)
        let part = Part(download.peer, download.name, stat)
        parts[download.token] = part
        effects.append(.remember(table: Self.table, key: download.token, part.record))
    }

    /// Nothing is left of it.
    mutating func forget(_ token: String, into effects: inout Effects) {
        inUse.remove(token)
        guard parts.removeValue(forKey: token) != nil else { return }
        effects.append(.forget(table: Self.table, key: token))
    }

    /// Another download may go on with it.
    mutating func release(_ token: String) { inUse.remove(token) }

    private mutating func drop(_ token: String, into effects: inout Effects) {
        forget(token, into: &effects)
        _ = effects.store(.remove(Self.part(token)))
    }

    mutating func restore(_ rows: [Row]) {
        for row in rows { parts[row.key] = Part(row.record) }
        isKnown = true
    }

    /// Compares what lies there with what is known: files that nobody knows go, as do rows without a file.
    /// `coming`: what downloads that run write.
    mutating func clean(_ found: [RelativePath], coming: Set<String>, into effects: inout Effects) {
        var tokens: Set<String> = []
        for path in found {
            let name = path.name.split(separator: ".", maxSplits: 1)
            guard let token = name.first.map(String.init), !inUse.contains(token), !coming.contains(token) else {
                continue
            }
            if parts[token] != nil, path == Self.part(token).path {
                tokens.insert(token)
            } else if parts[token] != nil, path == Self.whole(token).path {
                // It had come whole and was not verified yet.
                tokens.insert(token)
                _ = effects.store(.rename(Self.whole(token), to: Self.part(token).path, replacing: true))
            } else {
                _ = effects.store(.remove(FileName(Share.folder, path)))
            }
        }
        for token in parts.keys.sorted() where !tokens.contains(token) && !inUse.contains(token) {
            forget(token, into: &effects)
        }
    }
}

extension PPlusTwo {
    /// The rows are there: what earlier lives have left is looked through.
    mutating func partsRecalled(_ rows: [Row], at now: Moment, into effects: inout Effects) {
        defer {
            for (id, arguments) in Swift.exchange(&earlyDownloads, with: []) {
                download(arguments, id, at: now, into: &effects)
            }
        }
        guard parts.hasRows else { return }
        parts.restore(rows)
        guard let place = Parts.place else { return }
        let scan = StoreOperation.scan(Share.folder, under: place, after: nil, limit: Parts.most * 2)
        errands[effects.store(scan)] = .leftovers
    }

    mutating func foundLeftovers(_ result: StoreResult, into effects: inout Effects) {
        let coming = Set(downloads.values.map(\.token))
        switch result {
        case .entries(let entries, _, _):
            // A command that fetches by itself into this folder has longer names for its parts, and knows them.
            let ours = entries.filter { !$0.isFolder && $0.path.name.utf8.count < 2 * Parts.tokenOctets }
            parts.clean(ours.map(\.path), coming: coming, into: &effects)
        case .failed(.notFound): parts.clean([], coming: coming, into: &effects)
        // What cannot be looked at is not taken for empty.
        default: break
        }
    }
}
