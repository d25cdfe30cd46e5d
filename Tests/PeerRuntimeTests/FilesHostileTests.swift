import Foundation
import PeerCore
import PeerRuntime
import Testing

/// Folders into which somebody has put what does not belong there.
@Suite struct FilesHostileTests {
    let sandbox = Sandbox()

    /// All operations on one file, with the answer when the file is an ordinary one of some octets.
    private func operations(on name: FileName) -> [StoreOperation] {
        let good = file("a/good")
        let reception = DigestSource.blocks(name, offset: 0, count: 1, block: 1)
        return [
            .inspect(name), .readAt(name, offset: 0, count: 9), .writeAt(name, offset: 0, bytes("evil")),
            .allocate(name, size: 1_000), .truncate(name, size: 0), .save(name, bytes("evil")),
            .rename(name, to: path("elsewhere"), replacing: false), .rename(good, to: name.path, replacing: true),
            .copyRange(name, offset: 0, count: 1, to: file("a/copy"), at: 0),
            .copyRange(good, offset: 0, count: 1, to: name, at: 0), .move(name, to: file("b/elsewhere")),
            .remove(name), .setTimes(name, modified: WallClock(milliseconds: 5)), .sync([name]),
            .digest(reception, .sha256, key: nil),
        ]
    }

    private func expectAllRefused(_ place: String, _ error: SystemError) {
        let before = sandbox.everything()
        for operation in operations(on: file(place)) {
            #expect(sandbox.run(operation) == .failed(error), "\(operation)")
        }
        #expect(sandbox.everything() == before, "after \(place)")
    }

    @Test(.timeLimit(.minutes(1))) func `links are never followed and special files never opened`() {
        sandbox.put("outside/secret", "secret")
        sandbox.put("a/good", "good")
        sandbox.put("a/file", "file")
        sandbox.put("a/copy", "copy")
        sandbox.link("a/link", to: sandbox.path + "/outside/secret")
        sandbox.link("a/near", to: "good")
        sandbox.link("a/loop", to: "loop")
        sandbox.link("a/dangling", to: sandbox.path + "/outside/none")
        sandbox.link("a/way", to: sandbox.path + "/outside")
        sandbox.link("a/up", to: "..")
        mkfifo(sandbox.path + "/a/fifo", 0o666)
        makeSocket("a/socket")
        let hostile: [(String, SystemError)] = [
            ("a/link", .notAFolder), ("a/near", .notAFolder), ("a/loop", .notAFolder), ("a/dangling", .notAFolder),
            ("a/way", .notAFolder), ("a/way/secret", .notAFolder), ("a/up/outside/secret", .notAFolder),
            ("a/file/below", .notAFolder), ("a/fifo", .other("ENXIO")), ("a/socket", .other("ENXIO")),
        ]
        for (place, error) in hostile { expectAllRefused(place, error) }
        #expect(sandbox.content("outside/secret") == "secret")
        #expect(sandbox.names("outside") == ["secret"])
    }

