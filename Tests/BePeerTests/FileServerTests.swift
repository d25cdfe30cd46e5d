import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import BePeer

/// What the file server answers (BePeer sections 5.2 and 8). What a listener refuses by itself is the host's test.
struct FileServerTests {
    private func vector(_ name: String) throws -> Vector {
        try #require(try vectors("http").first { try $0.text("name") == name }, "\(name)")
    }

    /// The request line and the fields of a vector.
    private func ask(_ name: String, _ stage: inout CoreStage) throws -> HTTPResponse? {
        let lines = try vector(name).text("request").split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = try #require(lines.first).split(separator: " ")
        let fields = lines.dropFirst().prefix { !$0.isEmpty }.map { line in
            let parts = line.split(separator: ": ", maxSplits: 1)
            return HTTPField(String(parts[0]), String(parts[1]))
        }
        let method: HTTPMethod = words[0] == "HEAD" ? .head : words[0] == "POST" ? .post : .get
        return stage.request(method, String(words[1]), fields)
    }

    @Test(arguments: ["HEAD", "HTTP/1.0", "POST", "missing", "marker", "hello", "hash header", "if-range mismatch"])
    func `requests are answered as the vectors say`(name: String) throws {
        var stage = CoreStage.ready(["File1": "one\n", ".bepeer/part/x.part": "secret"])
        let response = try #require(try ask(name, &stage))
        let expected = try vector(name).value("expect")
        if expected.has("status") { #expect(response.status == (try expected.number("status"))) }
        for header in expected.has("headers") ? try expected.elements("headers") : [] {
            let text = try header.text()
            #expect(text == "Content-Length" || response.fields.contains { $0.name == text }, "\(text)")
        }
        if expected.has("header") {
            #expect(response.fields.map { "\($0.name): \($0.value)" }.contains(try expected.text("header")))
        }
        for key in expected.has("json_has") ? try expected.elements("json_has") : [] {
            guard case .bytes(let body) = response.body else { throw VectorError("\(name): no body") }
            #expect(body.text?.contains("\"\(try key.text())\":") ?? false)
        }
    }

    @Test func `not admitted: as if it were not there`() throws {
        let expected = try vector("not admitted").value("expect").number("status")
        var stage = CoreStage.ready(["File1": "one\n"]) {
            $0.folders[0].join = .list
            $0.folders[0].joinAllow = [IPPrefix(IPAddress(127, 0, 0, 3))]
        }
        #expect(stage.request(.get, "/00-MainDocuments/File1", from: "127.0.0.2")?.status == expected)
        #expect(stage.request(.get, "/.bepeer/1/f/00-MainDocuments/manifest", from: "127.0.0.2")?.status == expected)
        #expect(stage.request(.get, "/00-MainDocuments/File1", from: "127.0.0.3")?.status == 200)
    }

    @Test func `a part, what is known already, and the name of the only folder left out`() throws {
        var stage = CoreStage.ready(["File1": "0123456789"])
        let target = "/00-MainDocuments/File1"
        let answer = stage.request(.get, target, [HTTPField("Range", "bytes=4-")])
        let part = try #require(answer)
        let file = FileName(CoreStage.id, try Path("File1").relative)
        let mark = stage.core.folders[0].index[try Path("File1")]?.mark
        #expect(part.status == 206 && part.body == .file(file, offset: 4, count: 6, expected: mark))
        #expect(part.fields.contains(HTTPField("Content-Range", "bytes 4-9/10")))
        let tag = try #require(part.fields.first { $0.name == "ETag" }?.value)
        #expect(stage.request(.get, target, [HTTPField("If-None-Match", tag)])?.status == 304)
        #expect(stage.request(.get, target, [HTTPField("Range", "bytes=10-")])?.status == 416)
        #expect(stage.request(.get, "/File1")?.status == 200)
        #expect(stage.request(.get, "/")?.status == 404 && stage.request(.get, "/00-MainDocuments/")?.status == 404)
    }

    @Test func `a manifest comes in pages, and from any change on`() throws {
        var stage = CoreStage.ready(Dictionary(uniqueKeysWithValues: (0..<5000).map { ("f\($0)", "\($0)") }))
        var since: UInt64 = 0
        var names: Set<Path> = []
        for _ in 0..<3 {
            let answer = stage.request(.get, "/.bepeer/1/f/00-MainDocuments/manifest?since=\(since)")
            guard case .bytes(let body)? = answer?.body else { throw VectorError("no body") }
            var reader = ManifestReader()
            try reader.append(body)
            #expect(reader.last == 5000)
            names.formUnion(reader.files.map(\.path))
            since = try #require(reader.end)
        }
        #expect(names.count == 5000 && since == 5000)
    }

    @Test func `who has the octets can prove it`() throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let nonce = Bytes32([UInt8](repeating: 7, count: 32))
        let answer = stage.request(.get, "/.bepeer/1/f/00-MainDocuments/proof/File1?nonce=\(nonce.hex)")
        guard case .bytes(let body)? = answer?.body else { throw VectorError("no body") }
        #expect(Proof.read(body) == Bytes32(digest(Bytes(utf8: "one\n"), .sha256, key: Bytes(nonce.array))))
        #expect(stage.request(.get, "/.bepeer/1/f/00-MainDocuments/proof/File1")?.status == 400)
        for count in ["0", "4097", "-1", "x", ""] {
            let target = "/.bepeer/1/f/00-MainDocuments/proof/File1?nonce=\(nonce.hex)&sample=\(count)"
            #expect(stage.request(.get, target)?.status == 400)
        }
        #expect(stage.request(.get, "/.bepeer/1/f/00-MainDocuments/blocks/File1")?.status == 200)
        #expect(stage.request(.get, "/.bepeer/1/f/00-MainDocuments/blocks/none")?.status == 404)
    }

