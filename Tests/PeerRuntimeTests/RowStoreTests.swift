import Foundation
import PeerCore
import PeerRuntime
import Testing
import UV

@Suite struct RowStoreTests {
    /// Opens a store in a new folder, lets `body` use it, runs the loop to its end.
    private func withStore(
        at path: String? = nil, notices: @escaping (RowStore.Notice) -> Void = { _ in },
        _ body: (Loop, RowStore, String) throws -> Void
    ) throws {
        let folder = NSTemporaryDirectory() + "peernode-rows-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = path ?? folder + "/peernode.sqlite"
        let loop = Loop()
        let store = try RowStore(loop: loop, path: file, notify: notices)
        try body(loop, store, file)
        store.close {}
        loop.run()
        #expect(loop.close())
    }

    private func rows(_ loop: Loop, _ store: RowStore, _ table: String, after: String? = nil, limit: Int = 100) -> [Row]
    {
        var result: [Row] = []
        store.recall(table, after: after, limit: limit) { rows, _ in result = rows }
        loop.run()
        return result
    }

    @Test func `rows come back in order of their keys, with their values`() throws {
        try withStore { loop, store, _ in
            store.remember("book", "b", ["n": 2, "x": 1.5, "t": "é\"'", "yes": true])
            store.remember("book", "a", ["n": 1])
            store.remember("other", "a", ["n": 9])
            let found = rows(loop, store, "book")
            #expect(found.map(\.key) == ["a", "b"])
            #expect(found[1].record.string("t") == "é\"'")
            #expect(found[1].record.double("x") == 1.5)
            #expect(found[1].record.bool("yes") == true)
            #expect(found[0].record["x"] == nil)
        }
    }

    @Test func `a row is replaced whole, and forgotten`() throws {
        try withStore { loop, store, _ in
            store.remember("book", "a", ["n": 1, "old": "x"])
            store.remember("book", "a", ["n": 2])
            store.remember("book", "b", ["n": 3])
            store.forget("book", "b")
            #expect(rows(loop, store, "book") == [Row(key: "a", record: ["n": 2])])
        }
    }

    @Test func `rows are read in pages`() throws {
        try withStore { loop, store, _ in
            for number in 100..<200 { store.remember("book", "\(number)", ["n": .count(number)]) }
            var keys: [String] = []
            var more = true
            while more {
                store.recall("book", after: keys.last, limit: 30) { rows, left in
                    keys += rows.map(\.key)
                    more = left
                }
                loop.run()
            }
            #expect(keys == (100..<200).map(String.init))
        }
    }

    @Test func `whoever waits for a commit hears of it after the rows are on the disk`() throws {
        try withStore { loop, store, path in
            store.remember("book", "a", ["n": 1])
            var seen: [Row] = []
            store.whenCommitted { isCommitted in
                #expect(isCommitted)
                // Another reader sees what is committed only.
                let other = Loop()
                let reader = try? RowStore(loop: other, path: path) { _ in }
                reader?.recall("book", after: nil, limit: 10) { rows, _ in seen = rows }
                other.run()
                reader?.close {}
                other.run()
                other.close()
            }
            store.commit()
            loop.run()
            #expect(seen.map(\.key) == ["a"])
        }
    }

    @Test func `a damaged file is set aside and a new one begun`() throws {
        var notices: [String] = []
        try withStore { _, _, path in
            let file = path + "2"
            try Data(repeating: 0x41, count: 9000).write(to: URL(fileURLWithPath: file))
            let loop = Loop()
            let store = try RowStore(loop: loop, path: file) { notice in
                if case .setAside(let name) = notice { notices.append(name) }
            }
            store.remember("book", "a", ["n": 1])
            #expect(rows(loop, store, "book").count == 1)
            store.close {}
            loop.run()
            #expect(loop.close())
            #expect(notices.count == 1 && FileManager.default.fileExists(atPath: notices[0]))
        }
    }

    @Test func `a file of a newer program is refused with words`() throws {
        try withStore { loop, store, path in
            let python = Process()
            python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            python.arguments = [
                "python3", "-c",
                "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('PRAGMA user_version=99')",
                path + "3",
            ]
            try python.run()
            python.waitUntilExit()
            #expect(python.terminationStatus == 0)
            do throws(RowStoreError) {
                _ = try RowStore(loop: loop, path: path + "3") { _ in }
                Issue.record("opened")
            } catch {
                #expect(error == .newerFormat(path: path + "3", format: 99, known: 1))
            }
        }
    }

    @Test func `a folder that is not there is said so`() throws {
        let loop = Loop()
        #expect(throws: RowStoreError.self) { _ = try RowStore(loop: loop, path: "/nonexistent/x.sqlite") { _ in } }
        loop.close()
    }
}
