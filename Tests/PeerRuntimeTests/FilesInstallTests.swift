import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// What is done to many files at once: `examine` and `install`.
@Suite struct FilesInstallTests {
    let sandbox = Sandbox()
    let folder = FolderID("a")
    private let longAgo = WallClock(seconds: 1_000_000_000)

    private func hidden(_ text: String) -> RelativePath {
        guard let path = RelativePath(text, allowHidden: true) else { preconditionFailure(text) }
        return path
    }

    private func file(_ name: String) -> FileName { FileName(folder, hidden(name)) }

    private func install(
        _ installations: [Installation], _ durability: Durability = .batch
    ) -> [Result<FileEntry, SystemError>] {
        guard
            case .installed(let results) = sandbox.run(
                .install(installations, staging: hidden(".bepeer/part"), durability))
        else { return [] }
        return results
    }

    private func mark(_ name: String) -> FileMark? {
        guard case .entries(let entries, _, _) = sandbox.run(.inspect(file(name))) else { return nil }
        return entries.first?.mark
    }

    private func bytes(_ text: String) -> Installation.Source { .bytes(Bytes(utf8: text)) }

    @Test(arguments: Durability.allCases) func `files get their places, times and permissions`(durability: Durability) {
        let results = install(
            [
                Installation(file("new"), from: bytes("one"), modified: longAgo),
                Installation(file("sub/deep/.run"), from: bytes("two"), modified: longAgo, isExecutable: true),
            ], durability)
        #expect(sandbox.content("a/new") == "one" && sandbox.content("a/sub/deep/.run") == "two")
        let entries = results.compactMap { try? $0.get() }
        #expect(entries.map(\.modified) == [longAgo, longAgo] && entries.map(\.isExecutable) == [false, true])
        #expect(entries.map(\.mark) == [mark("new"), mark("sub/deep/.run")].compactMap(\.self))
        #expect((try? FileManager.default.contentsOfDirectory(atPath: sandbox.path + "/a/.bepeer/part")) == [])
    }

    @Test func `what nobody knows of is left alone`() {
        sandbox.put("a/taken", "somebody's")
        sandbox.makeFolder("a/folder")
        sandbox.link("a/link", to: "../outside/x")
        let old = mark("taken")
        sandbox.put("a/taken", "somebody else's")
        let results = install(
            ["taken", "folder", "link", "link/below", "gone"].map {
                Installation(
                    file($0), from: bytes("x"), modified: longAgo, expected: $0 == "taken" || $0 == "gone" ? old : nil)
            })
        #expect(results == [.exists, .exists, .exists, .notAFolder, .notFound].map { .failure($0) })
        #expect(sandbox.content("a/taken") == "somebody else's" && sandbox.content("outside/x") == nil)
        #expect((try? FileManager.default.contentsOfDirectory(atPath: sandbox.path + "/a/.bepeer/part")) == [])
    }

    @Test func `what was there goes aside, or away`() {
        for name in ["kept", "lost", "gone"] { sandbox.put("a/\(name)", "old \(name)") }
        let results = install([
            Installation(
                file("kept"), from: bytes("new"), modified: longAgo, expected: mark("kept"),
                aside: hidden(".bepeer/trash/1/kept")),
            Installation(file("lost"), from: bytes("new"), modified: longAgo, expected: mark("lost")),
            Installation(
                file("gone"), from: .nothing, modified: longAgo, expected: mark("gone"),
                aside: hidden(".bepeer/trash/1/gone")),
        ])
        #expect(results.allSatisfy { (try? $0.get()) != nil })
        #expect(sandbox.content("a/kept") == "new" && sandbox.content("a/lost") == "new")
        #expect(sandbox.content("a/gone") == nil)
        #expect(sandbox.content("a/.bepeer/trash/1/kept") == "old kept")
        #expect(sandbox.content("a/.bepeer/trash/1/gone") == "old gone")
    }

    @Test func `what goes aside never goes over another file`() {
        sandbox.put("a/File1", "old")
        sandbox.put("a/.bepeer/trash/File1", "older")
        let installation = Installation(
            file("File1"), from: bytes("new"), modified: longAgo, expected: mark("File1"),
            aside: hidden(".bepeer/trash/File1"))
        #expect(install([installation]) == [.failure(.exists)])
        #expect(sandbox.content("a/File1") == "old" && sandbox.content("a/.bepeer/trash/File1") == "older")
    }

