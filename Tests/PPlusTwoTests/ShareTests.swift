import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import PPlusTwo

/// What is shared, and how it is found (P+2 section 5).
@Suite(.oneAtOnce) struct ShareTests {
    private func index(_ names: [String], ignoresCase: Bool = false) -> SharedNames {
        let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let entries = sorted.compactMap { name in
            RelativePath(name).map {
                FileEntry(path: $0, isFolder: false, size: 1, modified: WallClock(milliseconds: 0))
            }
        }
        return SharedNames(entries, ignoresCase: ignoresCase)
    }

    private func found(_ text: String, in index: SharedNames) -> [String] {
        index.indices(containing: Bytes(utf8: text)).map { index.name($0).text ?? "?" }
    }

    @Test func `a text is found wherever it stands, once for each name`() {
        let names = index(["aaaa", "abcabc", "b", "cab", "xyz"])
        #expect(found("a", in: names) == ["aaaa", "abcabc", "cab"])
        #expect(found("abc", in: names) == ["abcabc"])
        #expect(found("cb", in: names) == [])
        #expect(found("xyz", in: names) == ["xyz"])
        #expect(found("", in: names) == ["aaaa", "abcabc", "b", "cab", "xyz"])
        #expect(found("z\n", in: names) == [] && found("xyzz", in: index([])) == [])
    }

