public import PeerCore

/// The optional extension P2X/1 (P+2 section 8): lines that name nothing on an old peer.
public enum ExtensionRequest: Hashable, Sendable {
    /// What can you do?
    case hello
    /// Size, time and digest of a file.
    case stat(name: Bytes)
    /// Names with sizes and times.
    case find(text: Bytes)
    /// The octets of a file from `first` on.
    case range(first: UInt64, name: Bytes)

    /// What every such line begins with.
    private static let prefix = Array("//p2x/1/".utf8)
    /// The first line of every answer.
    static let banner = Bytes(utf8: "//p2x/1")

    /// Whether a line is one of the extension, sensible or not.
    static func isMeant(by line: Bytes) -> Bool { line.starts(with: prefix) }

    /// Reads a line; nil when it is no request of the extension.
    public init?(line: Bytes) {
        guard Self.isMeant(by: line) else { return nil }
        let rest = line.dropping(Self.prefix.count)
        if rest == Bytes(utf8: "hello") {
            self = .hello
        } else if let name = rest.after("stat/") {
            self = .stat(name: name)
        } else if let text = rest.after("find/") {
            self = .find(text: text)
        } else if let range = rest.after("range/"), let end = range.firstIndex(of: UInt8(ascii: "/")), end > 0,
            range[end - 1] == UInt8(ascii: "-"), let first = range.slice(0..<end - 1).decimal
        {
            self = .range(first: first, name: range.dropping(end + 1))
        } else {
            return nil
        }
    }

    /// The line, without its end.
    public var line: Bytes {
        var writer = ByteWriter()
        writer.write(Self.prefix)
        switch self {
        case .hello: writer.write("hello".utf8)
        case .stat(let name):
            writer.write("stat/".utf8)
            writer.write(name)
        case .find(let text):
            writer.write("find/".utf8)
            writer.write(text)
        case .range(let first, let name):
            writer.write("range/\(first)-/".utf8)
            writer.write(name)
        }
        return writer.bytes
    }
}

/// What a peer tells of one of its files by `stat` (P+2 section 8).
public struct FileStat: Hashable, Sendable {
    /// Octets.
    public var size: UInt64
    /// Seconds since 1970.
    public var modified: Int64
    /// SHA-256; nil while it is being computed.
    public var digest: Bytes32?

    /// A file.
    public init(size: UInt64, modified: Int64, digest: Bytes32?) {
        (self.size, self.modified, self.digest) = (size, modified, digest)
    }

    /// Whether both say the same of the octets. Where both know the digest, it alone decides: two versions can have one
    /// second in common.
    func isSame(as other: FileStat) -> Bool {
        guard size == other.size else { return false }
        if let digest, let others = other.digest { return digest == others }
        return modified == other.modified
    }

    /// Reads the lines of an answer, the banner first. nil: the file is not there, or nothing sensible is said of it.
    public init?(lines: some Sequence<Bytes>) {
        var (size, modified, digest): (UInt64?, Int64, Bytes32?) = (nil, 0, nil)
        for line in lines.dropFirst() {
            if let number = line.after("size ")?.decimal {
                size = number
            } else if let number = line.after("mtime ")?.decimal {
                modified = Int64(clamping: number)
            } else if let hex = line.after("sha-256 ")?.text {
                digest = Bytes32(hex: hex)
            }
        }
        guard let size else { return nil }
        self.init(size: size, modified: modified, digest: digest)
    }

    /// The lines after the banner.
    public var lines: String {
        "size \(size)\nmtime \(max(0, modified))\nsha-256 \(digest?.hex ?? "pending")\n"
    }
}

/// A name with size and time, a line of the answer to `find` (P+2 section 8).
public struct FoundFile: Hashable, Sendable {
    /// Octets.
    public let size: UInt64
    /// Seconds since 1970.
    public let modified: Int64
    /// The exact name.
    public let name: Bytes

    /// A file.
    public init(size: UInt64, modified: Int64, name: Bytes) {
        (self.size, self.modified, self.name) = (size, modified, name)
    }

    /// Reads a line without its end; nil when it is none of that form.
    public init?(line: Bytes) {
        guard let first = line.firstIndex(of: UInt8(ascii: " ")), let size = line.slice(0..<first).decimal else {
            return nil
        }
        let rest = line.dropping(first + 1)
        guard let second = rest.firstIndex(of: UInt8(ascii: " ")), let modified = rest.slice(0..<second).decimal else {
            return nil
        }
        self.init(size: size, modified: Int64(clamping: modified), name: rest.dropping(second + 1))
    }

    /// The line, with its end.
    public var line: Bytes {
        var writer = ByteWriter(capacity: name.count + 32)
        writer.write("\(size) \(max(0, modified)) ".utf8)
        writer.write(name)
        writer.write([UInt8(ascii: "\n")])
        return writer.bytes
    }
}

extension Bytes {
    /// What follows `prefix`; nil when the octets do not begin with it.
    fileprivate func after(_ prefix: StaticString) -> Bytes? {
        let prefix = prefix.description.utf8
        return starts(with: prefix) ? dropping(prefix.count) : nil
    }

    /// The decimal number that the octets are; nil when they are anything else, or above 2^64 - 1.
    fileprivate var decimal: UInt64? {
        guard (1...20).contains(count), allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return text.flatMap { UInt64($0) }
    }
}
