import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// What a connection brings, and the order of checks (PPSP sections 3 and 7).
@Suite struct FrameReaderTests {
    private let request = RawFrame(methods: [RawFrame.query])

    @Test func `a content above the limit is refused by its header, before a single octet of it`() {
        for (length, isRefused): (UInt32, Bool) in [(2_097_152, false), (2_097_153, true), (.max, true)] {
            for type: UInt8 in 1...4 {
                var reader = FrameReader()
                reader.append(RawFrame(type: type, contentLength: length).bytes.slice(0..<20))
                guard case .refused(let refusal)? = reader.next() else {
                    #expect(!isRefused && reader.isInside)
                    continue
                }
                #expect(isRefused && refusal.code == .invalidSyntax && refusal.endsConnection)
                #expect(refusal.isAnswered == (type == 1 || type == 3) && refusal.swarmID == nil)
            }
        }
        var small = FrameReader(contentLimit: 59)
        small.append(request.bytes)
        #expect(small.next() != nil && small.next() == nil)
    }

    @Test func `after a lost place in the stream nothing is read any more`() {
        for bad in [RawFrame(version: 2), RawFrame(type: 1, code: 3), RawFrame(version: 71, type: 69)] {
            var reader = FrameReader()
            reader.append(bad.bytes + request.bytes)
            guard case .refused(let refusal)? = reader.next() else {
                Issue.record("\(bad)")
                continue
            }
            #expect(refusal.endsConnection && reader.next() == nil)
            reader.append(request.bytes)
            #expect(reader.next() == nil && reader.waitingBytes == 0)
        }
    }

    @Test func `an unknown message is answered and passed over by its length, in pieces too, and never buffered`() {
        let unknown = RawFrame(type: 9, rest: Bytes([UInt8](repeating: 1, count: 100)))
        for size in [1, 7, 60, 1000] {
            var reader = FrameReader()
            var frames: [Frame] = []
            let stream = unknown.bytes + request.bytes
            for start in stride(from: 0, to: stream.count, by: size) {
                reader.append(stream.slice(start..<min(start + size, stream.count)))
                while let frame = reader.next() { frames.append(frame) }
                #expect(reader.waitingBytes < 80 + size)
            }
            guard case .refused(let refusal)? = frames.first else {
                Issue.record("\(frames)")
                continue
            }
            #expect(refusal.code == .messageNotSupported && !refusal.endsConnection)
            #expect(refusal.swarmID == SwarmID(unknown.swarmID))
            #expect(frames.count == 2 && frames.last == request.frame && !reader.isInside)
        }
        var reader = FrameReader()
        reader.append(RawFrame(type: 0, contentLength: .max).bytes)
        #expect(reader.next() != nil && reader.next() == nil && reader.isInside)
        for _ in 0..<100 {
            reader.append(Bytes([UInt8](repeating: 1, count: 65_536)))
            #expect(reader.next() == nil && reader.waitingBytes == 0)
        }
    }

    @Test func `identifiers that are none do not keep an unknown message from being refused at once`() {
        for bad in [
            RawFrame(type: 5, peerID: Bytes([1])),
            RawFrame(type: 5, swarmID: Bytes([UInt8](repeating: 1, count: 1025))),
            RawFrame(type: 5, contentLength: 51),
        ] {
            guard case .refused(let refusal)? = firstFrame(of: bad.bytes.slice(0..<20))?.message else {
                Issue.record("\(bad)")
                continue
            }
            #expect(refusal.code == .messageNotSupported && refusal.swarmID == nil)
        }
    }

    @Test func `of several faults the one that is checked first decides`() {
        // Version, type, length, identifiers, response code, methods.
        #expect(RawFrame(version: 2, type: 9, contentLength: .max).refusedWith == .versionNotSupported)
        #expect(RawFrame(type: 9, code: 1, contentLength: .max).refusedWith == .messageNotSupported)
        let unknown: (code: UInt8, flags: UInt8, body: Bytes) = (9, 0, Bytes())
        #expect(RawFrame(code: 1, methods: [unknown]).refusedWith == .invalidSyntax)
        #expect(RawFrame(peerID: Bytes([1]), methods: [unknown]).refusedWith == .invalidSyntax)
        // Bounds and flag of a method before its code; then one method after the other, and the end last.
        #expect(RawFrame(methods: [(9, 0x80, Bytes())]).refusedWith == .invalidSyntax)
        #expect(RawFrame(methods: [unknown, (2, 0x80, Bytes())]).refusedWith == .messageNotSupported)
        #expect(RawFrame(methods: [RawFrame.query, RawFrame.query, unknown]).refusedWith == .invalidSyntax)
        #expect(RawFrame(methods: [unknown], rest: Bytes([0])).refusedWith == .messageNotSupported)
        #expect(RawFrame(methods: [RawFrame.query], rest: Bytes([0])).refusedWith == .invalidSyntax)
    }

