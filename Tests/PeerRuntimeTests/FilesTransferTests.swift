import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// Files that come from a connection and go into one.
@Suite struct FilesTransferTests {
    let sandbox = Sandbox()

    private func reception(
        _ place: String = "a/folder/file", part: String = ".peernode/partial/1.part", appends: Bool = false,
        first: String = "", length: FileReception.Length = .toEnd(limit: 1_000), replacing: Bool = false,
        keepsPart: Bool = false, digest: DigestAlgorithm? = .sha256
    ) -> FileReception {
        FileReception(
            file: file(place), part: path(part), appends: appends, first: bytes(first), length: length, digest: digest,
            replacing: replacing, keepsPart: keepsPart)
    }

    private let partPlace = "a/.peernode/partial/1.part"

    private func sha256(_ text: String) -> Bytes { digest(bytes(text), .sha256) }

    @Test func `a part file becomes the file when all has come, with the digest of all`() throws {
        let part = try PartFile(reception(first: "ab", length: .exactly(4)), in: sandbox.folders)
        #expect(try part.prepare())
        #expect(sandbox.content(partPlace) == "ab")
        #expect(sandbox.status(partPlace).st_mode & 0o777 == 0o600)
        try part.write(bytes("cd"))
        try part.write(bytes("ef"))
        #expect(part.received == 6)
        #expect(sandbox.content("a/folder/file") == nil)
        #expect(part.finish() == .received(octets: 6, digest: sha256("abcdef")))
        part.abandon()
        #expect(sandbox.content("a/folder/file") == "abcdef")
        #expect(sandbox.status("a/folder/file").st_mode & 0o777 != 0o600)
        #expect(sandbox.names("a/.peernode/partial") == [])
    }

    @Test func `a part file grows where it ended, and its digest covers what was there`() throws {
        let held = String(repeating: "0123456789abcdef", count: 600_000)
        sandbox.put(partPlace, held)
        let part = try PartFile(reception(appends: true, first: "x"), in: sandbox.folders)
        // 9.6 MB in pieces of 4 MiB.
        #expect(try !part.prepare())
        #expect(try !part.prepare())
        #expect(try part.prepare())
        try part.write(bytes("y"))
        #expect(part.finish() == .received(octets: 2, digest: sha256(held + "xy")))
        #expect(sandbox.content("a/folder/file") == held + "xy")
        // The same in one go, and with no part file to go on from.
        sandbox.put(partPlace, held)
        let again = try PartFile(reception(appends: true, first: "x", replacing: true), in: sandbox.folders)
        try again.write(bytes("z"))
        #expect(again.finish() == .received(octets: 2, digest: sha256(held + "xz")))
        let fresh = try PartFile(reception(appends: true, first: "x", replacing: true), in: sandbox.folders)
        #expect(fresh.finish() == .received(octets: 1, digest: sha256("x")))
        let silent = try PartFile(reception(replacing: true, digest: nil), in: sandbox.folders)
        #expect(silent.finish() == .received(octets: 0, digest: nil))
    }

    @Test func `a part file that is begun anew forgets what was there`() throws {
        sandbox.put(partPlace, "old and long")
        link(sandbox.path + "/" + partPlace, sandbox.path + "/outside/other")
        let part = try PartFile(reception(first: "new"), in: sandbox.folders)
        #expect(part.finish() == .received(octets: 3, digest: sha256("new")))
        #expect(sandbox.content("a/folder/file") == "new")
        #expect(sandbox.content("outside/other") == "old and long")
    }

