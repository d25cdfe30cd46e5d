import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import TestSupport
import Testing
import UV

/// What a fetch does on the wire, judged with a server that says what a test tells it.
@Suite(.oneAtOnce) struct HTTPClientTests {
    /// A server that answers each request with the same octets.
    final class Script {
        private(set) var requests: [String] = []
        private(set) var connections = 0
        private(set) var most = 0
        private(set) var address = SocketAddress.none
        private let listener: TCP
        private var open: [ObjectIdentifier: TCP] = [:]

        /// `ends`: the connection is closed behind the answer; `resets`: with a reset.
        init(
            _ stage: HTTPStage, _ answer: String, ends: Bool = false, resets: Bool = false,
            at ip: IPAddress = .loopback,
            waits: Bool = false
        ) throws {
            listener = try TCP(stage.loop)
            try listener.bind(SocketAddress(ip, 0))
            try listener.listen(backlog: 128) { [unowned self] _ in
                guard let client = try? listener.accept() else { return }
                connections += 1
                open[ObjectIdentifier(client)] = client
                most = max(most, open.count)
                var head = ""
                client.startReading { [unowned self, unowned client] event in
                    guard case .received(let bytes) = event else {
                        client.close()
                        return open[ObjectIdentifier(client)] = nil
                    }
                    head += String(decoding: bytes, as: UTF8.self)
                    while let end = head.range(of: "\r\n\r\n") {
                        requests.append(String(head[..<end.upperBound]))
                        head = String(head[end.upperBound...])
                        if !answer.isEmpty { _ = try? client.write([Bytes(utf8: answer)]) }
                        if ends { client.shutdown() }
                        if resets { client.reset() }
                    }
                }
            }
            address = try #require(listener.localAddress)
        }

        func close() {
            listener.close()
            for client in open.values { client.close() }
            open = [:]
        }

        deinit { close() }
    }

    private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One:  1 \r\n\r\nhello"

    private func get(_ script: Script, _ sink: HTTPFetch.Sink = .bytes(limit: 100), _ digest: DigestAlgorithm? = nil)
        -> HTTPFetch
    {
        HTTPFetch(.get, of: script.address, Bytes(utf8: "/a%2Fb?c"), into: sink, digest: digest)
    }

