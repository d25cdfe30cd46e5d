import Foundation
import PeerCore
import TestSupport
import Testing

/// Contents between real nodes (PPSP sections 8 and 9).
@Suite(.fewAtOnce) struct ContentTests {
    /// A place for a node that shares contents.
    private func home(_ name: String, limits: Record = [:]) throws -> NodeHome {
        let home = try NodeHome(ddrp: nil, name: name)
        let section: Record = ["listen": .string("\(home.host):6778"), "folder": .string(home.folder + "/contents")]
        try home.configure(["content": .record(section), "limits": .record(limits)], ddrp: nil)
        return home
    }

    /// A file of octets that no two places of which are equal.
    private func file(_ home: NodeHome, _ count: Int) throws -> (path: String, octets: Data) {
        var random = SystemRandomNumberGenerator()
        var octets = Data(capacity: count)
        while octets.count < count { withUnsafeBytes(of: random.next()) { octets.append(contentsOf: $0) } }
        octets = octets.prefix(count)
        try octets.write(to: URL(filePath: home.folder + "/source"))
        return (home.folder + "/source", octets)
    }

    private func add(_ path: String, at home: NodeHome, _ words: [String] = []) async throws -> String {
        let added = try await home.command(["content", "add", "--quiet", path] + words)
        #expect(added.exit == .status(0), "\(added.complaints)")
        return added.text
    }

    @Test func `a content is added, fetched from one who has it from another, listed and removed`() async throws {
        let (seed, middle, last) = (try home("seed"), try home("middle"), try home("last"))
        let nodes = [
            try await seed.startListening(), try await middle.startListening(), try await last.startListening(),
        ]
        let (path, octets) = try file(seed, 3_000_001)
        let swarm = try await add(path, at: seed)
        #expect(swarm.count == 64)
        let into = middle.folder + "/copy"
        let fetched = try await middle.command(["content", "fetch", "\(swarm)@\(seed.host)", into])
        #expect(fetched.exit == .status(0), "\(fetched.complaints)")
        #expect(try Data(contentsOf: URL(filePath: into)) == octets)
        nodes[0].signal(SIGKILL)
        _ = try await nodes[0].waitForExit()
        let again = try await last.command([
            "content", "fetch", "--quiet", "\(swarm)@\(middle.host)", last.folder + "/c",
        ])
        #expect(again.exit == .status(0) && again.text.isEmpty, "\(again.complaints)")
        #expect(try Data(contentsOf: URL(filePath: last.folder + "/c")) == octets)

        let list = try await last.command(["content", "list", "--json"])
        #expect(list.lines.first?.has(["swarm": swarm, "state": "complete", "bytes": "3000001"]) == true)
        #expect(try await last.command(["content", "status", String(swarm.prefix(6))]).text.contains("184 of 184"))
        #expect(try await last.command(["content", "remove", swarm]).exit == .status(0))
        #expect(try await last.command(["content", "list"]).text.contains("no contents"))
        #expect(FileManager.default.fileExists(atPath: last.folder + "/c"))
        for node in nodes.dropFirst() {
            node.signal(SIGTERM)
            #expect(try await node.waitForExit() == .status(0))
        }
    }

    @Test func `a fetch goes on after SIGKILL with what it has`() async throws {
        let (seed, fetcher) = (try home("seed", limits: ["uploadBytesPerSecond": 1_000_000]), try home("fetcher"))
        let serving = try await seed.startListening()
        var fetching = try await fetcher.startListening(environment: ["SWIFT_BACKTRACE": "enable=no"])
        let (path, octets) = try file(seed, 6_000_000)
        let swarm = try await add(path, at: seed)
        let into = fetcher.folder + "/copy"
        _ = try await fetcher.command(["content", "fetch", "--no-wait", "\(swarm)@\(seed.host)", into])
        let end = ContinuousClock.now + .seconds(20)
        var had: Int64 = 0
        while had < 3_000_000, ContinuousClock.now < end {
            had = try await fetcher.command(["content", "list", "--json"]).lines.first?.record.int("bytes") ?? 0
        }
        fetching.signal(SIGKILL)
        _ = try await fetching.waitForExit()
        fetching = try await fetcher.startListening()
        let begun = try await fetching.waitFor("fetch_begins")
        #expect((begun.record.int("bytesHere") ?? 0) > 500_000)
        try await fetching.waitFor("content_complete")
        #expect(try Data(contentsOf: URL(filePath: into)) == octets)
        for node in [serving, fetching] {
            node.signal(SIGTERM)
            #expect(try await node.waitForExit() == .status(0))
        }
    }

    @Test func `a content goes to standard output in order`() async throws {
        let (seed, reader) = (try home("seed"), try home("reader"))
        let nodes = [try await seed.startListening(), try await reader.startListening()]
        let text = (0..<50_000).map { "line \($0)" }.joined(separator: "\n")
        try (text + "\n").write(toFile: seed.folder + "/text", atomically: false, encoding: .utf8)
        let swarm = try await add(seed.folder + "/text", at: seed, ["--chunk-size", "1024", "--hash", "sha1"])
        #expect(swarm.count == 40)
        let read = try await reader.command(["content", "fetch", "\(swarm)@\(seed.host)", "-"])
        #expect(read.exit == .status(0) && read.text == text, "\(read.complaints)")
        for node in nodes { node.signal(SIGTERM) }
    }

    @Test func `what cannot be is said in words`() async throws {
        let own = try home("node")
        let node = try await own.startListening()
        try Data().write(to: URL(filePath: own.folder + "/empty"))
        for (words, expected) in [
            (["add", own.folder + "/none"], "not found"), (["add", own.folder + "/empty"], "is empty"),
            (["add", own.folder], "is a folder"), (["fetch", "12"], "40 or 64 hexadecimal digits"),
            (["status", "12"], "there is no content"), (["remove", "12"], "there is no content"),
            (["fetch", String(repeating: "a", count: 64) + "@no/where"], "neither host:port"),
        ] {
            let result = try await own.command(["content"] + words)
            #expect(result.exit == .status(1) && result.complaints.contains(expected), "\(words) \(result.complaints)")
        }
        for words in [["add"], ["fetch"], ["list", "x"], ["jump"], []] {
            #expect(try await own.command(["content"] + words).exit == .status(64), "\(words)")
        }
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        #expect(try await own.command(["content", "list"]).exit == .status(69))
    }
}
