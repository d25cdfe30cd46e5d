import PeerCore
import Testing

@testable import PPSP

/// Transfers that are over on one side earlier than on the other (PPSP section 9.1).
struct EndedTransferTests {
    /// A core that has fetched all of a content from one peer, with the transfer by which it did.
    private func complete(_ stage: inout Stage, _ source: Source) throws -> (ConnectionID, UInt64) {
        let connection = stage.fetch(source)
        stage.connect(connection)
        let request = try stage.message(connection)
        stage.answer(request, source.methods(), on: connection)
        var had = ChunkSet()
        for number in 0..<source.count {
            stage.say(source.data(number, to: had, isFirst: number == 0), by: request.transactionID, on: connection)
            had.insert(number)
        }
        #expect(stage.core.swarms[1]?.phase == .complete)
        return (connection, request.transactionID)
    }

    @Test func `what a peer tells by a transfer that is over is no offence`() throws {
        var stage = Stage()
        let source = Source(5000)
        let (connection, transfer) = try complete(&stage, source)
        let effects = stage.say([.have(ChunkRange(0, 4))], by: transfer, on: connection)
        #expect(effects.abort(of: connection) == nil)
        #expect(stage.core.counters.rejected.isEmpty && stage.core.conduct.isEmpty)
    }

    @Test func `chunks that were on their way when a transfer ended are dropped, as many as were asked for`() throws {
        var stage = Stage { $0.requestWindow = 16_384 }
        let source = Source(5000)
        let (connection, transfer) = try complete(&stage, source)
        for _ in 0..<16 {
            #expect(
                stage.say(source.data(0, isFirst: false), by: transfer, on: connection).abort(of: connection) == nil)
        }
        let effects = stage.say(source.data(0, isFirst: false), by: transfer, on: connection)
        #expect(effects.abort(of: connection) == .protocolViolation)
    }

    @Test func `an answer that comes when all is here begins a transfer that is over at once`() throws {
        var stage = Stage()
        let source = Source(5000)
        let first = stage.fetch(source, from: [Stage.peer, SocketAddress(IPAddress(10, 0, 0, 3), 6778)])
        let second = ConnectionID(first.number + 1)
        stage.connect(first)
        stage.connect(second, to: SocketAddress(IPAddress(10, 0, 0, 3), 6778))
        let (request, late) = (try stage.message(first), try stage.message(second))
        stage.answer(request, source.methods(), on: first)
        var had = ChunkSet()
        for number in 0..<source.count {
            stage.say(source.data(number, to: had, isFirst: number == 0), by: request.transactionID, on: first)
            had.insert(number)
        }
        #expect(stage.core.swarms[1]?.phase == .complete)
        stage.answer(late, source.methods(), by: 2, on: second)
        let effects = stage.say([.have(ChunkRange(0, 4))], by: late.transactionID, on: second)
        #expect(effects.abort(of: second) == nil)
    }

    @Test func `a transfer that nobody has begun ends the connection`() throws {
        var stage = Stage()
        let (connection, transfer) = try complete(&stage, Source(5000))
        let effects = stage.say([.have(ChunkRange(0, 4))], by: transfer ^ 1, on: connection)
        #expect(effects.abort(of: connection) == .protocolViolation)
    }
}
