import Foundation
import PeerCore
import PeerRuntime
import TestSupport
import Testing
import UV

/// What a listener for HTTP does on the wire, judged with raw sockets.
@Suite(.oneAtOnce) struct HTTPServerTests {
    private let get = "GET /a%2Fb?c=%41 HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n\r\n"

    @Test func `a request reaches the core as it was sent, and the answer goes back`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        stage.core.answer = { _ in HTTPResponse(203, fields: [HTTPField("X-Two", "2")], .bytes(Bytes(utf8: "hello"))) }
        let peer = try RawPeer(stage, address)
        peer.send(get)
        try stage.run { peer.text.hasSuffix("hello") && stage.core.ends.count == 1 }
        let request = try #require(stage.core.requests.first)
        #expect(request.method == .get && request.target.text == "/a%2Fb?c=%41" && request.body.isEmpty)
        #expect(request.fields == [HTTPField("Host", "x"), HTTPField("X-One", "1")])
        #expect(peer.statuses == [203])
        #expect(peer.text.contains("\r\nX-Two: 2\r\n") && peer.text.contains("\r\nContent-Length: 5\r\n"))
        #expect(peer.text.contains("\r\nDate: "))
        #expect(stage.core.ends == [.requestClosed(ExchangeID(1), complete: true, octets: 5)])
        #expect(!peer.hasEnded)
    }

    @Test func `requests in a row are answered in a row, also octet by octet`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        stage.core.answer = { HTTPResponse(200, .bytes($0.target)) }
        let peer = try RawPeer(stage, address)
        peer.send((1...50).map { "GET /\($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
        try stage.run { stage.core.ends.count == 50 }
        try stage.run { peer.text.hasSuffix("/50") }
        #expect(peer.statuses == Array(repeating: 200, count: 50))
        #expect(stage.core.requests.map { $0.target.text } == (1...50).map { "/\($0)" })
        for character in get {
            peer.send(String(character))
            stage.loop.runOnce()
        }
        try stage.run { stage.core.ends.count == 51 }
    }

    @Test func `HEAD, HTTP 1.0, and a wish to close`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        stage.core.answer = { _ in HTTPResponse(200, .bytes(Bytes(utf8: "hello"))) }
        let head = try RawPeer(stage, address)
        head.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        try stage.run { head.hasEnded }
        #expect(head.statuses == [200, 200] && head.text.components(separatedBy: "hello").count == 2)
        #expect(stage.core.ends.first == .requestClosed(ExchangeID(1), complete: true, octets: 0))
        let old = try RawPeer(stage, address)
        old.send("GET / HTTP/1.0\r\n\r\n")
        try stage.run { old.hasEnded }
        #expect(old.text.contains(" 200 ") && old.content == "hello")
    }

    @Test(arguments: [
        ("GARBAGE\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 400), ("GET /\0x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: a\0b\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: a\r\n folded\r\nHost: x\r\n\r\n", 400),
        ("GET /" + String(repeating: "a", count: 8192) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("GET /" + String(repeating: "a", count: 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + String(repeating: "X: y\r\n", count: 3000) + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "y", count: 200_000) + "\r\n\r\n", 431),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ])
    func `what is broken is refused, and the connection ends`(_ text: String, _ status: Int) throws {
        let stage = try HTTPStage()
        let peer = try RawPeer(stage, try stage.listen())
        peer.send(text)
        try stage.run { peer.isOver }
        #expect(peer.statuses.first == status, "\(peer.text)")
        #expect(stage.core.requests.isEmpty)
    }

    @Test func `a body up to the limit is handed over, with a length and in chunks`() throws {
        let stage = try HTTPStage()
        let peer = try RawPeer(stage, try stage.listen())
        let body = String(repeating: "b", count: 65_536)
        peer.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + body)
        try stage.run { stage.core.ends.count == 1 }
        peer.send(
            "POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        try stage.run { stage.core.ends.count == 2 }
        #expect(stage.core.requests.map(\.method) == [.post, .post])
        #expect(stage.core.requests.map { $0.body.text } == [body, "hello world"])
    }

    private static let chunks =
        String(repeating: "1000\r\n" + String(repeating: "a", count: 4096) + "\r\n", count: 17) + "0\r\n\r\n"

    @Test(arguments: [
        ("POST", "Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n"), ("PUT", "Content-Length: 99999999\r\n\r\n"),
        ("GET", "Content-Length: 65537\r\n\r\n"), ("POST", "Transfer-Encoding: chunked\r\n\r\n" + chunks),
        ("DELETE", "Transfer-Encoding: chunked\r\n\r\n" + chunks),
    ])
    func `a body above the limit is left out, and the connection ends behind the answer`(
        _ method: String, _ rest: String
    ) throws {
        let stage = try HTTPStage()
        stage.core.answer = { HTTPResponse($0.isBodyTooLarge ? 413 : 200) }
        let peer = try RawPeer(stage, try stage.listen())
        peer.send("\(method) / HTTP/1.1\r\nHost: x\r\n" + rest)
        try stage.run { peer.isOver }
        #expect(peer.statuses == [413], "\(peer.text)")
        #expect(stage.core.requests.map(\.body) == [Bytes()])
    }

    @Test func `blanks around values hide nothing`() throws {
        let stage = try HTTPStage()
        let peer = try RawPeer(stage, try stage.listen())
        let heads = ["GET / HTTP/1.1\r\nHost:x \t\r\nX: \r\nY:   y\r\n\r\n", "GET /?q HTTP/1.1\nHost: x\n\n"]
        for head in heads { peer.send("\r\n" + head) }
        try stage.run { stage.core.ends.count == 2 }
        #expect(peer.statuses == [200, 200])
        let long = "GET / HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "y", count: 16_000))\r\n\r\n"
        for character in long.prefix(100) { peer.send(String(character)) }
        peer.send(String(long.dropFirst(100)))
        try stage.run { stage.core.ends.count == 3 }
    }

    @Test func `a part of a file is sent whole, and its absence is told`() throws {
        let stage = try HTTPStage()
        let octets = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try stage.write("big", octets)
        let peer = try RawPeer(stage, try stage.listen())
        stage.core.answer = { request in
            HTTPResponse(
                206, .file(stage.file(request.target.text == "/big" ? "big" : "none"), offset: 100, count: 2_000_000))
        }
        peer.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { stage.core.ends.count == 1 }
        try stage.run { peer.received.count > 2_000_000 }
        #expect(Array(peer.received.suffix(2_000_000)) == Array(octets[100..<2_000_100]))
        #expect(stage.core.ends == [.requestClosed(ExchangeID(1), complete: true, octets: 2_000_000)])
        peer.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\nHEAD /big HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { stage.core.ends.count == 3 }
        try stage.run { peer.text.suffix(600).contains("Content-Length: 2000000\r\n") }
    }

    @Test func `a file that is cut is never taken for whole`() throws {
        let stage = try HTTPStage()
        try stage.write("big", [UInt8](repeating: 1, count: 30_000_000))
        let address = try stage.listen()
        let peer = try RawPeer(stage, address)
        stage.core.answer = { _ in HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 30_000_000)) }
        peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { peer.received.count > 100_000 }
        peer.stopReading()
        try stage.write("big", [UInt8](repeating: 1, count: 1000))
        try stage.run { stage.core.ends.count == 1 }
        guard case .requestClosed(_, complete: false, _) = stage.core.ends[0] else { throw Failure() }
        peer.read()
        try stage.run { peer.isOver }
        #expect(peer.received.count < 30_000_000)
        stage.core.answer = { _ in HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 1001)) }
        let second = try RawPeer(stage, address)
        second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { second.wasReset }
        #expect(second.received.isEmpty)
    }

    @Test func `of a file that is not as the core knows it nothing is sent`() throws {
        let stage = try HTTPStage()
        try stage.write("big", [UInt8](repeating: 1, count: 1000))
        let old = FileMark(size: 900, modified: WallClock(seconds: 1), stamp: 1)
        stage.core.answer = { _ in
            HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 900, expected: old))
        }
        let peer = try RawPeer(stage, try stage.listen())
        peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { stage.core.ends.count == 1 }
        try stage.run { peer.text.contains("\r\n\r\n") }
        #expect(peer.text.hasPrefix("HTTP/1.1 503 ") && peer.text.contains("Retry-After: 1\r\n"))
    }

    private struct Failure: Error {}

    @Test func `a stream comes in pieces of any length until its end`() throws {
        let stage = try HTTPStage()
        let peer = try RawPeer(stage, try stage.listen())
        stage.core.answer = { _ in HTTPResponse(200, .stream) }
        peer.send(get)
        try stage.run { stage.core.exchanges.count == 1 }
        let id = stage.core.exchanges[0]
        stage.give(.stream(id, Bytes(utf8: "one")))
        try stage.run { peer.text.contains("one") }
        stage.give(.stream(id, Bytes(utf8: String(repeating: "2", count: 200_000))), .stream(id, Bytes(utf8: "three")))
        try stage.run { peer.text.contains("three") }
        #expect(stage.core.ends.isEmpty)
        stage.give(.endStream(id))
        try stage.run { stage.core.ends.count == 1 }
        #expect(stage.core.ends == [.requestClosed(id, complete: true, octets: 200_008)])
        try stage.run { peer.text.hasSuffix("0\r\n\r\n") }
        stage.core.answer = { _ in HTTPResponse(200) }
        peer.send(get)
        try stage.run { stage.core.ends.count == 2 }
    }

    @Test func `a client that goes away is told of once, and a late answer is nobody's`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        stage.core.answer = { _ in nil }
        for leave in [RawPeer.close, RawPeer.reset] {
            let peer = try RawPeer(stage, address)
            let before = stage.core.ends.count
            peer.send(get)
            try stage.run { stage.core.exchanges.count == before + 1 }
            leave(peer)()
            try stage.run { stage.core.ends.count == before + 1 }
            let id = stage.core.exchanges[before]
            #expect(stage.core.ends[before] == .requestClosed(id, complete: false, octets: 0))
            stage.give(.respond(id, HTTPResponse(200)), .stream(id, Bytes([1])), .endStream(id))
        }
        let peer = try RawPeer(stage, address)
        peer.send(get)
        try stage.run { stage.core.exchanges.count == 3 }
        stage.give(
            .respond(stage.core.exchanges[2], HTTPResponse(204)), .respond(stage.core.exchanges[2], HTTPResponse(500)))
        try stage.run { peer.statuses == [204] }
    }

    @Test func `slow heads, slow readers and idle connections end`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen {
            $0.headTime = .seconds(2)
            $0.idleTime = .seconds(1)
            $0.stallTime = .seconds(1)
        }
        try stage.write("big", [UInt8](repeating: 1, count: 60_000_000))
        stage.core.answer = {
            $0.target.text == "/big"
                ? HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 60_000_000)) : HTTPResponse(200)
        }
        let (silent, slow, idle, stalled) = (
            try RawPeer(stage, address), try RawPeer(stage, address), try RawPeer(stage, address),
            try RawPeer(stage, address)
        )
        idle.send(get)
        stalled.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        try stage.run { stalled.received.count > 1000 }
        stalled.stopReading()
        slow.send("GET / HTTP")
        var dots = 0
        let feed = UV.Timer(stage.loop)
        feed.start(every: .milliseconds(100)) {
            dots += 1
            slow.send("X")
        }
        try stage.run { idle.hasEnded }
        try stage.run { silent.hasEnded }
        try stage.run { slow.isOver }
        #expect(dots >= 15, "it had its two seconds, and no more")
        feed.close()
        try stage.run { stage.core.ends.count == 2 }
        stalled.read()
        try stage.run { stalled.isOver }
        #expect(stalled.received.count < 60_000_000)
    }

    @Test func `limits of connections hold, and banned callers are sent away`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen {
            $0.connections = 3
            $0.connectionsPerAddress = 2
        }
        let first = try RawPeer(stage, address)
        let others = try (0..<2).map { _ in try RawPeer(stage, address) }
        try stage.run { others.contains { $0.wasReset } }
        let third = try RawPeer(stage, address, from: IPAddress(127, 0, 0, 2))
        let fourth = try RawPeer(stage, address, from: IPAddress(127, 0, 0, 3))
        try stage.run { fourth.wasReset }
        #expect(stage.host.counters.connections == 3)
        third.close()
        try stage.run { stage.host.counters.connections == 2 }
        stage.give(
            .ban(IPPrefix(IPAddress(127, 0, 0, 4), length: 32), until: WallClock(milliseconds: .max), reason: ""))
        let banned = try RawPeer(stage, address, from: IPAddress(127, 0, 0, 4))
        try stage.run { banned.wasReset }
        first.send(get)
        try stage.run { first.statuses == [200] }
    }

    @Test func `a listener that is closed gives the answers that are due`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        stage.core.answer = { _ in nil }
        let (busy, idle) = (try RawPeer(stage, address), try RawPeer(stage, address))
        busy.send(get)
        try stage.run { stage.core.exchanges.count == 1 }
        stage.give(.unlisten(HTTPStage.door))
        try stage.run { idle.hasEnded }
        stage.give(.respond(stage.core.exchanges[0], HTTPResponse(200, .bytes(Bytes(utf8: "last")))))
        try stage.run { busy.hasEnded }
        #expect(busy.content == "last" && busy.text.contains("Connection: close"))
        _ = try stage.listen()
    }

    @Test func `octets both ways are counted`() throws {
        let stage = try HTTPStage()
        let peer = try RawPeer(stage, try stage.listen())
        stage.core.answer = { _ in HTTPResponse(200, .bytes(Bytes([UInt8](repeating: 1, count: 100_000)))) }
        peer.send(get)
        try stage.run { peer.received.count > 100_000 }
        peer.close()
        try stage.run { stage.host.counters.connections == 0 }
        #expect(stage.host.counters.traffic.received >= UInt64(get.utf8.count))
        #expect((100_000...100_400).contains(stage.host.counters.traffic.sent))
    }

    @Test func `a host that closes leaves nothing behind`() throws {
        let stage = try HTTPStage()
        let address = try stage.listen()
        try stage.write("big", [UInt8](repeating: 1, count: 30_000_000))
        stage.core.answer = {
            switch $0.target.text {
            case "/big": HTTPResponse(200, .file(stage.file("big"), offset: 0, count: 30_000_000))
            case "/stream": HTTPResponse(200, .stream)
            default: nil
            }
        }
        let peers = try (0..<4).map { _ in try RawPeer(stage, address) }
        for (peer, target) in zip(peers, ["big", "stream", "none"]) {
            peer.send("GET /\(target) HTTP/1.1\r\nHost: x\r\n\r\n")
        }
        try stage.run { stage.core.exchanges.count == 3 && peers[0].received.count > 1000 }
        let before = openDescriptors()
        stage.host.close()
        try stage.run { peers.allSatisfy { $0.isOver } }
        #expect(openDescriptors() < before)
        #expect(stage.core.ends.isEmpty)
    }
}
