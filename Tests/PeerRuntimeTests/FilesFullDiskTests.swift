import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// A file system in memory of 16 MiB, mounted for one test.
private final class SmallDisk {
    static let size = 16 << 20
    static let isPossible = geteuid() == 0
    let sandbox: Sandbox
    private let mountPoint: String

    init() {
        var template = Array((NSTemporaryDirectory() + "/peernode-disk-XXXXXX").utf8CString)
        precondition(mkdtemp(&template) != nil)
        mountPoint = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        precondition(mount("none", mountPoint, "tmpfs", 0, "size=\(Self.size),mode=0755") == 0, "cannot mount")
        sandbox = Sandbox(below: mountPoint)
    }

    /// Lets nobody write any more.
    func freeze() {
        precondition(mount("none", mountPoint, "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), "") == 0)
    }

    /// Leaves about this many octets free.
    func fill(leaving octets: Int) {
        guard case .space(let free) = sandbox.run(.freeSpace(FolderID("b"))) else { return }
        let count = Int(free) - octets
        precondition(sandbox.run(.save(file("b/ballast"), Bytes([UInt8](repeating: 1, count: count)))) == .done)
    }

    deinit {
        umount2(mountPoint, Int32(MNT_DETACH))
        rmdir(mountPoint)
    }
}

@Suite(.enabled(if: SmallDisk.isPossible, "needs root to mount a file system of 16 MiB"))
struct FilesFullDiskTests {
    private let disk = SmallDisk()
    private var sandbox: Sandbox { disk.sandbox }
    private let big = Bytes([UInt8](repeating: 2, count: 2 << 20))

    @Test func `free space is that of the disk`() {
        guard case .space(let before) = sandbox.run(.freeSpace(FolderID("a"))) else { return }
        #expect(sandbox.run(.save(file("a/file"), big)) == .done)
        #expect(sandbox.run(.freeSpace(FolderID("a"))) == .space(before - UInt64(big.count)))
    }

    @Test func `nothing of the earlier file is lost when there is no space`() {
        sandbox.put("a/file", "earlier")
        disk.fill(leaving: 1 << 20)
        let name = file("a/file")
        #expect(sandbox.run(.save(name, big)) == .failed(.noSpace))
        #expect(sandbox.content("a/file") == "earlier")
        #expect(sandbox.names("a") == ["file"])
        #expect(sandbox.run(.allocate(name, size: 2 << 20)) == .failed(.noSpace))
        #expect(sandbox.content("a/file") == "earlier")
        #expect(
            sandbox.run(.copyRange(file("b/ballast"), offset: 0, count: 2 << 20, to: file("a/copy"), at: 0))
                == .failed(.noSpace))
        #expect(sandbox.run(.writeAt(file("a/other"), offset: 0, big)) == .failed(.noSpace))
        // The space of the ballast is enough again.
        #expect(sandbox.run(.remove(file("b/ballast"))) == .done)
        #expect(sandbox.run(.save(name, big)) == .done)
        #expect(sandbox.run(.readAt(name, offset: 0, count: .max)) == .bytes(big))
    }

    @Test func `allocated space is there when the disk is full`() {
        let name = file("a/file")
        #expect(sandbox.run(.allocate(name, size: UInt64(big.count))) == .done)
        disk.fill(leaving: 0)
        #expect(sandbox.run(.writeAt(file("a/other"), offset: 0, big)) == .failed(.noSpace))
        #expect(sandbox.run(.writeAt(name, offset: 0, big)) == .done)
        #expect(sandbox.run(.readAt(name, offset: 0, count: .max)) == .bytes(big))
    }

    @Test func `a transfer that fills the disk fails alone`() throws {
        for keepsPart in [false, true] {
            sandbox.put("a/file", "earlier")
            disk.fill(leaving: 1 << 20)
            let reception = FileReception(
                file: file("a/file"), part: path(".parts/1"), first: bytes("x"), length: .exactly(4 << 20),
                digest: .sha256, replacing: true, keepsPart: keepsPart)
            let part = try PartFile(reception, in: sandbox.folders)
            try part.write(Bytes(big.prefix(100_000)))
            #expect(throws: SystemError.noSpace) { try part.write(big) }
            #expect(part.finish() == .failed(.noSpace, octets: 100_001))
            #expect(sandbox.content("a/file") == "earlier")
            #expect(sandbox.names("a/.parts") == (keepsPart ? ["1"] : []))
            #expect(sandbox.run(.remove(file("b/ballast"))) == .done)
        }
        // With space again it goes on where it was.
        guard case .entries(let entries, _, _) = sandbox.run(.inspect(file("a/.parts/1"))), let held = entries.first
        else { return }
        #expect(held.size >= 100_001)
        let rest = FileReception(
            file: file("a/file"), part: path(".parts/1"), appends: true, length: .exactly(5), replacing: true)
        let part = try PartFile(rest, in: sandbox.folders)
        try part.write(bytes("12345"))
        #expect(part.finish() == .received(octets: 5, digest: nil))
        #expect(sandbox.run(.inspect(file("a/file"))).paths == ["file"])
    }

    @Test func `a move onto a full disk leaves the file where it was`() {
        let other = Sandbox()
        let both = Folders([FolderID("a"): other.path + "/a", FolderID("b"): sandbox.path + "/b"])
        #expect(carryOut(.save(file("a/file"), big), in: both) == .done)
        disk.fill(leaving: 1 << 20)
        #expect(carryOut(.move(file("a/file"), to: file("b/file")), in: both) == .failed(.noSpace))
        #expect(carryOut(.readAt(file("a/file"), offset: 0, count: .max), in: both) == .bytes(big))
        #expect(sandbox.names("b") == ["ballast"])
    }

    @Test func `an identity and a lock need no space that is not there`() throws {
        let path = sandbox.path + "/b/data"
        let data = try DataDirectory(path)
        do { _ = try data.lock() }
        disk.fill(leaving: 0)
        #expect(throws: StateError.self) { try data.makeIdentity() }
        #expect(try data.loadIdentity() == nil)
        #expect(sandbox.names("b/data") == ["lock"])
        let lock = try data.lock()
        #expect(sandbox.content("b/data/lock") == "\(getpid())\n")
        withExtendedLifetime(lock) {}
    }

    @Test func `on a disk that cannot be written nothing is permitted but reading`() {
        sandbox.put("a/file", "content")
        disk.freeze()
        let name = file("a/file")
        let changes: [StoreOperation] = [
            .writeAt(name, offset: 0, bytes("x")), .save(name, bytes("x")), .truncate(name, size: 0),
            .allocate(name, size: 99), .remove(name), .rename(name, to: path("x"), replacing: false),
            .setTimes(name, modified: WallClock(milliseconds: 0)), .save(file("a/x/y"), bytes("x")),
        ]
        for operation in changes { #expect(sandbox.run(operation) == .failed(.notPermitted), "\(operation)") }
        #expect(sandbox.run(.readAt(name, offset: 0, count: 9)) == .bytes(bytes("content")))
    }
}