    @Test func `a fetch asks as it was told to, keeps its connection, and gives what came`() throws {
        let stage = try HTTPStage()
        let script = try Script(stage, ok)
        for _ in 0..<3 {
            let answer = try #require(try stage.fetch(get(script, .bytes(limit: 5), .sha256))?.get())
            #expect(answer.status == 200 && answer.body.text == "hello" && answer.octets == 5)
            #expect(answer.field("x-one") == "1")
            #expect(answer.digest == digest(Bytes(utf8: "hello"), .sha256))
        }
        #expect(script.connections == 1 && script.requests.count == 3)
        let lines = script.requests[0].components(separatedBy: "\r\n")
        #expect(lines[0] == "GET /a%2Fb?c HTTP/1.1")
        #expect(Set(lines) == ["GET /a%2Fb?c HTTP/1.1", "Host: \(script.address)", "Accept-Encoding: identity", ""])
        let post = HTTPFetch(
            .post, of: script.address, Bytes(utf8: "/"), fields: [HTTPField("X-Empty", ""), HTTPField("X-Two", "2")],
            body: Bytes(utf8: "body"), into: .bytes(limit: 5))
        _ = try stage.fetch(post)
        #expect(script.requests[3].contains("\r\nContent-Length: 4\r\n"))
        #expect(script.requests[3].contains("\r\nX-Empty:\r\nX-Two: 2\r\n"))
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello", true, HTTPFailure.short),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, .short),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", false, .malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\nhello", false, .tooLarge),
        ("HTTP/1.0 200 OK\r\n\r\n" + String(repeating: "a", count: 101), true, .tooLarge),
        ("HTTP/1.1 206 OK\r\nContent-Length: 5\r\n\r\nhello", false, .malformed),
        ("SSH-2.0-x\r\n\r\n", true, .malformed), ("", true, .connection(.closedByPeer)),
        ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 70_000) + "\r\n\r\n", false, .malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", true, .malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", true, .malformed),
    ])
    func `an answer that is not to be trusted is a failure`(_ text: String, _ ends: Bool, _ failure: HTTPFailure) throws
    {
        let stage = try HTTPStage()
        let script = try Script(stage, text, ends: ends)
        #expect(try stage.fetch(get(script)) == .failure(failure))
    }

    @Test func `what is no success is told with the begin of its content, and never followed`() throws {
        let stage = try HTTPStage()
        let other = try Script(stage, ok)
        let script = try Script(
            stage, "HTTP/1.1 302 Found\r\nLocation: http://\(other.address)/\r\nContent-Length: 5\r\n\r\nthere")
        let answer = try #require(try stage.fetch(get(script, .file(stage.file("x"), at: 0, limit: 1)))?.get())
        #expect(answer.status == 302 && answer.body.text == "there")
        #expect(other.connections == 0 && stage.octets("x") == nil)
    }

    @Test func `answers of old servers and in chunks are taken to their end`() throws {
        let stage = try HTTPStage()
        let old = try Script(stage, "HTTP/1.0 200 OK\r\n\r\nhello", ends: true)
        #expect(try stage.fetch(get(old))?.get().body.text == "hello")
        let chunked = try Script(
            stage, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Late: 1\r\n\r\n")
        let answer = try #require(try stage.fetch(get(chunked))?.get())
        #expect(answer.body.text == "hello" && answer.field("x-late") == nil)
        let head = HTTPFetch(.head, of: old.address, Bytes(utf8: "/"), into: .bytes(limit: 0))
        #expect(try stage.fetch(head)?.get().status == 200)
    }

    @Test func `a file is made, continued where it ends, or begun anew`() throws {
        let stage = try HTTPStage()
        let whole = try Script(stage, ok)
        let file = HTTPFetch.Sink.file(stage.file("new/a"), at: 0, limit: 5)
        #expect(try stage.fetch(get(whole, file, .sha1))?.get().digest == digest(Bytes(utf8: "hello"), .sha1))
        #expect(stage.octets("new/a") == Array("hello".utf8))
        let part = try Script(stage, "HTTP/1.1 206 OK\r\nContent-Range: bytes 3-7/8\r\nContent-Length: 5\r\n\r\nworld")
        let rest = HTTPFetch.Sink.file(stage.file("new/a"), at: 3, limit: 8)
        #expect(try stage.fetch(get(part, rest, .sha1))?.get().digest == digest(Bytes(utf8: "helworld"), .sha1))
        #expect(stage.octets("new/a") == Array("helworld".utf8))
        #expect(try stage.fetch(get(whole, rest))?.get().status == 200)
        #expect(stage.octets("new/a") == Array("hello".utf8))
        let elsewhere = HTTPFetch.Sink.file(stage.file("new/a"), at: 4, limit: 8)
        #expect(try stage.fetch(get(part, elsewhere)) == .failure(.malformed))
        let tight = HTTPFetch.Sink.file(stage.file("new/a"), at: 3, limit: 7)
        #expect(try stage.fetch(get(part, tight)) == .failure(.tooLarge))
        #expect(stage.octets("new/a") == Array("hello".utf8))
        let missing = HTTPFetch.Sink.file(stage.file("none"), at: 3, limit: 8)
        #expect(try stage.fetch(get(part, missing)) == .failure(.file(.endOfFile)))
        let short = try Script(stage, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ends: true)
        #expect(try stage.fetch(get(short, .file(stage.file("b"), at: 0, limit: 9))) == .failure(.short))
        #expect(stage.octets("b") == Array("hello".utf8))
    }

    @Test func `content that is only digested goes nowhere`() throws {
        let stage = try HTTPStage()
        let script = try Script(stage, ok)
        let answer = try #require(try stage.fetch(get(script, .digest(limit: 5), .sha256))?.get())
        #expect(answer.body.isEmpty && answer.octets == 5)
        #expect(answer.digest == digest(Bytes(utf8: "hello"), .sha256))
    }

    @Test func `nobody there, a reset, silence, and giving up`() throws {
        let stage = try HTTPStage()
        let gone = try Script(stage, ok)
        gone.close()
        #expect(try stage.fetch(get(gone)) == .failure(.connection(.refused)))
        let rude = try Script(stage, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", resets: true)
        #expect(try stage.fetch(get(rude)) == .failure(.connection(.reset)))
        let mute = try Script(stage, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        var fetch = get(mute)
        fetch.stallTime = .seconds(1)
        #expect(try stage.fetch(fetch) == .failure(.stalled))
        #expect(stage.core.heard.contains(.fetching(RequestID(1003), octets: 5)))
        stage.give(.fetch(RequestID(1), get(mute)), .fetch(RequestID(2), get(mute)), .cancelFetch(RequestID(1)))
        try stage.run { stage.core.results.count == 4 }
        #expect(stage.core.heard.last == .fetched(RequestID(1), .failure(.cancelled)))
        stage.give(.ban(IPPrefix(.loopback, length: 32), until: WallClock(milliseconds: .max), reason: ""))
        #expect(try stage.fetch(get(mute)) == .failure(.connection(.banned)))
    }

    @Test func `a fetch comes from the address that it is told, and writes only what can be written`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        var fetch = HTTPFetch(.get, of: address, Bytes(utf8: "/"), into: .bytes(limit: 0))
        fetch.from = IPAddress(127, 0, 0, 7)
        _ = try stage.fetch(fetch)
        let sources = stage.core.heard.compactMap {
            if case .requested(_, _, _, let from) = $0 { from.ip } else { nil }
        }
        #expect(sources == [IPAddress(127, 0, 0, 7)])
        for target in ["a", "/a b", "/a\r\nX: y"] {
            let fetch = HTTPFetch(.get, of: address, Bytes(utf8: target), into: .bytes(limit: 0))
            #expect(try stage.fetch(fetch) == .failure(.malformed))
        }
        let split = HTTPFetch(
            .get, of: address, Bytes(utf8: "/"), fields: [HTTPField("X", "a\r\nY: b")], into: .bytes(limit: 0))
        #expect(try stage.fetch(split) == .failure(.malformed))
    }

    @Test func `many fetches share sixteen connections`() throws {
        let stage = try HTTPStage()
        let script = try Script(stage, ok)
        for number in 0..<200 as Range<UInt64> {
            stage.give(.fetch(RequestID(number), get(script, .file(stage.file("\(number)"), at: 0, limit: 5), .sha256)))
        }
        try stage.run { stage.core.results.count == 200 }
        #expect(stage.core.results.allSatisfy { (try? $0.get().digest) == digest(Bytes(utf8: "hello"), .sha256) })
        #expect(script.connections == 16)
        #expect((0..<200).allSatisfy { stage.octets("\($0)") == Array("hello".utf8) })
    }

    @Test(arguments: [(10_000_000, 0), (0, 10_000_000)])
    func `a large file goes from one host's listener to a file, hashed, at the rate that the node has`(
        _ download: Int, _ upload: Int
    ) throws {
        var limits = Limits.Values()
        (limits.downloadBytesPerSecond, limits.uploadBytesPerSecond) = (download, upload)
        let stage = try HTTPStage(limits)
        let octets = (0..<12_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        try stage.write("big", octets)
        let address = try stage.listen()
        stage.core.answer = { _ in HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 12_000_000)) }
        let start = stage.loop.instant
        let answer = try #require(
            try stage.fetch(
                HTTPFetch(
                    .get, of: address, Bytes(utf8: "/"), into: .file(stage.file("copy"), at: 0, limit: 12_000_000),
                    digest: .sha256))?.get())
        #expect(stage.loop.instant - start > .milliseconds(900))
        #expect(answer.octets == 12_000_000 && answer.digest == digest(Bytes(octets), .sha256))
        #expect(stage.octets("copy") == octets)
        let told = stage.core.heard.compactMap { if case .fetching(_, let octets) = $0 { octets } else { nil } }
        #expect(told.count <= 3 && told == told.sorted())
    }

    @Test func `a host that closes leaves no fetch behind`() throws {
        let stage = try HTTPStage()
        let script = try Script(stage, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        for number in 0..<20 as Range<UInt64> {
            stage.give(.fetch(RequestID(number), get(script, .file(stage.file("\(number)"), at: 0, limit: 9))))
        }
        try stage.run { script.requests.count == 16 }
        stage.host.close()
        #expect(stage.core.results.isEmpty)
    }
}
