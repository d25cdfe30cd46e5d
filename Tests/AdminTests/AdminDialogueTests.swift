import Admin
import PeerCore
import Testing

@Suite struct AdminDialogueTests {
    /// What a client sends, what it receives, what was asked, and whether the connection is ended.
    private struct Dialogue {
        var request: String
        var answer: String
        var asked: [String] = []
        var isEnded = false
    }

    /// A node with three peers and a heart that beats twice.
    private static func node(_ command: Command) -> [Reply]? {
        switch command.name {
        case "peers": [Reply([["peer": "a"], ["peer": "b"]], .more), Reply([["peer": "c"]])]
        case "status": [Reply([["ready": true]])]
        case "bans": [Reply([])]
        case "events":
            [Reply([["event": "x", "done": 1]], .more), Reply([], .more), Reply([["event": "y"]], .more), Reply([])]
        case "connect": [Reply([["tried": 1]], .refused("\"nowhere\" does not answer\n"))]
        default: [Reply([], .refused("no command \(command.name)"))]
        }
    }

    private static let dialogues = [
        Dialogue(
            request: #"{"command":"status"}"# + "\n", answer: #"{"ready":true,"done":true}"# + "\n",
            asked: ["node status {}"]),
        Dialogue(
            request: #"{"command":"ddrp.peers","arguments":{"all":true},"id":7}"# + "\r\n",
            answer: """
                {"peer":"a","id":7}
                {"peer":"b","id":7}
                {"peer":"c","id":7,"done":true}

                """,
            asked: [#"ddrp peers {"all":true}"#]),
        Dialogue(
            request: #"{"command":"bootstrapServer.1.bans","id":"é"}"# + "\n",
            answer: #"{"id":"é","done":true}"# + "\n",
            asked: ["bootstrapServer.1 bans {}"]),
        Dialogue(
            request: #"{"command":"events"}"# + "\n",
            answer: """
                {"event":"x"}
                {"event":"y"}
                {"done":true}

                """,
            asked: ["node events {}"]),
        Dialogue(
            request: #"{"command":"ddrp.connect","id":1}"# + "\n",
            answer: #"{"tried":1,"id":1}"# + "\n" + #"{"error":"\"nowhere\" does not answer\n","id":1,"done":true}"#
                + "\n",
            asked: ["ddrp connect {}"]),
        Dialogue(
            request: """
                {"command":"status","id":1}

                {"command":"nothing","id":2}
                \(" ")
                {"command":"node.status","id":3}

                """,
            answer: """
                {"ready":true,"id":1,"done":true}
                {"error":"no command nothing","id":2,"done":true}
                {"ready":true,"id":3,"done":true}

                """,
            asked: ["node status {}", "node nothing {}", "node status {}"]),
        Dialogue(
            request: """
                []
                {"id":1}
                {"command":5,"id":2}
                {"command":"ddrp.","id":3}
                {"command":"","id":4}
                {"command":"status","arguments":[],"id":5}
                {"command":"status","argument":{},"id":6}
                {"command":"status","id":{}}
                {"command":"bans"}

                """,
            answer: """
                {"error":"a request must be an object","done":true}
                {"error":"\\"command\\" must be a text such as \\"status\\" or \\"ddrp.peers\\"","id":1,"done":true}
                {"error":"\\"command\\" must be a text such as \\"status\\" or \\"ddrp.peers\\"","id":2,"done":true}
                {"error":"\\"command\\" must be a text such as \\"status\\" or \\"ddrp.peers\\"","id":3,"done":true}
                {"error":"\\"command\\" must be a text such as \\"status\\" or \\"ddrp.peers\\"","id":4,"done":true}
                {"error":"\\"arguments\\" must be an object","id":5,"done":true}
                {"error":"unknown key \\"argument\\", expected \\"command\\", \\"arguments\\" or \\"id\\"",\
                "id":6,"done":true}
                {"error":"\\"id\\" must be a text or a whole number","done":true}
                {"done":true}

                """,
            asked: ["node bans {}"]),
        Dialogue(
            request: #"{"command":"status"}"# + "\nGET / HTTP/1.1\n" + #"{"command":"status"}"# + "\n",
            answer: #"{"ready":true,"done":true}"# + "\n"
                + #"{"error":"this line is no JSON: column 1: found \"GET\", expected a value","done":true}"# + "\n",
            asked: ["node status {}"], isEnded: true),
        Dialogue(
            request: #"{"command":"status","command":"bans"}"# + "\n",
            answer: #"{"error":"this line is no JSON: column 21: the key \"command\" is there twice","done":true}"#
                + "\n",
            isEnded: true),
    ]

    private func play(_ dialogue: Dialogue, inPiecesOf size: Int) {
        var stage = Stage()
        stage.script = Self.node
        let client = stage.connect()
        _ = stage.takeOthers()
        let octets = Bytes(utf8: dialogue.request)
        for start in stride(from: 0, to: octets.count, by: size) {
            stage.handle(.received(octets.slice(start..<min(start + size, octets.count)), on: client))
        }
        #expect(stage.take(client) == dialogue.answer, "in pieces of \(size): \(dialogue.request)")
        #expect(stage.asked == dialogue.asked)
        #expect(stage.takeOthers() == (dialogue.isEnded ? [.finish(client)] : []))
    }

    @Test func `each line is answered by a line for each record, the last with done, however the octets come`() {
        for dialogue in Self.dialogues {
            for size in [Int.max / 2, 1, 7] { play(dialogue, inPiecesOf: size) }
        }
    }

    @Test func `dialogues that come in one piece are answered in their order`() {
        let lasting = Self.dialogues.filter { !$0.isEnded }
        let all = Dialogue(
            request: lasting.map(\.request).joined(), answer: lasting.map(\.answer).joined(),
            asked: lasting.flatMap(\.asked))
        for size in [Int.max / 2, 1, 100] { play(all, inPiecesOf: size) }
    }
}
