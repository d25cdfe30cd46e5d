import Glibc
import PeerCore
import Testing
import UV

@Suite struct ChildProcessTests {
    /// How a program ended.
    private struct Exit: Equatable {
        var status: Int32
        var signal: Int32 = 0
    }

    /// Runs a loop for at most ten seconds, and expects that no handle is left over.
    private func run(_ body: (Loop) throws -> Void) rethrows {
        let loop = Loop()
        let limit = Timer(loop)
        limit.unreference()
        limit.start(at: loop.instant + .seconds(10)) {
            Issue.record("the loop did not end by itself")
            loop.stop()
        }
        try body(loop)
        loop.run()
        limit.close()
        loop.run()
        #expect(loop.handleCount == 0)
        #expect(loop.close())
    }

    /// The end of a shell command that gets `input`.
    private func exit(
        of command: String, input: Bytes = Bytes(), environment: [String: String]? = nil,
        started: (ChildProcess, Loop) -> Void = { _, _ in }
    ) throws -> Exit? {
        var exits: [Exit] = []
        try run { loop in
            let child = try ChildProcess(
                loop, "/bin/sh", ["-c", command], environment: environment, input: input, output: .ignored,
                errors: .ignored
            ) { exits.append(Exit(status: $0, signal: $1)) }
            started(child, loop)
        }
        #expect(exits.count == 1)
        return exits.first
    }

    @Test func `the exit status comes back`() throws {
        #expect(try exit(of: "exit 0") == Exit(status: 0))
        #expect(try exit(of: "exit 7") == Exit(status: 7))
        #expect(try exit(of: "kill -TERM $$") == Exit(status: 0, signal: SIGTERM))
    }

    @Test func `standard input arrives whole, then its end`() throws {
        // 1 MiB is sixteen times what a pipe holds.
        let input = Bytes((0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        #expect(try exit(of: "test $(wc -c) -eq 1048576", input: input) == Exit(status: 0))
        #expect(try exit(of: "test $(wc -c </dev/stdin) -eq 3", input: [0, 10, 255]) == Exit(status: 0))
        #expect(try exit(of: "test $(wc -c) -eq 0") == Exit(status: 0))
    }

    @Test func `a child that never reads does not hold up the loop`() throws {
        let input = Bytes([UInt8](repeating: 7, count: 1 << 20))
        var turns = 0
        let end = try exit(of: "exec sleep 60", input: input) { child, loop in
            let timer = Timer(loop)
            timer.start(every: .milliseconds(1)) {
                turns += 1
                guard turns == 20 else { return }
                child.kill(SIGKILL)
                timer.close()
            }
        }
        #expect(turns == 20)
        #expect(end == Exit(status: 0, signal: SIGKILL))
    }

    @Test func `a child that ends without reading is no failure`() throws {
        let input = Bytes([UInt8](repeating: 7, count: 1 << 20))
        #expect(try exit(of: "exit 3", input: input) == Exit(status: 3))
    }

    @Test func `a kill reaches the children of the child`() throws {
        try run { loop in
            var ended: Exit?
            let child = try ChildProcess(
                loop, "/bin/sh", ["-c", "sleep 60 & wait"], output: .ignored, errors: .ignored
            ) { ended = Exit(status: $0, signal: $1) }
            let group = child.identifier
            #expect(getpgid(group) == group && getpgid(group) != getpgid(0))
            let timer = Timer(loop)
            var isKilled = false
            timer.start(every: .milliseconds(10)) {
                if !isKilled, members(of: group) == 2 {
                    isKilled = true
                    child.kill(SIGKILL)
                } else if isKilled, ended != nil, members(of: group) == 0 {
                    timer.close()
                }
            }
            loop.run()
            #expect(ended == Exit(status: 0, signal: SIGKILL))
            child.kill(SIGKILL)
            child.close()
        }
    }

    @Test func `the environment is ours, or the one given`() throws {
        #expect(try exit(of: #"test -n "$PATH""#) == Exit(status: 0))
        #expect(
            try exit(of: #"test "$PEERNODE_TYPE" = 5 && test -z "$HOME""#, environment: ["PEERNODE_TYPE": "5"])
                == Exit(status: 0))
    }

    @Test func `a program that does not exist throws, and leaves nothing behind`() {
        run { loop in
            let before = descriptors()
            for _ in 0..<20 {
                #expect(throws: UVError.self) {
                    _ = try ChildProcess(loop, "/no such/program", [], input: [1]) { _, _ in
                        Issue.record("nothing ran, and it ended")
                    }
                }
            }
            while loop.runReady() {}
            // Other tests of this process open and close theirs meanwhile: only a leak of each would show.
            #expect(descriptors() < before + 20)
        }
    }
}

/// The processes of a group that have not ended.
private func members(of group: Int32) -> Int {
    entries("/proc").compactMap { Int32($0) }.filter { process in
        guard getpgid(process) == group, let file = fopen("/proc/\(process)/stat", "r") else { return false }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 256)
        guard fgets(&text, Int32(text.count), file) != nil else { return false }
        // The state stands behind the name, which is in parentheses: Z has ended and waits for its parent.
        let state = text.drop { $0 != CChar(UInt8(ascii: ")")) }.dropFirst(2).first
        return state != CChar(UInt8(ascii: "Z"))
    }.count
}

/// Descriptors that this process has open.
private func descriptors() -> Int { entries("/proc/self/fd").count }

/// The names in a folder.
private func entries(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        names.append(
            withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names
}
