internal import PeerCore

/// The peerfile of section 6.1, kept as rows: one for each file and one for each peer of a folder.
///
/// | table                | key             | holds                                                         |
/// |----------------------|-----------------|---------------------------------------------------------------|
/// | `replication_folders`| `folder`        | of folders that were joined by a command: path, peer          |
/// | `replication_files`  | `folder/path`   | size, time, stamp, hash, version, sequence, kind              |
/// | `replication_peers`  | `folder/ip`     | ports, state, sequences both ways, times                      |
/// | `replication_agreed` | `folder/ip/path`| with old peers: the content agreed on last, and its HTTP tag  |
enum Rows {
    static let folders = "replication_folders"
    static let files = "replication_files"
    static let peers = "replication_peers"
    static let agreed = "replication_agreed"
    /// Those that are read when the folders are known.
    static let tables = 3
    /// Rows read at a time: some tens of milliseconds of the loop.
    static let page = 4096

    /// The folder and the rest of a key; a folder's name has no slash.
    static func split(_ key: String) -> (folder: String, rest: String)? {
        guard let slash = key.utf8.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        return (String(key[..<slash]), String(key[key.utf8.index(after: slash)...]))
    }
}

extension VersionVector {
    /// `node:count` with commas between them.
    var rowText: String { parts.map { "\(NodeNumber.text($0.node)):\($0.count)" }.joined(separator: ",") }

    init(rowText: String) {
        self.init(
            rowText.split(separator: ",").compactMap { part -> (node: UInt64, count: UInt64)? in
                let pair = part.split(separator: ":")
                guard pair.count == 2, let node = NodeNumber.number(String(pair[0])), let count = UInt64(pair[1])
                else { return nil }
                return (node, count)
            })
    }
}

extension FileRecord {
    var row: Record {
        let kind = isFolder ? "folder" : "file"
        return [
            "size": .count(size), "modified": .int(modified.milliseconds), "stamp": .int(Int64(bitPattern: stamp)),
            "hash": .string(hash.hex), "version": .string(version.rowText), "sequence": .count(sequence),
            "kind": .string(kind), "deleted": .bool(isDeleted), "executable": .bool(isExecutable),
            "diverged": .bool(isDiverged),
        ]
    }

    /// `versions` holds those of rows before: most files have one of a few, and share it.
    init?(_ path: Path, _ row: Record, _ versions: inout [String: VersionVector]) {
        guard let size = row.int("size"), let modified = row.int("modified"), let stamp = row.int("stamp"),
            let hash = row.string("hash").flatMap({ Bytes32(hex: $0) }), let version = row.string("version"),
            let sequence = row.int("sequence")
        else { return nil }
        self.init(path)
        (self.size, self.modified) = (UInt64(clamping: size), WallClock(milliseconds: modified))
        (self.stamp, self.hash) = (UInt64(bitPattern: stamp), hash)
        if versions[version] == nil { versions[version] = VersionVector(rowText: version) }
        self.version = versions[version] ?? VersionVector()
        self.sequence = UInt64(clamping: sequence)
        isFolder = row.string("kind") == "folder"
        isDeleted = row.bool("deleted") ?? false
        isExecutable = row.bool("executable") ?? false
        isDiverged = row.bool("diverged") ?? false
    }
}
