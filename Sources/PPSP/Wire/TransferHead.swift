internal import PeerCore

extension TransferFrame {
    /// The beginning of a frame with one chunk, up to its payload, which is sent right after it (PPSP section 9.5).
    ///
    /// `messages`, at most 254, go before the chunk.
    static func head(
        _ messages: [ChunkMessage], chunk: UInt64, time: UInt64, payloadBytes: Int, transferID: UInt64,
        _ rules: ChunkRules
    ) -> Bytes {
        precondition(messages.count < maximumMessages, "\(messages.count) messages before a chunk")
        var content = ByteWriter(capacity: 128 + messages.count * (rules.hashBytes + 17))
        for message in messages { message.encode(into: &content, rules) }
        ChunkMessage.data(chunk: chunk, time: time, payload: Bytes())
            .encodeHead(ofData: chunk, time, into: &content, rules)
        var writer = ByteWriter(capacity: FrameHeader.octets + content.count)
        FrameHeader(
            .transfer, count: messages.count + 1, contentLength: content.count + payloadBytes,
            transactionID: transferID, peerIDBytes: 0, swarmIDBytes: 0
        ).encode(into: &writer)
        writer.write(content.bytes)
        return writer.bytes
    }
}
