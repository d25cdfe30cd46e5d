public import PeerCore

/// The one line that a caller sends, octet by octet or at once (P+2 section 3).
///
/// It ends with LF; one CR directly before that is dropped. What follows is nobody's.
public struct RequestLine: Equatable, Sendable {
    private var octets: [UInt8] = []
    private let limit: Int

    /// A line of at most `limit` octets, its end not counted.
    public init(limit: Int) {
        self.limit = limit
    }

    /// Adds what has come; gives the line when it is complete, and throws when it is too long. Nothing more is to be
    /// added then. Never more than `limit` octets and an end are held.
    public mutating func take(_ bytes: Bytes) throws(DecodeError) -> Bytes? {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
            try add(bytes)
            // The last octet may be a CR whose LF has not come yet.
            let isOpen = octets.last == UInt8(ascii: "\r")
            guard octets.count <= (isOpen ? limit + 1 : limit) else { throw tooLong(octets.count) }
            return nil
        }
        try add(bytes.slice(0..<end))
        if octets.last == UInt8(ascii: "\r") { octets.removeLast() }
        guard octets.count <= limit else { throw tooLong(octets.count) }
        return Bytes(octets)
    }

    /// The caller has ended its side: what came is the line, if anything came.
    public func atEnd() throws(DecodeError) -> Bytes? {
        guard octets.count <= limit else { throw tooLong(octets.count) }
        return octets.isEmpty ? nil : Bytes(octets)
    }

    private mutating func add(_ bytes: Bytes) throws(DecodeError) {
        guard octets.count + bytes.count <= limit + 1 else { throw tooLong(octets.count + bytes.count) }
        octets.append(contentsOf: bytes)
    }

    private func tooLong(_ length: Int) -> DecodeError {
        .tooLong(field: "line", length: UInt64(length), limit: UInt64(limit))
    }
}
