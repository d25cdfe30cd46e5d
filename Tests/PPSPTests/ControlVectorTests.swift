import PeerCore
import TestSupport
import Testing

@testable import PPSP

/// The first frame of a stream that begins with `octets`, and how many octets it takes; nil: wait for more.
func firstFrame(of octets: Bytes) -> (message: Frame, octets: Int)? {
    var reader = FrameReader()
    reader.append(octets)
    guard let frame = reader.next() else { return nil }
    return (frame, octets.count - reader.waitingBytes)
}

/// Control messages of the vectors (PPSP sections 2 to 7).
@Suite struct ControlVectorTests {
    @Test func `every message decodes to what it says, in any segmentation, and is what that encodes to`() throws {
        for vector in try vectors("control-ok") {
            let octets = try vector.octets("hex")
            let message = try vector.value("fields").message()
            #expect(try feed(octets, to: firstFrame) == .message(message), "\(vector)")
            #expect(message.bytes == octets, "\(vector)")
        }
    }

    @Test func `every malformed message is refused with its code, and never before the octets that are wrong`() throws {
        for vector in try vectors("control-reject") {
            let octets = try vector.hex("hex")
            let frames = (0...octets.count).map { firstFrame(of: octets.slice(0..<$0))?.message }
            guard try vector.text("expect") == "reject" else {
                #expect(frames.allSatisfy { $0 == nil }, "\(vector)")
                continue
            }
            guard case .refused(let refusal)? = frames.last else {
                Issue.record("\(vector)")
                continue
            }
            #expect(refusal.code == (try vector.responseCode("error")), "\(vector)")
            #expect(refusal.endsConnection == [1, 2].contains(refusal.code.rawValue), "\(vector)")
            // Waiting until it is refused, and no other opinion after that.
            let first = try #require(frames.firstIndex { $0 != nil })
            #expect(first >= FrameHeader.octets, "\(vector)")
            #expect(frames[..<first].allSatisfy { $0 == nil }, "\(vector)")
            #expect(frames[first...].allSatisfy { $0 == frames[first] }, "\(vector)")
            let more = Bytes(octets.array + [UInt8](repeating: 0xff, count: 9))
            #expect(firstFrame(of: more)?.message == frames[first], "\(vector)")
            try expectAnswer(to: refusal, octets, vector)
        }
    }

    /// The answer names the request, and is a message itself.
    private func expectAnswer(to refusal: Refusal, _ octets: Bytes, _ vector: Vector) throws {
        #expect(refusal.transactionID == octets.slice(8..<16).reduce(0) { $0 << 8 | UInt64($1) }, "\(vector)")
        #expect(refusal.isAnswered == (octets[1] != 2), "\(vector)")
        guard let answer = refusal.answer(from: .zero) else { return }
        #expect(try feed(answer.bytes, to: firstFrame) == .message(answer), "\(vector)")
        #expect(answer.kind == .response(refusal.code) && answer.transactionID == refusal.transactionID, "\(vector)")
        // Where the identifiers have their place and are not too long, the answer says what it is about.
        if refusal.code != .versionNotSupported, octets.count >= 84, octets[16] == 32,
            octets[18...19].elementsEqual([0, 32]),
            octets[4...5].elementsEqual([0, 0])
        {
            #expect(answer.swarmID == SwarmID(octets.slice(52..<84)), "\(vector)")
        }
    }

    @Test func `the vectors have every method`() throws {
        var methods: Set<Method> = []
        let segments = try vectors("stream").flatMap { try $0.cases("segments") }.map { try $0.octets() }
        for octets in try vectors("control-ok").map({ try $0.octets("hex") }) + segments {
            if case .message(let message)? = firstFrame(of: octets)?.message { methods.formUnion(message.methods.list) }
        }
        #expect(methods == Set(Method.allCases))
    }

    @Test func `a stream is the same in whatever pieces it comes`() throws {
        for vector in try vectors("stream") {
            let segments = try vector.cases("segments").map { try $0.octets() }
            let whole = Bytes(segments.flatMap(\.array))
            let single = whole.indices.map { whole.slice($0..<$0 + 1) }
            for pieces in [segments, [whole], single] {
                var reader = FrameReader()
                var messages: [Message] = []
                for piece in pieces {
                    reader.append(piece)
                    while let frame = reader.next() {
                        if case .message(let message) = frame {
                            messages.append(message)
                        } else {
                            Issue.record("\(frame)")
                        }
                    }
                }
                #expect(!reader.isInside, "\(vector)")
                #expect(messages.count == (try vector.number("messages")), "\(vector)")
                let types = messages.map { "\($0.kind.type)".uppercased() }
                let expected = try vector.elements("types").map { try $0.text() }
                #expect(types == expected, "\(vector)")
                let lengths = try vector.elements("message_lengths").map { try $0.number() }
                #expect(messages.map(\.bytes.count) == lengths, "\(vector)")
                #expect(Bytes(messages.flatMap(\.bytes.array)) == whole, "\(vector)")
            }
        }
    }
}
