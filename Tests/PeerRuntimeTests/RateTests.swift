import PeerCore
import TestSupport
import Testing
import UV

@testable import PeerRuntime

/// Limits of a second, kept on real sockets (settings of section `limits`).
@Suite(.oneAtOnce) struct RateTests {
    private static let listener = ListenerID("door")

    /// A host that listens and one that dials, in one runtime.
    private final class Pair {
        let loop = Loop()
        let runtime: Runtime
        let (callee, caller) = (Puppet.Strings(), Puppet.Strings())
        private let hosts: [PeerRuntime.Host]
        private let limit: UV.Timer

        init(_ limits: Limits.Values) throws {
            runtime = Runtime(loop: loop, log: Log(level: .error, descriptor: -1), rows: nil, limits: Limits(limits))
            hosts = [(callee, "callee"), (caller, "caller")].map { [runtime] in
                PeerRuntime.Host(Puppet($0.0), name: $0.1, runtime: runtime)
            }
            limit = UV.Timer(loop)
            for host in hosts { host.start() }
            give(0, [.listen(RateTests.listener, on: .ip(SocketAddress(.loopback, 0)), .stream)])
        }

        func give(_ index: Int, _ effects: [Effect]) {
            (index == 0 ? callee : caller).prepare(effects)
            _ = hosts[index].command(Puppet.pull) { _ in }
        }

        var callerHost: PeerRuntime.Host { hosts[1] }

        var door: SocketAddress {
            get throws {
                let addresses = callee.heard.compactMap { input -> SocketAddress? in
                    if case .listening(_, .ip(let address)) = input { address } else { nil }
                }
                return try #require(addresses.first)
            }
        }

        func dial(_ number: UInt64) throws {
            give(1, [.connect(ConnectionID(1000 + number), to: .address(try door), from: nil, timeout: .seconds(20))])
        }

        var received: Int {
            callee.heard.reduce(0) { if case .received(let bytes, _) = $1 { $0 + bytes.count } else { $0 } }
        }

        var accepted: Int { callee.heard.count { if case .accepted = $0 { true } else { false } } }

        var connected: Int { caller.heard.count { if case .connected = $0 { true } else { false } } }

        /// How long it takes until something holds.
        func time(until condition: () -> Bool) -> Duration {
            let start = loop.instant
            var isOver = false
            limit.start(at: start + .seconds(20)) { isOver = true }
            while !isOver, !condition() { loop.runOnce() }
            #expect(!isOver)
            return loop.instant - start
        }

        deinit {
            limit.close()
            for host in hosts { host.close() }
            runtime.close()
            loop.run()
            #expect(loop.close())
        }
    }

    private func transfer(_ limits: Limits.Values, ofCaller rate: Int = 0) throws -> Duration {
        let pair = try Pair(limits)
        pair.callerHost.uploads = Rate(rate)
        try pair.dial(1)
        _ = pair.time { pair.connected == 1 }
        let part = Bytes([UInt8](repeating: 7, count: 1000))
        pair.give(1, (0..<200).map { _ in .send(part, on: ConnectionID(1001)) })
        return pair.time { pair.received == 200_000 }
    }

    @Test func `octets keep to the rate of either way, and all arrive`() throws {
        var upload = Limits.Values()
        upload.uploadBytesPerSecond = 100_000
        #expect(try transfer(upload) >= .milliseconds(1700))
        #expect(try transfer(Limits.Values(), ofCaller: 100_000) >= .milliseconds(1700))
        // What one read takes above its slice is owed to the next ones.
        var download = Limits.Values()
        download.downloadBytesPerSecond = 100_000
        #expect(try transfer(download) >= .milliseconds(1000))
    }

    @Test func `dials above the rate wait for the next second, and none is lost`() throws {
        var limits = Limits.Values()
        limits.dialsPerSecond = 2
        let pair = try Pair(limits)
        for number in 1...5 as ClosedRange<UInt64> { try pair.dial(number) }
        _ = pair.time { pair.connected == 2 }
        #expect(pair.time { pair.connected == 5 } >= .milliseconds(900))
        #expect(pair.caller.heard.allSatisfy { if case .closed = $0 { false } else { true } })
    }

    @Test func `callers above the rate wait to be accepted, and none is refused`() throws {
        var limits = Limits.Values()
        limits.acceptsPerSecond = 2
        let pair = try Pair(limits)
        for number in 1...5 as ClosedRange<UInt64> { try pair.dial(number) }
        _ = pair.time { pair.connected == 5 }
        #expect(pair.accepted <= 2)
        #expect(pair.time { pair.accepted == 5 } >= .milliseconds(900))
        #expect(pair.caller.heard.allSatisfy { if case .closed = $0 { false } else { true } })
    }
}
