import Foundation
import PeerCore
import TestSupport
import Testing

/// Several real nodes that share folders (P+2 sections 4, 5.1, 8 and 9). What each case does is told in
/// `Tests/InteropTests/Peers/files_network.py` and `files_folder.py`.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct FilesTests {
    /// Larger folders and files when there is time for them.
    private static let isLong = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil

    /// A place for a node that shares a folder, and its port p.
    private func home(_ port: Int = 7000) throws -> NodeHome {
        let home = try NodeHome(ddrp: nil)
        let files: Record = [
            "listen": .string("\(home.host):\(port)"), "folder": .string(home.folder + "/shared"),
        ]
        try home.configure(["files": .record(files)], ddrp: nil)
        return home
    }

    @Test(arguments: 0...2) func `one of the three ports that is taken ends a node with 69, and is named`(
        offset: Int
    ) async throws {
        let home = try home()
        let other = try RawSocket.listener(on: home.host, port: 7000 + offset)
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(69))
        let address = "\(home.host):\(7000 + offset)"
        #expect(node.complaints.contains(address) && node.complaints.contains("in use"), "\(node.complaints)")
        #expect(node.lines.of("listen_failed").map { $0["address"] } == [address])
        #expect(node.lines.last?["reason"] == "cannot_listen")
        withExtendedLifetime(other) {}
    }

    @Test func `a port after which there is no room for two more is a wrong configuration`() async throws {
        let home = try home(65_534)
        let node = try home.start()
        #expect(try await node.waitForExit() == .status(78))
        #expect(node.complaints.contains("/files/listen"), "\(node.complaints)")
        withExtendedLifetime(home) {}
    }

    @Test func `two nodes share an address when their ports are three apart, and not when they are less`()
        async throws
    {
        try await Python.filesCase("one-address")
    }

    @Test func `A, who knows only B, who knows only C, finds and downloads what C has`() async throws {
        try await Python.filesCase("three-nodes")
    }

    @Test func `lists are asked for every ten seconds, searches and downloads at any time`() async throws {
        try await Python.filesCase("ten-seconds")
    }

    @Test func `known peers survive a restart, and those that are gone are told to nobody`() async throws {
        try await Python.filesCase("restarts")
    }

    @Test func `changes of a big folder show in queries, also when the watch has lost track`() async throws {
        // Two seconds on a machine that does nothing else.
        let options = Self.isLong ? ["--files", "100000", "--within", "2"] : ["--files", "5000", "--within", "5"]
        try await Python.filesCase("changes", options, within: .seconds(430))
    }

    @Test func `a download goes on where it was after its node was killed, and is verified as a whole`()
        async throws
    {
        let options =
            Self.isLong ? ["--bytes", "\(1 << 30)", "--kills", "20"] : ["--bytes", "\(64 << 20)", "--kills", "5"]
        try await Python.filesCase("killed-downloads", options, within: .seconds(1530))
    }

    @Test func `a download that begins as soon as the node is there is none of an earlier life`() async throws {
        try await Python.filesCase("early-downloads")
    }

    @Test func `what a killed node has left of a download that cannot go on is removed`() async throws {
        try await Python.filesCase("killed-plain-downloads")
    }
}
