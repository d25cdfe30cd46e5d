import Foundation
import PeerCore
import PeerRuntime
import Testing

/// Listing of folders, a page at a time.
@Suite struct FilesScanTests {
    let sandbox = Sandbox()
    let folder = FolderID("a")

    /// All pages of a scan.
    private func pages(under: RelativePath? = nil, limit: Int) -> [[FileEntry]] {
        var pages: [[FileEntry]] = []
        var after: RelativePath?
        while true {
            guard
                case .entries(let page, let more, _) = sandbox.run(
                    .scan(folder, under: under, after: after, limit: limit))
            else { return pages }
            pages.append(page)
            guard more, let last = page.last else { return pages }
            after = last.path
        }
    }

    @Test func `ten thousand files come in order, each once, whatever the size of a page`() {
        // Names whose order as text, as octets and as paths differ.
        var expected: [RelativePath] = []
        for group in ["x", "x.y", "x-y", "X", "é", "z/deep/deeper"] {
            for number in 0..<1_667 { expected.append(path("\(group)/\(number * 7_919 % 100_003)")) }
        }
        for place in expected { sandbox.put("a/\(place)", "12345") }
        expected += ["x", "x.y", "x-y", "X", "é", "z", "z/deep", "z/deep/deeper"].map(path)
        expected.sort()
        for limit in [1_000, 10_007, 16_384, .max] {
            let pages = pages(limit: limit)
            #expect(pages.flatMap { $0 }.map(\.path) == expected, "pages of \(limit)")
            let size = min(limit, 16_384)
            #expect(pages.count == (expected.count + size - 1) / size, "pages of \(limit)")
            #expect(pages.allSatisfy { $0.count <= limit })
        }
        let below = expected.filter { $0.components[0] == "x.y" && $0.components.count > 1 }
        #expect(pages(under: path("x.y"), limit: 500).flatMap { $0 }.map(\.path) == below)
        #expect(pages(limit: 16_384)[0].allSatisfy { $0.isFolder ? $0.size == 0 : $0.size == 5 })
    }

    @Test func `a scan goes on after any path, there or not`() {
        for place in ["b/c/d", "b/e", "b.x", "f", "g/h"] { sandbox.put("a/" + place) }
        let all = ["b", "b/c", "b/c/d", "b/e", "b.x", "f", "g", "g/h"]
        for place in all + ["a", "b/c/d/e", "b/a", "b/c/x/y", "b/z", "c", "f/x", "z", "b.x/y"] {
            let rest = all.map { path($0) }.filter { path(place) < $0 }
            let scan = StoreOperation.scan(folder, under: nil, after: path(place), limit: 99)
            #expect(sandbox.run(scan).paths == rest.map(\.description), "after \(place)")
            let below = rest.filter { $0.components.count > 1 && $0.components[0] == "b" }
            let under = StoreOperation.scan(folder, under: path("b"), after: path(place), limit: 99)
            #expect(sandbox.run(under).paths == below.map(\.description), "under b after \(place)")
        }
    }

    @Test func `links, special files, hidden names and names that are no text are left out`() {
        sandbox.put("outside/secret")
        for place in ["file", ".hidden", ".folder/file", "folder/.hidden", "folder/file"] { sandbox.put("a/" + place) }
        sandbox.link("a/link", to: "file")
        sandbox.link("a/way", to: sandbox.path + "/outside")
        sandbox.link("a/loop", to: "loop")
        mkfifo(sandbox.path + "/a/fifo", 0o666)
        // A name that is not UTF-8, as a file and as a folder.
        for octets: [UInt8] in [[0x6E, 0xFF], [0x6E, 0xC3]] {
            let name = Array((sandbox.path + "/a/").utf8) + octets + [0]
            name.withUnsafeBufferPointer { buffer in
                _ = buffer.withMemoryRebound(to: CChar.self) { close(open($0.baseAddress!, O_CREAT | O_WRONLY, 0o644)) }
            }
        }
        #expect(sandbox.names("a").count >= 8)
        let scan = StoreOperation.scan(folder, under: nil, after: nil, limit: 99)
        #expect(sandbox.run(scan).paths == ["file", "folder", "folder/file"])
        // Who asks for a hidden folder gets what is in it.
        let hidden = StoreOperation.scan(folder, under: path(".folder"), after: nil, limit: 99)
        #expect(sandbox.run(hidden).paths == [".folder/file"])
    }

    @Test func `the limit cuts, and says so`() {
        for name in ["1", "2", "3"] { sandbox.put("a/" + name) }
        let cases: [(Int, Int, Bool)] = [
            (3, 3, false), (2, 2, true), (1, 1, true), (0, 0, true), (-1, 0, true), (.min, 0, true), (.max, 3, false),
        ]
        for (limit, count, isCut) in cases {
            guard
                case .entries(let entries, let more, _) = sandbox.run(
                    .scan(folder, under: nil, after: nil, limit: limit))
            else {
                Issue.record("no answer for \(limit)")
                continue
            }
            #expect(entries.count == count && more == isCut, "limit \(limit)")
        }
    }

    @Test func `a scan under what is no folder fails`() {
        sandbox.put("a/file")
        sandbox.link("a/link", to: sandbox.path + "/outside")
        for (place, error) in [("file", SystemError.notAFolder), ("link", .notAFolder), ("none", .notFound)] {
            #expect(sandbox.run(.scan(folder, under: path(place), after: nil, limit: 9)) == .failed(error))
        }
    }

    @Test func `folders that come and go during a scan do no harm`() {
        for number in 0..<200 { sandbox.put("a/stays/\(number)/file") }
        let stays = Set(pages(limit: 16_384).flatMap { $0 }.map(\.path))
        DispatchQueue.concurrentPerform(iterations: 2) { thread in
            for round in 0..<40 {
                if thread == 0 {
                    for number in 0..<20 { sandbox.put("a/goes/\(number)/file") }
                    try? FileManager.default.removeItem(atPath: sandbox.path + "/a/goes")
                } else {
                    let found = pages(limit: 50 + round).flatMap { $0 }.map(\.path)
                    #expect(stays.isSubset(of: found))
                    #expect(found == found.sorted() && Set(found).count == found.count)
                }
            }
        }
    }
}
