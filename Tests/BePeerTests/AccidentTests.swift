import PeerCore
import PeerSimulator
import Testing

@testable import BePeer

/// Nodes end at bad moments, and come back (BePeer sections 5.3, 6.1 and 6.3).
struct AccidentTests {
    private let peer = "127.0.0.2"

    private func two(
        _ files: [String: String] = ["File1": "v1"], _ change: (inout Configuration) -> Void = { _ in }
    ) throws -> Lab {
        let lab = Lab()
        lab.node(1, files: files)
        lab.node(2, peers: [1], change)
        try lab.meet(1)
        return lab
    }

    @Test func `a node that is stopped while it dials ends like any other`() throws {
        let lab = Lab()
        lab.node(1)
        lab.node(2, peers: [1])
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        try lab.run(.seconds(3))
        #expect(lab.core(lab.nodes[1])?.talks.values.allSatisfy { !$0.isOpen } == true)
        lab.simulator.stop(lab.nodes[1])
        try lab.run(.seconds(10))
        #expect(!lab.simulator.isRunning(lab.nodes[1]))
    }

    @Test func `an offer that nobody has answered is made again after a start`() throws {
        let lab = try two()
        // From now on the first node knows what the second one has, and asks for news only.
        lab.files(lab.nodes[1])["File2"] = Bytes(utf8: "two")
        try lab.run(.seconds(10))
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "edited")
        try lab.run(.seconds(10))
        #expect(lab.core(lab.nodes[0])?.folders[0].partners[Lab.ip(2)]?.isOutstanding == true)
        lab.simulator.kill(lab.nodes[0], .power)
        lab.simulator.restart(lab.nodes[0])
        lab.simulator.heal()
        let isEqual = try lab.settle(within: .seconds(60)) { lab.isEqual }
        #expect(isEqual && lab.content(lab.nodes[1])["File1"] == Bytes(utf8: "edited"))
    }

    @Test func `what a joiner has brought along is told after a start too, unless the peer has got it`() throws {
        var stage = CoreStage.ready(["ours": "2"], peers: [peer])
        stage.serve("/00-MainDocuments/theirs", "1", at: peer)
        let (connection, _) = stage.join(peer, ["theirs"])
        let confirmed = stage.hear(stage.confirmation(["theirs"]), on: connection)
        #expect(confirmed.sent(on: connection) == stage.offer(["ours"]))
        #expect(offersAfterStart(stage).joined().contains("\nours\n"))
        stage.serve("/00-MainDocuments/ours", "2", at: peer)
        stage.hear(stage.report(["ours"], port: 7010), on: connection)
        #expect(offersAfterStart(stage) == [])
    }

    /// What the peer is offered in the next life, which begins with the rows that were written in this one.
    private func offersAfterStart(_ stage: CoreStage) -> [String] {
        var rows: [String: [String: Record]] = [:]
        for case .remember(let table, let key, let record) in stage.history.map(\.effect) {
            rows[table, default: [:]][key] = record
        }
        var next = CoreStage(stage.core.configuration)
        next.files = stage.files
        next(.start)
        for table in [Rows.folders, Rows.peers, Rows.files, Rows.agreed] {
            let page = (rows[table] ?? [:]).sorted { $0.key < $1.key }.map { Row(key: $0.key, record: $0.value) }
            next(.recalled(table: table, page, more: false))
        }
        guard let dial = next.history.dials.last else { return [] }
        return next.connect(dial.connection, to: peer).sent.filter { $0.hasPrefix("FilesToGet") }
    }

    @Test func `changes of a life have higher numbers than any that the life before may have told`() throws {
        let lab = try two()
        let before = try #require(lab.core(lab.nodes[0])?.folders[0].sequence)
        lab.simulator.restart(lab.nodes[0])
        try lab.run(.seconds(5))
        let after = try #require(lab.core(lab.nodes[0])?.folders[0].sequence)
        #expect(after >= before + 1_000_000)
        lab.files(lab.nodes[0])["File1"] = nil
        try lab.run(.seconds(10))
        #expect(lab.isEqual && lab.content(lab.nodes[1]).isEmpty)
    }

    @Test func `a peer that is back is gone on with at once`() throws {
        let lab = try two(["File1": "v1"])
        let text = String(repeating: "0123456789", count: 1000)
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: text)
        let hasBegun = try lab.simulator.run(
            for: .seconds(20), until: { lab.core(lab.nodes[1])?.folders[0].partners[Lab.ip(1)]?.intake != nil })
        #expect(hasBegun)
        lab.simulator.kill(lab.nodes[0])
        // The third try is a minute after the second one.
        try lab.run(.seconds(20))
        lab.simulator.restart(lab.nodes[0])
        let isEqual = try lab.settle(within: .seconds(10)) { lab.isEqual }
        #expect(isEqual && lab.content(lab.nodes[1])["File1"] == Bytes(utf8: text))
    }

    @Test func `what could not be fetched is tried again a minute later`() throws {
        let lab = try two(["File1": "v1"]) { $0.folders[0].maxBytes = 100 }
        lab.files(lab.nodes[0])["large"] = Bytes(utf8: String(repeating: "x", count: 200))
        try lab.run(.seconds(10))
        #expect(lab.events("disk_full", of: lab.nodes[1]).count == 1)
        lab.files(lab.nodes[0])["large"] = Bytes(utf8: "small")
        lab.files(lab.nodes[0])["larger"] = Bytes(utf8: String(repeating: "x", count: 99))
        try lab.run(.seconds(130))
        #expect(lab.content(lab.nodes[1])["large"] == Bytes(utf8: "small"))
        let failures = lab.events("disk_full", of: lab.nodes[1]).count
        try lab.run(.seconds(125))
        #expect(lab.events("disk_full", of: lab.nodes[1]).count == failures + 2)
    }
}

