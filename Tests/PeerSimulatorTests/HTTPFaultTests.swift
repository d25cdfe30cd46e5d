internal import PeerCore
internal import PeerSimulator
import Testing
internal import TestSupport

/// Fetches over a network that breaks, and from nodes that die.
struct HTTPFaultTests {
    private let exchange = ExchangeID(1)
    private let request = RequestID(1)

    /// A asks B for a file of a million octets; a quarter of it is there when this returns.
    private func begin(seed: UInt64 = 1) throws -> Stage {
        var network = NetworkModel()
        network.bandwidth = 100_000
        let stage = Stage(seed: seed, network: network)
        stage.simulator.folder("files", of: stage.a)
        stage.simulator.folder("files", of: stage.b)["big"] = Bytes([UInt8](repeating: 7, count: 1_000_000))
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .http(HTTPLimits())))
        let copy = HTTPFetch.Sink.file(file("copy"), at: 0, limit: 1_000_000)
        stage.give(stage.a, .fetch(request, HTTPFetch(.get, of: Stage.door, text("/big"), into: copy)))
        try stage.simulator.run(for: .seconds(1))
        #expect(stage.heard(stage.b).count == 2)
        stage.give(stage.b, .respond(exchange, HTTPResponse(200, .file(file("big"), offset: 0, count: 1_000_000))))
        try stage.simulator.run(for: .seconds(3))
        return stage
    }

    private func results(_ inputs: [Input]) -> [Input] {
        inputs.filter { if case .fetching = $0 { false } else { true } }
    }

    private func file(_ name: String) -> FileName {
        guard let path = RelativePath(name) else { preconditionFailure(name) }
        return FileName(FolderID("files"), path)
    }

    @Test func `progress is told once a second, and the end`() throws {
        let stage = try begin()
        let heard = try stage.heard(stage.a, in: .seconds(10))
        #expect(heard.count { if case .fetching = $0 { true } else { false } } >= 3)
        #expect(results(heard) == [.fetched(request, .success(HTTPAnswer(200, fields: length, octets: 1_000_000)))])
        #expect(stage.simulator.folder("files", of: stage.a)["copy"]?.count == 1_000_000)
        #expect(stage.heard(stage.b) == [.requestClosed(exchange, complete: true, octets: 1_000_000)])
    }

    private let length = [HTTPField("Content-Length", "1000000")]

    @Test func `a short break of the network delays, a long one fails`() throws {
        let stage = try begin()
        stage.simulator.partition([[stage.a], [stage.b]])
        try stage.simulator.run(for: .seconds(20))
        stage.simulator.heal()
        #expect(results(try stage.heard(stage.a, in: .seconds(20))).count == 1)
        let second = try begin(seed: 2)
        second.simulator.partition([[second.a], [second.b]])
        #expect(results(try second.heard(second.a, in: .seconds(90))) == [.fetched(request, .failure(.stalled))])
        #expect((second.simulator.folder("files", of: second.a)["copy"]?.count ?? 0) > 100_000)
    }

    @Test func `a server that dies leaves a part, and a client that dies is told of`() throws {
        let stage = try begin()
        stage.simulator.kill(stage.b)
        let heard = results(try stage.heard(stage.a, in: .seconds(90)))
        #expect(heard == [.fetched(request, .failure(.short))])
        let second = try begin(seed: 2)
        second.simulator.kill(second.a)
        let told = try second.heard(second.b, in: .seconds(90))
        guard case .requestClosed(exchange, complete: false, let octets)? = told.last else {
            Issue.record("B heard \(told)")
            return
        }
        #expect(told.count == 1 && octets > 100_000 && octets < 1_000_000)
        second.restart(second.a)
        #expect(try second.heard(second.a, in: .seconds(10)).isEmpty)
    }

    @Test func `callers above the limits of a listener are sent away`() throws {
        let stage = Stage()
        var limits = HTTPLimits()
        limits.connectionsPerAddress = 1
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .http(limits)))
        let fetch = HTTPFetch(.get, of: Stage.door, text("/"), into: .bytes(limit: 1))
        stage.give(stage.a, .fetch(request, fetch), .fetch(RequestID(2), fetch))
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.fetched(RequestID(2), .failure(.connection(.reset)))])
        #expect(stage.heard(stage.b).count == 2)
    }
}
