/// What is to be done with the content of an answer, judged by its head.
public struct HTTPContent: Hashable, Sendable {
    /// Whether it goes where the fetch wants it; else it is kept for the log, in part.
    public let isWanted: Bool
    /// Its place in the whole, for a file: where it is written.
    public let start: UInt64
    /// Octets that may come.
    public let limit: UInt64
}

extension HTTPFetch {
    /// Octets that are read of content that is no success: the words of an error page.
    public static let mostOfFailure: UInt64 = 1 << 20
    /// Octets of it that are kept.
    public static let keptOfFailure = 4 << 10

    /// Judges the head of an answer.
    public func content(_ status: Int, _ fields: [HTTPField]) throws(HTTPFailure) -> HTTPContent {
        let head = HTTPAnswer(status, fields: fields)
        // Of two lengths that differ, one is a trap (RFC 9112, section 6.3).
        let lengths = Set(fields.filter { $0.isNamed("content-length") }.map(\.value))
        guard lengths.count <= 1, lengths.allSatisfy(Self.isNumber) else { throw .malformed }
        guard status == 200 || status == 206, method != .head else {
            return HTTPContent(isWanted: false, start: 0, limit: Self.mostOfFailure)
        }
        if let coding = head.field("content-encoding"), coding.lowercased() != "identity" { throw .malformed }
        var start: UInt64 = 0
        if status == 206 {
            guard let first = head.field("content-range").flatMap(Self.start), first == wantedStart ?? first else {
                throw .malformed
            }
            start = first
        }
        let limit = try limit(from: start)
        if let length = lengths.first, UInt64(length).map({ $0 > limit }) ?? true { throw .tooLarge }
        return HTTPContent(isWanted: true, start: start, limit: limit)
    }

    private static func isNumber(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    private func limit(from start: UInt64) throws(HTTPFailure) -> UInt64 {
        switch sink {
        case .bytes(let limit): return UInt64(clamping: limit)
        case .digest(let limit): return limit
        case .file(_, _, let limit):
            guard start <= limit else { throw .tooLarge }
            return limit - start
        }
    }

    /// `bytes 400-999/1000`: 400.
    private static func start(ofRange text: String) -> UInt64? {
        let parts = text.split(separator: " ")
        guard parts.count == 2, parts[0].lowercased() == "bytes" else { return nil }
        return parts[1].split(separator: "-").first.flatMap { UInt64($0) }
    }

    /// Where the content that is asked for begins; nil when the request does not say.
    private var wantedStart: UInt64? {
        if case .file(_, let at, _) = sink { return at }
        guard let range = fields.first(where: { $0.isNamed("range") })?.value,
            range.lowercased().hasPrefix("bytes=")
        else { return nil }
        let numbers = range.dropFirst("bytes=".count).split(separator: "-", omittingEmptySubsequences: false)
        return numbers.first.flatMap { UInt64($0) }
    }

    /// Whether the request can be written at all: nothing in it may be taken for the end of a line or of a word.
    public var isSound: Bool {
        func isWord(_ octet: UInt8) -> Bool { octet > 0x20 && octet < 0x7f }
        func isText(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }
        if case .other(let name) = method, name.isEmpty || !name.utf8.allSatisfy(isWord) { return false }
        return target.first == UInt8(ascii: "/") && target.allSatisfy(isWord)
            && fields.allSatisfy { !$0.name.isEmpty && $0.name.utf8.allSatisfy(isWord) && isText($0.value) }
    }
}
