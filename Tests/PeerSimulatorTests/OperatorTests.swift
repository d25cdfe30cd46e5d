internal import PeerCore
internal import PeerSimulator
import Testing
internal import TestSupport

/// The operator's side of a node, and what a run leaves behind.
struct OperatorTests {
    @Test func `a command is answered at once when the core does, later when the node is paused`() throws {
        let stage = Stage()
        #expect(stage.simulator.command(stage.a, "puppet", Puppet.pull).replies == [Reply([])])
        stage.simulator.pause(stage.a)
        let question = stage.simulator.command(stage.a, "puppet", Puppet.pull)
        #expect(!question.isAnswered)
        stage.simulator.unpause(stage.a)
        #expect(question.isAnswered && question.records == [])
    }

    @Test func `a command to a core that does not run is refused`() throws {
        let stage = Stage()
        stage.simulator.kill(stage.b)
        for (node, core) in [(stage.a, "nobody"), (stage.b, "puppet")] {
            let question = stage.simulator.command(node, core, Puppet.pull)
            guard case .refused? = question.replies.first?.outcome else { throw NetworkTests.Unexpected(inputs: []) }
            stage.simulator.cancel(question)
        }
    }

    @Test func `the node itself answers when it is told how`() throws {
        let stage = Stage()
        stage.simulator.setAnswers(of: stage.a) { Reply([["asked": .string($0.name)]]) }
        stage.give(stage.a, .ask(CommandID(1001), of: "node", Command("reload")))
        stage.give(stage.b, .ask(CommandID(1001), of: "node", Command("reload")))
        #expect(stage.heard(stage.a) == [.answered(CommandID(1001), Reply([["asked": "reload"]]))])
        #expect(
            stage.heard(stage.b) == [
                .answered(CommandID(1001), Reply([], .refused("node is not running on this node")))
            ])
    }

    @Test func `lines of the log have the node, the core and both clocks, from the level up that was asked for`() throws
    {
        let stage = Stage()
        stage.give(stage.b, .log(LogRecord(.warn, "odd", ["n": 1])))
        let line = try #require(stage.simulator.logs.first)
        #expect(line.node == stage.b && line.core == "puppet" && line.record.event == "odd")
        #expect(line.moment.wallClock.timestamp == "2026-01-01T00:00:00.000Z")
    }

    @Test func `a Unix socket has no address, so no ban concerns it`() throws {
        let stage = Stage()
        let everything = try #require(IPPrefix("::/0"))
        stage.give(
            stage.a, .ban(everything, until: WallClock(seconds: 4_000_000_000), reason: "test"),
            .listen(Stage.listener, on: .unix(path: "/run/admin.sock"), .stream))
        let client = stage.simulator.openSocket(on: stage.a, to: .unix(path: "/run/admin.sock"))
        let stranger = stage.simulator.openSocket(on: stage.b, to: .unix(path: "/run/admin.sock"))
        client.send(text("status"))
        let heard = try stage.heard(stage.a, in: .seconds(1))
        #expect(heard.last == .received(text("status"), on: b1))
        #expect(stranger.closed == .refused && client.closed == nil)
    }

    private final class Token {}

    @Test func `nothing of a run is left when the simulator goes`() throws {
        weak var token: Token?
        do {
            let stage = Stage(network: .hostile)
            let kept = Token()
            token = kept
            stage.simulator.addNode("keeper", at: IPAddress(10, 0, 0, 3), "puppet") { _ in
                _ = kept
                return Puppet(Puppet.Strings())
            }
            try stage.connect()
            stage.give(stage.b, .send(text("on the way"), on: b1), .store(RequestID(1), .watch(FolderID("files"))))
            stage.simulator.folder("files", of: stage.b)
            _ = stage.simulator.openSocket(on: stage.a, to: .ip(Stage.door))
            try stage.simulator.run(for: .seconds(1))
            stage.simulator.kill(stage.a)
            stage.give(stage.b, .send(text("on the way"), on: b1))
        }
        #expect(token == nil)
    }
}
