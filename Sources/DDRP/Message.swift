public import PeerCore

/// What peers say to each other (PIP-2, PIP-4, PIP-5; DDRP section 9).
public enum Message: Hashable, Sendable {
    /// First envelope of either side.
    case hello(Hello)
    /// The initiator's answer to the responder's Hello.
    case helloAck(HelloAck)
    /// Sign of life; not answered.
    case ping
    /// A blob has a new version.
    case update(Update)
    /// There is nothing newer. R only.
    case nilUpdate(NilUpdate)
    /// Asks for the hashes of a blob's sectors.
    case treeBaseReq(TreeBaseReq)
    /// The hashes of a blob's sectors.
    case treeBaseRes(TreeBaseRes)
    /// Asks for a sector.
    case sectorReq(SectorReq)
    /// A sector.
    case sectorRes(SectorRes)
    /// Asks for addresses of peers.
    case peerReq
    /// Addresses of peers.
    case peerRes(PeerRes)
    /// Asks whether there is something newer.
    case updateReq(UpdateReq)
    /// A number that the dialect has no message for; to be ignored (PIP-2).
    case unknown(code: UInt16)

    /// The message with number `code` in `dialect`.
    ///
    /// An empty message 2 or 3 is a Ping in both dialects (DDRP section 7). Octets after the last field are ignored,
    /// except in PeerRes, as the reference does (DDRP section 3).
    public init(decoding body: Bytes, code: UInt16, dialect: Dialect) throws(DecodeError) {
        if body.count == 0, code == 2 || code == 3 {
            self = .ping
            return
        }
        guard let type = MessageType(code: code, dialect: dialect) else {
            self = .unknown(code: code)
            return
        }
        var reader = ByteReader(body)
        self =
            switch type {
            case .hello: .hello(try Hello(decoding: &reader, dialect))
            case .helloAck: .helloAck(try HelloAck(decoding: &reader))
            case .ping: .ping
            case .update: .update(try Update(decoding: &reader))
            case .nilUpdate: .nilUpdate(try NilUpdate(decoding: &reader))
            case .treeBaseReq: .treeBaseReq(try TreeBaseReq(decoding: &reader))
            case .treeBaseRes: .treeBaseRes(try TreeBaseRes(decoding: &reader))
            case .sectorReq: .sectorReq(try SectorReq(decoding: &reader, dialect))
            case .sectorRes: .sectorRes(try SectorRes(decoding: &reader, dialect))
            case .peerReq: .peerReq
            case .peerRes: .peerRes(try PeerRes(decoding: body, dialect))
            case .updateReq: .updateReq(try UpdateReq(decoding: &reader, dialect))
            }
    }

    /// The number in the type field; nil when the dialect has none: NilUpdate in T, and an unknown number above 255.
    public func code(in dialect: Dialect) -> UInt16? {
        if case .unknown(let code) = self { return dialect == .reference || code <= UInt8.max ? code : nil }
        return type?.code(in: dialect)
    }

    /// The body; empty for an unknown number.
    public func body(in dialect: Dialect) -> Bytes {
        var writer = ByteWriter()
        switch self {
        case .hello(let hello): hello.encode(into: &writer, dialect)
        case .helloAck(let ack): ack.encode(into: &writer)
        case .update(let update): update.encode(into: &writer)
        case .nilUpdate(let answer): answer.encode(into: &writer)
        case .treeBaseReq(let request): request.encode(into: &writer)
        case .treeBaseRes(let response): response.encode(into: &writer)
        case .sectorReq(let request): request.encode(into: &writer, dialect)
        case .sectorRes(let response): response.encode(into: &writer, dialect)
        case .peerRes(let response): response.encode(into: &writer, dialect)
        case .updateReq(let request): request.encode(into: &writer, dialect)
        case .ping, .peerReq, .unknown: break
        }
        return writer.bytes
    }

    /// The name in the specification, for the log; `Unknown` for an unknown number.
    public var name: String { type?.rawValue ?? "Unknown" }

    private var type: MessageType? {
        switch self {
        case .hello: .hello
        case .helloAck: .helloAck
        case .ping: .ping
        case .update: .update
        case .nilUpdate: .nilUpdate
        case .treeBaseReq: .treeBaseReq
        case .treeBaseRes: .treeBaseRes
        case .sectorReq: .sectorReq
        case .sectorRes: .sectorRes
        case .peerReq: .peerReq
        case .peerRes: .peerRes
        case .updateReq: .updateReq
        case .unknown: nil
        }
    }
}
