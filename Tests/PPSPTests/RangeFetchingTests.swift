import PeerCore
import Testing

@testable import PPSP

/// Contents that come over HTTP (PPSP section 9.7).
struct RangeFetchingTests {
    private static let url = "http://10.0.0.2:6780/ppsp/"

    /// A core that knows of a peer with an HTTP server, which has all of a content.
    private func meeting(
        _ source: Source, url: String = Self.url, ordered: Bool = false,
        _ change: (inout PPSP.Configuration) -> Void = { _ in }
    ) throws -> (Stage, ConnectionID) {
        var stage = Stage {
            $0.httpAddress = SocketAddress(IPAddress(10, 0, 0, 1), 6780)
            change(&$0)
        }
        stage(.listening(PPSP.web, .ip(SocketAddress(IPAddress(10, 0, 0, 1), 6780))))
        let connection = stage.fetch(source, ordered: ordered)
        stage.connect(connection)
        var entry = source.entry(TransportID.http)
        entry.url = url
        stage.answer(try stage.message(connection), source.methods([entry]), on: connection)
        return (stage, connection)
    }

    /// What a server says to a request that waits: the first one, or another.
    private func answer(
        _ stage: inout Stage, _ source: Source, at index: Int = 0, hashes: Hashes = .all,
        _ change: (inout [UInt8]) -> Void = { _ in }
    ) throws -> [Effect] {
        let (id, fetch) = stage.fetches.remove(at: index)
        let field = fetch.fields.first { $0.name == "Range" }?.value
        guard case .octets(let range) = HTTPRange(field, size: UInt64(source.octets.count)) else {
            throw Stage.Silence()
        }
        let size = UInt64(source.chunkBytes)
        var body = source.octets.slice(Int(range.lowerBound)..<Int(range.upperBound)).array
        change(&body)
        let chunks = ChunkRange(range.lowerBound / size, (range.upperBound - 1) / size)
        var fields = [
            HTTPField("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(source.octets.count)")
        ]
        if let told = hashes.field(source, chunks) { fields.append(HTTPField("Content-Merkle", told)) }
        let answer = HTTPAnswer(206, fields: fields, body: Bytes(body), octets: UInt64(body.count))
        return stage(.fetched(id, .success(answer)))
    }

    /// Which hashes an answer has.
    enum Hashes: CaseIterable {
        /// As section 9.3 sends them chunk by chunk.
        case all
        /// Only those that the chunks themselves do not tell.
        case few
        case none

        func field(_ source: Source, _ chunks: ChunkRange) -> String? {
            guard let all = MerkleField(source.tree, chunkSize: UInt32(source.chunkBytes), chunks) else { return nil }
            switch self {
            case .all: return all.text
            case .few:
                let parts = all.hashes.filter { node in
                    source.tree.peaks.contains(node.node) || !chunks.contains(node.node.range)
                }
                let listed = parts.map { "\($0.node.first)-\($0.node.last)=\($0.hash.hex)" }
                return "2; \(source.chunkBytes); " + listed.joined(separator: ", ")
            case .none: return nil
            }
        }
    }

    @Test(arguments: [Hashes.all, .few])
    func `ranges are asked for, one chunk first, and every chunk is proved`(hashes: Hashes) throws {
        let source = Source(150_000)
        var (stage, connection) = try meeting(source)
        #expect(stage.fetches.map { $0.fetch.fields } == [[HTTPField("Range", "bytes=0-1023")]])
        #expect(stage.fetches[0].fetch.server == SocketAddress(IPAddress(10, 0, 0, 2), 6780))
        #expect(stage.fetches[0].fetch.target.text == "/ppsp/\(source.id)")
        var most = 0
        while !stage.fetches.isEmpty {
            most = max(most, stage.fetches.count)
            // Not in the order in which they were asked for.
            _ = try answer(&stage, source, at: stage.fetches.count - 1, hashes: hashes)
        }
        #expect((2...4).contains(most))
        #expect(stage.core.swarms[1]?.phase == .complete)
        #expect(stage.files.values.contains(source.octets.array))
        #expect(stage.core.counters.bytesReceived == 150_000 && stage.core.counters.bytesTwice == 0)
        #expect(stage.chunkMessages(connection).isEmpty)
    }

    @Test func `a range with a false chunk counts as one lie, and two lies ban the peer`() throws {
        let source = Source(50_000)
        var (stage, connection) = try meeting(source)
        _ = try answer(&stage, source)
        func lie(_ stage: inout Stage) throws -> [Effect] {
            try answer(&stage, source) { $0[$0.count - 1] ^= 1 }
        }
        let first = try lie(&stage)
        #expect(first.events("chunk_refused").count == 1 && first.abort(of: connection) == nil)
        let second = try lie(&stage)
        #expect(second.events("peer_banned").count == 1 && second.abort(of: connection) == .banned)
    }

    @Test func `a range without sufficient hashes is dropped, and its chunks are asked for over TCP`() throws {
        let source = Source(5000)
        var (stage, connection) = try meeting(source)
        let effects = try answer(&stage, source, hashes: .none)
        #expect(effects.events("http_left").count == 1 && stage.core.conduct.isEmpty)
        stage.wait(.milliseconds(1))
        let request = try stage.message(connection)
        guard case .list(let entries) = request.methods.transport else { throw Stage.Silence() }
        #expect(entries.map(\.id) == [TransportID.tcp])
        stage.answer(request, source.methods(), on: connection)
        #expect(stage.chunkMessages(connection).contains { if case .request = $0 { true } else { false } })
        #expect(stage.fetches.isEmpty)
    }