    @Test func `without its marker the folder's disk is not there, and nothing is written where it was`() {
        sandbox.makeFolder("a")
        let new = Installation(file("sub/new"), from: bytes("new"), modified: longAgo)
        let operation = StoreOperation.install(
            [new], staging: hidden(".bepeer/part"), .batch, marker: hidden(".bepeer/lock"))
        #expect(sandbox.run(operation) == .failed(.notFound))
        #expect((try? FileManager.default.contentsOfDirectory(atPath: sandbox.path + "/a")) == [])
        sandbox.put("a/.bepeer/lock")
        guard case .installed(let results) = sandbox.run(operation) else { return _ = Issue.record("not installed") }
        #expect(results.count == 1 && sandbox.content("a/sub/new") == "new")
    }

    @Test func `parts become files, files are copied, empty folders go`() {
        sandbox.put("a/.bepeer/part/x.part", "from a part")
        sandbox.put("a/original", "copied")
        sandbox.makeFolder("a/empty")
        sandbox.put("a/full/file", "x")
        let results = install([
            Installation(file("part"), from: .file(hidden(".bepeer/part/x.part")), modified: longAgo),
            Installation(
                file("copy"), from: .copy(of: hidden("original"), mark("original") ?? FileMark.none),
                modified: longAgo),
            Installation(
                file("stale"), from: .copy(of: hidden("original"), FileMark.none), modified: longAgo),
            Installation(file("original"), from: .present, modified: longAgo, expected: mark("original")),
            Installation(file("empty"), from: .nothing, modified: longAgo),
            Installation(file("full"), from: .nothing, modified: longAgo),
        ])
        #expect(results.map { (try? $0.get()) != nil } == [true, true, false, true, true, false])
        #expect(sandbox.content("a/part") == "from a part" && sandbox.content("a/copy") == "copied")
        #expect(mark("original")?.modified == longAgo && mark("full") != nil && mark("empty") == nil)
    }

    @Test func `ten thousand small files are a matter of a second`() {
        let clock = ContinuousClock()
        let time = clock.measure {
            for batch in 0..<10 {
                _ = install(
                    (0..<1000).map {
                        Installation(
                            file("d\(batch)/f\($0)"), from: bytes(String(repeating: "x", count: 4096)),
                            modified: longAgo)
                    })
            }
        }
        #expect(sandbox.content("a/d9/f999")?.utf8.count == 4096)
        // A busy machine is given time; a chain of steps for each file would take minutes on a slow disk.
        #expect(time < .seconds(60), "\(time)")
    }

    @Test func `files are examined together, and read only when they are not as they were known`() {
        sandbox.put("a/known", "one")
        sandbox.put("a/changed", "two")
        sandbox.put("a/empty", "")
        sandbox.makeFolder("a/folder")
        sandbox.link("a/link", to: "known")
        let questions = ["known", "changed", "empty", "folder", "link", "none"].map {
            FileQuestion(file($0), known: $0 == "known" ? mark("known") : $0 == "changed" ? FileMark.none : nil)
        }
        guard case .examined(let findings) = sandbox.run(.examine(questions, .sha256)) else {
            Issue.record("no findings")
            return
        }
        #expect(findings.count == 6 && findings[0] == .unchanged && findings[4] == .missing && findings[5] == .missing)
        for (index, text) in [(1, "two"), (2, "")] {
            guard case .file(let entry, let digest) = findings[index] else {
                Issue.record("\(findings[index])")
                continue
            }
            #expect(entry.mark == mark(questions[index].file.path.name))
            #expect(digest == PeerCrypto.digest(Bytes(utf8: text), .sha256))
        }
        if case .folder = findings[3] {} else { Issue.record("\(findings[3])") }
    }

    @Test func `hidden names are seen when that is wanted, but for some`() {
        for name in [".hidden", "sub/.bepeer/x", ".bepeer/lock", ".bepeerignore", "plain"] {
            sandbox.put("a/" + name)
        }
        let scan = StoreOperation.scan(
            folder, under: nil, after: nil, limit: 99, hidden: .shown(butNot: ".bepeer"))
        let paths = sandbox.run(scan).paths
        #expect(paths == [".bepeerignore", ".hidden", "plain", "sub", "sub/.bepeer", "sub/.bepeer/x"])
    }
}

extension FileMark {
    /// That of no file.
    fileprivate static let none = FileMark(size: 1, modified: WallClock(milliseconds: 1), stamp: 1)
}
