/// One request that an HTTP client made to one of our listeners; given by the host, never used again.
public struct ExchangeID: Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let number: UInt64

    /// Exchange `number`.
    public init(_ number: UInt64) {
        self.number = number
    }

    /// `x` and the number.
    public var description: String { "x\(number)" }
}

/// One header field (RFC 9110, section 5).
public struct HTTPField: Hashable, Sendable {
    /// Its name, as it was or shall be written.
    public let name: String
    /// Its value without surrounding white space.
    public let value: String

    /// A field.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Whether that is its name, whatever the case of its letters; `name` is in lower case.
    public func isNamed(_ name: String) -> Bool {
        guard name.utf8.count == self.name.utf8.count else { return false }
        return zip(name.utf8, self.name.utf8).allSatisfy { wanted, own in
            own == wanted || (own | 0x20 == wanted && own >= UInt8(ascii: "A") && own <= UInt8(ascii: "Z"))
        }
    }
}

/// What is asked for.
public enum HTTPMethod: Hashable, Sendable {
    /// The content and its head.
    case get
    /// The head only.
    case head
    /// Something is handed over.
    case post
    /// Another one, as it was written.
    case other(String)
}

/// What an HTTP client asked, its body complete unless it is too large.
public struct HTTPRequest: Hashable, Sendable {
    /// What is asked for.
    public let method: HTTPMethod
    /// The target as it was sent, not decoded: from the `/` on, with the query.
    public let target: Bytes
    /// Header fields in their order.
    public let fields: [HTTPField]
    /// Octets of the body; the listener's limits bound them.
    public let body: Bytes
    /// Whether a body above the limit was left out: who would have read it answers 413.
    public let isBodyTooLarge: Bool

    /// A request.
    public init(
        _ method: HTTPMethod, _ target: Bytes, fields: [HTTPField] = [], body: Bytes = Bytes(),
        isBodyTooLarge: Bool = false
    ) {
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.isBodyTooLarge = isBodyTooLarge
    }
}

/// An answer to an HTTP request. The host adds what belongs to the connection: `Content-Length`, `Date`, `Connection`.
public struct HTTPResponse: Hashable, Sendable {
    /// What comes after the head.
    public enum Body: Hashable, Sendable {
        /// These octets.
        case bytes(Bytes)
        /// A part of a file, moved by the system. When the file has fewer octets, the connection is reset: a client
        /// never takes a part for the whole. When it is no more as expected, the answer is 503 instead.
        case file(FileName, offset: UInt64, count: UInt64, expected: FileMark? = nil)
        /// What `stream` gives until `endStream`; its length is not known before.
        case stream
    }

    /// The answer where a file is not as expected: a second later it is known what it is (RFC 9110, section 15.6.4).
    public static let changed = HTTPResponse(503, fields: [HTTPField("Retry-After", "1")])

    /// 200, 404, ... (RFC 9110, section 15).
    public let status: Int
    /// Header fields in the order in which they are sent.
    public let fields: [HTTPField]
    /// What comes after the head; for HEAD only its length counts.
    public let body: Body

    /// An answer.
    public init(_ status: Int, fields: [HTTPField] = [], _ body: Body = .bytes(Bytes())) {
        self.status = status
        self.fields = fields
        self.body = body
    }
}

/// What clients of an HTTP listener may use.
public struct HTTPLimits: Hashable, Sendable {
    /// Octets of the request line; more is answered 414.
    public var requestLine = 8 << 10
    /// Octets of the whole head; more is answered 431.
    public var head = 16 << 10
    /// Octets of a request's body; more is left out.
    public var body = 64 << 10
    /// Connections in all.
    public var connections = 64
    /// Connections from one address.
    public var connectionsPerAddress = 16
    /// From the first octet of a request, or from the opening of its connection, to the end of its head.
    public var headTime = Duration.seconds(30)
    /// Without a request, a kept connection is closed.
    public var idleTime = Duration.seconds(60)
    /// Without an octet taken by the client, an answer is broken off.
    public var stallTime = Duration.seconds(60)

    /// The limits of BePeer 5.2.
    public init() {}
}