/// The folder's disk is not there any more (BePeer section 4.4).
struct VanishedDiskTests {
    @Test func `few files are gone, and so is the marker: nothing is propagated, or written where they were`() throws {
        let lab = Lab()
        lab.node(1, files: ["File1": "1", "File2": "2", "File3": "3"])
        lab.node(2, peers: [1])
        try lab.meet(1)
        let (first, second) = (lab.files(lab.nodes[0]), lab.files(lab.nodes[1]))
        let disk = second.contents
        for path in second.paths.reversed() { second[path] = nil }
        first["File1"] = Bytes(utf8: "edited meanwhile")
        first["new"] = Bytes(utf8: "new")
        try lab.run(.seconds(60))
        #expect(lab.events("folder_stopped", of: lab.nodes[1]).map { $0.string("why") } == ["no_marker"])
        #expect(lab.events("delete").isEmpty && lab.content(lab.nodes[0]).count == 4)
        #expect(lab.content(lab.nodes[1]).isEmpty)
        for (path, octets) in disk { second[path] = octets }
        try lab.run(.seconds(200))
        #expect(lab.isEqual && lab.content(lab.nodes[1])["File1"] == Bytes(utf8: "edited meanwhile"))
        #expect(lab.content(lab.nodes[1]).count == 4 && lab.events("delete").isEmpty)
    }

    @Test(arguments: [(["part/x"], "stopped"), ([], "ready")])
    func `a marker with other things than our lock is where the disk is missing`(things: [String], state: String) {
        let row: Record = [
            "size": 1, "modified": 0, "stamp": 7, "hash": .string(Bytes32.zero.hex), "version": "00000000000000aa:1",
            "sequence": 1, "kind": "file",
        ]
        let rows = [Rows.files: [Row(key: "\(CoreStage.folder)/File1", record: row)]]
        var stage = CoreStage.ready(rows: rows, hasMarker: false) { _ in }
        #expect(stage.core.row(of: 0).string("why") == "no_marker")
        // What installs leave, or the empty one of the operator.
        stage.makeFolder(".bepeer")
        for name in things { stage.put(".bepeer/\(name)", "") }
        stage.wait(.seconds(61))
        #expect(stage.core.row(of: 0).string("state") == state)
    }
}

/// What is put aside, and what is left behind (BePeer sections 4.3, 4.4 and 6.2).
struct KeepingTests {
    private func two(_ files: [String: String]) throws -> Lab {
        let lab = Lab()
        lab.node(1, files: files) { $0.quiet = .milliseconds(50) }
        lab.node(2, peers: [1]) { $0.quiet = .milliseconds(50) }
        try lab.meet(1)
        return lab
    }

    @Test func `a folder that was renamed or emptied does not stay behind, and does not come back`() throws {
        let lab = try two(["old/deep/a": "1", "old/deep/b": "2", "one/file": "3"])
        let owner = lab.files(lab.nodes[0])
        owner["new/deep/a"] = owner["old/deep/a"]
        owner["new/deep/b"] = owner["old/deep/b"]
        owner["old"] = nil
        // This one stays, and is empty.
        owner["one/file"] = nil
        try lab.run(.seconds(60))
        let trees = lab.nodes.map { node in lab.files(node).paths.filter { !$0.hasPrefix(".bepeer") } }
        #expect(trees[0] == trees[1])
        #expect(trees[0] == ["new", "new/deep", "new/deep/a", "new/deep/b", "one"])
    }

    @Test func `two versions that are overwritten in one second are both in the trash`() throws {
        let lab = try two(["File1": "v1"])
        for version in 2...5 {
            lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "v\(version)")
            try lab.run(.milliseconds(240))
        }
        try lab.run(.seconds(5))
        #expect(lab.content(lab.nodes[1])["File1"] == Bytes(utf8: "v5"))
        let trash = Set(lab.trash(lab.nodes[1]).values)
        #expect(trash.isSuperset(of: ["v1", "v2", "v3", "v4"].map { Bytes(utf8: $0) }), "\(trash.count)")
    }

    @Test func `a conflict copy that somebody has edited is not overwritten by the same conflict`() throws {
        let lab = try two(["File1": "v1"])
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        lab.files(lab.nodes[1])["File1"] = Bytes(utf8: "the loser")
        try lab.run(.seconds(10))
        let loser = try #require(lab.core(lab.nodes[1])?.folders[0].index[try Path("File1")])
        let copy = Conflict.name(for: loser.path, modified: loser.modified, hash: loser.hash.hex)
        lab.files(lab.nodes[1])[copy.text] = Bytes(utf8: "edited copy")
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "the winner")
        try lab.run(.seconds(60))
        lab.simulator.heal()
        let isEqual = try lab.settle(within: .seconds(1800)) { lab.isQuiet && lab.isEqual }
        #expect(isEqual && lab.content(lab.nodes[0])["File1"] == Bytes(utf8: "the winner"))
        #expect(lab.content(lab.nodes[0])[copy.text] == Bytes(utf8: "edited copy"))
        #expect(lab.trash(lab.nodes[1]).values.contains(Bytes(utf8: "the loser")))
    }
}
