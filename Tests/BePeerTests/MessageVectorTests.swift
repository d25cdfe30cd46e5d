import PeerCore
import TestSupport
import Testing

@testable import BePeer

/// The four messages, both ways (BePeer section 2.1).
struct MessageVectorTests {
    private enum Read: Equatable {
        case message(Message)
        case fault(MessageFault)
        case incomplete
    }

    /// What a connection gives that carries these octets and then ends.
    private func read(_ octets: Bytes, inPiecesOf size: Int, _ limits: MessageReader.Limits) -> [Read] {
        var reader = MessageReader(limits)
        var found: [Read] = []
        for start in stride(from: 0, to: octets.count, by: size) {
            reader.append(octets.slice(start..<min(octets.count, start + size)))
            do {
                while let message = try reader.next() { found.append(.message(message)) }
            } catch {
                return found + [.fault(error)]
            }
        }
        return reader.isInside ? found + [.incomplete] : found
    }

    private func expected(_ vector: Vector) throws -> [Read] {
        try vector.value("expect").elements("messages").map { element in
            if element.has("error") {
                return .fault(try #require(MessageFault(rawValue: try element.text("error"))))
            }
            return element.has("incomplete") ? .incomplete : .message(try element.message())
        }
    }

    @Test func `messages are read, in pieces of any size`() throws {
        for vector in try vectors("parse") {
            let octets = try vector.bytes("input")
            let expected = try expected(vector)
            for size in [1, 2, 7, max(1, octets.count)] {
                #expect(read(octets, inPiecesOf: size, .init()) == expected, "\(vector) in pieces of \(size)")
            }
        }
    }

    @Test func `a message does not depend on what follows it`() throws {
        for vector in try vectors("parse") {
            guard case .message(let message)? = try expected(vector).first else { continue }
            let octets = try vector.bytes("input")
            let decode: StreamDecoder<Message> = { bytes in
                var reader = MessageReader()
                for count in 0..<bytes.count {
                    reader.append(bytes.slice(count..<count + 1))
                    if let message = try reader.next() { return (message, count + 1) }
                }
                return nil
            }
            let first = try #require(try decode(octets))
            #expect(try feed(octets.slice(0..<first.octets), to: decode) == message, "\(vector)")
        }
    }

    @Test func `messages are written`() throws {
        for vector in try vectors("build") {
            let message = try vector.value("message").message()
            let octets = try vector.value("expect").bytes("bytes")
            #expect(message.encoded == octets, "\(vector)")
            #expect(read(octets, inPiecesOf: 1, .init()) == [.message(message)], "\(vector)")
        }
    }

    @Test func `limits hold before memory is used`() {
        var limits = MessageReader.Limits()
        (limits.names, limits.octets) = (3, 100)
        let names = Bytes(utf8: "FilesToGet\na\n80\nHTTP\n1\n2\n3\n4\n\n")
        #expect(read(names, inPiecesOf: 1, limits) == [.fault(.limit)])
        let long = Bytes(utf8: "FilesToGet\na\n80\nHTTP\n" + String(repeating: "same\n", count: 100) + "\n")
        #expect(read(long, inPiecesOf: 3, limits) == [.fault(.tooLong)])
        #expect(read(Bytes(utf8: String(repeating: "\n", count: 9)), inPiecesOf: 1, limits) == [.fault(.syntax)])
    }
}
