import PeerCore
import Testing
import UV

@Suite struct UVTests {
    /// Runs a loop for at most ten seconds, and expects that no handle is left over.
    private func run(_ body: (Loop) throws -> Void) rethrows {
        let loop = Loop()
        let limit = Timer(loop)
        limit.unreference()
        limit.start(at: loop.instant + .seconds(10)) {
            Issue.record("the loop did not end by itself")
            loop.stop()
        }
        try body(loop)
        loop.run()
        limit.close()
        loop.run()
        #expect(loop.handleCount == 0)
        #expect(loop.close())
    }

    private let anyPort = SocketAddress(.loopback, 0)

    @Test func `octets go there and back over TCP, and both sides hear the end`() throws {
        try run { loop in
            let server = try TCP(loop)
            try server.bind(anyPort)
            try server.listen(backlog: 8) { error in
                #expect(error == nil)
                guard let client = try? server.accept() else { return }
                server.close()
                client.startReading { event in
                    switch event {
                    case .received(let bytes): _ = try? client.write([bytes])
                    case .ended, .failed: client.close()
                    }
                }
            }
            let client = try TCP(loop)
            var received: [UInt8] = []
            try client.connect(to: server.localAddress!) { error in
                #expect(error == nil)
                #expect((try? client.write([Bytes(utf8: "hel"), Bytes(), Bytes(utf8: "xlox").slice(1..<3)])) == 5)
                client.startReading { event in
                    switch event {
                    case .received(let bytes):
                        received += bytes
                        if received.count == 5 { client.shutdown() }
                    case .ended, .failed:
                        #expect(received == Array("hello".utf8.dropLast(2)) + Array("lo".utf8))
                        client.close()
                    }
                }
            }
        }
    }

    @Test func `a writer that outruns the reader is told when there is room`() throws {
        let total = 8 << 20
        try run { loop in
            let server = try TCP(loop)
            try server.bind(anyPort)
            var received = 0
            try server.listen(backlog: 8) { _ in
                guard let client = try? server.accept() else { return }
                server.close()
                client.startReading { event in
                    guard case .received(let bytes) = event else { return client.close() }
                    received += bytes.count
                }
            }
            let client = try TCP(loop)
            let chunk = Bytes([UInt8](repeating: 7, count: 256 << 10))
            var left = total
            var waits = 0
            func pump() {
                while left > 0 {
                    let written = (try? client.write([chunk.slice(0..<min(left, chunk.count))])) ?? 0
                    left -= written
                    if written == 0 {
                        waits += 1
                        try? client.whenWritable { pump() }
                        return
                    }
                }
                client.shutdown()
                client.startReading { _ in client.close() }
            }
            try client.connect(to: server.localAddress!) { _ in pump() }
            loop.run()
            #expect(received == total)
            #expect(waits > 0)
        }
    }

    @Test func `a congestion control chosen before a socket listens or dials is that of its connections`() throws {
        try run { loop in
            // The one that every Linux has.
            let server = try TCP(loop, for: .loopback)
            #expect(congestionControl(of: server.descriptor) != nil)
            #expect(setCongestionControl("reno", of: server.descriptor))
            #expect(!setCongestionControl("no such thing", of: server.descriptor))
            try server.bind(anyPort)
            try server.listen(backlog: 8) { _ in
                guard let client = try? server.accept() else { return }
                server.close()
                #expect(congestionControl(of: client.descriptor) == "reno")
                client.close()
            }
            let client = try TCP(loop, for: .loopback)
            #expect(setCongestionControl("reno", of: client.descriptor))
            try client.connect(to: server.localAddress!) { error in
                #expect(error == nil && congestionControl(of: client.descriptor) == "reno")
                client.close()
            }
        }
    }

