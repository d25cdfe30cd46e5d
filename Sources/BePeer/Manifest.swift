public import PeerCore
internal import PeerJSON

/// What a peer tells of one file (BePeer section 8.2).
struct RemoteFile: Hashable, Sendable {
    var path: Path
    var size: UInt64 = 0
    var modified = WallClock(milliseconds: 0)
    /// Of the content; of a folder or, sometimes, of a deleted file there is none.
    var hash: Bytes32?
    var version = VersionVector()
    var sequence: UInt64 = 0
    var isExecutable = false
    var isFolder = false
    var isDeleted = false
}

/// The lines of a manifest, as they are written and read (BePeer section 8.2).
enum ManifestLine: Hashable, Sendable {
    /// The first line; `sequence` is the number of the last change of the folder.
    case head(folder: String, node: UInt64, sequence: UInt64)
    /// An entry.
    case file(RemoteFile)
    /// The last line; `sequence` is that of the last entry before it. When the head's is higher, more can be asked for.
    case tail(count: Int, sequence: UInt64)
    /// An entry whose name is not taken, or a line of a later version.
    case other

    /// Octets of a line (BePeer section 8.2).
    static let longest = 16 << 10

    /// Appends the line to `text`.
    func write(to text: inout [UInt8]) {
        record.write(to: &text)
        text.append(UInt8(ascii: "\n"))
    }

    private var record: Record {
        switch self {
        case .head(let folder, let node, let sequence):
            return [
                "bepeer": 1, "folder": .string(folder), "node": .string(NodeNumber.text(node)),
                "seq": .count(sequence),
            ]
        case .tail(let count, let sequence): return ["end": true, "count": .count(count), "seq": .count(sequence)]
        case .other: return [:]
        case .file(let file):
            var record: Record = [
                "p": .string(file.path.text), "s": .count(file.size), "m": .int(file.modified.milliseconds),
            ]
            if let hash = file.hash { record["h"] = .string(hash.hex) }
            let parts = file.version.parts.map { (NodeNumber.text($0.node), Record.Value.count($0.count)) }
            record["v"] = .record(Record(parts))
            record["q"] = .count(file.sequence)
            if file.isExecutable { record["x"] = true }
            if file.isFolder { record["t"] = "dir" }
            if file.isDeleted { record["d"] = true }
            return record
        }
    }

    /// Reads a line; throws for what is no line of a manifest.
    init(_ line: Bytes) throws(DecodeError) {
        let value: Record.Value
        do throws(JSONError) {
            value = try JSON.parse(line, limit: Self.longest)
        } catch {
            throw .invalid(field: "manifest line")
        }
        guard case .record(let record) = value else { throw .invalid(field: "manifest line") }
        if record.bool("end") == true {
            self = .tail(count: Int(clamping: record.int("count") ?? -1), sequence: try Self.number(record, "seq"))
        } else if record.int("bepeer") != nil {
            guard let node = record.string("node").flatMap({ NodeNumber.number($0) }) else {
                throw .invalid(field: "node")
            }
            self = .head(folder: record.string("folder") ?? "", node: node, sequence: try Self.number(record, "seq"))
        } else if let name = record.string("p") {
            guard let path = name == Path.ignore.text ? .ignore : try? Path(name) else {
                self = .other
                return
            }
            self = .file(try Self.file(record, path))
        } else {
            self = .other
        }
    }

    private static func number(_ record: Record, _ name: String) throws(DecodeError) -> UInt64 {
        guard let value = record.int(name).flatMap({ UInt64(exactly: $0) }) else { throw .invalid(field: name) }
        return value
    }

    private static func file(_ record: Record, _ path: Path) throws(DecodeError) -> RemoteFile {
        var file = RemoteFile(path: path)
        file.size = try number(record, "s")
        file.modified = WallClock(milliseconds: record.int("m") ?? 0)
        file.sequence = try number(record, "q")
        file.isExecutable = record.bool("x") ?? false
        file.isFolder = record.string("t") == "dir"
        file.isDeleted = record.bool("d") ?? false
        if let hash = record.string("h") {
            guard let octets = Bytes32(hex: hash) else { throw .invalid(field: "h") }
            file.hash = octets
        }
        guard file.hash != nil || file.isFolder || file.isDeleted else { throw .invalid(field: "h") }
        var counts: [(node: UInt64, count: UInt64)] = []
        for field in record.record("v")?.fields ?? [] {
            guard let node = NodeNumber.number(field.name), case .int(let count) = field.value, count >= 0 else {
                throw .invalid(field: "v")
            }
            counts.append((node, UInt64(count)))
        }
        file.version = VersionVector(counts)
        return file
    }
}

/// Reads a manifest, in pieces of any size (BePeer section 8.2).
public struct ManifestReader: Sendable {
    /// Entries of one answer (BePeer section 8.2).
    private static let most = 2_000_000

    private var lines = LineBuffer(maximumLineBytes: ManifestLine.longest)
    private(set) var node: UInt64 = 0
    /// The number of the folder's last change, by the head.
    private(set) var last: UInt64 = 0
    private(set) var files: [RemoteFile] = []
    /// The number of the last entry, when the tail has come: without it nothing counts.
    private(set) var end: UInt64?
    private var count = 0
    private var hasHead = false

    /// A reader at the beginning of an answer.
    public init() {}

    /// Whether the tail has come: without it nothing of the manifest counts.
    public var isComplete: Bool { end != nil }

    /// The entries that were taken so far, as they are written.
    public var entries: Bytes {
        var text: [UInt8] = []
        for file in files { ManifestLine.file(file).write(to: &text) }
        return Bytes(text)
    }

    /// Takes what has come; throws for what is no manifest.
    public mutating func append(_ bytes: Bytes) throws(DecodeError) {
        // Small pieces: what a line leaves behind is moved to the front each time.
        var rest = bytes
        while !rest.isEmpty {
            let piece = min(rest.count, 4096)
            lines.append(rest.slice(0..<piece))
            rest = rest.dropping(piece)
            while let line = try lines.next() { try take(line) }
        }
    }

    private mutating func take(_ line: Bytes) throws(DecodeError) {
        guard end == nil else { throw .trailing(count: line.count) }
        switch try ManifestLine(line) {
        case .head(_, let node, let sequence):
            guard !hasHead else { throw .invalid(field: "head") }
            (self.node, last, hasHead) = (node, sequence, true)
        case .file(let file):
            guard hasHead, count < Self.most else { throw .invalid(field: "entry") }
            count += 1
            files.append(file)
        case .other: count += 1
        case .tail(let told, let sequence):
            guard hasHead, told == count else { throw .invalid(field: "count") }
            end = sequence
        }
    }
}
