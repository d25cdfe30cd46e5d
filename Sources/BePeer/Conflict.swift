public import PeerCore

/// Two contents of one name that nobody has put in order (BePeer section 4.3).
public enum Conflict {
    /// Whose content the name keeps.
    public enum Winner: Hashable, Sendable {
        /// Ours.
        case local
        /// The other one's.
        case remote
        /// The contents are equal.
        case both
    }

    /// The later time of change wins; for equal times the larger hash as octets.
    public static func winner(
        local: (modified: Int64, hash: Bytes), remote: (modified: Int64, hash: Bytes)
    ) -> Winner {
        if local.hash == remote.hash { return .both }
        if local.modified != remote.modified { return local.modified > remote.modified ? .local : .remote }
        return remote.hash.lexicographicallyPrecedes(local.hash) ? .local : .remote
    }

    private static let mark = ".sync-conflict-"
    /// Hexadecimal digits of the hash in the name (BePeer section 4.3).
    private static let digits = 7

    /// The name under which the losing content is kept: by its time of change and its hash, so that all who meet the
    /// conflict make the same file. A component that gets too long is cut.
    public static func name(for path: Path, modified: WallClock, hash: String) -> Path {
        let name = path.name
        let folder = path.text.utf8.prefix(path.text.utf8.count - name.utf8.count)
        // A dot at the beginning hides a file and begins no extension.
        let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")).flatMap { $0 == name.startIndex ? nil : $0 }
        var stem = dot.map { name[..<$0] } ?? name
        var suffix = dot.map { name[$0...] } ?? ""
        let stamp = modified.timestamp.utf8.filter { (48...57).contains($0) }
        let time =
            String(decoding: stamp.prefix(8), as: UTF8.self) + "-"
            + String(decoding: stamp.dropFirst(8).prefix(6), as: UTF8.self)
        let middle = "\(mark)\(time)-\(hash.prefix(digits))"
        // Components have at most 255 octets (BePeer section 7); an extension that fills them is none.
        if suffix.utf8.count > 100 { (stem, suffix) = (name, "") }
        while stem.utf8.count + middle.utf8.count + suffix.utf8.count > 255 { stem.unicodeScalars.removeLast() }
        return Path(checked: String(decoding: folder, as: UTF8.self) + stem + middle + suffix)
    }

    /// Whether a name is that of a losing content: a conflict of it makes no further copy.
    static func isCopy(_ path: Path) -> Bool { path.name.contains(mark) }

    /// Whether `path` is a losing content of the file `original`.
    static func isCopy(_ path: Path, of original: Path) -> Bool {
        let name = original.name
        let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")).flatMap { $0 == name.startIndex ? nil : $0 }
        let stem = original.text.dropLast(name.count) + (dot.map { name[..<$0] } ?? name)
        return path.text.hasPrefix(stem + mark)
    }
}

/// The blocks of a large file, of which only changed ones are fetched (BePeer section 8.4).
public enum Blocks {
    /// Octets of a block: the smallest power of two from 128 KiB to 16 MiB that gives fewer than 2000 blocks.
    public static func size(of octets: UInt64) -> UInt64 {
        var block: UInt64 = 128 << 10
        while block < 16 << 20, octets.dividedRoundingUp(by: block) >= 2000 { block *= 2 }
        return block
    }
}

extension UInt64 {
    /// Whole parts that hold all of it.
    func dividedRoundingUp(by part: UInt64) -> UInt64 { self / part + (self % part == 0 ? 0 : 1) }
}