    @Test func `some blocks of a large file prove it, and which ones the nonce says`() throws {
        let text = (0..<20_000).map { "line \($0) of a file of several blocks\n" }.joined()
        var stage = CoreStage.ready(["large": text])
        let octets = Bytes(utf8: text)
        for seed: UInt8 in 0..<20 {
            let nonce = Bytes32([UInt8](repeating: seed, count: 32))
            let target = "/.bepeer/1/f/00-MainDocuments/proof/large?nonce=\(nonce.hex)&sample=3"
            guard case .bytes(let body)? = stage.request(.get, target)?.body else { throw VectorError("no body") }
            let places = Sample.offsets(size: UInt64(octets.count), nonce: nonce, count: 3)
            #expect(places == places.sorted() && Set(places).count == places.count && !places.isEmpty)
            let digests = places.map { place in
                let end = min(octets.count, Int(place) + 128 << 10)
                return Array(digest(octets.slice(Int(place)..<end), .sha256, key: Bytes(nonce.array)))
            }
            #expect(Proof.read(body) == Bytes32(digest(Bytes(digests.flatMap { $0 }), .sha256)))
        }
    }

    @Test func `joiners are taken over from trusted peers only`() throws {
        var stage = CoreStage.ready(["File1": "one\n"])
        let body = "{\"ip\":\"127.0.0.5\",\"messagePort\":7009}"
        let target = "/.bepeer/1/f/00-MainDocuments/handle"
        #expect(stage.request(.post, target, body: body)?.status == 403)
        #expect(stage.request(.get, target)?.status == 405)
        stage.core.folders[0].partners[IPAddress(127, 0, 0, 2)] = Partner(IPAddress(127, 0, 0, 2))
        stage.core.folders[0].partners[IPAddress(127, 0, 0, 2)]?.state = .trusted
        #expect(stage.request(.post, target, body: body)?.status == 202)
        let dial = try #require(stage.history.dials.last)
        #expect(dial.to == .address(SocketAddress(IPAddress(127, 0, 0, 5), 7009)))
        #expect(stage.connect(dial.connection, to: "127.0.0.5").sent == [stage.offer(["File1"])])
    }

    @Test func `an old node tells nothing beyond the files`() throws {
        var stage = CoreStage.ready(["File1": "one\n"]) { $0.extensions = false }
        #expect(stage.request(.get, "/.bepeer/1/hello")?.status == 404)
        let answer = stage.request(.get, "/00-MainDocuments/File1")
        let response = try #require(answer)
        #expect(!response.fields.contains { $0.name == "BePeer-Hash" })
    }
}
