import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import BePeer

/// Nodes that meet in virtual time: the scenarios of the vectors that need more than one.
struct MeetingTests {
    private func two(
        _ files: [String: String] = ["File1": "one\n", "File2": "two\n"],
        _ change: (inout Configuration) -> Void = { _ in }
    ) throws -> Lab {
        let lab = Lab()
        lab.node(1, files: files)
        lab.node(2, peers: [1], change)
        try lab.meet(1)
        return lab
    }

    @Test func `become a peer: files are equal, and both trust`() throws {
        let lab = try two()
        #expect(lab.isEqual && lab.content(lab.nodes[1]).count == 2)
        #expect(lab.events("fetch_failed").isEmpty && lab.events("verify_bad").isEmpty)
    }

    @Test func `a joiner brings its own files along`() throws {
        let lab = Lab()
        lab.node(1, files: ["mine": "1"])
        lab.node(2, peers: [1], files: ["yours": "2"])
        try lab.meet(1)
        try lab.run(.seconds(10))
        #expect(lab.isEqual && lab.content(lab.nodes[0]).count == 2)
    }

    @Test func `an edit, a new file, a rename and a delete go over`() throws {
        let lab = try two()
        let owner = lab.files(lab.nodes[0])
        owner["File1"] = Bytes(utf8: "one, again\n")
        owner["sub/deep/File3"] = Bytes(utf8: "three")
        try lab.run(.seconds(10))
        #expect(lab.isEqual && lab.content(lab.nodes[1])["sub/deep/File3"] == Bytes(utf8: "three"))
        owner["renamed"] = owner["File2"]
        owner["File2"] = nil
        try lab.run(.seconds(10))
        let names = lab.content(lab.nodes[1]).filter { $0.value != Bytes() }.keys.sorted()
        #expect(names == ["File1", "renamed", "sub/deep/File3"])
        #expect(lab.files(lab.nodes[1]).paths.contains { $0.hasPrefix(".bepeer/trash/") && $0.hasSuffix("File2") })
    }

    @Test func `a rename moves no octets`() throws {
        _ = try scenario("rename")
        let lab = try two(["big.bin": String(repeating: "0123456789", count: 100_000)])
        let before = lab.core(lab.nodes[1])?.counters.bytesFetched ?? 0
        let owner = lab.files(lab.nodes[0])
        owner["big2.bin"] = owner["big.bin"]
        owner["big.bin"] = nil
        try lab.run(.seconds(10))
        #expect(lab.content(lab.nodes[1]).keys.sorted() == ["big2.bin"])
        #expect((lab.core(lab.nodes[1])?.counters.bytesFetched ?? 0) - before < 65_536)
    }

