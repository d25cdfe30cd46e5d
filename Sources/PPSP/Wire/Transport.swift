internal import PeerCore

/// A way for content to travel (PPSP section 6).
public enum TransportID {
    /// PPSP-TCP, which every peer has (section 9).
    public static let tcp: UInt16 = 0x0001
    /// RFC 7574 over UDP with LEDBAT (section 9.6).
    public static let datagrams: UInt16 = 0x0002
    /// HTTP/1.1 range requests (section 9.7).
    public static let http: UInt16 = 0x0003
}

/// A transport and its parameters: u16 ID, u16 length, parameters of u8 code, u8 length, value, in ascending order of
/// codes; unknown ones are skipped (PPSP section 6).
///
/// Values are as they came: whether they can be used is for negotiation.
public struct TransportEntry: Hashable, Sendable {
    /// Which transport; also one that we do not know.
    public var id: UInt16
    /// Octets of a chunk.
    public var chunkSize: UInt32?
    /// Code of the chunk addressing.
    public var addressing: UInt8?
    /// Code of the integrity method.
    public var integrityMethod: UInt8?
    /// Code of the hash function.
    public var hashFunction: UInt8?
    /// Octets of the content; `unknownLength`: not known.
    public var contentLength: UInt64?
    /// Where the transport is reached, if not on this connection.
    public var endpoint: Endpoint?
    /// Base URL of HTTP, at most 255 octets.
    public var url: String?
    /// Octets that its sender lets the other side have outstanding.
    public var requestWindow: UInt32?
    /// DNSSEC number.
    public var liveSignatureAlgorithm: UInt8?
    /// Chunks.
    public var liveDiscardWindow: UInt64?

    /// The content length that says it is not known.
    public static let unknownLength = UInt64.max

    /// A transport without parameters.
    public init(_ id: UInt16) {
        self.id = id
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        self.init(try reader.read(UInt16.self, "transport ID"))
        let length = Int(try reader.read(UInt16.self, "parameter length"))
        var parameters = ByteReader(try reader.read(count: length, "transport parameters"))
        var last: UInt8?
        while parameters.remaining > 0 {
            let code = try parameters.readUInt8("parameter code")
            guard last.map({ $0 < code }) ?? true else { throw .invalid(field: "parameter order") }
            last = code
            let length = Int(try parameters.readUInt8("parameter length"))
            try take(try parameters.read(count: length, "transport parameter"), code)
        }
    }

    private mutating func take(_ value: Bytes, _ code: UInt8) throws(DecodeError) {
        guard let parameter = Parameter(rawValue: code) else { return }
        var reader = ByteReader(value)
        switch parameter {
        case .chunkSize: chunkSize = try reader.read(UInt32.self, "chunk size")
        case .addressing: addressing = try reader.readUInt8("chunk addressing")
        case .integrityMethod: integrityMethod = try reader.readUInt8("integrity method")
        case .hashFunction: hashFunction = try reader.readUInt8("hash function")
        case .contentLength: contentLength = try reader.read(UInt64.self, "content length")
        case .endpoint: endpoint = try Endpoint(decoding: &reader)
        case .url:
            guard let text = reader.readRest().text else { throw .invalid(field: "url") }
            url = text
        case .requestWindow: requestWindow = try reader.read(UInt32.self, "request window")
        case .liveSignatureAlgorithm: liveSignatureAlgorithm = try reader.readUInt8("signature algorithm")
        case .liveDiscardWindow: liveDiscardWindow = try reader.read(UInt64.self, "discard window")
        }
        try reader.expectEnd()
    }

    func encode(into writer: inout ByteWriter) {
        var parameters = ByteWriter()
        func put(_ parameter: Parameter, _ value: (some FixedWidthInteger & UnsignedInteger)?) {
            guard let value else { return }
            parameters.write(parameter.rawValue)
            parameters.write(UInt8(value.bitWidth / 8))
            parameters.write(value)
        }
        func put(_ parameter: Parameter, octets: Bytes) {
            parameters.write(parameter.rawValue)
            parameters.write(UInt8(octets.count))
            parameters.write(octets)
        }
        put(.chunkSize, chunkSize)
        put(.addressing, addressing)
        put(.integrityMethod, integrityMethod)
        put(.hashFunction, hashFunction)
        put(.contentLength, contentLength)
        if let endpoint {
            var value = ByteWriter()
            endpoint.encode(into: &value)
            put(.endpoint, octets: value.bytes)
        }
        if let url { put(.url, octets: Bytes(utf8: url)) }
        put(.requestWindow, requestWindow)
        put(.liveSignatureAlgorithm, liveSignatureAlgorithm)
        put(.liveDiscardWindow, liveDiscardWindow)
        writer.write(id)
        writer.write(UInt16(parameters.count))
        writer.write(parameters.bytes)
    }

    /// Codes of parameters (PPSP section 6).
    private enum Parameter: UInt8 {
        case chunkSize = 1
        case addressing = 2
        case integrityMethod = 3
        case hashFunction = 4
        case contentLength = 5
        case endpoint = 6
        case url = 7
        case requestWindow = 8
        case liveSignatureAlgorithm = 9
        case liveDiscardWindow = 10
    }
}

/// What a message says of transports: an offer, or the answer to one (PPSP section 6).
public enum TransportOffer: Hashable, Sendable {
    /// TRANSPORT_PARAMETER without a body: name yours.
    case ask
    /// TRANSPORT_PARAMETER: 1 to 16 entries in order of preference, no transport twice.
    case list([TransportEntry])
    /// TRANSPORT_MANDATORY: only PPSP-TCP, with these parameters.
    case mandatory(TransportEntry)

    /// Entries of a list (PPSP section 6).
    static let maximumEntries = 16

    /// The body of TRANSPORT_PARAMETER: u8 count, u8 and u16 reserved, entries.
    static func list(decoding body: Bytes) throws(DecodeError) -> TransportOffer {
        var reader = ByteReader(body)
        let count = Int(try reader.readUInt8("transport count"))
        guard (1...maximumEntries).contains(count) else { throw .invalid(field: "transport count") }
        _ = try reader.read(count: 3, "reserved")
        var entries: [TransportEntry] = []
        for _ in 0..<count {
            let entry = try TransportEntry(decoding: &reader)
            guard !entries.contains(where: { $0.id == entry.id }) else { throw .invalid(field: "transport ID") }
            entries.append(entry)
        }
        try reader.expectEnd()
        return .list(entries)
    }

    /// The body of TRANSPORT_MANDATORY: one entry, of PPSP-TCP.
    static func mandatory(decoding body: Bytes) throws(DecodeError) -> TransportOffer {
        var reader = ByteReader(body)
        let entry = try TransportEntry(decoding: &reader)
        guard entry.id == TransportID.tcp else { throw .invalid(field: "transport ID") }
        try reader.expectEnd()
        return .mandatory(entry)
    }

    /// The method that says it.
    var method: Method {
        if case .mandatory = self { .transportMandatory } else { .transportParameter }
    }

    /// The body; empty when there is none.
    var bytes: Bytes {
        var writer = ByteWriter()
        switch self {
        case .ask: break
        case .mandatory(let entry): entry.encode(into: &writer)
        case .list(let entries):
            precondition((1...Self.maximumEntries).contains(entries.count), "\(entries.count) transports")
            writer.write(UInt8(entries.count))
            writer.write([0, 0, 0])
            for entry in entries { entry.encode(into: &writer) }
        }
        return writer.bytes
    }
}
