public import PeerCore

/// The way to a file on an HTTP server (BePeer sections 5.1 and 5.2).
public enum Target {
    /// Where a server has its files.
    public enum Layout: String, Hashable, Sendable {
        /// `/<folder>/<path>`
        case folder
        /// `/<path>`: a server that was started in the folder.
        case bare
    }

    /// The target of a file: each component encoded.
    public static func path(_ folder: String, _ path: Path, _ layout: Layout = .folder) -> Bytes {
        var writer = ByteWriter(capacity: folder.utf8.count + path.text.utf8.count + 8)
        if layout == .folder { encode(folder, into: &writer) }
        encode(path.text, into: &writer)
        return writer.bytes
    }

    /// `/.bepeer/1/f/<folder>/<what>[/<path>][?query]` of the extension (BePeer section 8).
    static func extended(_ folder: String, _ what: String, _ path: Path? = nil, query: String = "") -> Bytes {
        var writer = ByteWriter()
        writer.write("/.bepeer/1/f".utf8)
        encode(folder, into: &writer)
        writer.write("/\(what)".utf8)
        if let path { encode(path.text, into: &writer) }
        if !query.isEmpty { writer.write("?\(query)".utf8) }
        return writer.bytes
    }

    /// A slash, then the text: every octet but unreserved ones (RFC 3986) and slashes as `%XX`.
    private static func encode(_ text: String, into writer: inout ByteWriter) {
        writer.write(CollectionOfOne(UInt8(ascii: "/")))
        for octet in text.utf8 {
            switch octet {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: "/"):
                writer.write(CollectionOfOne(octet))
            default: writer.write([UInt8(ascii: "%"), digits[Int(octet >> 4)], digits[Int(octet & 15)]])
            }
        }
    }

    /// Upper case, as section 5.1 has it.
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// The components of a target, decoded once, its query left out; nil for what names no file: no leading slash, an
    /// escape that is none, an encoded slash or backslash, a control character, dots, an empty component, no UTF-8.
    public static func components(_ target: Bytes) -> [String]? {
        let end = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        guard target.first == UInt8(ascii: "/") else { return nil }
        var components: [String] = []
        for part in target[1..<end].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard let octets = decode(part), !octets.isEmpty, !octets.contains(where: isForbidden),
                let text = String(validating: octets, as: UTF8.self), text != ".", text != ".."
            else { return nil }
            components.append(text)
        }
        return components
    }

    /// The value of a parameter in the query of a target, as it is written.
    static func parameter(_ name: String, of target: Bytes) -> String? {
        guard let start = target.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        for part in target[(start + 1)...].split(separator: UInt8(ascii: "&")) {
            let pair = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, pair[0].elementsEqual(name.utf8) else { continue }
            return String(validating: pair[1], as: UTF8.self)
        }
        return nil
    }

    private static func isForbidden(_ octet: UInt8) -> Bool {
        octet < 0x20 || octet == 0x7f || octet == UInt8(ascii: "/") || octet == UInt8(ascii: "\\")
    }

    private static func decode(_ part: Bytes.SubSequence) -> [UInt8]? {
        guard part.contains(UInt8(ascii: "%")) else { return Array(part) }
        var octets: [UInt8] = []
        var rest = part
        while let octet = rest.popFirst() {
            guard octet == UInt8(ascii: "%") else {
                octets.append(octet)
                continue
            }
            guard rest.count >= 2,
                let value = PeerCore.octets(ofHexadecimal: String(decoding: rest.prefix(2), as: UTF8.self))
            else { return nil }
            octets += value
            rest = rest.dropFirst(2)
        }
        return octets
    }
}