    @Test func `concurrent edit: the later one wins, the other is kept on both`() throws {
        _ = try scenario("concurrent edit")
        let lab = try two(["File1": "v1"])
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        try lab.run(.seconds(5))
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "O's content")
        try lab.run(.seconds(4))
        lab.files(lab.nodes[1])["File1"] = Bytes(utf8: "J's content")
        try lab.run(.seconds(60))
        lab.simulator.heal()
        try lab.run(.seconds(1800))
        #expect(lab.isEqual)
        let content = lab.content(lab.nodes[0])
        #expect(content["File1"] == Bytes(utf8: "J's content"))
        #expect(content.filter { $0.key.contains("sync-conflict") }.map(\.value) == [Bytes(utf8: "O's content")])
    }

    @Test func `edit beats delete`() throws {
        _ = try scenario("edit beats delete")
        let lab = try two(["File1": "v1", "File2": "two"])
        lab.simulator.partition([[lab.nodes[0]], [lab.nodes[1]]])
        lab.files(lab.nodes[0])["File1"] = nil
        try lab.run(.seconds(4))
        lab.files(lab.nodes[1])["File1"] = Bytes(utf8: "J's content")
        try lab.run(.seconds(60))
        lab.simulator.heal()
        try lab.run(.seconds(1800))
        #expect(lab.isEqual && lab.content(lab.nodes[0])["File1"] == Bytes(utf8: "J's content"))
    }

    @Test func `receive only: its changes stay here, and beside what comes`() throws {
        let lab = try two(["File1": "v1"]) { $0.folders[0].mode = .receiveOnly }
        lab.files(lab.nodes[1])["File1"] = Bytes(utf8: "mine")
        try lab.run(.seconds(60))
        #expect(lab.content(lab.nodes[0])["File1"] == Bytes(utf8: "v1"))
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "v2")
        try lab.run(.seconds(60))
        let here = lab.content(lab.nodes[1])
        #expect(here["File1"] == Bytes(utf8: "v2"))
        #expect(here.contains { $0.key.contains("sync-conflict") && $0.value == Bytes(utf8: "mine") })
        #expect(lab.content(lab.nodes[0]).count == 1)
    }

    @Test(arguments: [(5, "ring", 6), (5, "line", 4), (5, "mesh", 16)])
    func `no loop: an edit crosses each link at most twice`(count: Int, form: String, messages: Int) throws {
        let lab = Lab()
        for number in 1...count {
            let peers: [Int]
            switch form {
            case "ring": peers = number == 1 ? [] : number == count ? [number - 1, 1] : [number - 1]
            case "line": peers = number == 1 ? [] : [number - 1]
            default: peers = Array(1..<number)
            }
            lab.node(number, peers: peers, files: number == 1 ? ["File1": "v1"] : [:])
        }
        try lab.meet(form == "line" ? 1 : form == "ring" ? 2 : count - 1)
        try lab.run(.seconds(60))
        let before = lab.simulator.logs.count
        lab.files(lab.nodes[0])["File1"] = Bytes(utf8: "v2")
        try lab.run(.seconds(60))
        #expect(lab.isEqual && lab.isQuiet)
        #expect(lab.messages("offer", from: before).count == messages, "\(form)")
        if form == "ring" {
            let state = try scenario("no loop").elements("script")[2].value("state")
            #expect(try state.number("FilesToGet_total") == messages)
        }
    }

    @Test func `twenty that all edit at once are quiet within a minute`() throws {
        let lab = Lab(seed: 7)
        for number in 1...20 { lab.node(number, peers: Array(1..<number), files: number == 1 ? ["start": "x"] : [:]) }
        try lab.meet(19, within: .seconds(600))
        let before = lab.nodes.map(lab.moved).reduce(0, +)
        for (index, node) in lab.nodes.enumerated() { lab.files(node)["file \(index)"] = Bytes(utf8: "of \(index)") }
        let isQuiet = try lab.settle(within: .seconds(60)) {
            lab.isQuiet && lab.isEqual && lab.content(lab.nodes[0]).count == 21
        }
        #expect(isQuiet)
        let moved = lab.nodes.map(lab.moved).reduce(0, +) - before
        // Twenty files of five octets at least, over each of the links.
        let once: UInt64 = 20 * 5 * 20 * 19 / 2
        #expect(moved <= once * 3, "\(moved) of \(once)")
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `whatever five nodes do, they end up with the same files`(seed: UInt64) throws {
        var network = NetworkModel(delay: .milliseconds(2) ... .milliseconds(80), jitter: .milliseconds(10))
        (network.splitting, network.coalescing) = (0.3, 0.3)
        let lab = Lab(seed: seed, network: network)
        for number in 1...5 { lab.node(number, peers: number == 1 ? [] : [number - 1, 1].filter { $0 < number }) }
        try lab.run(.seconds(30))
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        func draw(_ count: UInt64) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % count)
        }
        for step in 0..<60 {
            let node = lab.nodes[draw(5)]
            let name = "d\(draw(3))/f\(draw(8))"
            switch draw(12) {
            case 0: lab.files(node)[name] = nil
            case 1:
                lab.simulator.kill(node)
                try lab.run(.seconds(1))
                lab.simulator.restart(node)
            case 2: lab.simulator.partition([Set(lab.nodes.prefix(draw(4) + 1))])
            case 3: lab.simulator.heal()
            case 4:
                let folder = lab.files(node)
                let other = "d\(draw(3))/f\(draw(8))"
                if let octets = folder[name], name != other {
                    folder[other] = octets
                    folder[name] = nil
                }
            default: lab.files(node)[name] = Bytes(utf8: "step \(step) " + String(repeating: "x", count: draw(900)))
            }
            try lab.run(.milliseconds(draw(6000)))
        }
        lab.simulator.heal()
        let settled = try lab.settle(within: .seconds(4 * 3600)) { lab.isQuiet && lab.isEqual }
        #expect(settled, "\(lab.isEqual) \(lab.restless)")
        try lab.run(.seconds(3600))
        #expect(lab.isEqual && lab.isQuiet)
        #expect(lab.events("folder_stopped").isEmpty && lab.events("untrusted").isEmpty)
    }
}
