public import PeerCore

/// REQUEST, RESPONSE or ADVERTISE (PPSP sections 2 and 3).
public struct Message: Hashable, Sendable {
    /// What it is.
    public enum Kind: Hashable, Sendable {
        /// A question, which a RESPONSE answers.
        case request
        /// The answer to a request, or to an ADVERTISE that pushes.
        case response(ResponseCode)
        /// News that nobody asked for; without methods and without a swarm, the keep-alive.
        case advertise

        /// The type on the wire.
        var type: MessageType {
            switch self {
            case .request: .request
            case .response: .response
            case .advertise: .advertise
            }
        }
    }

    /// What it is.
    public let kind: Kind
    /// Which question it is, or answers; each side numbers its own.
    public let transactionID: UInt64
    /// Who sends it.
    public let peerID: Bytes32
    /// What it is about; nil in a keep-alive, and in an error whose request could not be read.
    public let swarmID: SwarmID?
    /// What it says.
    public let methods: Methods

    /// A message whose methods its kind may have; a REQUEST has at least one, an error none.
    public init(
        _ kind: Kind, transactionID: UInt64, peerID: Bytes32, swarmID: SwarmID?, methods: Methods = Methods()
    ) {
        let list = methods.list
        precondition(list.allSatisfy { $0.isPermitted(in: kind.type) }, "\(list) in \(kind)")
        switch kind {
        case .request: precondition(swarmID != nil && !list.isEmpty, "a request for nothing")
        case .response(.successful): precondition(swarmID != nil, "an answer about nothing")
        case .response: precondition(list.isEmpty, "an error with \(list)")
        case .advertise: precondition(swarmID != nil || list.isEmpty, "a keep-alive with \(list)")
        }
        (self.kind, self.transactionID, self.peerID) = (kind, transactionID, peerID)
        (self.swarmID, self.methods) = (swarmID, methods)
    }

    /// The message that only tells that its sender is there (PPSP section 3).
    public static func keepAlive(from peerID: Bytes32) -> Message {
        Message(.advertise, transactionID: 0, peerID: peerID, swarmID: nil)
    }

    /// Whether it only tells that its sender is there.
    public var isKeepAlive: Bool { kind == .advertise && swarmID == nil }

    /// The octets on the wire.
    public var bytes: Bytes {
        var content = ByteWriter()
        content.write(peerID)
        if let swarmID { content.write(swarmID.octets) }
        methods.encode(into: &content)
        var code = ResponseCode.successful
        if case .response(let other) = kind { code = other }
        var writer = ByteWriter(capacity: FrameHeader.octets + content.count)
        FrameHeader(
            kind.type, count: methods.list.count, code: code, contentLength: content.count,
            transactionID: transactionID, peerIDBytes: FrameHeader.peerIDBytes,
            swarmIDBytes: swarmID?.octets.count ?? 0
        ).encode(into: &writer)
        writer.write(content.bytes)
        return writer.bytes
    }
}

extension Message {
    /// Methods that a message can have (PPSP section 3).
    static let maximumMethods = 8

    /// Decodes a whole frame of a type other than TRANSFER, in the order of checks of section 7.
    init(decoding frame: Bytes, _ header: FrameHeader, _ type: MessageType) throws(MethodFault) {
        var reader = ByteReader(frame.dropping(FrameHeader.octets))
        do throws(DecodeError) {
            let identifiers = try Identifiers(header, type, &reader)
            peerID = identifiers.peerID ?? .zero
            swarmID = identifiers.swarmID
            kind = try Self.kind(type, header)
        } catch {
            throw .syntax(error)
        }
        transactionID = header.transactionID
        methods = try Methods(decoding: &reader, count: Int(header.count), in: type)
        do throws(DecodeError) {
            try reader.expectEnd()
        } catch {
            throw .syntax(error)
        }
    }

    private static func kind(_ type: MessageType, _ header: FrameHeader) throws(DecodeError) -> Kind {
        guard let code = ResponseCode(rawValue: header.code), type == .response || code == .successful else {
            throw .invalid(field: "response code")
        }
        let isEmpty = header.count == 0
        guard header.count <= maximumMethods, type != .request || !isEmpty, code == .successful || isEmpty else {
            throw .invalid(field: "method count")
        }
        return switch type {
        case .request: .request
        case .response: .response(code)
        case .advertise, .transfer: .advertise
        }
    }
}
