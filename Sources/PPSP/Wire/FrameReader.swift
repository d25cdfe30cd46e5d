public import PeerCore

/// What a connection has brought.
public enum Frame: Hashable, Sendable {
    /// A REQUEST, RESPONSE or ADVERTISE.
    case message(Message)
    /// A TRANSFER.
    case transfer(TransferFrame)
    /// Something that is refused.
    case refused(Refusal)
}

/// Why a frame is refused, and what is needed to answer it (PPSP section 7).
public struct Refusal: Error, Hashable, Sendable {
    /// What is said of it.
    public let code: ResponseCode
    /// What is wrong, for the log.
    public let reason: DecodeError
    /// The transaction ID of the frame.
    public let transactionID: UInt64
    /// The swarm ID of the frame; nil: none, or it cannot be read.
    public let swarmID: SwarmID?
    /// Whether it gets an answer: a RESPONSE, a keep-alive and a TRANSFER get none, they are logged.
    public let isAnswered: Bool
    /// Whether the connection ends, after the answer if there is one. Nothing more is read from it then.
    public let endsConnection: Bool

    init(_ code: ResponseCode, _ reason: DecodeError, _ header: FrameHeader, _ swarmID: SwarmID?) {
        self.code = code
        self.reason = reason
        self.swarmID = swarmID
        transactionID = header.transactionID
        isAnswered =
            switch MessageType(rawValue: header.type) {
            case .response, .transfer: false
            case .advertise: header.swarmIDBytes > 0 || header.count > 0
            case .request, nil: true
            }
        endsConnection = code.endsConnection
    }

    /// The answer, if it gets one.
    public func answer(from peerID: Bytes32) -> Message? {
        guard isAnswered else { return nil }
        return Message(.response(code), transactionID: transactionID, peerID: peerID, swarmID: swarmID)
    }
}

/// Cuts what comes over one connection into frames, in the order of checks of section 7.
///
/// A content length is judged as soon as it is there, so that nobody has more than the limit buffered. A frame that has
/// come whole is decoded where it lies; while one is incomplete only its head is looked at.
public struct FrameReader: Sendable {
    private let contentLimit: Int
    private var buffer = FrameOctets()
    /// Octets of an unknown message that are still to come, and are dropped as they do.
    private var skipping: UInt64 = 0
    private var hasEnded = false

    /// A reader at the beginning of a connection.
    public init(contentLimit: Int = MessageType.contentLimit) {
        self.contentLimit = contentLimit
    }

    /// Whether a frame has begun and is not complete: time runs for it (PPSP section 7).
    public var isInside: Bool { buffer.count > 0 || skipping > 0 }

    /// Octets that wait.
    public var waitingBytes: Int { buffer.count }

    /// Adds what has arrived. Call `next()` until it gives nil before adding more.
    public mutating func append(_ bytes: Bytes) {
        guard !hasEnded else { return }
        let skipped = Int(min(skipping, UInt64(bytes.count)))
        skipping -= UInt64(skipped)
        if skipped < bytes.count { buffer.append(bytes.dropping(skipped)) }
    }

    /// The next frame; nil: wait for more.
    public mutating func next() -> Frame? {
        guard let header = buffer.first(FrameHeader.octets).flatMap({ FrameHeader(in: $0) }) else { return nil }
        guard header.version == FrameHeader.version else {
            return end(Refusal(.versionNotSupported, .invalid(field: "version \(header.version)"), header, nil))
        }
        guard let type = MessageType(rawValue: header.type) else { return skip(header) }
        guard header.contentLength <= contentLimit else {
            let reason = DecodeError.tooLong(
                field: "content", length: UInt64(header.contentLength), limit: UInt64(contentLimit))
            return end(Refusal(.invalidSyntax, reason, header, nil))
        }
        let length = FrameHeader.octets + Int(header.contentLength)
        guard let frame = buffer.first(length) else { return nil }
        buffer.consume(length)
        return read(frame, header, type)
    }

    private mutating func read(_ frame: Bytes, _ header: FrameHeader, _ type: MessageType) -> Frame {
        do throws(MethodFault) {
            guard type != .transfer else { return .transfer(try TransferFrame(decoding: frame, header)) }
            return .message(try Message(decoding: frame, header, type))
        } catch {
            let swarmID = Identifiers.swarmID(of: header, in: frame)
            switch error {
            case .syntax(let reason): return end(Refusal(.invalidSyntax, reason, header, swarmID))
            case .unknown(let code):
                return .refused(Refusal(.messageNotSupported, .invalid(field: "method \(code)"), header, swarmID))
            }
        }
    }

    /// Passes over a message of an unknown type, of which at most the identifiers are waited for.
    private mutating func skip(_ header: FrameHeader) -> Frame? {
        let identifiers = FrameHeader.octets + header.identifierBytes
        let isReadable = header.peerIDBytes == FrameHeader.peerIDBytes && header.swarmIDBytes <= SwarmID.maximumBytes
        if isReadable, UInt64(identifiers) <= header.wholeLength {
            guard buffer.count >= identifiers else { return nil }
        }
        let refusal = Refusal(
            .messageNotSupported, .invalid(field: "message type \(header.type)"), header,
            Identifiers.swarmID(of: header, in: buffer.first(min(identifiers, buffer.count)) ?? Bytes()))
        let dropped = min(header.wholeLength, UInt64(buffer.count))
        buffer.consume(Int(dropped))
        skipping = header.wholeLength - dropped
        return .refused(refusal)
    }

    /// Nothing that comes later can be trusted.
    private mutating func end(_ refusal: Refusal) -> Frame {
        if refusal.endsConnection {
            hasEnded = true
            buffer = FrameOctets()
        }
        return .refused(refusal)
    }
}
