internal import PeerCore

/// What is not replicated, by `.bepeerignore` (BePeer section 6.2).
///
/// One pattern a line: `*` and `?` stay inside a component, `**` does not; `[...]` is one of some characters; a leading
/// `/` anchors at the top, a leading `!` makes an exception; `//` begins a comment. The first match wins.
struct IgnorePatterns: Hashable, Sendable {
    private struct Pattern: Hashable, Sendable {
        let isException: Bool
        let isAnchored: Bool
        let octets: [UInt8]
    }

    /// Lines beyond these are not read: each is tried for each name.
    private static let most = 1000
    /// Steps for one pattern and one name; a pattern with many stars could take for ever.
    private static let patience = 100_000

    private var patterns: [Pattern] = []

    init() {}

    init(_ text: Bytes) {
        for line in text.split(separator: UInt8(ascii: "\n")).prefix(Self.most) {
            var octets = Array(line)
            while let last = octets.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: " ") {
                octets.removeLast()
            }
            guard !octets.isEmpty, !octets.starts(with: "//".utf8) else { continue }
            let isException = octets.first == UInt8(ascii: "!")
            if isException { octets.removeFirst() }
            let isAnchored = octets.first == UInt8(ascii: "/")
            if isAnchored { octets.removeFirst() }
            // A folder and what is in it are one.
            if octets.last == UInt8(ascii: "/") { octets.removeLast() }
            guard !octets.isEmpty else { continue }
            patterns.append(Pattern(isException: isException, isAnchored: isAnchored, octets: octets))
        }
    }

    var isEmpty: Bool { patterns.isEmpty }

    /// Whether the file, or a folder on the way to it, is left out.
    func ignores(_ path: Path) -> Bool {
        guard !patterns.isEmpty else { return false }
        let places = path.folders + [path]
        return places.contains { place in
            let name = Array(place.text.utf8)
            return patterns.first { matches($0, name) }.map { !$0.isException } ?? false
        }
    }

    private func matches(_ pattern: Pattern, _ name: [UInt8]) -> Bool {
        var steps = 0
        if Self.match(pattern.octets[...], name[...], &steps) { return true }
        guard !pattern.isAnchored else { return false }
        // Not anchored: from any component on.
        return name.indices.contains { index in
            name[index] == UInt8(ascii: "/") && Self.match(pattern.octets[...], name[(index + 1)...], &steps)
        }
    }

    private static func match(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>, _ steps: inout Int) -> Bool {
        var (pattern, name) = (pattern, name)
        while let first = pattern.first {
            steps += 1
            guard steps < patience else { return false }
            switch first {
            case UInt8(ascii: "*"):
                let crosses = pattern.starts(with: "**".utf8)
                pattern = pattern.drop { $0 == UInt8(ascii: "*") }
                // `**/` may stand for nothing at all.
                if crosses, pattern.first == UInt8(ascii: "/"), match(pattern.dropFirst(), name, &steps) { return true }
                while true {
                    if match(pattern, name, &steps) { return true }
                    guard let octet = name.popFirst(), crosses || octet != UInt8(ascii: "/") else { return false }
                }
            case UInt8(ascii: "?"):
                guard let scalar = popScalar(&name), scalar != UInt8(ascii: "/") else { return false }
                pattern = pattern.dropFirst()
            case UInt8(ascii: "["):
                guard let rest = matchSet(pattern.dropFirst(), &name) else { return false }
                pattern = rest
            default:
                guard name.popFirst() == first else { return false }
                pattern = pattern.dropFirst()
            }
        }
        return name.isEmpty
    }

    /// Takes one character of UTF-8 and gives its first octet.
    private static func popScalar(_ name: inout ArraySlice<UInt8>) -> UInt8? {
        guard let first = name.popFirst() else { return nil }
        while let next = name.first, next & 0xc0 == 0x80 { name = name.dropFirst() }
        return first
    }

    /// What comes behind `[...]` when the next octet of the name is in it; nil when it is not, or there is no `]`.
    private static func matchSet(_ set: ArraySlice<UInt8>, _ name: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let octet = name.popFirst(), octet != UInt8(ascii: "/") else { return nil }
        var set = set
        let isInverted = set.first == UInt8(ascii: "!") || set.first == UInt8(ascii: "^")
        if isInverted { set = set.dropFirst() }
        var isIn = false
        var isFirst = true
        while let first = set.popFirst() {
            if first == UInt8(ascii: "]"), !isFirst { return isIn != isInverted ? set : nil }
            isFirst = false
            var last = first
            if set.first == UInt8(ascii: "-"), let end = set.dropFirst().first, end != UInt8(ascii: "]") {
                last = end
                set = set.dropFirst(2)
            }
            if first <= octet, octet <= last { isIn = true }
        }
        return nil
    }
}
