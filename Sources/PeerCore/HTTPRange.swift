/// Which octets a client asks for: the field `Range` (RFC 9110 section 14.2).
public enum HTTPRange: Hashable, Sendable {
    /// All of them; also when the field is none, has several ranges, or makes no sense.
    case whole
    /// These.
    case octets(Range<UInt64>)
    /// Some behind the end.
    case unsatisfiable

    /// What the field means for a content of `size` octets; nil: nobody knows how many it has, and only a range with
    /// both ends means something.
    public init(_ field: String?, size: UInt64?) {
        let unit = "bytes="
        self = .whole
        guard let field, field.utf8.starts(with: unit.utf8) else { return }
        let ends = field.utf8.dropFirst(unit.utf8.count)
            .split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard ends.count == 2 else { return }
        let size = size ?? .max
        switch (Self.number(ends[0]), Self.number(ends[1])) {
        case (let first?, let last?) where first <= last:
            self = first < size ? .octets(first..<(last < size ? last + 1 : size)) : .unsatisfiable
        case (let first?, nil) where ends[1].isEmpty && size < .max:
            self = first < size ? .octets(first..<size) : .unsatisfiable
        case (nil, let count?) where ends[0].isEmpty && size < .max:
            self = count > 0 && size > 0 ? .octets(size - min(count, size)..<size) : .unsatisfiable
        default: break
        }
    }

    /// A decimal number; one that does not fit is as large as can be.
    private static func number(_ digits: Substring.UTF8View) -> UInt64? {
        guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return UInt64(String(Substring(digits))) ?? .max
    }

    /// The first octet that a `Content-Range` names, and the one behind its last: `bytes 400-999/1000` or `/*`.
    public static func content(_ field: String?) -> (octets: Range<UInt64>, size: UInt64?)? {
        let unit = "bytes "
        guard let field, field.utf8.starts(with: unit.utf8) else { return nil }
        let parts = field.utf8.dropFirst(unit.utf8.count).split(separator: UInt8(ascii: "/"))
        guard parts.count == 2, let dash = parts[0].firstIndex(of: UInt8(ascii: "-")),
            let first = number(parts[0][..<dash]), let last = number(parts[0][parts[0].index(after: dash)...]),
            first <= last, last < .max
        else { return nil }
        let size = number(parts[1])
        guard size.map({ last < $0 }) ?? parts[1].elementsEqual("*".utf8) else { return nil }
        return (first..<last + 1, size)
    }

    /// The size that a `Content-Range` tells when nothing of a range is there: `bytes */1000`.
    public static func wholeSize(_ field: String?) -> UInt64? {
        let unit = "bytes */"
        guard let field, field.utf8.starts(with: unit.utf8) else { return nil }
        return number(field.utf8.dropFirst(unit.utf8.count))
    }
}

extension HTTPRequest {
    /// Whether `If-None-Match` names what the client has already, by weak comparison (RFC 9110 section 13.1.2).
    public func knows(_ tag: String) -> Bool {
        guard let field = field("If-None-Match") else { return false }
        return field.split(separator: ",").contains { part in
            var name = part.drop { $0 == " " }
            while name.last == " " { name.removeLast() }
            if name.hasPrefix("W/") { name = name.dropFirst(2) }
            return name == "*" || name == tag
        }
    }
}
