internal import PeerCore

private let whole = file("whole")

/// A dials B, and B makes a file of what A sends.
private func reception(
    _ plan: FileReception, sending octets: Bytes, _ rest: [Step], before: [Step] = []
) -> [Step] {
    before + connected + [give(.b, .receiveFile(plan, from: c(1))), give(.a, .send(octets, on: c(1001)))] + rest
}

private func plan(
    _ length: FileReception.Length, first: String = "", appends: Bool = false, digest: DigestAlgorithm? = nil,
    replacing: Bool = false, keepsPart: Bool = false
) -> FileReception {
    FileReception(
        file: whole, part: path(".parts/whole"), appends: appends, first: text(first), length: length,
        digest: digest, replacing: replacing, keepsPart: keepsPart)
}

private func readBack(_ content: String) -> [Step] {
    [
        give(.b, .store(r(1), .readAt(whole, offset: 0, count: 99))), hear(.b, .stored(r(1), .bytes(text(content)))),
        give(.b, .store(r(2), .inspect(file(".parts/whole")))), hear(.b, .stored(r(2), .failed(.notFound))),
    ]
}

private func partIs(_ content: String) -> [Step] {
    [
        give(.b, .store(r(1), .readAt(file(".parts/whole"), offset: 0, count: 99))),
        hear(.b, .stored(r(1), .bytes(text(content)))),
    ]
}

private let noPart: [Step] = [
    give(.b, .store(r(1), .inspect(file(".parts/whole")))), hear(.b, .stored(r(1), .failed(.notFound))),
]

extension Scenario {
    static let transfers = sending + receiving

    private static let sending = [
        Scenario(
            "sendFile sends a part of a file in its place among the octets",
            [.change(path: "whole", text("0123456789"))] + connected + [
                give(
                    .a, .send(text("<"), on: c(1001)), .sendFile(whole, offset: 2, count: 5, on: c(1001)),
                    .send(text(">"), on: c(1001))),
                hear(.a, .transferred(c(1001), whole, .sent(octets: 5))),
                hear(.b, .received(text("<23456>"), on: c(1))),
            ] + goodbye(traffic(sent: 7), traffic(received: 7))),

        Scenario(
            "sendFile of nothing is sent at once",
            [.change(path: "whole", text("x"))] + connected + [
                give(.a, .sendFile(whole, offset: 1, count: 0, on: c(1001))),
                hear(.a, .transferred(c(1001), whole, .sent(octets: 0))),
            ]),

        Scenario(
            "sendFile of a large file sends all of it",
            [.change(path: "whole", zeros(600_000))] + connected + [
                give(.a, .sendFile(whole, offset: 0, count: 600_000, on: c(1001)), .finish(c(1001))),
                hear(.a, .transferred(c(1001), whole, .sent(octets: 600_000))),
                hear(.b, .received(zeros(600_000), on: c(1)), .ended(c(1))), give(.b, .finish(c(1))),
                hear(.b, .closed(c(1), .finished, traffic(received: 600_000))),
                hear(.a, .closed(c(1001), .finished, traffic(sent: 600_000))),
            ]),

        Scenario(
            "sendFile of a file that is not there fails, and what is queued behind it is dropped",
            connected + [
                give(
                    .a, .send(text("head"), on: c(1001)), .sendFile(whole, offset: 0, count: 1, on: c(1001)),
                    .send(text("tail"), on: c(1001))),
                hear(.a, .transferred(c(1001), whole, .failed(.notFound, octets: 0))),
                hear(.b, .received(text("head"), on: c(1))), give(.a, .send(text("next"), on: c(1001))),
                hear(.b, .received(text("next"), on: c(1))),
            ]),

        Scenario(
            "sendFile beyond the end of the file sends nothing of it",
            [.change(path: "whole", text("abc"))] + connected + [
                give(.a, .sendFile(whole, offset: 1, count: 3, on: c(1001))),
                hear(.a, .transferred(c(1001), whole, .failed(.endOfFile, octets: 0))),
            ]),

        Scenario(
            "sendFile that fails after finish resets the connection: an end in order would say that all was sent",
            connected + [
                give(.a, .sendFile(whole, offset: 0, count: 3, on: c(1001)), .finish(c(1001))),
                hear(.a, .transferred(c(1001), whole, .failed(.notFound, octets: 0))),
                hear(.a, .closed(c(1001), .systemError, Traffic())), hear(.b, .closed(c(1), .reset, Traffic())),
            ]),

        Scenario(
            "a transfer on a connection that is closed fails",
            connected + [
                give(.a, .abort(c(1001), .limit)), hear(.a, .closed(c(1001), .limit, Traffic())),
                hear(.b, .closed(c(1), .reset, Traffic())),
                give(
                    .a, .sendFile(whole, offset: 0, count: 1, on: c(1001)),
                    .receiveFile(plan(.exactly(1)), from: c(1001))),
                hear(
                    .a, .transferred(c(1001), whole, .failed(.disconnected, octets: 0)),
                    .transferred(c(1001), whole, .failed(.disconnected, octets: 0))),
            ]),
    ]