    @Test func `a folder is no file`() {
        sandbox.put("a/good", "good")
        sandbox.put("a/folder/file", "file")
        let name = file("a/folder")
        let refused: [StoreOperation] = [
            .readAt(name, offset: 0, count: 1), .writeAt(name, offset: 0, bytes("x")), .save(name, bytes("x")),
            .truncate(name, size: 0), .allocate(name, size: 1), .rename(file("a/good"), to: name.path, replacing: true),
            .copyRange(name, offset: 0, count: 0, to: file("a/good"), at: 0), .sync([name]),
            .copyRange(file("a/good"), offset: 0, count: 1, to: name, at: 0),
            .digest(.blocks(name, offset: 0, count: 0, block: 1), .sha256, key: nil),
        ]
        for operation in refused { #expect(sandbox.run(operation) == .failed(.other("EISDIR")), "\(operation)") }
        #expect(sandbox.names("a") == ["folder", "good"])
    }

    @Test func `a file with a second name elsewhere is replaced and read, never written in place`() {
        sandbox.put("outside/secret", "secret")
        sandbox.put("a/good", "good")
        func restore() {
            unlink(sandbox.path + "/a/file")
            Foundation.link(sandbox.path + "/outside/secret", sandbox.path + "/a/file")
        }
        let name = file("a/file")
        let cases: [(StoreOperation, StoreResult)] = [
            (.readAt(name, offset: 0, count: 9), .bytes(bytes("secret"))),
            (.writeAt(name, offset: 0, bytes("evil")), .failed(.notPermitted)),
            (.truncate(name, size: 0), .failed(.notPermitted)),
            (.allocate(name, size: 1_000), .failed(.notPermitted)),
            (.copyRange(file("a/good"), offset: 0, count: 4, to: name, at: 0), .failed(.notPermitted)),
            (.save(name, bytes("evil")), .done), (.rename(file("a/good"), to: name.path, replacing: true), .done),
            (.remove(name), .done),
        ]
        for (operation, result) in cases {
            restore()
            #expect(sandbox.run(operation) == result, "\(operation)")
            #expect(sandbox.content("outside/secret") == "secret", "\(operation)")
        }
    }

    @Test func `names of 255 octets and paths of 4096 work, longer ones cannot be said`() {
        let long = String(repeating: "é", count: 127) + "x"
        let deep = Array(repeating: String(repeating: "d", count: 15), count: 255) + [String(repeating: "f", count: 16)]
        for components in [[long], ["x" + long.dropLast(), long], deep] {
            guard let path = RelativePath(components: components) else {
                Issue.record("no path of \(components.count) components")
                continue
            }
            let name = FileName(FolderID("a"), path)
            #expect(sandbox.run(.save(name, bytes("x"))) == .done)
            #expect(sandbox.run(.readAt(name, offset: 0, count: 9)) == .bytes(bytes("x")))
        }
        #expect(sandbox.run(.scan(FolderID("a"), under: nil, after: nil, limit: 999)).paths?.count == 256 + 3)
        #expect(RelativePath(components: [long + "x"]) == nil)
        #expect(RelativePath(components: deep + ["d"]) == nil)
        // A file whose path has one octet more than a path may have is left out.
        func top(_ depth: Int) -> FileName { file("a/" + deep.prefix(depth).joined(separator: "/")) }
        sandbox.put("a/bottom/" + String(repeating: "f", count: 17))
        let steps: [StoreOperation] = [
            .remove(top(256)), .remove(top(255)), .rename(file("a/bottom"), to: top(255).path, replacing: false),
        ]
        for step in steps { #expect(sandbox.run(step) == .done) }
        #expect(sandbox.run(.scan(FolderID("a"), under: nil, after: nil, limit: 999)).paths?.count == 255 + 3)
        // Two halves can be removed by who names whole paths.
        #expect(sandbox.run(.rename(top(128), to: path("half"), replacing: false)) == .done)
    }

    @Test func `two normal forms of a name are two files`() {
        let (composed, decomposed) = (file("a/caf\u{e9}"), file("a/cafe\u{301}"))
        #expect(composed != decomposed)
        #expect(sandbox.run(.save(composed, bytes("1"))) == .done)
        #expect(sandbox.run(.save(decomposed, bytes("2"))) == .done)
        #expect(sandbox.run(.readAt(composed, offset: 0, count: 9)) == .bytes(bytes("1")))
        #expect(sandbox.run(.scan(FolderID("a"), under: nil, after: nil, limit: 9)).paths?.count == 2)
        #expect(sandbox.run(.scan(FolderID("a"), under: nil, after: decomposed.path, limit: 9)).paths?.count == 1)
    }

    @Test(.enabled(if: geteuid() != 0, "root may do everything"))
    func `what may not be read or written is not permitted, and a scan does not take it for empty`() {
        sandbox.put("a/file", "content")
        sandbox.put("a/folder/file", "content")
        sandbox.makeFolder("a/lost+found")
        chmod(sandbox.path + "/a/lost+found", 0)
        let scan = StoreOperation.scan(FolderID("a"), under: nil, after: nil, limit: 9)
        #expect(sandbox.run(scan).paths == ["file", "folder", "folder/file", "lost+found"])
        chmod(sandbox.path + "/a/file", 0)
        chmod(sandbox.path + "/a/folder", 0)
        let refused: [StoreOperation] = [
            scan, .readAt(file("a/file"), offset: 0, count: 1), .writeAt(file("a/file"), offset: 0, bytes("x")),
            .readAt(file("a/folder/file"), offset: 0, count: 1), .save(file("a/folder/new"), bytes("x")),
            .rename(file("a/file"), to: path("folder/file"), replacing: false), .remove(file("a/folder/file")),
        ]
        for operation in refused { #expect(sandbox.run(operation) == .failed(.notPermitted), "\(operation)") }
        #expect((try? FolderWatch(sandbox.path + "/a").isComplete) == false)
        chmod(sandbox.path + "/a/folder", 0o700)
    }

    @Test func `a configured folder may be a link`() {
        sandbox.put("a/file", "content")
        sandbox.link("way", to: "a")
        let folders = Folders([FolderID("a"): sandbox.path + "/way"])
        #expect(carryOut(.readAt(file("a/file"), offset: 0, count: 9), in: folders) == .bytes(bytes("content")))
    }

    private func makeSocket(_ place: String) {
        let socket = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: (sandbox.path + "/" + place).utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(status == 0, "cannot make a socket")
    }
}
