import PeerCore
import Testing

@testable import PPSP

/// Chunks that come without being asked for (PPSP section 8.2).
struct PushTests {
    /// A core that takes pushes of a content from two peers, each with a transfer of its own.
    private func pushed(_ stage: inout Stage, _ source: Source) -> [ConnectionID] {
        stage.ask("fetch", ["swarm": .text(source.id), "from": .list([]), "into": "/files/content"])
        return [UInt8(1), 2].map { peer in
            let connection = stage.accept(from: SocketAddress(IPAddress(10, 0, 1, peer), 4000))
            let offer = Message(
                .advertise, transactionID: UInt64(peer), peerID: Lab.peerID(Int(peer)), swarmID: source.id,
                methods: source.methods())
            stage.say(offer, on: connection)
            return connection
        }
    }

    @Test func `when a chunk was false, the same chunk of another who has pushed it counts`() {
        var stage = Stage()
        let source = Source(5120)
        let peers = pushed(&stage, source)
        stage.say(source.data(0, isFirst: true), by: 1, on: peers[0])
        stage.isQuick = false
        let had = ChunkSet(ChunkSet(all: 1), limit: source.count)
        var false1 = source.data(1, to: had, isFirst: false)
        false1[false1.count - 1] = .data(chunk: 1, time: 0, payload: source.chunk(2))
        stage.say(false1, by: 1, on: peers[0])
        // While it is hashed, the true one comes, which nobody will send again.
        stage.say(source.data(1, isFirst: true), by: 2, on: peers[1])
        #expect(stage.core.swarms[1]?.have.count == 1)
        stage.isQuick = true
        stage.carryOut()
        #expect(stage.core.swarms[1]?.have.contains(1) == true && stage.core.swarms[1]?.second.isEmpty == true)
        #expect(stage.core.conduct.keys.map(\.peerID) == [Lab.peerID(1)])
        for chunk in 2..<source.count {
            stage.say(source.data(chunk, to: ChunkSet(all: chunk), isFirst: false), by: 2, on: peers[1])
        }
        #expect(stage.core.swarms[1]?.phase == .complete && stage.core.swarms[1]?.pendingOctets == 0)
    }

    @Test func `what came behind a chunk that was false is proved when the true one is`() {
        var stage = Stage()
        let source = Source(5120)
        let peers = pushed(&stage, source)
        stage.say(source.data(0, isFirst: true), by: 1, on: peers[0])
        stage.say(source.data(0, isFirst: true), by: 2, on: peers[1])
        stage.isQuick = false
        // While something is hashed, the rest gathers: the false one, and then all true ones.
        stage.say(source.data(4, to: ChunkSet(all: 1), isFirst: false), by: 1, on: peers[0])
        let lie = source.data(2, to: ChunkSet(all: 1), isFirst: false).dropLast()
        stage.say(lie + [.data(chunk: 2, time: 0, payload: source.chunk(1))], by: 1, on: peers[0])
        for chunk in 1..<source.count {
            stage.say(source.data(chunk, to: ChunkSet(all: chunk), isFirst: false), by: 2, on: peers[1])
        }
        stage.isQuick = true
        stage.carryOut()
        #expect(stage.core.swarms[1]?.phase == .complete && stage.core.swarms[1]?.pendingOctets == 0)
        #expect(stage.core.conduct.keys.map(\.peerID) == [Lab.peerID(1)])
    }

    @Test func `a chunk that two have pushed is kept once`() {
        var stage = Stage()
        let source = Source(5120)
        let peers = pushed(&stage, source)
        stage.isQuick = false
        stage.say(source.data(0, isFirst: true), by: 1, on: peers[0])
        stage.say(source.data(0, isFirst: true), by: 2, on: peers[1])
        stage.carryOut()
        #expect(stage.core.swarms[1]?.have.count == 1 && stage.core.swarms[1]?.second.isEmpty == true)
        #expect(stage.core.swarms[1]?.pendingOctets == 0 && stage.core.conduct.isEmpty)
    }
}
