import PeerCore
import PeerSimulator
import TestSupport
import Testing

@testable import BePeer

/// Many files, and large ones.
struct SizeTests {
    private func lab(_ count: Int) throws -> Lab {
        let lab = Lab()
        var files: [String: String] = [:]
        for number in 0..<count { files["d\(number % 10)/f\(number)"] = String(repeating: "\(number)", count: 10) }
        lab.node(1, files: files)
        lab.node(2, peers: [1])
        try lab.meet(1, within: .seconds(600))
        return lab
    }

    @Test func `many files come in batches, each of which is one turn of the disk`() throws {
        let lab = try lab(1000)
        #expect(lab.isEqual && lab.content(lab.nodes[1]).count == 1000)
        let total = lab.content(lab.nodes[0]).values.reduce(0) { $0 + $1.count }
        #expect(lab.core(lab.nodes[1])?.counters.bytesFetched == UInt64(total))
        #expect(lab.core(lab.nodes[0])?.counters.bytesVerified == UInt64(total), "each is moved once each way")
        // Back after a start: nothing is hashed, and nothing moved.
        lab.simulator.restart(lab.nodes[1])
        try lab.run(.seconds(120))
        #expect(lab.core(lab.nodes[1])?.counters.bytesFetched == 0)
        let scans = lab.events("scan_done", of: lab.nodes[1])
        #expect(scans.last?.int("hashed") == 0 && scans.last?.int("files") == 1000)
    }

    @Test func `large files are proved, and go on where they broke off`() throws {
        let lab = Lab()
        let large = String(repeating: "0123456789abcdef", count: 40_000)
        lab.node(1, files: ["large": large]) { ($0.verifyFullBytes, $0.proofFileBytes) = (1000, 1000) }
        lab.node(2, peers: [1])
        // It dies while the file comes.
        lab.simulator.network.bandwidth = 100_000
        try lab.run(.seconds(3))
        #expect(lab.files(lab.nodes[1])["large"] == nil)
        lab.simulator.kill(lab.nodes[1])
        let part = try #require(lab.files(lab.nodes[1]).paths.first { $0.hasSuffix(".part") })
        let had = try #require(lab.files(lab.nodes[1])[part]).count
        #expect(had > 0)
        lab.simulator.restart(lab.nodes[1])
        try lab.meet(1)
        #expect(lab.isEqual && lab.core(lab.nodes[1])?.counters.bytesFetched == UInt64(large.utf8.count - had))
        #expect(lab.core(lab.nodes[0])?.counters.bytesFetched == 0, "a proof moves nothing")
        #expect(lab.events("verify_ok").count == 1)
    }

    @Test func `of a very large file a sample is proved`() throws {
        let lab = Lab()
        let line = String(repeating: "0123456789abcdef", count: 256)
        let large = (0..<8200).map { "\($0) \(line)" }.joined()
        #expect(large.utf8.count > Int(Sample.leastOctets))
        lab.node(1, files: ["large": large]) { $0.verifyFullBytes = 1000 }
        lab.node(2, peers: [1])
        try lab.meet(1)
        #expect(lab.isEqual && lab.core(lab.nodes[0])?.counters.bytesFetched == 0)
        #expect(lab.events("verify_ok").count == 1)
    }

    @Test func `a list that is longer than a connection takes at once goes over in pieces`() throws {
        let names = (0..<60_000).map { Path(checked: "a rather long name of a file, number \($0), in a folder") }
        var stage = CoreStage.ready()
        for name in names {
            var record = FileRecord(name)
            record.sequence = stage.core.folders[0].nextSequence()
            stage.core.folders[0].index.set(record)
        }
        let call = stage.accept(from: "127.0.0.2")
        var text = stage.hear("BePeerRequest\n00-MainDocuments\n\n", on: call).sent(on: call)
        #expect(text.utf8.count == 2 << 20)
        while case let more = stage(.drained(call)).sent(on: call), !more.isEmpty { text += more }
        var reader = MessageReader()
        reader.append(Bytes(utf8: text))
        guard case .list(let list)? = try reader.next() else { throw VectorError("no message") }
        #expect(list.names == names)
    }

    @Test func `a quota and a full disk stop what is fetched, not what is served`() throws {
        let lab = Lab()
        lab.node(1, files: ["a": String(repeating: "x", count: 5000), "b": "small"])
        lab.node(2, peers: [1]) { $0.folders[0].maxBytes = 1000 }
        try lab.run(.seconds(100))
        #expect(lab.content(lab.nodes[1]).keys.sorted() == ["b"])
        #expect(!lab.events("disk_full", of: lab.nodes[1]).isEmpty)
    }
}