    @Test(
        arguments: [
            .success(HTTPAnswer(200, fields: [], body: Lab.octets(1024))), .success(HTTPAnswer(404, fields: [])),
            .failure(.stalled), .failure(.tooLarge), .failure(.malformed),
        ] as [Result<HTTPAnswer, HTTPFailure>])
    func `a server that does not give ranges is left at once`(result: Result<HTTPAnswer, HTTPFailure>) throws {
        let source = Source(5000)
        var (stage, connection) = try meeting(source)
        let id = stage.fetches.removeFirst().id
        #expect(stage(.fetched(id, result)).events("http_left").count == 1)
        stage.wait(.milliseconds(1))
        #expect(try stage.message(connection).kind == .request)
        #expect(stage.fetches.isEmpty && stage.core.swarms[1]?.pendingOctets == 0)
    }

    @Test func `a connection that breaks is tried once more, and a full server later`() throws {
        let source = Source(5000)
        var (stage, _) = try meeting(source)
        stage(.fetched(stage.fetches.removeFirst().id, .failure(.short)))
        #expect(stage.fetches.isEmpty)
        stage.wait(.seconds(1))
        let full = HTTPAnswer(503, fields: [HTTPField("Retry-After", "7")])
        stage(.fetched(stage.fetches.removeFirst().id, .success(full)))
        stage.wait(.milliseconds(6900))
        #expect(stage.fetches.isEmpty)
        stage.wait(.milliseconds(200))
        let effects = stage(.fetched(stage.fetches.removeFirst().id, .failure(.short)))
        #expect(effects.events("http_left").count == 1)
    }

    @Test(arguments: [
        "http://10.0.0.3:6780/ppsp/", "http://localhost/", "https://10.0.0.2/", "ftp://10.0.0.2/", "",
        "http://10.0.0.2", "http://10.0.0.2/a b",
    ])
    func `nobody makes us call others by a URL`(url: String) throws {
        var (stage, connection) = try meeting(Source(5000), url: url)
        #expect(stage.fetches.isEmpty)
        stage.wait(.milliseconds(1))
        let request = try stage.message(connection)
        guard case .list(let entries) = request.methods.transport else { throw Stage.Silence() }
        #expect(entries.map(\.id) == [TransportID.tcp])
    }

    @Test func `ranges of a peer that is gone, or too slow, are given up`() throws {
        let source = Source(50_000)
        var (stage, connection) = try meeting(source)
        _ = try answer(&stage, source)
        let waiting = Set(stage.fetches.map(\.id))
        #expect(!waiting.isEmpty)
        let late = stage.wait(.seconds(31))
        let cancelled = late.compactMap { if case .cancelFetch(let id) = $0 { id } else { nil } }
        #expect(Set(cancelled) == waiting && late.events("chunks_late").count == 1)
        stage.wait(.seconds(31))
        let others = Set(stage.fetches.map(\.id))
        #expect(!others.isEmpty)
        stage(.closed(connection, .closedByPeer, Traffic()))
        #expect(stage.fetches.isEmpty && stage.core.swarms[1]?.pendingOctets == 0)
    }

    @Test func `what comes before a false chunk holds`() throws {
        let source = Source(50_000)
        var (stage, _) = try meeting(source, ordered: true)
        // While nothing is proved, one chunk is asked for at a time.
        for _ in 0..<2 { _ = try answer(&stage, source) }
        _ = try answer(&stage, source) { for index in [3000, 5000] { $0[index] ^= 1 } }
        #expect(stage.core.swarms[1]?.have.count == 4 && stage.core.counters.chunksRefused == 1)
    }

    @Test func `a chunk that came from elsewhere still helps to prove its range`() throws {
        let source = Source(5120)
        var (stage, connection) = try meeting(source, ordered: true)
        for _ in 0..<2 { _ = try answer(&stage, source) }
        #expect(stage.fetches.map { $0.fetch.fields } == [[HTTPField("Range", "bytes=2048-5119")]])
        // Another one pushes a chunk of it.
        let other = stage.accept(from: SocketAddress(IPAddress(10, 0, 0, 3), 4000))
        let offer = Message(
            .advertise, transactionID: 77, peerID: Lab.peerID(2), swarmID: source.id, methods: source.methods())
        stage.say(offer, on: other)
        stage.say(source.data(3, isFirst: true), by: 77, on: other)
        #expect(stage.core.swarms[1]?.have.count == 3)
        _ = try answer(&stage, source, hashes: .few)
        #expect(stage.core.swarms[1]?.phase == .complete && stage.core.counters.bytesTwice == 1024)
        #expect(stage.core.swarms[1]?.pendingOctets == 0)
        #expect(stage.chunkMessages(connection).isEmpty)
    }

    @Test func `who has no address for HTTP does not offer it`() throws {
        var stage = Stage()
        let source = Source(5000)
        let connection = stage.accept()
        let swarm = stage.fetch(source)
        stage.connect(swarm)
        stage.answer(try stage.message(swarm), source.methods(), on: swarm)
        var methods = Methods()
        methods.transport = .list([source.entry(TransportID.http), source.entry(TransportID.tcp)])
        let answer = try stage.request(source.id, methods, by: 2, on: connection)
        guard case .list(let entries) = answer.methods.transport else { throw Stage.Silence() }
        #expect(entries.map(\.id) == [TransportID.tcp])
    }
}
