import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// The folder with the state of a node.
@Suite struct FilesStateTests {
    let sandbox = Sandbox()

    private func octets(_ value: UInt8, count: Int = 32) -> Data { Data(repeating: value, count: count) }

    private func write(_ octets: Data, to path: String, _ mode: UInt32) {
        precondition(FileManager.default.createFile(atPath: path, contents: octets))
        chmod(path, mode)
    }

    @Test func `the data directory is made for its owner only, with what leads to it`() throws {
        let path = sandbox.path + "/x/y/data"
        let new = try DataDirectory(path)
        #expect(new.facts.isNew && new.facts.isPrivate && new.facts.isOwn)
        #expect(sandbox.status("x/y/data").st_mode & 0o777 == 0o700)
        #expect(sandbox.status("x/y").st_mode & 0o777 != 0o700)
        let old = try DataDirectory(path)
        #expect(!old.facts.isNew && old.facts.isPrivate)
        chmod(path, 0o750)
        let open = try DataDirectory(path)
        #expect(!open.facts.isPrivate && open.facts.permissions == 0o750 && open.facts.owner == geteuid())
        #expect(sandbox.status("x/y/data").st_mode & 0o777 == 0o750)
        sandbox.put("file")
        for place in ["file", "file/data"] {
            let whole = sandbox.path + "/" + place
            #expect(throws: StateError.refused(.notAFolder, path: whole, doing: "make the data directory")) {
                try DataDirectory(whole)
            }
        }
    }

    @Test func `an identity is made once, for its owner only, and never replaced silently`() throws {
        let data = try DataDirectory(sandbox.path + "/data")
        #expect(try data.loadIdentity() == nil)
        let made = try data.identity()
        #expect(made.isNew)
        #expect(sandbox.status("data/identity").st_mode & 0o777 == 0o600)
        #expect(sandbox.status("data/identity").st_size == 32)
        #expect(sandbox.names("data") == ["identity"])
        let again = try data.identity()
        #expect(!again.isNew && again.identity.peerID == made.identity.peerID)
        #expect(throws: StateError.identityExists(path: data.identityPath)) { try data.makeIdentity() }
        #expect(try data.loadIdentity()?.peerID == made.identity.peerID)
        let secret = Bytes32([UInt8](repeating: 7, count: 32))
        let forced = try data.makeIdentity(secret: secret, replacing: true)
        #expect(forced.peerID == Identity(secret: secret)?.peerID)
        #expect(try data.loadIdentity()?.peerID == forced.peerID)
        #expect(sandbox.status("data/identity").st_mode & 0o777 == 0o600)
        #expect(sandbox.names("data") == ["identity"])
    }

    @Test func `an identity that others can use, or that is none, is refused with what to do`() throws {
        let data = try DataDirectory(sandbox.path + "/data")
        let whole = data.identityPath
        for mode: UInt32 in [0o644, 0o640, 0o604, 0o620, 0o601, 0o660] {
            write(octets(7), to: whole, mode)
            let error = StateError.identityExposed(path: whole, permissions: mode)
            #expect(throws: error) { try data.loadIdentity() }
            #expect(throws: error) { try data.identity() }
            #expect(error.description.contains("chmod 600") && error.description.contains(whole))
            #expect(error.description.contains(String(mode, radix: 8)))
        }
        let damaged = [
            Data(), octets(7, count: 31), octets(7, count: 33), octets(0), octets(255), octets(7, count: 64),
        ]
        for content in damaged {
            write(content, to: whole, 0o600)
            #expect(throws: StateError.identityDamaged(path: whole)) { try data.loadIdentity() }
            #expect(throws: StateError.identityDamaged(path: whole)) { try data.identity() }
            #expect(FileManager.default.contents(atPath: whole) == content)
        }
        unlink(whole)
        mkfifo(whole, 0o600)
        #expect(throws: StateError.refused(.other("ENXIO"), path: whole, doing: "read the identity in")) {
            try data.loadIdentity()
        }
    }

    @Test func `an identity may be kept elsewhere, behind a link`() throws {
        let data = try DataDirectory(sandbox.path + "/data")
        write(octets(7), to: sandbox.path + "/outside/key", 0o400)
        sandbox.link("data/identity", to: sandbox.path + "/outside/key")
        #expect(try data.loadIdentity() != nil)
        #expect(throws: StateError.self) { try data.makeIdentity(replacing: true) }
        chmod(sandbox.path + "/outside/key", 0o440)
        #expect(throws: StateError.identityExposed(path: data.identityPath, permissions: 0o440)) {
            try data.loadIdentity()
        }
    }

    @Test func `a second taker of the lock learns who has it`() throws {
        let data = try DataDirectory(sandbox.path + "/data")
        var lock: DirectoryLock? = try data.lock()
        #expect(sandbox.content("data/lock") == "\(getpid())\n")
        #expect(sandbox.status("data/lock").st_mode & 0o777 == 0o600)
        let error = StateError.inUse(directory: data.path, process: getpid())
        #expect(throws: error) { try data.lock() }
        #expect(error.description.contains("process \(getpid())") && error.description.contains(data.path))
        withExtendedLifetime(lock) {}
        lock = nil
        // What another process left there is overwritten whole.
        try "123456789\n".write(toFile: data.path(of: "lock"), atomically: false, encoding: .utf8)
        lock = try data.lock()
        #expect(sandbox.content("data/lock") == "\(getpid())\n")
        withExtendedLifetime(lock) {}
    }

    @Test(.timeLimit(.minutes(1))) func `the lock ends with its process, however that ends`() throws {
        let data = try DataDirectory(sandbox.path + "/data")
        do { _ = try data.lock() }
        // util-linux: takes the lock of the file and becomes the command.
        let holder = Process()
        let output = Pipe()
        holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
        holder.arguments = ["--no-fork", data.path(of: "lock"), "sh", "-c", "echo $$ >&1; exec sleep 50"]
        holder.standardOutput = output
        try holder.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        #expect(line == "\(holder.processIdentifier)\n")
        try line.write(toFile: data.path(of: "lock"), atomically: false, encoding: .utf8)
        #expect(throws: StateError.inUse(directory: data.path, process: holder.processIdentifier)) { try data.lock() }
        kill(holder.processIdentifier, SIGKILL)
        holder.waitUntilExit()
        #expect(throws: Never.self) { try data.lock() }
    }
}
