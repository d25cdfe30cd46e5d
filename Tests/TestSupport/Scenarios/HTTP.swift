internal import PeerCore

private let one = HTTPField("X-One", "1")
private let copy = file("new/copy")

private func x(_ number: UInt64) -> ExchangeID { ExchangeID(number) }

private func fetch(
    _ method: HTTPMethod = .get, _ target: String = "/a%2Fb?c", body: String = "",
    into sink: HTTPFetch.Sink = .bytes(limit: 100), digest: DigestAlgorithm? = nil
) -> Effect {
    .fetch(
        r(1001),
        HTTPFetch(method, of: port(1), text(target), fields: [one], body: text(body), into: sink, digest: digest))
}

/// A asks B, which listens; the request is 1 of B and 1001 of A.
private func asked(
    _ method: HTTPMethod = .get, body: String = "", into sink: HTTPFetch.Sink = .bytes(limit: 100),
    digest: DigestAlgorithm? = nil
) -> [Step] {
    listen(.b, 1, .http(HTTPLimits())) + [
        give(.a, fetch(method, body: body, into: sink, digest: digest)),
        hear(
            .b,
            .requested(
                x(1), HTTPRequest(method, text("/a%2Fb?c"), fields: [one], body: text(body)), on: listener(1),
                from: port(0))),
    ]
}

/// B answers, and both hear of the end.
private func answered(
    _ response: HTTPResponse, sent octets: UInt64, _ result: Result<HTTPAnswer, HTTPFailure>
) -> [Step] {
    [
        give(.b, .respond(x(1), response)), hear(.b, .requestClosed(x(1), complete: true, octets: octets)),
        hear(.a, .fetched(r(1001), result)),
    ]
}

private func success(
    _ status: Int, _ body: String = "", octets: UInt64, digest: Bytes? = nil
) -> Result<HTTPAnswer, HTTPFailure> {
    .success(HTTPAnswer(status, fields: [], body: text(body), octets: octets, digest: digest))
}

private func has(_ content: String) -> [Step] {
    [
        give(.a, .store(r(1), .readAt(copy, offset: 0, count: 99))),
        hear(.a, .stored(r(1), .bytes(text(content)))),
    ]
}

private let range = HTTPField("Content-Range", "bytes 3-7/8")

extension Scenario {
    static let http = serving + fetching

    private static let serving = [
        Scenario(
            "a request reaches the core as it was sent, and the answer comes back with its fields",
            asked() + [
                give(.b, .respond(x(1), HTTPResponse(203, fields: [HTTPField("X-Two", "2")], .bytes(text("hello"))))),
                hear(.b, .requestClosed(x(1), complete: true, octets: 5)),
                hear(
                    .a,
                    .fetched(
                        r(1001),
                        .success(HTTPAnswer(203, fields: [HTTPField("X-Two", "2")], body: text("hello"), octets: 5)))),
            ]),

        Scenario(
            "what is handed over comes with the request",
            asked(.post, body: "take this") + answered(HTTPResponse(204), sent: 0, success(204, octets: 0))),

        Scenario(
            "HEAD has no content",
            asked(.head)
                + answered(HTTPResponse(200, .bytes(text("hello"))), sent: 0, success(200, octets: 0))),

        Scenario(
            "a part of a file is the content",
            [.change(path: "a", text("0123456789"))] + asked()
                + answered(
                    HTTPResponse(200, .file(file("a"), offset: 3, count: 5)), sent: 5, success(200, "34567", octets: 5))
        ),

        Scenario(
            "a file that is not there is not found",
            asked()
                + answered(HTTPResponse(200, .file(file("a"), offset: 3, count: 5)), sent: 0, success(404, octets: 0))),

        Scenario(
            "a file with fewer octets than were announced is never taken for whole",
            [.change(path: "a", text("0123456789"))] + asked() + [
                give(.b, .respond(x(1), HTTPResponse(200, .file(file("a"), offset: 3, count: 8)))),
                hear(.b, .requestClosed(x(1), complete: false, octets: 0)),
                hear(.a, .fetched(r(1001), .failure(.connection(.reset)))),
            ]),

        Scenario(
            "a stream ends when the core ends it",
            asked() + [
                give(.b, .respond(x(1), HTTPResponse(200, .stream)), .stream(x(1), text("one "))),
                give(.b, .stream(x(1), text("two")), .endStream(x(1))),
                hear(.b, .requestClosed(x(1), complete: true, octets: 7)),
                hear(.a, .fetched(r(1001), success(200, "one two", octets: 7))),
            ]),

        Scenario(
            "only the first answer counts, and none for what is over",
            asked() + answered(HTTPResponse(204), sent: 0, success(204, octets: 0)) + [
                give(.b, .respond(x(1), HTTPResponse(500)), .stream(x(1), text("late")), .endStream(x(1)))
            ]),

        Scenario(
            "a client that gives up is told of",
            asked() + [
                give(.a, .cancelFetch(r(1001))), hear(.a, .fetched(r(1001), .failure(.cancelled))),
                hear(.b, .requestClosed(x(1), complete: false, octets: 0)),
                give(.b, .respond(x(1), HTTPResponse(200))), give(.a, .cancelFetch(r(1001))),
            ]),
    ]