    @Test func `a file that is there stays unless it is to be replaced`() throws {
        for (replacing, keepsPart) in [(false, false), (false, true), (true, false)] {
            sandbox.put("a/folder/file", "earlier")
            chmod(sandbox.path + "/a/folder/file", 0o640)
            let part = try PartFile(
                reception(first: "later", replacing: replacing, keepsPart: keepsPart), in: sandbox.folders)
            let result = part.finish()
            #expect(sandbox.content("a/folder/file") == (replacing ? "later" : "earlier"))
            #expect(sandbox.status("a/folder/file").st_mode & 0o777 == 0o640)
            #expect(sandbox.content(partPlace) == (keepsPart ? "later" : nil))
            #expect(
                result == (replacing ? .received(octets: 5, digest: sha256("later")) : .failed(.exists, octets: 5)))
        }
    }

    @Test func `a transfer that ends early or goes on too long leaves the part only when asked`() throws {
        sandbox.put("a/folder/file", "earlier")
        for keepsPart in [false, true] {
            let short = try PartFile(
                reception(first: "ab", length: .exactly(4), replacing: true, keepsPart: keepsPart), in: sandbox.folders)
            try short.write(bytes("cde"))
            #expect(short.finish() == .failed(.endOfFile, octets: 5))
            #expect(sandbox.content(partPlace) == (keepsPart ? "abcde" : nil))
            for length in [FileReception.Length.exactly(2), .toEnd(limit: 2)] {
                let long = try PartFile(
                    reception(first: "ab", length: length, replacing: true, keepsPart: keepsPart), in: sandbox.folders)
                try long.write(bytes("cd"))
                #expect(throws: SystemError.other("EFBIG")) { try long.write(bytes("e")) }
                #expect(throws: SystemError.other("EFBIG")) { try long.write(Bytes()) }
                #expect(long.finish() == .failed(.other("EFBIG"), octets: 4))
                #expect(sandbox.content(partPlace) == (keepsPart ? "abcd" : nil))
            }
            var dropped: PartFile? = try PartFile(reception(first: "ab", keepsPart: keepsPart), in: sandbox.folders)
            #expect(try dropped?.prepare() == true)
            dropped = nil
            #expect(sandbox.content(partPlace) == (keepsPart ? "ab" : nil))
        }
        #expect(sandbox.content("a/folder/file") == "earlier")
    }

    @Test func `a part that somebody has replaced is neither taken nor removed`() throws {
        for keepsPart in [false, true] {
            let part = try PartFile(reception(first: "ours", keepsPart: keepsPart), in: sandbox.folders)
            #expect(try part.prepare())
            unlink(sandbox.path + "/" + partPlace)
            sandbox.put(partPlace, "theirs")
            #expect(part.finish() == .failed(.notFound, octets: 4))
            #expect(sandbox.content(partPlace) == "theirs")
            #expect(sandbox.content("a/folder/file") == nil)
        }
    }

    @Test func `links and special files are no parts and no places for a file`() throws {
        sandbox.put("outside/secret", "secret")
        sandbox.link("a/link", to: sandbox.path + "/outside/secret")
        sandbox.link("a/way", to: sandbox.path + "/outside")
        mkfifo(sandbox.path + "/a/fifo", 0o666)
        Foundation.link(sandbox.path + "/outside/secret", sandbox.path + "/a/hard")
        let parts: [(String, Bool, SystemError)] = [
            ("link", false, .notAFolder), ("link", true, .notAFolder), ("way/part", false, .notAFolder),
            ("way/secret", true, .notAFolder), ("fifo", false, .other("ENXIO")), ("fifo", true, .other("ENXIO")),
            ("hard", true, .notPermitted),
        ]
        for (part, appends, error) in parts {
            #expect(throws: error) { try PartFile(reception(part: part, appends: appends), in: sandbox.folders) }
        }
        let files: [(String, SystemError)] = [
            ("a/link", .notAFolder), ("a/way/new", .notAFolder), ("a/fifo", .other("ENXIO")), ("a", .other("EISDIR")),
        ]
        sandbox.makeFolder("a/a")
        for (place, error) in files {
            let name = place == "a" ? "a/a" : place
            let part = try PartFile(reception(name, first: "x", replacing: true), in: sandbox.folders)
            #expect(part.finish() == .failed(error, octets: 1), "\(place)")
        }
        #expect(sandbox.content("outside/secret") == "secret")
        #expect(sandbox.names("outside") == ["secret"])
    }

    @Test func `a range of a file goes into a socket as far as the socket takes it`() throws {
        let content = Bytes((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 * 31 >> 3) })
        #expect(sandbox.run(.save(file("a/file"), content)) == .done)
        let sending = try SendingFile(file("a/file"), offset: 7, count: 900_000, in: sandbox.folders)
        #expect(sending.size == 1_000_000)
        let pair = SocketPair()
        var received: [UInt8] = []
        var waits = 0
        while sending.remaining > 0 {
            switch sending.sendSome(to: pair.here, count: 300_000) {
            case .success(let count): #expect(count > 0)
            case .failure(let failure):
                #expect(failure == .wouldBlock)
                waits += 1
                received += pair.read()
            }
        }
        #expect(sending.sendSome(to: pair.here, count: 1) == .success(0))
        received += pair.read()
        #expect(Bytes(received) == content.slice(7..<900_007))
        #expect(waits > 0)
    }

    @Test func `a file that shrinks under the reader is never silently short`() throws {
        #expect(sandbox.run(.save(file("a/file"), bytes("0123456789"))) == .done)
        for range in [(0, 11), (11, 0), (5, 6), (UInt64.max, 1), (1, UInt64.max)] as [(UInt64, UInt64)] {
            #expect(throws: SystemError.endOfFile) {
                try SendingFile(file("a/file"), offset: range.0, count: range.1, in: sandbox.folders)
            }
        }
        let pair = SocketPair()
        let sending = try SendingFile(file("a/file"), offset: 0, count: 10, in: sandbox.folders)
        #expect(sending.sendSome(to: pair.here, count: 4) == .success(4))
        #expect(try sending.read(1) == bytes("4"))
        #expect(sandbox.run(.truncate(file("a/file"), size: 5)) == .done)
        #expect(sending.sendSome(to: pair.here, count: 4) == .failure(.failed(.endOfFile)))
        #expect(throws: SystemError.endOfFile) { try sending.read(4) }
        #expect(sending.remaining == 5)
        #expect(pair.read() == Array("0123".utf8))
    }

    @Test func `a file goes into no socket whose other end is gone`() throws {
        signal(SIGPIPE, SIG_IGN)
        #expect(sandbox.run(.save(file("a/file"), bytes("0123456789"))) == .done)
        let sending = try SendingFile(file("a/file"), offset: 0, count: 10, in: sandbox.folders)
        let pair = SocketPair()
        pair.closeThere()
        #expect(sending.sendSome(to: pair.here, count: 4) == .failure(.failed(.disconnected)))
        #expect(sending.sendSome(to: -1, count: 4) == .failure(.failed(.other("EBADF"))))
        #expect(sending.descriptor >= 0)
    }
}

/// Two connected sockets that never block.
private final class SocketPair {
    let here: Int32
    private var there: Int32

    init() {
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        precondition(socketpair(AF_UNIX, kind, 0, &ends) == 0)
        (here, there) = (ends[0], ends[1])
    }

    deinit {
        close(here)
        closeThere()
    }

    func closeThere() {
        if there >= 0 { close(there) }
        there = -1
    }

    /// All octets that have come.
    func read() -> [UInt8] {
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Foundation.read(there, &buffer, buffer.count)
            if count <= 0 { return octets }
            octets += buffer.prefix(count)
        }
    }
}
