import Foundation
import PeerCore
import TestSupport
import Testing

/// One content, and many nodes that want it, each a process (PPSP sections 8 and 9).
@Suite(.fewAtOnce) struct ContentSwarmTests {
    private static let isLong = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil
    private static let bytes = isLong ? 256 << 20 : 8 << 20
    /// For all together; a busy machine has time enough.
    private static let limit = Duration.seconds(isLong ? 900 : 120)

    /// A place for a node that shares contents, and gives them so slowly that there is time to kill others meanwhile.
    private func home(_ name: String) throws -> NodeHome {
        let home = try NodeHome(ddrp: nil, name: name)
        let section: Record = ["listen": .string("\(home.host):6778"), "folder": .string(home.folder + "/contents")]
        let limits: Record = ["uploadBytesPerSecond": .count(Self.bytes / 8)]
        let log: Record = ["categories": .record(["content": "debug"])]
        try home.configure(
            ["content": .record(section), "limits": .record(limits), "log": .record(log)], ddrp: nil)
        return home
    }

    private func start(_ home: NodeHome) async throws -> ChildProcess {
        let node = try home.start(environment: ["SWIFT_BACKTRACE": "enable=no"], life: Self.limit)
        try await node.waitFor("listening") { $0["listener"] == "admin" }
        return node
    }

    @Test func `of eight that fetch from one three are killed, and all get all, with what they had`() async throws {
        let seed = try home("seed")
        let serving = try await start(seed)
        var random = SystemRandomNumberGenerator()
        var octets = Data(capacity: Self.bytes + 8)
        while octets.count < Self.bytes { withUnsafeBytes(of: random.next()) { octets.append(contentsOf: $0) } }
        // The last chunk is not whole.
        octets = octets.prefix(Self.bytes - 5)
        try octets.write(to: URL(filePath: seed.folder + "/source"))
        let added = try await seed.command(["content", "add", "--quiet", seed.folder + "/source"], within: Self.limit)
        let swarm = added.text
        #expect(swarm.count == 64, "\(added.complaints)")

        let homes = try (1...8).map { try home("fetcher-\($0)") }
        var nodes: [ChildProcess] = []
        for home in homes {
            nodes.append(try await start(home))
            let words = ["content", "fetch", "--no-wait", "\(swarm)@\(seed.host)", home.folder + "/copy"]
            #expect(try await home.command(words).exit == .status(0))
        }
        for victim in [1, 4, 6] {
            try await nodes[victim].waitFor("content_saved", within: Self.limit)
            nodes[victim].signal(SIGKILL)
            _ = try await nodes[victim].waitForExit()
            nodes[victim] = try await start(homes[victim])
            let begun = try await nodes[victim].waitFor("fetch_begins")
            #expect((begun.record.int("bytesHere") ?? 0) > 0)
        }
        for (home, node) in zip(homes, nodes) {
            try await node.waitFor("content_complete", within: Self.limit)
            let copy = try Data(contentsOf: URL(filePath: home.folder + "/copy"), options: .mappedIfSafe)
            #expect(copy == octets, "\(home.name)")
        }
        for node in nodes + [serving] {
            node.signal(SIGTERM)
            #expect(try await node.waitForExit() == .status(0))
        }
    }
}