    private static let fetching = [
        Scenario(
            "a file is made of the content and hashed on the way",
            asked(into: .file(copy, at: 0, limit: 5), digest: .sha1)
                + answered(
                    HTTPResponse(200, .bytes(text("hello"))), sent: 5,
                    // SHA-1 of `hello`, by sha1sum.
                    success(200, octets: 5, digest: hex("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d")))
                + has("hello")),

        Scenario(
            "a part that was asked for is put behind what is there",
            [.change(path: "new/copy", text("hello"))] + asked(into: .file(copy, at: 3, limit: 8))
                + answered(
                    HTTPResponse(206, fields: [range], .bytes(text("world"))), sent: 5, success(206, octets: 5))
                + has("helworld")),

        Scenario(
            "all of it takes the place of what is there",
            [.change(path: "new/copy", text("hello world"))] + asked(into: .file(copy, at: 3, limit: 8))
                + answered(HTTPResponse(200, .bytes(text("again"))), sent: 5, success(200, octets: 5))
                + has("again")),

        Scenario(
            "another part than was asked for is refused, and the file stays",
            [.change(path: "new/copy", text("hello"))] + asked(into: .file(copy, at: 2, limit: 8)) + [
                give(.b, .respond(x(1), HTTPResponse(206, fields: [range], .bytes(text("world"))))), .ignore(.b),
                hear(.a, .fetched(r(1001), .failure(.malformed))),
            ] + has("hello")),

        Scenario(
            "content above the limit is refused",
            asked(into: .file(copy, at: 0, limit: 4)) + [
                give(.b, .respond(x(1), HTTPResponse(200, .bytes(text("hello"))))), .ignore(.b),
                hear(.a, .fetched(r(1001), .failure(.tooLarge))),
            ]),

        Scenario(
            "an answer that is no success keeps its words and spares the file",
            asked(into: .file(copy, at: 0, limit: 2))
                + answered(
                    HTTPResponse(404, .bytes(text("nothing here"))), sent: 12, success(404, "nothing here", octets: 12))
                + [
                    give(.a, .store(r(1), .inspect(copy))), hear(.a, .stored(r(1), .failed(.notFound))),
                ]),

        Scenario(
            "content may be hashed only",
            asked(into: .digest(limit: 5), digest: .sha1)
                + answered(
                    HTTPResponse(200, .bytes(text("hello"))), sent: 5,
                    success(200, octets: 5, digest: hex("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d")))),

        Scenario(
            "a fetch from where nobody listens is refused",
            [
                give(.a, .fetch(r(1001), HTTPFetch(.get, of: nobody, text("/"), into: .bytes(limit: 1)))),
                hear(.a, .fetched(r(1001), .failure(.connection(.refused)))),
            ]),

        Scenario(
            "a fetch of what cannot be written on one line is none",
            listen(.b, 1, .http(HTTPLimits())) + [
                give(.a, .fetch(r(1001), HTTPFetch(.get, of: port(1), text("/ HTTP/1.1"), into: .bytes(limit: 1)))),
                hear(.a, .fetched(r(1001), .failure(.malformed))),
            ]),

        Scenario(
            "a fetch to which nothing comes has stalled",
            listen(.b, 1, .http(HTTPLimits())) + [
                .ignore(.b),
                give(
                    .a,
                    .fetch(
                        r(1001),
                        {
                            var fetch = HTTPFetch(.get, of: port(1), text("/"), into: .bytes(limit: 1))
                            fetch.stallTime = .seconds(1)
                            return fetch
                        }())),
                hear(.a, .fetched(r(1001), .failure(.stalled))),
            ]),

        Scenario(
            "a banned server is not asked",
            [
                give(.a, .ban(IPPrefix(.loopback, length: 32), until: WallClock(milliseconds: .max), reason: "")),
                give(.a, .fetch(r(1001), HTTPFetch(.get, of: port(1), text("/"), into: .bytes(limit: 1)))),
                hear(.a, .fetched(r(1001), .failure(.connection(.banned)))),
            ]),
    ]
}
