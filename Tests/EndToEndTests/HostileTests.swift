import Foundation
import PeerCore
import TestSupport
import Testing

/// Octets of strangers at the listener cost a connection and never more (DDRP sections 8, 12 and 13).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct HostileTests {
    /// A TLS 1.2 record with the begin of a ClientHello.
    private static let tlsHello: [UInt8] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + Array(repeating: 0x5a, count: 64)

    @Test func `what is no envelope is refused as soon as its first octets are there`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        let honest = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--ping", "0.2")
        try await honest.waitFor("link_up")
        let inputs: [(String, [UInt8])] = [
            ("HTTP", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)), ("TLS", Self.tlsHello),
            ("zeros", Array(repeating: 0, count: 10_000)), ("one wrong octet", [0xcb]),
            ("length above the limit", [0xca, 0xfe, 0xca, 0xfe, 0, 0] + now() + [0xff, 0xff, 0xff, 0x7f]),
            ("endless length", [0xca, 0xfe, 0xca, 0xfe, 0, 0] + now() + Array(repeating: 0xff, count: 11)),
        ]
        for (name, octets) in inputs {
            let source = Loopback.next()
            let socket = try RawSocket.connection(from: source, to: home.host, port: NodeHome.port)
            let begin = Date()
            socket.send(octets)
            let refused = try await node.waitFor("handshake_refused") { $0["address"].hasPrefix(source + ":") }
            #expect(refused.has(["step": "hello", "reason": "malformed"]), "\(name): \(refused.text)")
            #expect(refused.time.timeIntervalSince(begin) < 1, "\(name)")
            try await eventually("end of \(name)") { socket.receive()?.isEmpty == true }
        }
        try await expectUntouched(honest, node)
    }

    @Test func `one octet a second does not get more than the 5 s of a handshake`() async throws {
        let home = try NodeHome()
        let node = try await home.startListening()
        let honest = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--ping", "0.2")
        try await honest.waitFor("link_up")
        let source = Loopback.next()
        let begin = Date()
        let socket = try RawSocket.connection(from: source, to: home.host, port: NodeHome.port)
        let hello: [UInt8] = [0xca, 0xfe, 0xca, 0xfe, 0, 0] + now()
        var sent = 0
        try await eventually("the end") {
            while sent < Int(-begin.timeIntervalSinceNow), sent < hello.count {
                socket.send([hello[sent]])
                sent += 1
            }
            return node.lines.contains { $0.event == "handshake_refused" }
        }
        let refused = try await node.waitFor("handshake_refused") { $0["address"].hasPrefix(source + ":") }
        #expect(refused.has(["step": "hello", "reason": "timeout"]), "\(refused.text)")
        let seconds = refused.time.timeIntervalSince(begin)
        #expect(seconds > 4.9 && seconds < 6, "\(seconds) s")
        #expect(sent >= 4)
        try await expectUntouched(honest, node)
    }

    @Test func `a thousand idle connections keep nobody out`() async throws {
        raiseDescriptorLimit()
        let home = try NodeHome(["limits": .record(["acceptsPerSecond": 500])])
        let node = try await home.startListening()
        let honest = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--ping", "0.2")
        try await honest.waitFor("link_up")
        let source = Loopback.next()
        var idle: [RawSocket] = []
        for _ in 0..<1000 {
            idle.append(try RawSocket.connection(from: source, to: home.host, port: NodeHome.port))
        }
        let begin = Date()
        let newcomer = try Python.peer("--dial", home.address, "--bind", Loopback.next(), "--ping", "0.2")
        try await newcomer.waitFor("link_up")
        #expect(-begin.timeIntervalSinceNow < 5)
        // Nobody was refused for the rate of accepting: the newcomer waited for its second.
        #expect(try await node.waitFor("limit_hit")["setting"] == "/limits/acceptsPerSecond")
        try await node.waitFor("handshake_refused") { $0["address"].hasPrefix(source + ":") }
        try await eventually("the end of all of them") { idle.allSatisfy { $0.receive() != nil } }
        try await expectUntouched(honest, node)
        try await expectUntouched(newcomer, node)
    }

    /// The seconds of the clock as an envelope has them.
    private func now() -> [UInt8] {
        let seconds = UInt32(Date().timeIntervalSince1970)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: seconds >> $0) }
    }

    private func expectUntouched(_ peer: ChildProcess, _ node: ChildProcess) async throws {
        let pings = peer.lines.of("ping").count
        try await peer.waitUntil("another ping") { $0.of("ping").count > pings }
        #expect(peer.lines.of("closed").isEmpty && node.lines.of("peer_down").isEmpty)
    }
}
