public import PeerCore

/// TRANSFER: chunk messages of one transfer (PPSP section 9). They are decoded when it is known which transfer it is,
/// since that tells how.
public struct TransferFrame: Hashable, Sendable {
    /// Chunk messages that a frame can count (PPSP section 3).
    static let maximumMessages = 255

    /// The transaction ID of the message whose negotiation chose the transport (PPSP section 9.1).
    public let transferID: UInt64
    /// Who sends it, when that is told.
    public let peerID: Bytes32?
    /// What it is about, when that is told.
    public let swarmID: SwarmID?
    /// Number of chunk messages, at least one.
    let count: Int
    /// The chunk messages, where they lie in what was received.
    let content: Bytes

    init(decoding frame: Bytes, _ header: FrameHeader) throws(MethodFault) {
        var reader = ByteReader(frame.dropping(FrameHeader.octets))
        do throws(DecodeError) {
            let identifiers = try Identifiers(header, .transfer, &reader)
            (peerID, swarmID) = (identifiers.peerID, identifiers.swarmID)
            guard header.code == 0 else { throw .invalid(field: "response code") }
            guard header.count > 0 else { throw .invalid(field: "message count") }
        } catch {
            throw .syntax(error)
        }
        transferID = header.transactionID
        count = Int(header.count)
        content = reader.readRest()
    }

    /// The chunk messages. The payload of DATA, which is last, and hashes share the buffer in which the frame came.
    public func messages(_ rules: ChunkRules) throws(DecodeError) -> [ChunkMessage] {
        var reader = ByteReader(content)
        var messages: [ChunkMessage] = []
        messages.reserveCapacity(min(count, content.count))
        for _ in 0..<count { messages.append(try ChunkMessage(decoding: &reader, rules)) }
        try reader.expectEnd()
        return messages
    }

    /// Frames that say `messages`, in order: a frame ends with each DATA, and when it is full. They are to be sent one
    /// after the other; payloads are not copied.
    public static func parts(
        _ messages: some Sequence<ChunkMessage>, transferID: UInt64, _ rules: ChunkRules
    ) -> [Bytes] {
        precondition(rules.carrier == .transfer && !rules.addressing.isBins, "\(rules) in a TRANSFER")
        var parts: [Bytes] = []
        var (content, count) = (ByteWriter(capacity: 128), 0)
        func end(_ payload: Bytes = Bytes()) {
            guard count > 0 else { return }
            var writer = ByteWriter(capacity: FrameHeader.octets + content.count)
            FrameHeader(
                .transfer, count: count, contentLength: content.count + payload.count, transactionID: transferID,
                peerIDBytes: 0, swarmIDBytes: 0
            ).encode(into: &writer)
            writer.write(content.bytes)
            parts.append(writer.bytes)
            if !payload.isEmpty { parts.append(payload) }
            (content, count) = (ByteWriter(capacity: 128), 0)
        }
        for message in messages {
            precondition(message.code.isInTransfers, "\(message) in a TRANSFER")
            count += 1
            if case .data(let chunk, let time, let payload) = message {
                message.encodeHead(ofData: chunk, time, into: &content, rules)
                end(payload)
            } else {
                message.encode(into: &content, rules)
                if count == maximumMessages { end() }
            }
        }
        end()
        return parts
    }
}
