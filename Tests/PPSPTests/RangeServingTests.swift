import PeerCore
import Testing

@testable import PPSP

/// Contents over HTTP, as any client gets them (PPSP section 9.7).
struct RangeServingTests {
    private static let server = SocketAddress(IPAddress(10, 0, 0, 1), 6780)
    private static let client = SocketAddress(IPAddress(10, 0, 0, 7), 4000)

    /// A core that has all of a content.
    private func sharing(
        _ source: Source, _ change: (inout PPSP.Configuration) -> Void = { _ in }
    ) throws -> (Stage, ConnectionID) {
        var stage = Stage {
            $0.httpAddress = Self.server
            change(&$0)
        }
        stage(.listening(PPSP.web, .ip(Self.server)))
        let connection = stage.fetch(source)
        stage.connect(connection)
        stage.answer(try stage.message(connection), source.methods(), on: connection)
        guard let transfer = stage.core.partners.values.first?.take?.id else { throw Stage.Silence() }
        var had = ChunkSet()
        for number in 0..<source.count {
            stage.say(source.data(number, to: had, isFirst: number == 0), by: transfer, on: connection)
            had.insert(number)
        }
        return (stage, connection)
    }

    private func get(
        _ stage: inout Stage, _ target: String, _ fields: [HTTPField] = [], _ method: HTTPMethod = .get,
        exchange: UInt64 = 1, from client: SocketAddress = Self.client
    ) -> HTTPResponse? {
        let request = HTTPRequest(method, Bytes(utf8: target), fields: fields)
        let effects = stage(.requested(ExchangeID(exchange), request, on: PPSP.web, from: client))
        return effects.lazy.compactMap { if case .respond(_, let response) = $0 { response } else { nil } }.first
    }

    private func range(_ first: Int, _ last: Int) -> [HTTPField] { [HTTPField("Range", "bytes=\(first)-\(last)")] }

    @Test func `a range of chunks comes with the peaks and the uncles that prove it`() throws {
        let source = Source(7162)
        var (stage, _) = try sharing(source)
        let answer = try #require(get(&stage, "/ppsp/\(source.id)", range(2048, 3071)))
        #expect(answer.status == 206 && answer.field("Content-Range") == "bytes 2048-3071/7162")
        guard case .file(_, offset: 2048, count: 1024, _) = answer.body else { throw Stage.Silence() }
        let field = try #require(answer.proof)
        let nodes = field.hashes.map { "\($0.node)" }
        #expect(nodes == ["0-3", "4-5", "6", "0-1", "3"])
        #expect(field.hashes.allSatisfy { source.tree.hash(of: $0.node) == $0.hash })
        #expect(field.chunkSize == 1024 && field.function == .sha256)
    }

    @Test func `what does not begin and end with a chunk comes without proof`() throws {
        let source = Source(7162)
        var (stage, _) = try sharing(source)
        for (first, last) in [(5, 2000), (0, 1000), (1, 1023)] {
            let answer = try #require(get(&stage, "/ppsp/\(source.id)", range(first, last)))
            #expect(answer.status == 206 && answer.field("Content-Merkle") == nil)
            #expect(answer.field("Content-Range") == "bytes \(first)-\(last)/7162")
        }
    }

    @Test func `a client without Range gets all, with the hashes that prove all`() throws {
        let source = Source(7162)
        var (stage, _) = try sharing(source)
        let answer = try #require(get(&stage, "/ppsp/\(source.id)"))
        #expect(answer.status == 200 && answer.field("Content-Range") == nil)
        let field = try #require(answer.proof)
        #expect(field.hashes.prefix(3).map { "\($0.node)" } == ["0-3", "4-5", "6"])
    }

    @Test(arguments: [
        ("/ppsp/" + String(repeating: "0", count: 64), 404), ("/ppsp/", 404), ("/", 404), ("/ppsp/../x", 404),
        ("/ppsp/%2e%2e/peernode.json", 404), ("/ppsp/" + String(repeating: "0", count: 63), 404),
    ])
    func `nothing but contents is served`(target: String, status: Int) throws {
        var (stage, _) = try sharing(Source(3000))
        #expect(get(&stage, target)?.status == status)
    }