/// One HTTP request of ours.
public struct HTTPFetch: Hashable, Sendable {
    /// Where the content of a successful answer (200, 206) goes.
    public enum Sink: Hashable, Sendable {
        /// With the answer; more octets than this: `.tooLarge`.
        case bytes(limit: Int)
        /// To a file, made when it is missing, from `at` on if the answer is a 206 that begins there; a 200 replaces
        /// all that was there. The digest covers the whole file. At most `limit` octets in all. What came before a
        /// failure stays, to be continued.
        case file(FileName, at: UInt64, limit: UInt64)
        /// Nowhere: it is digested and counted only.
        case digest(limit: UInt64)
    }

    /// The server; never another one, since redirects are not followed.
    public let server: SocketAddress
    /// What is asked for.
    public let method: HTTPMethod
    /// The target as it is sent: from the `/` on, encoded, with the query.
    public let target: Bytes
    /// Header fields beside `Host` and `Accept-Encoding: identity`, which the host writes.
    public let fields: [HTTPField]
    /// What is handed over (`post`).
    public let body: Bytes
    /// Where the content goes.
    public let sink: Sink
    /// The digest to compute on the way; nil for none.
    public let digest: DigestAlgorithm?
    /// The own address to dial from; nil leaves it to the system.
    public var from: IPAddress?
    /// For the dial.
    public var connectTime = Duration.seconds(10)
    /// Without an octet, it fails with `.stalled`.
    public var stallTime = Duration.seconds(60)

    /// A request.
    public init(
        _ method: HTTPMethod, of server: SocketAddress, _ target: Bytes, fields: [HTTPField] = [],
        body: Bytes = Bytes(), into sink: Sink, digest: DigestAlgorithm? = nil
    ) {
        self.server = server
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.sink = sink
        self.digest = digest
    }
}

/// The answer to a `fetch`.
public struct HTTPAnswer: Hashable, Sendable {
    /// 200, 206, 404, ...
    public let status: Int
    /// Header fields in their order.
    public let fields: [HTTPField]
    /// The content, when it was to come with the answer, or the first octets of one that is no success.
    public let body: Bytes
    /// Octets of content that came over the network.
    public let octets: UInt64
    /// Over the whole content, what a part file held before included.
    public let digest: Bytes?

    /// An answer.
    public init(_ status: Int, fields: [HTTPField], body: Bytes = Bytes(), octets: UInt64 = 0, digest: Bytes? = nil) {
        self.status = status
        self.fields = fields
        self.body = body
        self.octets = octets
        self.digest = digest
    }

    /// The value of the first field of that name, whatever the case of its letters.
    public func field(_ name: String) -> String? { fields.value(of: name) }
}

extension HTTPRequest {
    /// The value of the first field of that name, whatever the case of its letters.
    public func field(_ name: String) -> String? { fields.value(of: name) }
}

extension [HTTPField] {
    fileprivate func value(of name: String) -> String? {
        let wanted = name.lowercased()
        return first { $0.isNamed(wanted) }?.value
    }
}

/// Why a `fetch` has no answer.
public enum HTTPFailure: Error, Hashable, Sendable {
    /// No connection, or it broke off.
    case connection(CloseReason)
    /// No octet for too long.
    case stalled
    /// Fewer octets than were announced.
    case short
    /// More octets than the limit.
    case tooLarge
    /// An answer that is not HTTP, or another part of the content than was asked for, or an encoded one.
    case malformed
    /// The file could not be written.
    case file(SystemError)
    /// The core gave it up, or the node stops.
    case cancelled
    /// The library that fetches, of this name, is not on this machine.
    case missing(String)
}

extension HTTPFailure: CustomStringConvertible {
    /// For the log.
    public var description: String {
        switch self {
        case .connection(let reason): reason.rawValue
        case .stalled: "stalled"
        case .short: "short"
        case .tooLarge: "too_large"
        case .malformed: "malformed"
        case .file(let error): error.description
        case .cancelled: "cancelled"
        case .missing(let library): "this machine has no \(library)"
        }
    }
}
