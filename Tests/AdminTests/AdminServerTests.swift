import Admin
import PeerCore
import PeerCrypto
import Testing

@Suite struct AdminServerTests {
    private let listener = ListenerID("admin")
    private let status = #"{"command":"status"}"# + "\n"

    @Test func `it listens on the Unix socket of its configuration`() {
        var stage = Stage()
        #expect(stage.takeOthers() == [.listen(listener, on: .unix(path: "d/admin.sock"), .stream)])
        stage.handle(.listening(listener, .unix(path: "d/admin.sock")))
        stage.handle(.refused(listener, .notPermitted))
        let lines = stage.takeOthers().map {
            if case .log(let line) = $0 { "\(line.event) \(line.fields.json)" } else { "" }
        }
        #expect(
            lines == [
                #"listening {"listener":"admin","address":"d/admin.sock"}"#,
                #"listen_failed {"listener":"admin","address":"d/admin.sock","error":"not permitted"}"#,
            ])
    }

    @Test func `a command waits until the one before it is answered`() {
        var stage = Stage()
        let client = stage.connect()
        stage.send(status + #"{"command":"ddrp.peers","id":2}"# + "\n", on: client)
        #expect(stage.asked == ["node status {}"])
        stage.handle(.answered(stage.commands[0], Reply([["n": 1]], .more)))
        #expect(stage.take(client) == #"{"n":1}"# + "\n")
        #expect(stage.asked.count == 1)
        stage.handle(.answered(stage.commands[0], Reply([])))
        #expect(stage.take(client) == #"{"done":true}"# + "\n")
        #expect(stage.asked == ["node status {}", "ddrp peers {}"])
        stage.handle(.answered(stage.commands[0], Reply([["late": true]])))
        stage.handle(.answered(CommandID(99), Reply([["foreign": true]])))
        #expect(stage.take(client) == "")
        stage.handle(.answered(stage.commands[1], Reply([["peer": "a"]])))
        #expect(stage.take(client) == #"{"peer":"a","id":2,"done":true}"# + "\n")
    }

    @Test func `clients do not wait for each other`() {
        var stage = Stage()
        let (follower, other) = (stage.connect(), stage.connect())
        stage.send(#"{"command":"events","arguments":{"follow":true}}"# + "\n", on: follower)
        stage.send(status, on: other)
        stage.handle(.answered(stage.commands[1], Reply([["ready": true]])))
        stage.handle(.answered(stage.commands[0], Reply([["event": "peer_up"]], .more)))
        #expect(stage.take(follower) == #"{"event":"peer_up"}"# + "\n")
        #expect(stage.take(other) == #"{"ready":true,"done":true}"# + "\n")
        #expect(stage.server.status() == [["socket": "d/admin.sock", "connections": 2, "running": 1, "answered": 1]])
    }

    @Test func `a client that goes away withdraws its command, and what waited is never asked`() {
        var stage = Stage()
        let client = stage.connect()
        stage.send(#"{"command":"events"}"# + "\n" + status, on: client)
        _ = stage.takeOthers()
        stage.handle(.closed(client, .reset, Traffic()))
        #expect(stage.takeOthers() == [.withdraw(stage.commands[0])])
        stage.handle(.answered(stage.commands[0], Reply([["event": "x"]], .more)))
        stage.handle(.received(Bytes(utf8: status), on: client))
        stage.handle(.ended(client))
        #expect(stage.asked.count == 1 && stage.take(client) == "" && stage.takeOthers() == [])
        #expect(stage.server.status() == [["socket": "d/admin.sock", "connections": 0, "running": 0, "answered": 0]])
        #expect(stage.server.nextDeadline == nil)
    }

    @Test func `a client that ends its side is answered, a last line without its end included, then finished`() {
        var stage = Stage()
        let client = stage.connect()
        stage.send(#"{"command":"status"}"#, on: client)
        #expect(stage.asked == [])
        stage.handle(.ended(client))
        #expect(stage.asked == ["node status {}"])
        _ = stage.takeOthers()
        stage.wait(seconds: 59)
        stage.handle(.answered(stage.commands[0], Reply([["ready": true]])))
        #expect(stage.take(client) == #"{"ready":true,"done":true}"# + "\n")
        #expect(stage.takeOthers() == [.finish(client)])
        #expect(stage.server.nextDeadline == nil)

        let silent = stage.connect()
        stage.handle(.ended(silent))
        #expect(stage.takeOthers() == [.finish(silent)])
    }

    @Test func `a client that ended its side and follows something is let go after a minute`() {
        var stage = Stage()
        let client = stage.connect()
        stage.send(#"{"command":"events","id":1}"# + "\n" + status, on: client)
        stage.handle(.ended(client))
        _ = stage.takeOthers()
        stage.wait(seconds: 59)
        #expect(stage.takeOthers() == [])
        stage.wait(seconds: 1)
        #expect(stage.take(client) == #"{"error":"the client ended its side","id":1,"done":true}"# + "\n")
        #expect(stage.takeOthers() == [.withdraw(stage.commands[0]), .finish(client)])
        #expect(stage.asked.count == 1)
    }

    @Test func `when the node stops, who waits is told, and all are finished`() {
        var stage = Stage()
        let (idle, waiting) = (stage.connect(), stage.connect())
        stage.send(status + status, on: waiting)
        _ = stage.takeOthers()
        stage.handle(.stop)
        #expect(stage.take(idle) == "")
        #expect(stage.take(waiting) == #"{"error":"the node stops","done":true}"# + "\n")
        #expect(
            stage.takeOthers() == [
                .unlisten(listener), .finish(idle), .withdraw(stage.commands[0]), .finish(waiting),
            ])
    }

    @Test func `a line of 64 KiB is a request, a longer one ends the connection, complete or not`() {
        let frame = #"{"command":"status","id":""}"#.utf8.count
        let longest = #"{"command":"status","id":"\#(String(repeating: "x", count: 65536 - frame))"}"#
        let tooLong = #"{"error":"a line is longer than 65536 octets","done":true}"# + "\n"
        let cases = [
            (longest + "\r\n", "", true), (" " + longest + "\n", tooLong, false),
            (String(repeating: "x", count: 65538), tooLong, false),
            (String(repeating: " ", count: 70000) + "\n", tooLong, false),
        ]
        for (text, answer, isAsked) in cases {
            var stage = Stage()
            let client = stage.connect()
            _ = stage.takeOthers()
            stage.send(text, on: client)
            #expect(stage.take(client) == answer)
            #expect(stage.asked.count == (isAsked ? 1 : 0))
            #expect(stage.takeOthers() == (isAsked ? [] : [.finish(client)]))
        }
    }

    @Test func `more than 256 commands that wait end the connection when their turn has come`() {
        var stage = Stage()
        let client = stage.connect()
        _ = stage.takeOthers()
        // One is carried out at once, the others wait.
        stage.send(status, on: client)
        stage.send(String(repeating: status, count: 300), on: client)
        for answered in 0..<257 {
            #expect(stage.asked.count == answered + 1)
            stage.handle(.answered(stage.commands[answered], Reply([])))
        }
        let lines = stage.take(client).split(separator: "\n")
        #expect(lines.count == 258)
        #expect(lines.last == #"{"error":"more than 256 commands wait","done":true}"#)
        #expect(stage.takeOthers() == [.finish(client)])
    }

    @Test func `client 65 is turned away, and the next may come when one has left`() {
        var stage = Stage()
        let clients = (0..<64).map { _ in stage.connect() }
        _ = stage.takeOthers()
        let surplus = stage.connect()
        #expect(stage.take(surplus) == #"{"error":"64 clients are connected; end one of them","done":true}"# + "\n")
        let others = stage.takeOthers()
        #expect(others.last == .finish(surplus) && others.count == 2)
        if case .log(let line)? = others.first {
            #expect(line.event == "limit_hit" && line.fields == ["value": 64])
        }
        stage.send(status, on: surplus)
        #expect(stage.asked == [])
        stage.handle(.closed(clients[3], .closedByPeer, Traffic()))
        let next = stage.connect()
        stage.send(status, on: next)
        #expect(stage.asked == ["node status {}"])
    }

    @Test func `a large answer goes out in slices, the next when there is room`() {
        var stage = Stage()
        let client = stage.connect()
        let rows = Array(repeating: ["text": "xxxxxx"] as Record, count: 250)
        stage.send(status, on: client)
        stage.handle(.ended(client))
        _ = stage.takeOthers()
        stage.handle(.answered(stage.commands[0], Reply(rows)))
        var slices: [String] = []
        for _ in 0..<4 {
            slices.append(stage.take(client))
            stage.handle(.drained(client))
        }
        // A row has 18 octets with its line end, the mark of the end 12.
        #expect(slices.map(\.utf8.count) == [2000, 2000, 250 * 18 + 12 - 4000, 0])
        #expect(slices.joined().split(separator: "\n").count == 250)
        #expect(slices.joined().hasSuffix(#"{"text":"xxxxxx","done":true}"# + "\n"))
        #expect(stage.takeOthers() == [.finish(client)])
    }

    @Test func `a client that does not take what it follows is cut off`() {
        var stage = Stage()
        let client = stage.connect()
        stage.send(#"{"command":"events"}"# + "\n", on: client)
        _ = stage.takeOthers()
        let row: Record = ["text": .string(String(repeating: "x", count: 3000))]
        var events = 0
        while stage.others.isEmpty, events < 100 {
            stage.handle(.answered(stage.commands[0], Reply([row], .more)))
            events += 1
        }
        // A slice is with the host, more than eight wait, and then another event comes.
        #expect(events == 7)
        #expect(stage.take(client).utf8.count == 2000)
        #expect(stage.takeOthers() == [.abort(client, .tooSlow), .withdraw(stage.commands[0])])
    }

    @Test func `it has no commands of its own, and another path needs a restart`() {
        var stage = Stage()
        _ = stage.takeOthers()
        stage.handle(.command(CommandID(5), Command("x")))
        #expect(stage.takeOthers() == [.reply(CommandID(5), Reply([], .refused("admin has no command x")))])
        var effects = Effects()
        var server = stage.server
        let now = Moment(instant: Instant(nanoseconds: 0), wallClock: WallClock(seconds: 0))
        #expect(server.reconfigure(.init(socket: "d/admin.sock"), at: now, into: &effects) == [])
        #expect(server.reconfigure(.init(socket: "e"), at: now, into: &effects) == [RestartNeeded("socket")])
    }

    @Test func `any octets are answered by lines or end the connection, whole or in pieces alike`() {
        var random = SeededRandom(seed: Bytes32.zero)
        let pieces = [
            status, #"{"command":"#, #""a.b""#, ",", #""id":1"#, "}", "\n", "{", "[", "\"", "\\u0000", "\r\n", "é", " ",
            "null",
        ]
        for _ in 0..<300 {
            let text = (0..<20).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let results = [Int.max / 2, 1, 5].map { size in
                var stage = Stage()
                stage.script = { [Reply([["command": .string($0.name)]])] }
                let client = stage.connect()
                let octets = Bytes(utf8: text)
                for start in stride(from: 0, to: octets.count, by: size) {
                    stage.handle(.received(octets.slice(start..<min(start + size, octets.count)), on: client))
                }
                stage.handle(.ended(client))
                return stage.take(client)
            }
            if Set(results).count != 1 { Issue.record("\(text): \(results)") }
        }
    }
}
