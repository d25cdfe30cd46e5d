internal import PeerCore
internal import PeerSimulator
import Testing
internal import TestSupport

/// Folders in memory: what a real disk does not do on demand.
struct FolderTests {
    private let files = FolderID("files")

    private func file(_ path: String) throws -> FileName {
        FileName(files, try #require(RelativePath(path, allowHidden: true)))
    }

    private func answer(_ stage: Stage, _ operation: StoreOperation) throws -> StoreResult? {
        stage.give(stage.a, .store(RequestID(1), operation))
        guard case .stored(_, let result)? = try stage.heard(stage.a, in: .seconds(1)).first else { return nil }
        return result
    }

    @Test func `a full disk refuses what would not fit, and changes nothing`() throws {
        let stage = Stage()
        let folder = stage.simulator.folder("files", of: stage.a, quota: 10)
        folder["old"] = text("12345678")
        let full: [StoreOperation] = [
            .writeAt(try file("new"), offset: 0, text("123")), .writeAt(try file("old"), offset: 8, text("123")),
            .writeAt(try file("old"), offset: 9, text("12")), .allocate(try file("new"), size: 3),
            .truncate(try file("old"), size: 11), .save(try file("old"), text("123")),
            .copyRange(try file("old"), offset: 0, count: 3, to: try file("new"), at: 0),
            .writeAt(try file("new"), offset: .max, text("1")), .allocate(try file("new"), size: .max),
        ]
        for operation in full {
            let expected = StoreResult.failed(
                "\(operation)".contains("18446744073709551615, octets: 31") ? .other("EFBIG") : .noSpace)
            #expect(try answer(stage, operation) == expected, "\(operation)")
        }
        #expect(folder.paths == ["old"] && folder["old"] == text("12345678") && folder.used == 8)
        #expect(try answer(stage, .freeSpace(files)) == .space(2))
        #expect(try answer(stage, .writeAt(file("old"), offset: 8, text("90"))) == .done)
        #expect(try answer(stage, .remove(file("old"))) == .done)
        #expect(folder.used == 0)
    }

    @Test func `a transfer into a full disk fails, and leaves no part`() throws {
        let stage = Stage()
        try stage.connect()
        let folder = stage.simulator.folder("files", of: stage.b, quota: 10)
        let whole = try file("whole")
        let part = try file(".part").path
        stage.give(stage.b, .receiveFile(FileReception(file: whole, part: part, length: .exactly(20)), from: b1))
        stage.give(stage.a, .send(text("12345"), on: a1001))
        try stage.simulator.run(for: .seconds(1))
        stage.give(stage.a, .send(text("67890abcde"), on: a1001))
        #expect(
            try stage.heard(stage.b, in: .seconds(1)) == [
                .transferred(b1, whole, .failed(.noSpace, octets: 5))
            ])
        #expect(folder.paths == [] && folder.used == 0)
    }

    @Test func `folders move with all that is in them, over nothing, and not into themselves`() throws {
        let stage = Stage()
        let folder = stage.simulator.folder("files", of: stage.a)
        folder["a/b/one"] = text("1")
        folder["a/two"] = text("2")
        folder["other"] = text("3")
        let table: [(String, String, Bool, StoreResult)] = [
            ("a", "other", false, .failed(.exists)), ("a", "other", true, .failed(.notAFolder)),
            ("other", "a", true, .failed(.other("EISDIR"))), ("a", "a/c", false, .failed(.other("EINVAL"))),
            ("a", "x/y", false, .done),
        ]
        for (from, to, replacing, expected) in table {
            #expect(
                try answer(stage, .rename(file(from), to: file(to).path, replacing: replacing)) == expected,
                "\(from) to \(to)")
        }
        #expect(folder.paths == ["other", "x", "x/y", "x/y/b", "x/y/b/one", "x/y/two"])
    }

    @Test func `operations on one file keep their order, whatever they take`() throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            let stage = Stage(seed: seed)
            stage.simulator.folder("files", of: stage.a)
            let draft = try file("draft")
            stage.give(
                stage.a, .store(RequestID(1), .writeAt(draft, offset: 0, text("content"))),
                .store(RequestID(2), .sync([draft])),
                .store(RequestID(3), .rename(draft, to: try file("final").path, replacing: false)),
                .store(RequestID(4), .readAt(try file("final"), offset: 0, count: 9)))
            #expect(
                try stage.heard(stage.a, in: .seconds(1)) == [
                    .stored(RequestID(1), .done), .stored(RequestID(2), .done), .stored(RequestID(3), .done),
                    .stored(RequestID(4), .bytes(text("content"))),
                ])
        }
    }

    @Test func `too many changes at once are told as none: scan again`() throws {
        let stage = Stage()
        let folder = stage.simulator.folder("files", of: stage.a)
        #expect(try answer(stage, .watch(files)) == .done)
        for number in 0..<5000 { folder["f\(number)"] = text("") }
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.changed(files, [])])
        folder.makeFolder("sub")
        folder.makeLink("sub/link")
        #expect(
            try stage.heard(stage.a, in: .seconds(1)) == [
                .changed(files, [try file("sub").path, try file("sub/link").path])
            ])
    }

    @Test func `a dead process watches no more, and its unfinished work is not done`() throws {
        let stage = Stage()
        let folder = stage.simulator.folder("files", of: stage.a)
        _ = try answer(stage, .watch(files))
        stage.give(stage.a, .store(RequestID(2), .writeAt(try file("late"), offset: 0, text("x"))))
        stage.restart(stage.a)
        folder["new"] = text("x")
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [])
        #expect(folder.paths == ["new"])
    }
}
