public import PeerCore
@_spi(_Unicode) internal import Swift

/// Names from the network: what they become on our disk, and how they are shown.
public enum RemoteName {
    /// Octets of a local name (P+2 section 6.3).
    private static let longest = 240
    /// Octets of an extension, its dot included, that survives cutting (P+2 section 6.3).
    private static let longestExtension = 16
    /// Characters that are shown of a name (P+2 section 6.4).
    private static let longestShown = 200

    /// The name that the file `name` of a peer gets here (P+2 section 6.3). It is never hidden and never a path.
    public static func local(_ name: Bytes) -> String {
        let last = name.lastIndex(of: UInt8(ascii: "/")).map { name.dropping($0 + 1) } ?? name
        var scalars = String(decoding: last, as: UTF8.self).unicodeScalars
        scalars = String.UnicodeScalarView(scalars.map { $0.isUnfitForNames ? "_" : $0 })
        while let end = scalars.last, end == " " || end == "." { scalars.removeLast() }
        var text = String(scalars)
        if text.isEmpty { text = "download" }
        if text.utf8.first == UInt8(ascii: ".") { text = "_" + text }
        return cut(text)
    }

    /// The name with a number before its extension: `name (2).txt`; `name` itself for 1.
    public static func numbered(_ name: String, _ number: Int) -> String {
        guard number > 1 else { return name }
        let (stem, suffix) = split(name)
        return "\(stem) (\(number))\(suffix)"
    }

    /// The name for a terminal (P+2 section 6.4): nothing in it can move the cursor, and invalid octets are seen.
    public static func shown(_ name: Bytes) -> String {
        var parts: [String] = []
        var rest = name[...]
        while let first = rest.first {
            let width = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
            if let scalar = String(validating: rest.prefix(width), as: UTF8.self)?.unicodeScalars.first {
                parts.append(scalar.isUnfitForTerminal ? "\\u{\(hex(scalar.value))}" : String(scalar))
                rest = rest.dropFirst(width)
            } else {
                parts.append("\\x\(hex(UInt32(first)))")
                rest = rest.dropFirst()
            }
        }
        guard parts.count > longestShown else { return parts.joined() }
        let half = longestShown / 2
        return parts.prefix(half).joined() + "…" + parts.suffix(half - 1).joined()
    }

    private static func hex(_ value: UInt32) -> String { String(value, radix: 16, uppercase: true) }

    private static func split(_ name: String) -> (stem: Substring, suffix: Substring) {
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot != name.startIndex else {
            return (name[...], "")
        }
        return (name[..<dot], name[dot...])
    }

    private static func cut(_ name: String) -> String {
        guard name.utf8.count > longest else { return name }
        var (stem, suffix) = split(name)
        if suffix.utf8.count > longestExtension { (stem, suffix) = (name[...], "") }
        // Scalar by scalar: a cut never leaves half a character of the encoding.
        while stem.utf8.count + suffix.utf8.count > longest { stem.unicodeScalars.removeLast() }
        return String(stem) + suffix
    }
}

extension Unicode.Scalar {
    /// Characters that make no part of a file's name here (P+2 section 6.3).
    fileprivate var isUnfitForNames: Bool {
        switch value {
        case 0..<0x20, 0x5c, 0x7f, 0x200b...0x200f, 0x2028, 0x2029, 0x202a...0x202e, 0x2066...0x2069, 0xfeff: true
        default: false
        }
    }

    /// Characters that a terminal or a reader could take for something else (P+2 section 6.4).
    fileprivate var isUnfitForTerminal: Bool {
        value == 0x5c ? false : isUnfitForNames || (0x80..<0xa0).contains(value)
    }
}

extension String {
    /// The text in Unicode's normal form C: names made on other systems compare equal (P+2 section 5). The standard
    /// library compares by it and has no public name for it yet.
    var composed: String {
        var scalars = UnicodeScalarView()
        for scalar in _nfc { scalars.append(scalar) }
        return String(scalars)
    }
}

extension Sequence<UInt8> {
    /// Whether a control character is among the octets: never part of a name on the wire (P+2 section 5.1).
    var containsControls: Bool { contains { $0 < 0x20 || $0 == 0x7f } }
}