    @Test func `other methods, ranges behind the end, and what the client has are refused`() throws {
        let source = Source(3000)
        var (stage, _) = try sharing(source)
        let target = "/ppsp/\(source.id)"
        #expect(get(&stage, target, [], .post)?.status == 405)
        let behind = try #require(get(&stage, target, range(3000, 4000)))
        #expect(behind.status == 416 && behind.field("Content-Range") == "bytes */3000")
        #expect(get(&stage, target, [HTTPField("If-None-Match", "\"\(source.id)\"")])?.status == 304)
        #expect(get(&stage, target, range(0, 9) + [HTTPField("If-Range", "\"x\"")])?.status == 200)
        #expect(get(&stage, target, range(0, 9), .head)?.status == 206)
    }

    @Test func `of a content that is still being fetched only chunks that are here are served`() throws {
        let source = Source(7162)
        var stage = Stage { $0.httpAddress = Self.server }
        stage(.listening(PPSP.web, .ip(Self.server)))
        let connection = stage.fetch(source)
        stage.connect(connection)
        let request = try stage.message(connection)
        stage.answer(request, source.methods(), on: connection)
        #expect(get(&stage, "/ppsp/\(source.id)", range(0, 1023))?.status == 404)
        stage.say(source.data(0, isFirst: true), by: request.transactionID, on: connection)
        let answer = try #require(get(&stage, "/ppsp/\(source.id)", range(0, 1023)))
        #expect(answer.status == 206 && answer.field("Content-Range") == "bytes 0-1023/*")
        #expect(answer.field("Content-Merkle") != nil)
        #expect(get(&stage, "/ppsp/\(source.id)", range(0, 2047))?.status == 404)
        #expect(get(&stage, "/ppsp/\(source.id)")?.status == 404)
    }

    @Test func `clients have the slots that others do not have`() throws {
        let source = Source(3000)
        var (stage, _) = try sharing(source) { $0.uploadSlots = 1 }
        func get(_ exchange: UInt64) -> Int? {
            let client = SocketAddress(IPAddress(10, 0, 1, UInt8(exchange)), 4000)
            return self.get(&stage, "/ppsp/\(source.id)", range(0, 1023), exchange: exchange, from: client)?.status
        }
        #expect([get(1), get(2), get(3)] == [206, 206, 503])
        stage(.requestClosed(ExchangeID(1), complete: true, octets: 1024))
        #expect(get(4) == 206)
        #expect(stage.core.counters.bytesSent == 1024)
    }

    @Test func `a closed swarm is served by HTTP only to who has proved itself, by a URL of its own`() throws {
        let source = Source(3000)
        let peer = Lab.peerID(1)
        var stage = Stage {
            $0.httpAddress = Self.server
            $0.allow = [peer]
        }
        stage(.listening(PPSP.web, .ip(Self.server)))
        let connection = stage.accept()
        var methods = Methods()
        methods.properties = Properties()
        methods.properties?.nonce = .zero
        methods.asksProperties = true
        let greeting = try stage.request(source.id, methods, on: connection)
        let nonce = try #require(greeting.methods.properties?.nonce)
        let certificate = Certificate(
            seed: Lab.key(1), verifier: Lab.peerID(0), nonce: nonce, swarmID: source.id)
        methods = Methods()
        methods.properties = Properties()
        methods.properties?.certificate = certificate.bytes
        methods.transport = .ask
        _ = try stage.request(source.id, methods, on: connection)
        let entry = try #require(stage.core.webEntry(on: connection)?.url)
        let target = String(entry.dropFirst("http://10.0.0.1:6780".count))
        // The content itself is not here: that it is not found means that the pass is good.
        #expect(get(&stage, "\(target)\(source.id)", from: Stage.peer)?.status == 404)
        #expect(get(&stage, "/ppsp/\(source.id)", from: Stage.peer)?.status == 401)
        #expect(get(&stage, "/ppsp/\(peer.hex)/\(source.id)", from: Stage.peer)?.status == 401)
        #expect(get(&stage, "\(target)\(source.id)", from: Self.client)?.status == 401)
        stage(.closed(connection, .closedByPeer, Traffic()))
        #expect(get(&stage, "\(target)\(source.id)", from: Stage.peer)?.status == 401)
    }
}

extension HTTPResponse {
    /// The value of the first field of that name.
    func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// What proves its octets.
    fileprivate var proof: MerkleField? {
        guard let text = field("Content-Merkle") else { return nil }
        return MerkleField(text)
    }
}
