import PeerCore
import PeerCrypto
import PeerSimulator
import Testing

@testable import BePeer

/// Two nodes of which one speaks the four messages only, so that neither is told of versions (BePeer section 4.3).
struct OldPeerTests {
    private func two(_ files: [String: String]) throws -> Lab {
        let lab = Lab()
        lab.node(1, files: files) { $0.smallFileBytes = 20 }
        lab.node(2, peers: [1]) {
            $0.smallFileBytes = 20
            $0.extensions = false
        }
        try lab.meet(1)
        return lab
    }

    private func copies(_ lab: Lab, _ node: Int) -> [Bytes] {
        lab.content(lab.nodes[node]).filter { $0.key.contains("sync-conflict") }.map(\.value)
    }

    /// Both edit while the network is cut; the second one so much later.
    private func editBoth(_ lab: Lab, _ first: String, _ second: String, later: Duration) throws {
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        try lab.run(.seconds(60))
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: first)
        try lab.run(later)
        lab.files(lab.nodes[1])["File1"] = Bytes(utf8: second)
        try lab.run(.seconds(60))
        lab.simulator.heal()
        let isEqual = try lab.settle(within: .seconds(1800)) { lab.isQuiet && lab.isEqual }
        #expect(isEqual, "\(lab.nodes.map(lab.content))")
    }

    @Test(arguments: [100, 300, 500, 700, 900])
    func `two edits in one second: times are told in seconds, and both find the same winner`(later: Int) throws {
        let lab = try two(["File1": "v1"])
        try editBoth(lab, "the first", "the second", later: .milliseconds(later))
        #expect(copies(lab, 0).count == 1)
        let all = Set(lab.content(lab.nodes[0]).values)
        #expect(all == [Bytes(utf8: "the first"), Bytes(utf8: "the second")])
    }

    @Test(arguments: [.zero, .seconds(5)] as [Duration])
    func `two large contents of one size: the loser is kept, whoever has it`(later: Duration) throws {
        let (first, second) = (String(repeating: "1", count: 100), String(repeating: "2", count: 100))
        let lab = try two(["File1": "v1"])
        try editBoth(lab, first, second, later: later)
        let all = Set(lab.content(lab.nodes[1]).values)
        #expect(all == [Bytes(utf8: first), Bytes(utf8: second)])
    }

    @Test(arguments: [0, 1])
    func `what was edited while its node was away is no conflict with what the other still offers`(node: Int) throws {
        let lab = try two(["File1": "v1", "File2": "two"])
        lab.simulator.stop(lab.nodes[node])
        try lab.run(.seconds(20))
        lab.files(lab.nodes[node])["File1"] = Bytes(utf8: "edited")
        lab.simulator.restart(lab.nodes[node])
        let isEqual = try lab.settle(within: .seconds(1800)) { lab.isQuiet && lab.isEqual }
        let content = lab.content(lab.nodes[0])
        #expect(isEqual && content == ["File1": Bytes(utf8: "edited"), "File2": Bytes(utf8: "two")])
    }

    @Test func `a content is agreed on when it is in its place: after a kill before that it is still news`() throws {
        var stage = CoreStage.ready(peers: ["127.0.0.2"])
        stage.serve("/00-MainDocuments/File1", "v1", at: "127.0.0.2")
        let (connection, _) = stage.join("127.0.0.2", ["File1"])
        stage.hear(stage.confirmation(["File1"]), on: connection)
        stage.serve("/00-MainDocuments/File1", "version 2", at: "127.0.0.2")
        stage.isInstalling = false
        let effects = stage.hear(stage.offer(["File1"]), on: connection)
        let installs = effects.compactMap { if case .store(let request, .install) = $0 { request } else { nil } }
        let install = try #require(installs.last)
        #expect(agreed(effects) == [])
        let entry = FileEntry(
            path: try Path("File1").relative, isFolder: false, size: 9, modified: stage.now.wallClock, stamp: 99)
        let version = digest(Bytes(utf8: "version 2"), .sha256).hex
        #expect(agreed(stage(.stored(install, .installed([.success(entry)])))) == [version])
    }

    /// The contents that are noted as agreed on.
    private func agreed(_ effects: [Effect]) -> [String] {
        effects.compactMap { effect in
            guard case .remember(Rows.agreed, _, let record) = effect else { return nil }
            return record.string("hash")
        }
    }
}