    @Test func `much that has come is read whole, and nothing is lost where it is cut`() throws {
        let octets = Bytes((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 >> 8 ^ $0) })
        var (received, largest) = ([UInt8](), 0)
        try run { loop in
            let server = try TCP(loop)
            try server.bind(anyPort)
            var sent = 0
            try server.listen(backlog: 8) { _ in
                guard let client = try? server.accept() else { return }
                server.close()
                func pump() {
                    while sent < octets.count {
                        let part = octets.slice(sent..<min(octets.count, sent + 100_001))
                        guard let count = try? client.write([part], isMoreComing: sent < 1_000_000), count > 0 else {
                            try? client.whenWritable { pump() }
                            return
                        }
                        sent += count
                    }
                    client.shutdown()
                    client.startReading { _ in client.close() }
                }
                pump()
            }
            let client = try TCP(loop)
            try client.connect(to: server.localAddress!) { _ in
                client.startReading { event in
                    guard case .received(let bytes) = event else { return client.close() }
                    received += bytes
                    largest = max(largest, bytes.count)
                }
            }
        }
        #expect(received == octets.array && largest > 65_536)
    }

    @Test func `a reset is told from an end`() throws {
        try run { loop in
            let server = try TCP(loop)
            try server.bind(anyPort)
            try server.listen(backlog: 8) { _ in
                guard let client = try? server.accept() else { return }
                server.close()
                client.startReading { _ in client.reset() }
            }
            let client = try TCP(loop)
            var reason: CloseReason?
            try client.connect(to: server.localAddress!) { _ in
                _ = try? client.write([[1]])
                client.startReading { event in
                    if case .failed(let error) = event { reason = error.closeReason }
                    client.close()
                }
            }
            loop.run()
            #expect(reason == .reset)
        }
    }

    @Test func `a dial where nobody listens is refused`() throws {
        try run { loop in
            let closed = try TCP(loop)
            try closed.bind(anyPort)
            let address = closed.localAddress!
            closed.close()
            let client = try TCP(loop)
            try client.connect(to: address) { error in
                #expect(error?.closeReason == .refused)
                client.close()
            }
        }
    }

    @Test func `an address in use is said so`() throws {
        try run { loop in
            let first = try TCP(loop)
            try first.bind(anyPort)
            try first.listen(backlog: 1) { _ in }
            let second = try TCP(loop)
            do throws(UVError) {
                try second.bind(first.localAddress!)
                try second.listen(backlog: 1) { _ in }
                Issue.record("two listeners on one address")
            } catch {
                #expect(error.systemError == .addressInUse)
            }
            first.close()
            second.close()
        }
    }

    @Test func `datagrams keep their limits and tell their source`() throws {
        try run { loop in
            let a = try UDP(loop, bind: anyPort)
            let b = try UDP(loop, bind: SocketAddress(IPAddress(127, 0, 0, 9), 0))
            var received: [Bytes] = []
            b.startReceiving(
                { bytes, source in
                    #expect(source == a.localAddress)
                    received.append(bytes)
                    if received.count == 3 {
                        a.close()
                        b.close()
                    }
                }, onError: { Issue.record("\($0)") })
            for bytes: Bytes in [[1, 2, 3], [], [4]] { a.send(bytes, to: b.localAddress!) }
            loop.run()
            #expect(received == [[1, 2, 3], [], [4]])
        }
    }

    @Test func `timers fire in order and never early`() throws {
        run { loop in
            let start = loop.instant
            var fired: [Int] = []
            let timers = [30, 10, 20].map { milliseconds in
                let timer = Timer(loop)
                timer.start(at: start + .milliseconds(milliseconds)) {
                    #expect(loop.instant >= start + .milliseconds(milliseconds))
                    fired.append(milliseconds)
                    timer.close()
                }
                return timer
            }
            loop.run()
            withExtendedLifetime(timers) { #expect(fired == [10, 20, 30]) }
        }
    }

    @Test func `work runs elsewhere and ends on the loop`() throws {
        run { loop in
            var sum = 0
            for number in 1...20 { loop.work({ number * number }) { sum += $0 } }
            loop.run()
            #expect(sum == 2870)
        }
    }

    @Test func `a numeric name resolves to itself, and nonsense to nothing`() throws {
        run { loop in
            loop.resolve("127.0.0.1") { #expect($0 == [.loopback]) }
            loop.resolve("no such name.invalid") { #expect($0.isEmpty) }
        }
    }

    @Test func `a path that is too long for a Unix socket is refused`() throws {
        run { loop in
            let pipe = try? Pipe(loop)
            #expect(throws: UVError.self) { try pipe?.bind(path: "/" + String(repeating: "x", count: 108)) }
            pipe?.close()
        }
    }

    @Test func `handles that were never used leave nothing behind`() throws {
        try run { loop in
            for _ in 0..<100 {
                let tcp = try TCP(loop)
                tcp.close()
                tcp.close()
                Timer(loop).close()
            }
        }
    }

    @Test func `random octets of the system differ`() {
        #expect(systemRandom() != systemRandom())
    }
}
