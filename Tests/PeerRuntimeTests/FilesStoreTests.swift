import Foundation
import PeerCore
import PeerRuntime
import Testing

/// Every operation on files, on real folders.
@Suite struct FilesStoreTests {
    let sandbox = Sandbox()

    private func expect(_ cases: [(StoreOperation, StoreResult)]) {
        for (operation, result) in cases { #expect(sandbox.run(operation).withoutStamps == result, "\(operation)") }
    }

    @Test func `what is written at an offset is read from there`() {
        let name = file("a/new/folder/file")
        expect([
            (.writeAt(name, offset: 3, bytes("def")), .done),
            (.writeAt(name, offset: 0, bytes("abc")), .done),
            (.readAt(name, offset: 0, count: 6), .bytes(bytes("abcdef"))),
            (.readAt(name, offset: 2, count: 2), .bytes(bytes("cd"))),
            (.readAt(name, offset: 4, count: .max), .bytes(bytes("ef"))),
            (.readAt(name, offset: 6, count: 1), .bytes(Bytes())),
            (.readAt(name, offset: .max, count: 1), .bytes(Bytes())),
            (.readAt(name, offset: 0, count: 0), .bytes(Bytes())),
            (.readAt(name, offset: 0, count: -1), .bytes(Bytes())),
            (.writeAt(name, offset: UInt64(Int64.max), bytes("x")), .failed(.other("EFBIG"))),
            (.writeAt(name, offset: .max, bytes("x")), .failed(.other("EFBIG"))),
            (.truncate(name, size: 2), .done),
            (.readAt(name, offset: 0, count: 9), .bytes(bytes("ab"))),
            (.truncate(name, size: 4), .done),
            (.readAt(name, offset: 0, count: 9), .bytes(bytes("ab\0\0"))),
            (.truncate(name, size: .max), .failed(.other("EFBIG"))),
            (.allocate(name, size: 10), .done),
            (.allocate(name, size: 5), .done),
            (.allocate(name, size: 0), .done),
            (.readAt(name, offset: 0, count: 99), .bytes(bytes("ab" + String(repeating: "\0", count: 8)))),
            (.sync([name, name]), .done),
        ])
    }

    @Test func `a file is replaced at once, keeps its permissions, and leaves nothing beside it`() {
        sandbox.put("a/file", "earlier")
        chmod(sandbox.path + "/a/file", 0o640)
        expect([(.save(file("a/file"), bytes("later")), .done), (.save(file("a/x/new"), bytes("first")), .done)])
        #expect(sandbox.content("a/file") == "later")
        #expect(sandbox.status("a/file").st_mode & 0o777 == 0o640)
        #expect(sandbox.content("a/x/new") == "first")
        let mask = umask(0)
        umask(mask)
        #expect(sandbox.status("a/x/new").st_mode & 0o777 == 0o666 & ~mask)
        #expect(sandbox.names("a") == ["file", "x"])
        #expect(sandbox.names("a/x") == ["new"])
    }

    @Test func `a rename replaces only when asked`() {
        sandbox.put("a/one", "1")
        sandbox.put("a/two", "2")
        sandbox.makeFolder("a/folder")
        expect([
            (.rename(file("a/one"), to: path("two"), replacing: false), .failed(.exists)),
            (.rename(file("a/one"), to: path("folder"), replacing: false), .failed(.exists)),
            (.rename(file("a/one"), to: path("folder"), replacing: true), .failed(.other("EISDIR"))),
            (.rename(file("a/none"), to: path("deep/three"), replacing: false), .failed(.notFound)),
        ])
        #expect(sandbox.names("a") == ["folder", "one", "two"])
        expect([
            (.rename(file("a/one"), to: path("two"), replacing: true), .done),
            (.rename(file("a/two"), to: path("deep/three"), replacing: false), .done),
            (.rename(file("a/deep/three"), to: path("deep/three"), replacing: true), .done),
            (.rename(file("a/deep"), to: path("deeper"), replacing: false), .done),
        ])
        #expect(sandbox.content("a/deeper/three") == "1")
        #expect(sandbox.names("a") == ["deeper", "folder"])
    }

    @Test func `a range is copied between files and never over itself`() {
        sandbox.put("a/source", "0123456789")
        sandbox.put("b/target", "abc")
        let source = file("a/source")
        expect([
            (.copyRange(source, offset: 2, count: 3, to: file("b/target"), at: 5), .done),
            (.readAt(file("b/target"), offset: 0, count: 99), .bytes(bytes("abc\0\0" + "234"))),
            (.copyRange(source, offset: 0, count: 10, to: file("b/x/new"), at: 0), .done),
            (.readAt(file("b/x/new"), offset: 0, count: 99), .bytes(bytes("0123456789"))),
            (.copyRange(source, offset: 0, count: 5, to: source, at: 5), .done),
            (.readAt(source, offset: 0, count: 99), .bytes(bytes("0123401234"))),
            (.copyRange(source, offset: 0, count: 5, to: source, at: 4), .failed(.other("EINVAL"))),
            (.copyRange(source, offset: 5, count: 6, to: file("b/target"), at: 0), .failed(.endOfFile)),
            (.copyRange(source, offset: .max, count: 1, to: file("b/target"), at: 0), .failed(.endOfFile)),
            (.copyRange(source, offset: 0, count: 1, to: file("b/target"), at: .max), .failed(.other("EFBIG"))),
            (.copyRange(source, offset: 10, count: 0, to: file("b/empty"), at: 0), .done),
            (.readAt(file("b/target"), offset: 0, count: 99), .bytes(bytes("abc\0\0" + "234"))),
        ])
    }

    @Test func `a move goes to another folder and never over a file`() {
        sandbox.put("a/file", "content")
        sandbox.put("b/taken", "mine")
        expect([
            (.move(file("a/file"), to: file("b/taken")), .failed(.exists)),
            (.move(file("a/none"), to: file("b/made/file")), .failed(.notFound)),
            (.move(file("a/file"), to: file("b/made/file")), .done),
        ])
        #expect(sandbox.names("a") == [])
        #expect(sandbox.content("b/made/file") == "content")
        #expect(sandbox.content("b/taken") == "mine")
    }

    @Test func `to another file system files are copied, with times and permissions`() throws {
        try #require(sandbox.status("a").st_dev != deviceOfMemory(), "the temporary folder is in memory itself")
        let memory = Sandbox(below: "/dev/shm")
        let both = Folders([FolderID("a"): sandbox.path + "/a", FolderID("b"): memory.path + "/b"])
        let text = String(repeating: "0123456789abcdef", count: 50_000)
        sandbox.put("a/file", text)
        chmod(sandbox.path + "/a/file", 0o604)
        let then = WallClock(milliseconds: 1_700_000_000_123)
        let (disk, target) = (file("a/file"), file("b/x/file"))
        #expect(carryOut(.setTimes(disk, modified: then), in: both) == .done)
        #expect(carryOut(.copyRange(disk, offset: 1, count: 700_000, to: file("b/part"), at: 3), in: both) == .done)
        #expect(memory.content("b/part") == "\0\0\0" + text.dropFirst().prefix(700_000))
        #expect(carryOut(.move(disk, to: file("b/part")), in: both) == .failed(.exists))
        #expect(sandbox.content("a/file") == text)
        #expect(carryOut(.move(disk, to: target), in: both) == .done)
        #expect(memory.content("b/x/file") == text)
        #expect(memory.status("b/x/file").st_mode & 0o777 == 0o604)
        let entry = FileEntry(path: target.path, isFolder: false, size: UInt64(text.utf8.count), modified: then)
        #expect(carryOut(.inspect(target), in: both).withoutStamps == .entries([entry], more: false))
        #expect(sandbox.names("a") == [])
        #expect(memory.names("b") == ["part", "x"])
    }

    @Test func `files and empty folders are removed`() {
        sandbox.put("a/folder/file")
        expect([
            (.remove(file("a/folder")), .failed(.other("ENOTEMPTY"))),
            (.remove(file("a/folder/file")), .done),
            (.remove(file("a/folder")), .done),
            (.remove(file("a/folder")), .failed(.notFound)),
        ])
    }

    @Test func `times are kept to the millisecond, before 1970 too`() {
        sandbox.put("a/file", "12345")
        sandbox.makeFolder("a/folder")
        for milliseconds: Int64 in [0, 1, 999, 1_700_000_000_123, -1, -999, -1_000, -1_001] {
            let time = WallClock(milliseconds: milliseconds)
            let kinds: [(String, Bool, UInt64)] = [("file", false, 5), ("folder", true, 0)]
            for (name, isFolder, size) in kinds {
                let entry = FileEntry(path: path(name), isFolder: isFolder, size: size, modified: time)
                expect([
                    (.setTimes(file("a/" + name), modified: time), .done),
                    (.inspect(file("a/" + name)), .entries([entry], more: false)),
                ])
            }
        }
    }

    @Test func `a file that is written or replaced has another stamp, whatever its size and time say`() throws {
        let time = WallClock(seconds: 1_700_000_000)
        var stamps: Set<UInt64> = []
        let changes: [StoreOperation] = [
            .writeAt(file("a/file"), offset: 0, bytes("one")), .writeAt(file("a/file"), offset: 0, bytes("two")),
            .save(file("a/file"), bytes("two")),
        ]
        for change in changes {
            // Longer than the system's clock for files takes to move on.
            usleep(20_000)
            expect([(change, .done), (.setTimes(file("a/file"), modified: time), .done)])
            stamps.insert(try #require(sandbox.run(.inspect(file("a/file"))).stamp))
            #expect(sandbox.run(.inspect(file("a/file"))).stamp.map(stamps.contains) == true)
        }
        #expect(stamps.count == changes.count)
    }

    @Test func `a sync tells of a missing file after it has synced the others`() {
        sandbox.put("a/one")
        sandbox.put("b/x/two")
        expect([
            (.sync([file("a/one"), file("b/x/two")]), .done),
            (.sync([file("a/one"), file("a/none"), file("b/x/two")]), .failed(.notFound)),
            (.sync([]), .done),
        ])
    }

    @Test func `free space is what the system says`() {
        guard case .space(let octets) = sandbox.run(.freeSpace(FolderID("a"))) else {
            Issue.record("no answer")
            return
        }
        var system = statvfs()
        statvfs(sandbox.path, &system)
        let expected = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        // Others write to the disk meanwhile.
        #expect(max(octets, expected) - min(octets, expected) < 1 << 30)
    }

    @Test func `a folder that is not configured is not found`() {
        let name = file("c/file")
        expect([
            (.readAt(name, offset: 0, count: 1), .failed(.notFound)), (.save(name, Bytes()), .failed(.notFound)),
            (.freeSpace(name.folder), .failed(.notFound)), (.move(file("a/x"), to: name), .failed(.notFound)),
            (.scan(name.folder, under: nil, after: nil, limit: 1), .failed(.notFound)),
        ])
    }

    @Test func `what a crash left of a save is removed at the start`() throws {
        for place in ["a/", "a/.hidden/", "b/x/"] { sandbox.put(place + ".peernode-0123456789abcdef.tmp", "half") }
        for other in ["a/.peernode-0123456789abcdeg.tmp", "a/.peernode-1.tmp", "a/file"] { sandbox.put(other) }
        sandbox.makeFolder("a/.peernode-0123456789abcdff.tmp")
        sandbox.link("b/.peernode-0123456789abcdef.tmp", to: sandbox.path + "/a/file")
        let later = WallClock(milliseconds: Int64(Date().timeIntervalSince1970 * 1000) + 60_000)
        #expect(try sandbox.folders.removeDrafts(changedBefore: WallClock(milliseconds: 0)) == 0)
        #expect(try sandbox.folders.removeDrafts(changedBefore: later) == 3)
        #expect(try sandbox.folders.removeDrafts(changedBefore: later) == 0)
        #expect(sandbox.names("a").count == 5)
        #expect(sandbox.names("b") == [".peernode-0123456789abcdef.tmp", "x"])
    }

    @Test func `the errors of the system have their names`() {
        let names: [(Int32, SystemError)] = [
            (ENOENT, .notFound), (EEXIST, .exists), (ENOTDIR, .notAFolder), (ELOOP, .notAFolder), (ENOSPC, .noSpace),
            (EDQUOT, .noSpace), (EACCES, .notPermitted), (EPERM, .notPermitted), (EROFS, .notPermitted),
            (EMFILE, .tooManyDescriptors), (ENFILE, .tooManyDescriptors), (EPIPE, .disconnected),
            (ECONNRESET, .disconnected), (EIO, .other("EIO")), (ENAMETOOLONG, .other("ENAMETOOLONG")),
            (99_999, .other("errno 99999")),
        ]
        for (code, error) in names { #expect(SystemError(code: code) == error) }
    }
}

/// The file system in memory that every Linux has.
func deviceOfMemory() -> dev_t {
    var result = stat()
    stat("/dev/shm", &result)
    return result.st_dev
}