    @Test func `an unknown method in a request leaves the connection open`() throws {
        var reader = FrameReader()
        reader.append(RawFrame(methods: [(0x4d, 0, Bytes([1, 2]))]).bytes + request.bytes)
        guard case .refused(let refusal)? = reader.next() else {
            Issue.record("not refused")
            return
        }
        #expect(refusal.code == .messageNotSupported && !refusal.endsConnection && refusal.isAnswered)
        #expect(refusal.swarmID == SwarmID(request.swarmID) && reader.next() == request.frame)
    }

    @Test func `an unknown method in a response or advertisement is passed over, and so is what is reserved`() throws {
        for type: UInt8 in [2, 3] {
            let frame = RawFrame(
                type: type, flags: 0xff,
                methods: [(0, 0x7f, Bytes([1])), (9, 0, Bytes()), (5, 0x7f, Bytes()), (9, 0, Bytes())])
            let message = try #require(frame.message)
            #expect(message.methods.peers == [] && message.methods.list == [.peerListProvision])
            #expect(RawFrame(type: type, methods: [(9, 0x80, Bytes())]).refusedWith == .invalidSyntax)
        }
    }

    @Test func `a message has the methods and identifiers that its kind must have`() {
        #expect(RawFrame().refusedWith == .invalidSyntax)
        #expect(RawFrame(type: 3).message?.isKeepAlive == false)
        #expect(
            RawFrame(type: 3, transactionID: 0, swarmID: Bytes()).message == .keepAlive(from: Bytes32(request.peerID)))
        #expect(RawFrame(type: 3, swarmID: Bytes(), methods: [(5, 0, Bytes())]).refusedWith == .invalidSyntax)
        #expect(RawFrame(type: 2, swarmID: Bytes()).refusedWith == .invalidSyntax)
        for code: UInt8 in 1...8 {
            let message = RawFrame(type: 2, code: code, swarmID: Bytes()).message
            #expect(message?.kind == ResponseCode(rawValue: code).map { .response($0) })
            #expect(RawFrame(type: 2, code: code, methods: [(5, 0, Bytes())]).refusedWith == .invalidSyntax)
        }
        #expect(RawFrame(type: 2, code: 9).refusedWith == .invalidSyntax)
        let nine = (100..<109).map { (code: UInt8($0), flags: UInt8(0), body: Bytes()) }
        #expect(RawFrame(type: 2, methods: nine).refusedWith == .invalidSyntax)
        #expect(RawFrame(type: 2, methods: Array(nine.dropLast())).message != nil)
        let transports: [(code: UInt8, flags: UInt8, body: Bytes)] = [(7, 0, Bytes()), (8, 0, Bytes([0, 1, 0, 0]))]
        #expect(RawFrame(methods: transports).refusedWith == .invalidSyntax)
        for transport in transports { #expect(RawFrame(methods: [transport]).message != nil) }
    }

    @Test func `a response, a keep-alive and a transfer are never answered`() {
        let wrong: [(RawFrame, Bool)] = [
            (RawFrame(type: 1), true), (RawFrame(type: 2, code: 9), false),
            (RawFrame(type: 3, code: 1), true), (RawFrame(type: 3, code: 1, swarmID: Bytes()), false),
            (RawFrame(type: 4), false), (RawFrame(type: 77), true), (RawFrame(version: 2, type: 2), false),
        ]
        for (frame, isAnswered) in wrong {
            guard case .refused(let refusal)? = frame.frame else {
                Issue.record("\(frame)")
                continue
            }
            #expect(refusal.isAnswered == isAnswered && (refusal.answer(from: .zero) != nil) == isAnswered, "\(frame)")
        }
    }
}

private func + (a: Bytes, b: Bytes) -> Bytes { Bytes(a.array + b.array) }
