import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Chunk messages in TRANSFER frames (PPSP section 9.2).
@Suite struct TransferVectorTests {
    private static let rules = ChunkRules(.transfer, .chunks64, .sha256)

    /// The TRANSFER that `octets` are.
    private func transfer(_ octets: Bytes) throws -> TransferFrame {
        guard case .transfer(let frame)? = firstFrame(of: octets)?.message else {
            throw VectorError("\(octets) is no TRANSFER")
        }
        return frame
    }

    @Test func `every frame decodes to what it says, in any segmentation, and is what that encodes to`() throws {
        for vector in try vectors("transfer-ok") {
            let octets = try vector.octets("hex")
            let fields = try vector.value("fields")
            let rules = try vector.rules(.transfer, addressing: try fields.uint8("cam"))
            guard case .transfer(let frame) = try feed(octets, to: firstFrame) else {
                Issue.record("\(vector)")
                continue
            }
            let messages = try fields.cases("messages").map { try $0.chunkMessage(payload: Bytes()) }
            #expect(try frame.messages(rules) == messages, "\(vector)")
            #expect(frame.transferID == (try fields.transactionID()), "\(vector)")
            #expect(frame.swarmID == (try fields.swarmID()), "\(vector)")
            #expect(Bytes(frame.peerID?.array ?? []) == (try fields.hex("peer_id")), "\(vector)")
            let parts = TransferFrame.parts(messages, transferID: frame.transferID, rules)
            #expect(Bytes(parts.flatMap(\.array)) == octets, "\(vector)")
        }
    }

    @Test func `every malformed frame is refused as invalid syntax, whatever the transfer is, and not answered`() throws
    {
        for vector in try vectors("transfer-reject") {
            let octets = try vector.octets("hex")
            #expect(try vector.responseCode("error") == .invalidSyntax, "\(vector)")
            #expect((0..<octets.count).allSatisfy { firstFrame(of: octets.slice(0..<$0)) == nil }, "\(vector)")
            switch firstFrame(of: octets)?.message {
            case .refused(let refusal):
                #expect(refusal.code == .invalidSyntax && !refusal.isAnswered && refusal.endsConnection, "\(vector)")
            case .transfer(let frame):
                #expect(throws: DecodeError.self, "\(vector)") { try frame.messages(Self.rules) }
            case .message, nil: Issue.record("\(vector)")
            }
        }
    }

    @Test func `a TRANSFER may name peer and swarm`() throws {
        let frame = RawFrame(type: 4, count: 1, rest: Bytes([10]))
        let transfer = try transfer(frame.bytes)
        #expect(transfer.peerID == Bytes32(frame.peerID) && transfer.swarmID == SwarmID(frame.swarmID))
        #expect(try transfer.messages(Self.rules) == [.choke])
        #expect(RawFrame(type: 4, count: 1, code: 1, rest: Bytes([10])).refusedWith == .invalidSyntax)
        #expect(firstFrame(of: RawFrame(type: 4, count: 1, peerID: Bytes(), rest: Bytes([10])).bytes)?.octets == 41)
    }

    @Test func `a payload is not copied, neither when it comes nor when it goes`() throws {
        let payload = Bytes([UInt8](repeating: 0x5a, count: 1 << 20))
        let hash = Bytes([UInt8](repeating: 1, count: 32))
        let messages: [ChunkMessage] = [
            .integrity(Subtree(leaf: 6), hash: hash), .data(chunk: 7, time: 9, payload: payload),
        ]
        let parts = TransferFrame.parts(messages, transferID: 1, Self.rules)
        #expect(parts.count == 2 && isShared(parts[1], payload))
        let received = Bytes(parts.flatMap(\.array))
        let read = try transfer(received).messages(Self.rules)
        #expect(read == messages)
        guard case .data(_, _, let octets)? = read.last else { return }
        #expect(isShared(octets, received))
    }

    /// Whether two values see the same buffer.
    private func isShared(_ a: Bytes, _ b: Bytes) -> Bool {
        a.storage.withUnsafeBufferPointer { a in b.storage.withUnsafeBufferPointer { a.baseAddress == $0.baseAddress } }
    }

    @Test func `frames of a mebioctet come in pieces at little cost`() throws {
        let payload = Bytes([UInt8](repeating: 0x5a, count: 1 << 20))
        var stream: [UInt8] = []
        for chunk in UInt64(0)..<8 {
            let messages: [ChunkMessage] = [.data(chunk: chunk, time: 0, payload: payload)]
            for part in TransferFrame.parts(messages, transferID: 1, Self.rules) { stream.append(part) }
        }
        // In pieces of an Ethernet frame, each looked at: were all that waits looked at, this would not end.
        for size in [1448, 65_536] {
            var reader = FrameReader()
            var chunks: [UInt64] = []
            for start in stride(from: 0, to: stream.count, by: size) {
                reader.append(Bytes(Array(stream[start..<min(start + size, stream.count)])))
                while case .transfer(let frame)? = reader.next() {
                    guard case .data(let chunk, _, let octets)? = try frame.messages(Self.rules).first else { continue }
                    #expect(octets.count == payload.count && octets.last == 0x5a)
                    chunks.append(chunk)
                }
            }
            #expect(chunks == Array(0..<8) && !reader.isInside)
        }
    }

    @Test func `messages are cut into frames after each DATA and after 255`() throws {
        var messages: [ChunkMessage] = (0..<600).map { .have(ChunkRange($0 * 2)) }
        messages.insert(.data(chunk: 1, time: 2, payload: Bytes([3])), at: 300)
        let stream = Bytes(TransferFrame.parts(messages, transferID: 4, Self.rules).flatMap(\.array))
        var reader = FrameReader()
        reader.append(stream)
        var (read, counts): ([ChunkMessage], [Int]) = ([], [])
        while case .transfer(let frame)? = reader.next() {
            read += try frame.messages(Self.rules)
            counts.append(frame.count)
        }
        #expect(read == messages && counts == [255, 46, 255, 45])
        #expect(TransferFrame.parts([], transferID: 4, Self.rules).isEmpty)
    }

    @Test func `DATA is last, has octets and one chunk, and what is left over is refused`() throws {
        let data = Bytes([1] + [UInt8](repeating: 0, count: 24))
        for (count, content) in [
            (UInt8(1), data), (2, Bytes([10])), (1, Bytes([10, 10])), (2, Bytes(data.array + [10])), (1, Bytes()),
            (1, Bytes([7])), (1, Bytes([3] + [UInt8](repeating: 0xff, count: 16))),
        ] {
            let frame = try transfer(RawFrame(type: 4, count: count, rest: content).bytes)
            #expect(throws: DecodeError.self, "\(content)") { try frame.messages(Self.rules) }
        }
        let ack = try transfer(RawFrame(type: 4, count: 1, rest: Bytes([2] + [UInt8](repeating: 0, count: 24))).bytes)
        #expect(try ack.messages(Self.rules) == [.ack(ChunkRange(0), delay: 0)])
    }
}
