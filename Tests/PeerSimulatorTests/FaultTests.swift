internal import PeerCore
internal import PeerSimulator
import Testing
internal import TestSupport

/// Nodes that die, stop, sleep and come back.
struct FaultTests {
    private let row: Effect = .remember(table: "t", key: "k", ["value": 1])
    private let recall: Effect = .recall(table: "t", after: nil, limit: 9)

    @Test func `when a process dies its system ends the connections, and answers later octets with a reset`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.kill(stage.b)
        #expect(!stage.simulator.isRunning(stage.b))
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.ended(a1001)])
        stage.give(stage.a, .send(text("anybody?"), on: a1001))
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.closed(a1001, .reset, traffic(sent: 8))])
    }

    @Test func `what a process has sent before it dies still arrives`() throws {
        let stage = Stage()
        try stage.connect()
        stage.give(stage.b, .send(text("last words"), on: b1))
        stage.simulator.kill(stage.b)
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.received(text("last words"), on: a1001), .ended(a1001)])
    }

    @Test func `a process that dies with octets unread resets the connection`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.pause(stage.b)
        stage.give(stage.a, .send(text("unread"), on: a1001))
        try stage.simulator.run(for: .seconds(1))
        stage.simulator.kill(stage.b)
        #expect(try stage.heard(stage.a, in: .seconds(1)) == [.closed(a1001, .reset, traffic(sent: 6))])
    }

    @Test func `a connection that the system took and a dead process did not is reset`() throws {
        let stage = Stage()
        stage.give(stage.b, .listen(Stage.listener, on: .ip(Stage.door), .stream))
        stage.simulator.pause(stage.b)
        try stage.dial(1001)
        stage.simulator.kill(stage.b)
        let heard = try stage.heard(stage.a, in: .seconds(1))
        #expect(heard.count == 2 && heard.last == .closed(a1001, .reset, Traffic()))
    }

    @Test func `a machine without power is silent; when it is back, it answers old connections with resets`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.kill(stage.b, .power)
        stage.give(stage.a, .send(text("hello?"), on: a1001))
        #expect(try stage.heard(stage.a, in: .seconds(300)) == [])
        stage.restart(stage.b)
        #expect(try stage.heard(stage.a, in: .seconds(3)) == [.closed(a1001, .reset, traffic(sent: 6))])
    }

    @Test func `a dead node refuses dials while its machine runs, and does not answer without power`() throws {
        for (death, reason) in [(Death.process, CloseReason.refused), (.power, .timeout)] {
            let stage = Stage()
            try stage.connect()
            stage.simulator.kill(stage.b, death)
            try stage.dial(1002, timeout: .milliseconds(900))
            #expect(stage.heard(stage.a).last == .closed(ConnectionID(1002), reason, Traffic()))
        }
    }

    @Test func `a restarted node is a fresh core that hears start, with its rows, bans and folders`() throws {
        let stage = Stage()
        stage.simulator.folder("files", of: stage.a)["state"] = text("kept")
        stage.give(
            stage.a, row, .ban(IPPrefix(Stage.ipOfB), until: WallClock(seconds: 4_000_000_000), reason: "test"))
        stage.simulator.kill(stage.a)
        try stage.simulator.run(for: .seconds(5))
        stage.restart(stage.a)
        #expect(stage.simulator.isRunning(stage.a))
        stage.give(stage.a, recall)
        #expect(
            try stage.heard(stage.a, in: .seconds(1)) == [
                .recalled(table: "t", [Row(key: "k", record: ["value": 1])], more: false)
            ])
        #expect(stage.simulator.bans(of: stage.a) == [IPPrefix(Stage.ipOfB)])
        #expect(stage.simulator.folder("files", of: stage.a)["state"] == text("kept"))
        #expect(stage.simulator.status("puppet", of: stage.a) == [["heard": 3]])
    }

    @Test func `rows and their lines of the log are lost when the node dies before the end of the turn`() throws {
        for (count, rows) in [(2, 0), (3, 1)] {
            let stage = Stage()
            stage.simulator.kill(stage.a, afterEffects: count)
            // The turn has three effects of its own: these two, and the puppet's reply.
            stage.give(stage.a, row, .log(LogRecord(.info, "saved")))
            stage.give(stage.a)
            #expect(stage.simulator.rows("t", of: stage.a).count == rows)
            #expect(stage.simulator.logs.count == rows)
            #expect(!stage.simulator.isRunning(stage.a))
        }
    }

    @Test func `a paused node neither reads nor wakes, while its system answers for it`() throws {
        let stage = Stage()
        try stage.connect()
        stage.give(stage.b, wakeAfter: .seconds(2))
        stage.simulator.pause(stage.b)
        stage.give(stage.a, .send(text("while you sleep"), on: a1001))
        try stage.dial(1002)
        guard case .connected = stage.heard(stage.a).first else { throw NetworkTests.Unexpected(inputs: []) }
        #expect(try stage.heard(stage.b, in: .seconds(9)) == [])
        stage.simulator.unpause(stage.b)
        let heard = stage.heard(stage.b)
        #expect(heard.first == .resumed(gap: .seconds(10)))
        let later = try heard + stage.heard(stage.b, in: .seconds(1))
        #expect(Set(later.map { "\($0)".prefix(8) }) == ["resumed(", "deadline", "received", "accepted"])
        #expect(later.count == 4)
    }

    @Test func `a short pause is not told`() throws {
        let stage = Stage()
        stage.simulator.pause(stage.b)
        try stage.simulator.run(for: .seconds(1))
        stage.simulator.unpause(stage.b)
        #expect(try stage.heard(stage.b, in: .seconds(1)) == [])
    }

    @Test func `a paused node lets its peer's queue grow until it is too slow`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.pause(stage.b)
        for _ in 0..<6 {
            stage.give(stage.a, .send(zeros(800_000), on: a1001))
            try stage.simulator.run(for: .seconds(1))
        }
        #expect(
            stage.heard(stage.a) == [.stalled(a1001), .closed(a1001, .tooSlow, traffic(sent: 256 << 10))])
        stage.simulator.unpause(stage.b)
        let heard = try stage.heard(stage.b, in: .seconds(1))
        #expect(heard.last == .closed(b1, .reset, traffic(received: 256 << 10)))
    }

    @Test func `a connection on which too much waits is not read`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.pause(stage.b)
        stage.give(stage.a, .send(zeros(2 << 20), on: a1001))
        stage.simulator.unpause(stage.b)
        stage.simulator.pause(stage.b)
        let bare = stage.simulator.openSocket(on: stage.b, to: .ip(Stage.door))
        bare.reads = false
        stage.simulator.unpause(stage.b)
        try stage.simulator.run(for: .seconds(1))
        _ = stage.heard(stage.b)
        stage.give(stage.b, .send(zeros(2 << 20), on: ConnectionID(2)))
        bare.send(text("question"))
        #expect(try stage.heard(stage.b, in: .seconds(1)) == [.stalled(ConnectionID(2))])
        bare.reads = true
        #expect(
            try stage.heard(stage.b, in: .seconds(1)) == [
                .drained(ConnectionID(2)), .received(text("question"), on: ConnectionID(2)),
            ])
    }

    @Test func `finish waits for what is queued as long as the other side takes some of it`() throws {
        let stage = Stage()
        try stage.connect()
        stage.give(stage.a, .send(zeros(3 << 20), on: a1001), .finish(a1001))
        var received = 0
        stage.simulator.onTurn = { turn in
            if case .received(let bytes, b1) = turn.input { received += bytes.count }
        }
        for _ in 0..<20 {
            stage.simulator.pause(stage.b)
            try stage.simulator.run(for: .seconds(20))
            stage.simulator.unpause(stage.b)
            try stage.simulator.run(for: .microseconds(1))
        }
        try stage.simulator.run(for: .seconds(1))
        #expect(received == 3 << 20)
        stage.give(stage.b, .finish(b1))
        #expect(try stage.heard(stage.a, in: .seconds(1)).last == .closed(a1001, .finished, traffic(sent: 3 << 20)))
    }

    @Test func `while ending, a peer that takes nothing is given up`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.pause(stage.b)
        stage.give(stage.a, .send(zeros(1 << 20), on: a1001), .finish(a1001))
        #expect(try stage.heard(stage.a, in: .seconds(29)) == [])
        #expect(try stage.heard(stage.a, in: .seconds(2)) == [.closed(a1001, .tooSlow, traffic(sent: 256 << 10))])
    }

    @Test func `a node that stops says goodbye, and what is open after two seconds is cut`() throws {
        let stage = Stage()
        try stage.connect()
        stage.simulator.stop(stage.b)
        #expect(stage.heard(stage.b) == [.stop])
        try stage.simulator.run(for: .seconds(1))
        #expect(stage.simulator.isRunning(stage.b))
        #expect(try stage.heard(stage.a, in: .seconds(2)) == [.ended(a1001)])
        #expect(!stage.simulator.isRunning(stage.b))
        stage.simulator.stop(stage.a)
        stage.give(stage.a, .finish(a1001))
        try stage.simulator.run(for: .milliseconds(1))
        #expect(!stage.simulator.isRunning(stage.a))
    }

    @Test func `the wall clock starts in 2026, and each node's may be wrong`() throws {
        let stage = Stage()
        var clocks: [NodeID: WallClock] = [:]
        stage.simulator.onTurn = { clocks[$0.node] = $0.moment.wallClock }
        stage.simulator.setClock(of: stage.b, ahead: .seconds(-90))
        try stage.simulator.run(for: .seconds(3600))
        stage.give(stage.a)
        stage.give(stage.b)
        #expect(clocks[stage.a]?.timestamp == "2026-01-01T01:00:00.000Z")
        #expect(clocks[stage.b]?.timestamp == "2026-01-01T00:58:30.000Z")
    }
}
