internal import PeerCore

/// A time that the file system did not choose: 2001-09-09 01:46:40 UTC.
private let longAgo: Int64 = 1_000_000_000

extension Scenario {
    static let storage = [
        Scenario(
            "writeAt makes the file and its folders, and readAt gives at most what is there",
            stored(
                (.writeAt(file("sub/new"), offset: 0, text("hello world")), .done),
                (.readAt(file("sub/new"), offset: 6, count: 5), .bytes(text("world"))),
                (.readAt(file("sub/new"), offset: 6, count: 100), .bytes(text("world"))),
                (.readAt(file("sub/new"), offset: 100, count: 5), .bytes(Bytes())),
                (.writeAt(file("sub/new"), offset: 6, text("there")), .done),
                (.readAt(file("sub/new"), offset: 0, count: 100), .bytes(text("hello there"))))),

        Scenario(
            "writeAt behind the end leaves zeros between",
            stored(
                (.writeAt(file("gap"), offset: 2, text("x")), .done),
                (.readAt(file("gap"), offset: 0, count: 9), .bytes([0, 0, 120])))),

        Scenario(
            "inspect tells size, time and kind",
            stored(
                (.writeAt(file("sub/one"), offset: 0, text("abc")), .done),
                (.setTimes(file("sub/one"), modified: WallClock(seconds: longAgo)), .done),
                (.inspect(file("sub/one")), .entries([entry("sub/one", size: 3, modified: longAgo)], more: false)),
                (.inspect(file("sub")), .entries([folder("sub")], more: false)))),

        Scenario(
            "what is not there is not found",
            stored(
                (.inspect(file("none")), .failed(.notFound)),
                (.readAt(file("none"), offset: 0, count: 1), .failed(.notFound)),
                (.truncate(file("none"), size: 0), .failed(.notFound)),
                (.rename(file("none"), to: path("new"), replacing: false), .failed(.notFound)),
                (.move(file("none"), to: file("new", in: other)), .failed(.notFound)),
                (.copyRange(file("none"), offset: 0, count: 1, to: file("new"), at: 0), .failed(.notFound)),
                (.remove(file("none")), .failed(.notFound)),
                (.setTimes(file("none"), modified: WallClock(seconds: longAgo)), .failed(.notFound)),
                (.sync([file("none")]), .failed(.notFound)),
                (.scan(files, under: path("none"), after: nil, limit: 9), .failed(.notFound)),
                (.scan(FolderID("unknown"), under: nil, after: nil, limit: 9), .failed(.notFound)),
                (
                    .digest(.blocks(file("none"), offset: 0, count: 1, block: 1), .sha256, key: nil),
                    .failed(.notFound)
                ))),

        Scenario(
            "a path over a file, or over a link, is not a folder",
            [.change(path: "plain", text("x")), .link(path: "link")]
                + stored(
                    (.readAt(file("plain/below"), offset: 0, count: 1), .failed(.notAFolder)),
                    (.writeAt(file("plain/below"), offset: 0, text("x")), .failed(.notAFolder)),
                    (.readAt(file("link/below"), offset: 0, count: 1), .failed(.notAFolder)),
                    (.readAt(file("link"), offset: 0, count: 1), .failed(.notAFolder)),
                    (.scan(files, under: path("plain"), after: nil, limit: 9), .failed(.notAFolder)))),

        Scenario(
            "a folder is not a file",
            [.change(path: "sub/one", text("x"))]
                + stored(
                    (.readAt(file("sub"), offset: 0, count: 1), .failed(.other("EISDIR"))),
                    (.writeAt(file("sub"), offset: 0, text("x")), .failed(.other("EISDIR"))))),

        Scenario(
            "scan lists files and folders in the order of their paths, without links and hidden names",
            [
                .change(path: "b", text("bb")), .change(path: "a/2", text("")), .change(path: "a/10", text("1")),
                .change(path: "a.b", text("x")), .change(path: ".hidden", text("x")),
                .change(path: "a/.hidden/x", text("x")), .link(path: "link"),
            ]
                + stored(
                    (
                        .scan(files, under: nil, after: nil, limit: 100),
                        .entries(
                            [
                                folder("a"), entry("a/10", size: 1), entry("a/2", size: 0), entry("a.b", size: 1),
                                entry("b", size: 2),
                            ], more: false,
                            leftOut: [
                                LeftOut(".hidden", .hidden), LeftOut("a/.hidden", .hidden), LeftOut("link", .link),
                            ])
                    ),
                    (
                        .scan(files, under: path("a"), after: nil, limit: 100),
                        .entries(
                            [entry("a/10", size: 1), entry("a/2", size: 0)], more: false,
                            leftOut: [LeftOut("a/.hidden", .hidden)])
                    ))),

        Scenario(
            "scan goes on after a path, and tells when the limit cut the list",
            [.change(path: "1", text("")), .change(path: "2", text("")), .change(path: "3", text(""))]
                + stored(
                    (
                        .scan(files, under: nil, after: nil, limit: 2),
                        .entries([entry("1", size: 0), entry("2", size: 0)], more: true)
                    ),
                    (
                        .scan(files, under: nil, after: path("2"), limit: 2),
                        .entries([entry("3", size: 0)], more: false)
                    ))),

        Scenario(
            "allocate makes a file grow and never shrink; truncate does both",
            stored(
                (.allocate(file("big"), size: 5), .done),
                (.readAt(file("big"), offset: 0, count: 9), .bytes(zeros(5))),
                (.allocate(file("big"), size: 3), .done),
                (.inspect(file("big")), .entries([entry("big", size: 5)], more: false)),
                (.truncate(file("big"), size: 2), .done),
                (.inspect(file("big")), .entries([entry("big", size: 2)], more: false)),
                (.truncate(file("big"), size: 4), .done),
                (.inspect(file("big")), .entries([entry("big", size: 4)], more: false)))),

        Scenario(
            "save replaces the whole file",
            stored(
                (.save(file("sub/state"), text("a long first state")), .done),
                (.save(file("sub/state"), text("second")), .done),
                (.readAt(file("sub/state"), offset: 0, count: 99), .bytes(text("second"))))),

        Scenario(
            "rename never goes over another file unless it may",
            [.change(path: "one", text("1")), .change(path: "two", text("2"))]
                + stored(
                    (.rename(file("one"), to: path("two"), replacing: false), .failed(.exists)),
                    (.rename(file("one"), to: path("sub/three"), replacing: false), .done),
                    (.readAt(file("one"), offset: 0, count: 9), .failed(.notFound)),
                    (.rename(file("sub/three"), to: path("two"), replacing: true), .done),
                    (.readAt(file("two"), offset: 0, count: 9), .bytes(text("1"))))),

        Scenario(
            "copyRange copies octets between files, also of two folders",
            [.change(path: "source", text("0123456789"))]
                + stored(
                    (.copyRange(file("source"), offset: 2, count: 3, to: file("copy", in: other), at: 1), .done),
                    (.readAt(file("copy", in: other), offset: 0, count: 9), .bytes([0, 50, 51, 52])),
                    (
                        .copyRange(file("source"), offset: 8, count: 3, to: file("copy", in: other), at: 0),
                        .failed(.endOfFile)
                    ))),

        Scenario(
            "move takes a file to another folder, and never over a file",
            [.change(path: "one", text("1")), .change(path: "two", text("2"))]
                + stored(
                    (.move(file("one"), to: file("sub/one", in: other)), .done),
                    (.readAt(file("one"), offset: 0, count: 9), .failed(.notFound)),
                    (.readAt(file("sub/one", in: other), offset: 0, count: 9), .bytes(text("1"))),
                    (.move(file("two"), to: file("sub/one", in: other)), .failed(.exists)))),

        Scenario(
            "remove takes a file, and a folder that is empty",
            [.change(path: "sub/one", text("1"))]
                + stored(
                    (.remove(file("sub")), .failed(.other("ENOTEMPTY"))),
                    (.remove(file("sub/one")), .done),
                    (.remove(file("sub")), .done),
                    (.scan(files, under: nil, after: nil, limit: 9), .entries([], more: false)))),

        Scenario(
            "sync makes sure that files are on the disk",
            [.change(path: "one", text("1")), .change(path: "two", text("2"))]
                + stored((.sync([file("one"), file("two")]), .done), (.sync([]), .done))),

        Scenario("freeSpace tells the octets that may still be written", stored((.freeSpace(files), .space(1)))),

        Scenario(
            "digest hashes octets with each algorithm",
            stored(
                (
                    .digest(.bytes(text("abc")), .sha1, key: nil),
                    .digests([hex("a9993e364706816aba3e25717850c26c9cd0d89d")])
                ),
                (
                    .digest(.bytes(text("abc")), .sha256, key: nil),
                    .digests([hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")])
                ),
                (
                    .digest(.bytes(text("abc")), .blake2b256, key: nil),
                    .digests([hex("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")])
                ),
                (
                    // RFC 4231, test case 2.
                    .digest(.bytes(text("what do ya want for nothing?")), .sha256, key: text("Jefe")),
                    .digests([hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")])
                ))),

        Scenario(
            "digest hashes blocks of a file, the last one shorter",
            [.change(path: "blocks", text("xabcabcab"))]
                + stored(
                    (
                        .digest(.blocks(file("blocks"), offset: 1, count: 8, block: 3), .sha1, key: nil),
                        .digests([
                            hex("a9993e364706816aba3e25717850c26c9cd0d89d"),
                            hex("a9993e364706816aba3e25717850c26c9cd0d89d"),
                            hex("da23614e02469a0d7c7bd1bdab5c9c474b1904dc"),
                        ])
                    ),
                    (
                        .digest(.blocks(file("blocks"), offset: 1, count: 9, block: 3), .sha1, key: nil),
                        .failed(.endOfFile)
                    ),
                    (.digest(.blocks(file("blocks"), offset: 0, count: 0, block: 3), .sha1, key: nil), .digests([])))),

        Scenario(
            "a watched folder tells what others change in it, until it is watched no more",
            [.change(path: "sub/old", text("x"))]
                + [
                    give(.a, .store(r(1), .watch(files))), hear(.a, .stored(r(1), .done)),
                    .change(path: "new", text("x")), hear(.a, .changed(files, [path("new")])),
                    .change(path: "sub/old", text("y")), hear(.a, .changed(files, [path("sub/old")])),
                    .change(path: ".hidden", text("x")), .change(path: "new", nil),
                    .change(path: "other", text("x")), hear(.a, .changed(files, [path("other")])),
                    give(.a, .store(r(2), .unwatch(files))), .hearAtLast(.a, .stored(r(2), .done)),
                    .change(path: "unseen", text("x")),
                ]),
    ]
}