    @Test func `it finds what a plain search finds`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let names = Set(
                (0..<40).map { _ in
                    String((0..<Int.random(in: 1...6, using: &random)).map { _ in "ab".randomElement()! })
                })
            let index = index(Array(names))
            for text in ["a", "b", "ab", "ba", "aab", "bbbb"] {
                #expect(Set(found(text, in: index)) == names.filter { $0.contains(text) })
            }
        }
    }

    @Test(arguments: [false, true]) func `an index that is changed is the one that a scan would make`(isDeep: Bool) {
        var random = SystemRandomNumberGenerator()
        let all = ["a", "ab", "b", "cafe\u{301}", "caf\u{e9}", "z"] + (isDeep ? ["a/b", "a/caf\u{e9}", "s/t/u"] : [])
        // By paths: as texts, two of the names are equal.
        var there: [RelativePath: FileEntry] = [:]
        if isDeep { there[entry("s/t/u", 1).path] = entry("s/t/u", 1) }
        var index = SharedNames(Array(there.values))
        for step in 0..<400 as Range<UInt64> {
            guard let name = all.randomElement(using: &random), let path = RelativePath(name) else { continue }
            guard index.canSet(path) else { return #expect(Bool(false), "an index of subfolders takes all names") }
            there[path] = Bool.random(using: &random) ? entry(name, step) : nil
            index.set(path, there[path])
            let scanned = SharedNames(Array(there.values).sorted { $0.path < $1.path })
            #expect(index.count == scanned.count && index.totalOctets == scanned.totalOctets)
            for place in 0..<index.count {
                #expect(index.name(place) == scanned.name(place) && index.sizes[place] == scanned.sizes[place])
            }
            for text in ["", "a", "b", "caf\u{e9}", "cafe\u{301}", "u"] {
                #expect(found(text, in: index) == found(text, in: scanned))
            }
        }
    }

    private func entry(_ name: String, _ size: UInt64) -> FileEntry {
        guard let path = RelativePath(name) else { preconditionFailure("\(name) is no path") }
        return FileEntry(path: path, isFolder: false, size: size, modified: WallClock(milliseconds: 0))
    }

    @Test func `normal forms are equal, and so are cases when that is wanted`() {
        let (nfd, nfc) = ("cafe\u{301}.txt", "caf\u{e9}s")
        let names = index([nfd, nfc, "\u{212A}elvin", "e\u{323}\u{301}\u{20DD}"])
        #expect(found("caf\u{e9}", in: names).count == 2)
        #expect(found("cafe\u{301}", in: names).count == 2)
        // Octets come first: this is how the first begins.
        #expect(found("cafe", in: names).map { Array($0.utf8) } == [Array(nfd.utf8)])
        #expect(found("Kelvin", in: names).count == 1)
        #expect(found("\u{1EB9}\u{301}", in: names).count == 1)
        #expect(found("CAF\u{c9}", in: names).isEmpty)
        #expect(found("CAF\u{c9}", in: index([nfd, nfc], ignoresCase: true)).count == 2)
    }

    @Test func `paths are sorted by octets, and only their last component is compared`() {
        let names = index(["a/b.txt", "a-b.txt", "sub/a"])
        #expect(found("", in: names) == ["a-b.txt", "a/b.txt", "sub/a"])
        #expect(found("a", in: names) == ["a-b.txt", "sub/a"])
        #expect(found("/", in: names).isEmpty && found("sub", in: names).isEmpty)
        #expect(names.index(of: Bytes(utf8: "a/b.txt")) == 1 && names.index(of: Bytes(utf8: "a/b.tx")) == nil)
    }

    @Test func `what changes in the folder is found at once, and without a scan of it`() throws {
        let lab = Lab()
        let node = lab.node(1)
        try lab.run(.seconds(3))
        var scans = 0
        lab.simulator.onTurn = { turn in
            scans += turn.effects.count { if case .store(_, .scan(_, nil, nil, _, _, _)) = $0 { true } else { false } }
        }
        for number in 0..<100 {
            lab.files(node)["file \(number)"] = Bytes(utf8: "x")
            try lab.run(.milliseconds(100))
        }
        #expect(try lab.answer(node, "share").records.count == 100)
        lab.files(node)["file 7"] = nil
        try lab.run(.milliseconds(100))
        #expect(scans == 0)
        #expect(try lab.answer(node, "share", ["text": "file 7"]).records.count == 10)
    }

    @Test func `what is not shared is told of once`() throws {
        let lab = Lab()
        let node = lab.node(1)
        lab.files(node)["bad\u{1}name"] = Bytes(utf8: "x")
        lab.files(node)[".hidden"] = Bytes(utf8: "x")
        lab.files(node)["folder/file"] = Bytes(utf8: "x")
        lab.files(node).makeLink("link")
        try lab.run(.seconds(2))
        lab.files(node)["good"] = Bytes(utf8: "x")
        try lab.run(.seconds(2))
        lab.files(node).makeLink("another link")
        try lab.run(.seconds(2))
        let told = lab.events("share_skipped").map { "\($0.string("name") ?? "") \($0.string("why") ?? "")" }
        let first = [".hidden hidden", "bad\u{1}name control_character", "folder folder", "link link"]
        #expect(told.prefix(4).sorted() == first && told.dropFirst(4) == ["another link link"])
        #expect(try lab.answer(node, "share").records.compactMap { $0.string("name") } == ["good"])
    }

    @Test func `digests are computed when asked for, and kept over a restart`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1), lab.node(2))
        lab.files(a)["x"] = Bytes(utf8: "one")
        try lab.run(.seconds(2))
        var digests = 0
        lab.simulator.onTurn = { turn in
            digests += turn.effects.count { if case .store(_, .digest) = $0 { true } else { false } }
        }
        func stat() throws -> String {
            String(decoding: try lab.call(b, 1, .query, [Bytes(utf8: "//p2x/1/stat/x\n")]).received, as: UTF8.self)
        }
        let first = try stat()
        #expect(first.contains("size 3\n") && !first.contains("pending"))
        #expect(try stat() == first && digests == 1)
        lab.simulator.restart(a)
        try lab.run(.seconds(2))
        #expect(try stat() == first && digests == 1)
        lab.files(a)["x"] = Bytes(utf8: "two")
        try lab.run(.seconds(2))
        #expect(try stat() != first && digests == 2)
        lab.files(a)["x"] = nil
        try lab.run(.seconds(2))
        #expect(try stat() == "//p2x/1\n")
        #expect(lab.simulator.rows("files_hashes", of: a).isEmpty)
    }
}