    private static let receiving = [
        Scenario(
            "receiveFile makes a file of exactly so many octets; what follows is received again",
            reception(
                plan(.exactly(5)), sending: text("helloworld"),
                [
                    hear(
                        .b, .transferred(c(1), whole, .received(octets: 5, digest: nil)),
                        .received(text("world"), on: c(1)))
                ] + readBack("hello"))),

        Scenario(
            "receiveFile of nothing makes an empty file",
            reception(
                plan(.exactly(0)), sending: text("x"),
                [
                    hear(
                        .b, .transferred(c(1), whole, .received(octets: 0, digest: nil)), .received(text("x"), on: c(1))
                    )
                ] + readBack(""))),

        Scenario(
            "receiveFile begins with the octets that the core has, and gives the digest of all",
            reception(
                plan(.exactly(2), first: "a", digest: .sha256), sending: text("bc"),
                [
                    hear(
                        .b,
                        .transferred(
                            c(1), whole,
                            .received(
                                octets: 3,
                                digest: hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))))
                ] + readBack("abc"))),

        Scenario(
            "receiveFile that appends goes on at the end of the part file, and the digest covers what was there",
            reception(
                plan(.exactly(1), first: "b", appends: true, digest: .sha1), sending: text("c"),
                [
                    hear(
                        .b,
                        .transferred(
                            c(1), whole,
                            .received(octets: 2, digest: hex("a9993e364706816aba3e25717850c26c9cd0d89d"))))
                ] + readBack("abc"),
                before: [.change(path: ".parts/whole", text("a"))])),

        Scenario(
            "receiveFile that does not append begins anew",
            reception(
                plan(.exactly(3)), sending: text("new"),
                [hear(.b, .transferred(c(1), whole, .received(octets: 3, digest: nil)))] + readBack("new"),
                before: [.change(path: ".parts/whole", text("old part"))])),

        Scenario(
            "receiveFile to the end stores the file before the core hears ended",
            reception(
                plan(.toEnd(limit: 10)), sending: text("to the end"),
                [
                    give(.a, .finish(c(1001))),
                    hear(.b, .transferred(c(1), whole, .received(octets: 10, digest: nil)), .ended(c(1))),
                ] + readBack("to the end"))),

        Scenario(
            "receiveFile to the end fails above its limit",
            reception(
                plan(.toEnd(limit: 3)), sending: text("four"),
                [
                    // How much of it was written, and whether the rest is heard, is the host's choice.
                    .hearAtLast(.b, .transferred(c(1), whole, .failed(.other("EFBIG"), octets: Input.anyOctets))),
                    give(.b, .abort(c(1), .limit)), .hearAtLast(.b, .closed(c(1), .limit, Input.anyTraffic)),
                    hear(.a, .closed(c(1001), .reset, traffic(sent: 4))),
                ] + noPart)),

        Scenario(
            "receiveFile never goes over another file",
            reception(
                plan(.exactly(3)), sending: text("new"),
                [
                    hear(.b, .transferred(c(1), whole, .failed(.exists, octets: 3)))
                ] + readBack("old"),
                before: [.change(path: "whole", text("old"))])),

        Scenario(
            "receiveFile goes over another file when it may",
            reception(
                plan(.exactly(3), replacing: true), sending: text("new"),
                [hear(.b, .transferred(c(1), whole, .received(octets: 3, digest: nil)))] + readBack("new"),
                before: [.change(path: "whole", text("old"))])),

        Scenario(
            "receiveFile fails when the other side ends too early, and removes the part file",
            reception(
                plan(.exactly(9)), sending: text("early"),
                [
                    give(.a, .finish(c(1001))),
                    hear(.b, .transferred(c(1), whole, .failed(.endOfFile, octets: 5)), .ended(c(1))),
                ] + noPart)),

        Scenario(
            "receiveFile keeps the part file of a failed transfer when it is asked to",
            reception(
                plan(.exactly(9), keepsPart: true), sending: text("early"),
                [
                    give(.a, .finish(c(1001))),
                    hear(.b, .transferred(c(1), whole, .failed(.endOfFile, octets: 5)), .ended(c(1))),
                ] + partIs("early"))),

        Scenario(
            "receiveFile fails when the connection breaks, before closed",
            reception(
                plan(.exactly(9)), sending: Bytes(),
                [
                    give(.a, .abort(c(1001), .limit)), hear(.a, .closed(c(1001), .limit, Traffic())),
                    hear(
                        .b, .transferred(c(1), whole, .failed(.disconnected, octets: 0)),
                        .closed(c(1), .reset, Traffic())),
                ] + noPart)),

        Scenario(
            "receiveFile over a path that is none fails at once",
            [.change(path: ".parts", text("a file"))] + connected + [
                give(.b, .receiveFile(plan(.exactly(9)), from: c(1))),
                hear(.b, .transferred(c(1), whole, .failed(.notAFolder, octets: 0))),
            ]),
    ]
}
