import Foundation
import PeerCore
import PeerRuntime
import Testing

/// What a watch notices of the changes in a folder.
@Suite(.timeLimit(.minutes(1))) struct FilesWatchTests {
    let sandbox = Sandbox()

    /// All that is told until nothing more waits; nil when it is "scan again".
    private func changes(_ watch: FolderWatch) throws -> Set<String>? {
        var all: Set<String> = []
        while isReadable(watch.descriptor) {
            guard let paths = try watch.read() else { return nil }
            #expect(paths == paths.sorted())
            all.formUnion(paths.map(\.description))
        }
        return all
    }

    private func isReadable(_ descriptor: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) == 1
    }

    @Test func `every kind of change is told, in old folders and new ones`() throws {
        for place in ["file", "gone", "folder/file", "x/y/z/file"] { sandbox.put("a/" + place) }
        let watch = try FolderWatch(sandbox.path + "/a")
        #expect(watch.count == 5 && watch.isComplete && !watch.isLost)
        #expect(try changes(watch) == [])
        #expect(try watch.read() == [])
        let steps: [(() -> Void, Set<String>)] = [
            ({ sandbox.put("a/new") }, ["new"]),
            ({ _ = sandbox.run(.writeAt(file("a/folder/file"), offset: 0, bytes("x"))) }, ["folder/file"]),
            ({ _ = sandbox.run(.save(file("a/x/y/z/saved"), bytes("x"))) }, ["x/y/z/saved"]),
            ({ _ = sandbox.run(.remove(file("a/gone"))) }, ["gone"]),
            ({ _ = sandbox.run(.setTimes(file("a/file"), modified: WallClock(milliseconds: 0))) }, ["file"]),
            ({ _ = sandbox.run(.rename(file("a/new"), to: path("renamed"), replacing: false)) }, ["new", "renamed"]),
            ({ sandbox.put("a/made/deep/down") }, ["made", "made/deep", "made/deep/down"]),
            ({ sandbox.put("a/made/deep/again") }, ["made/deep/again"]),
            (
                { _ = sandbox.run(.rename(file("a/made"), to: path("moved"), replacing: false)) },
                ["made", "moved", "moved/deep", "moved/deep/again", "moved/deep/down"]
            ),
            ({ sandbox.put("a/moved/deep/third") }, ["moved/deep/third"]),
            ({ _ = sandbox.run(.rename(file("a/moved"), to: path(".hidden"), replacing: false)) }, ["moved"]),
            ({ sandbox.put("a/.hidden/deep/fourth") }, []),
            ({ sandbox.put("a/.peernode/partial/1.part") }, []),
        ]
        for (number, (change, paths)) in steps.enumerated() {
            change()
            #expect(try changes(watch) == paths, "step \(number)")
        }
        #expect(watch.count == 5)
        try FileManager.default.removeItem(atPath: sandbox.path + "/a/x")
        #expect(try changes(watch)?.contains("x") == true)
        #expect(watch.count == 2)
    }

    @Test func `nothing outside is watched through a link`() throws {
        sandbox.link("a/way", to: sandbox.path + "/outside")
        let watch = try FolderWatch(sandbox.path + "/a")
        sandbox.put("outside/file")
        sandbox.link("a/second", to: sandbox.path + "/outside")
        sandbox.put("outside/folder/file")
        #expect(try changes(watch) == ["second"])
        #expect(watch.count == 1)
    }

    @Test func `more folders than the limit are not watched, and it says so`() throws {
        for number in 0..<10 { sandbox.makeFolder("a/\(number)") }
        let watch = try FolderWatch(sandbox.path + "/a", limit: 4)
        #expect(watch.count == 4 && !watch.isComplete)
        sandbox.put("a/new")
        #expect(try changes(watch) == ["new"])
    }

    @Test func `too many changes are told as one, and new folders are found all the same`() throws {
        let watch = try FolderWatch(sandbox.path + "/a")
        for number in 0..<5_000 { sandbox.put("a/folder/\(number)") }
        #expect(try watch.read() == nil)
        _ = try changes(watch)
        sandbox.put("a/folder/late")
        #expect(try changes(watch) == ["folder/late"])
        sandbox.put("a/one/file")
        #expect(try changes(watch) == ["one", "one/file"])
        // More events than the system holds for us: some are lost.
        let capacity = Int(
            try String(contentsOfFile: "/proc/sys/fs/inotify/max_queued_events", encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines))
        for number in 0...(capacity ?? 16_384) / 2 {
            let time = WallClock(milliseconds: Int64(number))
            _ = sandbox.run(.setTimes(file("a/one/file"), modified: time))
            _ = sandbox.run(.setTimes(file("a/folder/late"), modified: time))
        }
        sandbox.put("a/two/file")
        var isLost = false
        while isReadable(watch.descriptor) { if try watch.read() == nil { isLost = true } }
        #expect(isLost)
        sandbox.put("a/two/new")
        #expect(try changes(watch) == ["two/new"])
        #expect(watch.count == 4)
    }

    @Test func `when the folder itself goes, so does the watch`() throws {
        for isMoved in [true, false] {
            sandbox.makeFolder("c/folder")
            let watch = try FolderWatch(sandbox.path + "/c")
            if isMoved {
                rename(sandbox.path + "/c", sandbox.path + "/d")
            } else {
                try FileManager.default.removeItem(atPath: sandbox.path + "/c")
            }
            #expect(try changes(watch) == nil)
            #expect(watch.isLost)
        }
        #expect(throws: SystemError.notFound) { try FolderWatch(sandbox.path + "/none") }
        sandbox.put("a/file")
        #expect(throws: SystemError.notAFolder) { try FolderWatch(sandbox.path + "/a/file") }
    }
}
