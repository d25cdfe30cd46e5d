import PeerCore
import Testing

@testable import BePeer

/// Of a large file that has changed only changed blocks are fetched (BePeer section 8.4).
struct BlockTests {
    private typealias Segment = BlockPlan.Segment

    private func plan(_ theirs: String, _ size: UInt64, from ours: String, _ oldSize: UInt64) -> BlockPlan {
        func digests(_ text: String) -> [Bytes] { text.utf8.map { Bytes([$0]) } }
        return BlockPlan(size: size, theirs: digests(theirs), oldSize: oldSize, ours: digests(ours), block: 10)
    }

    @Test func `what is equal is copied as one piece, what has changed is fetched as one`() {
        let changed = plan("abXYe", 45, from: "abcde", 45)
        #expect(
            changed.segments == [
                Segment(offset: 0, count: 20, source: 0), Segment(offset: 20, count: 20, source: nil),
                Segment(offset: 40, count: 5, source: 40),
            ])
        #expect(changed.fetched == 20)
    }

    @Test func `blocks that have moved are found where they were`() {
        let moved = plan("Xabc", 40, from: "abc", 30)
        #expect(
            moved.segments == [Segment(offset: 0, count: 10, source: nil), Segment(offset: 10, count: 30, source: 0)])
        let turned = plan("ba", 20, from: "ab", 20)
        #expect(
            turned.segments == [Segment(offset: 0, count: 10, source: 10), Segment(offset: 10, count: 10, source: 0)])
    }

    @Test func `a block that reaches over the end of the older version is fetched`() {
        #expect(plan("ab", 20, from: "ab", 15).fetched == 10)
        #expect(plan("a", 10, from: "", 0).segments == [Segment(offset: 0, count: 10, source: nil)])
    }

    @Test(arguments: [
        #"{"size":300000,"block":131072,"h":["A"]}"#, #"{"size":-1,"block":131072,"h":[]}"#,
        #"{"size":10,"block":1,"h":[]}"#, #"{"size":10,"block":131072,"h":[]}"#, "[]", "",
        #"{"size":9223372036854775807,"block":16777216,"h":[]}"#,
    ])
    func `a list that no file of that size has is none`(text: String) {
        #expect(BlockList(Bytes(utf8: text)) == nil)
    }

    @Test func `a list of blocks is read`() throws {
        let digest = String(repeating: "ab", count: 32)
        let text = "{\"size\":300000,\"block\":131072,\"h\":[\"\(digest)\",\"\(digest)\",\"\(digest)\"]}"
        let list = try #require(BlockList(Bytes(utf8: text)))
        #expect(list.size == 300_000 && list.digests.map(\.hex) == [digest, digest, digest])
    }
}
