import Admin
import PeerCore
import PeerJSON

/// Clients of the operator's interface, and a node that answers what it is asked.
struct AdminScript {
    /// Pieces of requests, so that a short script asks something.
    private static let pieces = [
        #"{"command":"status"}"#, #"{"command":"ddrp.peers","arguments":{"all":true},"id":7}"#, "\n", #"{"command":"#,
        #""id":"#, "\r\n", "{}", "[", #""\u0000""#,
    ]

    // A small slice, so that answers need several.
    private var stage = Stage(AdminServer(AdminServer.Configuration(socket: "s", sliceBytes: 64)))
    private var script: Script

    /// Plays the whole script. What every client received are lines of JSON.
    static func run(_ input: Bytes) throws(Violation) {
        var play = AdminScript(script: Script(input))
        try play.stage(.start)
        while !play.script.isOver { try play.step() }
        try play.stage(.stop)
        try play.stage.checkTables()
        for octets in play.stage.sent.values {
            for line in octets.split(separator: 10).dropLast(octets.last == 10 ? 0 : 1) {
                let value = try? JSON.parse(Bytes(line), limit: line.count)
                try require(value != nil, "no JSON was sent: \(String(decoding: line, as: UTF8.self))")
            }
        }
    }

    private init(script: Script) {
        self.script = script
    }

    private mutating func step() throws(Violation) {
        let kind = script.octet() % 8
        if kind == 0 {
            let connection = stage.newConnection()
            try stage(.accepted(connection, on: ListenerID("admin"), local: .none, remote: .none))
            return
        }
        if kind == 1 { return try stage.wait(script.duration()) }
        if kind == 2, let command = script.choice(of: stage.asked) {
            _ = try stage(.answered(command, reply()))
            return
        }
        guard let connection = script.choice(of: stage.connections(established: true)) else { return }
        switch kind {
        case 3: try stage(.ended(connection))
        case 4: try stage(.closed(connection, .reset, Traffic()))
        case 5: try stage(.drained(connection))
        case 6: try stage(.received(script.octets(), on: connection))
        default:
            let piece = Self.pieces[script.number(below: Self.pieces.count)]
            try stage(.received(Bytes(utf8: piece), on: connection))
        }
    }

    private mutating func reply() -> Reply {
        let outcome: Reply.Outcome = [.more, .done, .refused(script.text())][script.number(below: 3)]
        let records = (0..<script.number(below: 4)).map { _ in Record([("id", script.value()), ("x", script.value())]) }
        return Reply(records, outcome)
    }
}
