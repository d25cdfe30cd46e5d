internal import PeerCore
@_spi(_Unicode) internal import Swift

/// Why a name is not replicated (BePeer section 7).
public enum PathRefusal: String, Error, Hashable, Sendable, CaseIterable {
    /// No octets.
    case empty
    /// It begins with a slash.
    case absolute
    /// It ends with a slash.
    case trailingSlash = "trailing_slash"
    /// Two slashes in a row.
    case emptyComponent = "empty_component"
    /// A component is `.` or `..`.
    case dots
    /// A backslash, which other systems take for a slash.
    case backslash
    /// A control character.
    case control
    /// Not UTF-8.
    case notUTF8 = "not_utf8"
    /// `[EOL]`, which would end a message.
    case endOfLine = "eol_name"
    /// A component above 255 octets.
    case componentTooLong = "component_too_long"
    /// Above 4096 octets.
    case tooLong = "too_long"
    /// More than 64 components.
    case tooDeep = "too_deep"
    /// It begins with `.bepeer`.
    case reserved
    /// It looks like another name and differs in octets.
    case normalization
    /// It is a folder of another name, or another name is a folder of it.
    case clash
}

/// The place of a file below its folder, as messages name it: components with slashes between them.
public struct Path: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The name.
    public let text: String

    /// The file with the patterns of what is not replicated. It is a name only in a folder with `syncIgnore` (BePeer
    /// section 7).
    static let ignore = Path(checked: ".bepeerignore")

    /// Octets of a component, of the whole, and components (BePeer section 7).
    private static let longestComponent = 255
    /// See `longestComponent`.
    static let longest = 4096
    /// See `longestComponent`.
    private static let deepest = 64

    /// Checks the octets of a name; a leading `./` is dropped.
    public init(octets: some RandomAccessCollection<UInt8>) throws(PathRefusal) {
        guard let text = String(validating: octets, as: UTF8.self) else { throw .notUTF8 }
        try self.init(text)
    }

    /// Checks a name; a leading `./` is dropped.
    public init(_ text: String) throws(PathRefusal) {
        let octets = text.utf8.starts(with: "./".utf8) ? text.utf8.dropFirst(2) : text.utf8[...]
        guard let first = octets.first, let last = octets.last else { throw .empty }
        guard !octets.elementsEqual("[EOL]".utf8) else { throw .endOfLine }
        let slash = UInt8(ascii: "/")
        for octet in octets {
            if octet < 0x20 || octet == 0x7f { throw .control }
            if octet == UInt8(ascii: "\\") { throw .backslash }
        }
        guard first != slash else { throw .absolute }
        guard last != slash else { throw .trailingSlash }
        guard octets.count <= Self.longest else { throw .tooLong }
        var depth = 0
        // Of the component at hand.
        var (count, dots) = (0, 0)
        func endComponent() throws(PathRefusal) {
            depth += 1
            guard count > 0 else { throw .emptyComponent }
            guard count > 2 || dots < count else { throw .dots }
            guard count <= Self.longestComponent else { throw .componentTooLong }
            (count, dots) = (0, 0)
        }
        for octet in octets {
            if octet == slash {
                try endComponent()
                continue
            }
            count += 1
            if octet == UInt8(ascii: ".") { dots += 1 }
        }
        try endComponent()
        guard depth <= Self.deepest else { throw .tooDeep }
        guard !octets.starts(with: ".bepeer".utf8) else { throw .reserved }
        self.text = octets.count == text.utf8.count ? text : String(text.unicodeScalars.dropFirst(2))
    }

    /// The place that a scan found; nil for a name that is not replicated.
    init?(_ path: RelativePath) {
        try? self.init(path.components.count == 1 ? path.name : path.description)
    }

    /// For names that were checked before: rows, and names made of other names.
    init(checked text: String) {
        self.text = text
    }

    /// The name for an effect. What was checked here is allowed there too.
    var relative: RelativePath {
        guard let path = RelativePath(text, allowHidden: true) else { preconditionFailure("not checked: \(text)") }
        return path
    }

    /// Equal octets. Names that look alike and differ in octets are different files, which `String` does not tell
    /// apart.
    public static func == (a: Path, b: Path) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    /// Order of the octets.
    public static func < (a: Path, b: Path) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

    /// The name.
    public var description: String { text }

    /// The last component.
    var name: Substring {
        text.utf8.lastIndex(of: UInt8(ascii: "/")).map { text[text.utf8.index(after: $0)...] } ?? text[...]
    }

    /// The folders on the way to it, outermost first.
    var folders: [Path] {
        text.utf8.indices.filter { text.utf8[$0] == UInt8(ascii: "/") }.map { Path(checked: String(text[..<$0])) }
    }

    /// Whether all of it is ASCII, so that its octets are its normal form.
    var isPlain: Bool { text.utf8.allSatisfy { $0 < 0x80 } }

    /// The name in Unicode's normal form C, in which names made on other systems compare equal. The standard library
    /// compares by it and has no public name for it yet.
    var composed: Path {
        guard !isPlain else { return self }
        var scalars = String.UnicodeScalarView()
        for scalar in text._nfc { scalars.append(scalar) }
        return Path(checked: String(scalars))
    }
}

/// Names that fit beside each other: no two that only look alike, none that is a file and a folder of another
/// (BePeer section 7).
struct PathSet {
    private var names: Set<Path> = []
    private var folders: Set<Path> = []
    /// The normal form of names that are not ASCII.
    private var composed: [Path: Path] = [:]

    /// Takes a name in; false when it is there already.
    mutating func insert(_ path: Path) throws(PathRefusal) -> Bool {
        guard !names.contains(path) else { return false }
        let isPlain = path.isPlain
        if !isPlain || !composed.isEmpty {
            guard composed[path.composed, default: path] == path else { throw .normalization }
        }
        let above = path.folders
        guard !folders.contains(path), !above.contains(where: { names.contains($0) }) else { throw .clash }
        names.insert(path)
        // The nearest folder is in only together with those above it.
        for folder in above.reversed() where !folders.insert(folder).inserted { break }
        if !isPlain { composed[path.composed] = path }
        return true
    }
}

/// The name of a folder or file that is shared (BePeer section 2.1).
enum ShareName {
    /// Octets of a name (BePeer section 2.1).
    static let longest = 255

    static func isValid(_ name: String) -> Bool {
        let octets = name.utf8
        return (1...longest).contains(octets.count) && name != "." && name != ".." && name != "[EOL]"
            && !octets.starts(with: ".bepeer".utf8)
            && octets.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\") }
    }
}
