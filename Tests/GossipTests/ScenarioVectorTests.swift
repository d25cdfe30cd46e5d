import Bootstrap
import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// A phrase of a scenario.
private struct Phrase: CustomStringConvertible {
    let description: String
    /// The words; a text in quotation marks counts as one and comes without them.
    let words: [String]

    init(_ text: String) {
        description = text
        let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
        words = parts.enumerated().flatMap { index, part in
            index % 2 == 1 ? [String(part)] : part.split(separator: " ").map(String.init)
        }
    }

    /// The value of `key=value`.
    func value(_ key: String) throws -> String {
        let prefix = "\(key)="
        let word = try #require(words.first { $0.hasPrefix(prefix) }, "\(self) has no \(key)")
        return String(word.dropFirst(prefix.count))
    }

    /// The octets of `notify 1337`, `announce ttl=4 1337 "x"`, `item ttl=4 1337 "x"`, `validation M 1`.
    func octets(_ names: [String: UInt16]) throws -> Bytes {
        switch words[0] {
        case "notify": return Notify(dataType: try #require(UInt16(words[1]))).bytes
        case "announce", "item":
            return item(words[3], ttl: try #require(UInt8(try value("ttl"))), try #require(UInt16(words[2])))
        case "validation":
            return Validation(messageID: try #require(names[words[1]], "\(self)"), isValid: words[2] == "1").bytes
        default: throw VectorError("unknown phrase: \(self)")
        }
    }

    /// Checks a message against `notification id=M 1337 "x"` or `item ttl=2 1337 "x"`; learns what `M` is.
    func check(_ said: Said?, _ names: inout [String: UInt16], _ scenario: Vector) throws {
        let (type, data) = (try #require(UInt16(words[2])), Bytes(utf8: words[3]))
        switch (words[0], said) {
        case ("notification", .notification(let question)):
            #expect(question.dataType == type && question.data == data, "\(scenario): \(self)")
            let name = try value("id")
            if name != "any" { names[name] = question.messageID }
        case ("item", .item(let item)):
            #expect(try item.ttl == #require(UInt8(try value("ttl"))), "\(scenario): \(self)")
            #expect(item.dataType == type && item.data == data, "\(scenario): \(self)")
        default: Issue.record("\(scenario): expected \(self), not \(said.map { "\($0)" } ?? "nothing")")
        }
    }
}

private struct Step {
    let actor: String
    let verb: String
    let argument: Vector?

    init(_ vector: Vector) throws {
        let parts = try vector.elements()
        actor = try parts[0].text()
        verb = try parts[1].text()
        argument = parts.count > 2 ? parts[2] : nil
    }

    func phrase() throws -> Phrase { Phrase(try #require(argument).text()) }

    /// `500`, in milliseconds, or `"35 s"`.
    func duration() throws -> Duration {
        let argument = try #require(argument)
        if let number = try? argument.number() { return .milliseconds(number) }
        let words = try argument.text().split(separator: " ")
        try #require(words.count == 2 && words[1] == "s")
        return .seconds(try #require(Int(words[0])))
    }
}

/// One node with scripted programs and neighbours.
private struct Play {
    var stage = CoreStage.ready()
    let scenario: Vector
    private var actors: [String: ConnectionID] = [:]
    private var unread: [String: [Said]] = [:]
    private var names: [String: UInt16] = [:]
    private var last: [Effect] = []

    init(_ scenario: Vector, _ steps: [Step]) throws {
        self.scenario = scenario
        for name in Set(steps.map(\.actor)).sorted() where name != "node" {
            if name.hasPrefix("peer") {
                actors[name] = stage.neighbour(Guest(UInt16(100 + actors.count)))
            } else {
                actors[name] = stage.program()
            }
        }
        // Who expects a notification and does not register in the scenario has done so before.
        for step in steps where step.verb == "expect" {
            guard let text = try? step.phrase(), text.words[0] == "notification", let program = actors[step.actor],
                try !steps.contains(where: { try $0.isNotify(of: step.actor) })
            else { continue }
            stage.say(Notify(dataType: try #require(UInt16(text.words[2]))).bytes, on: program)
        }
        // What neighbours are told in the beginning is over.
        stage.wait(.seconds(2))
    }

    private mutating func note(_ effects: [Effect]) {
        last = effects
        for (name, connection) in actors {
            unread[name, default: []] += effects.said(on: connection).filter { said in
                switch said {
                case .neighbors, .disconnect: false
                default: true
                }
            }
        }
    }

    mutating func carryOut(_ step: Step) throws {
        let connection = actors[step.actor]
        switch step.verb {
        case "send": note(stage.say(try step.phrase().octets(names), on: try #require(connection)))
        case "close": note(stage(.ended(try #require(connection))))
        case "expect-nothing":
            note(stage.wait(try step.duration()))
            #expect(unread[step.actor, default: []].isEmpty, "\(scenario): \(step.actor)")
        case "silent":
            stage.alive[try #require(connection)] = nil
            note(stage.wait(try step.duration()))
        case "alive":
            let programs = (stage.program(65_000), stage.program())
            let asked = stage.announce("alive", 65_000, on: programs.1).notifications(on: programs.0)
            #expect(asked.count == 1, "\(scenario)")
        case "expect" where step.actor == "node":
            #expect(try step.phrase().description == "connection closed with disconnect")
            let peer = try #require(actors["peer"])
            #expect(last.said(on: peer).last == .disconnect(stage.id) && last.finishes(peer), "\(scenario)")
        case "expect":
            var waiting = unread[step.actor, default: []]
            try step.phrase().check(waiting.isEmpty ? nil : waiting.removeFirst(), &names, scenario)
            unread[step.actor] = waiting
        default: Issue.record("\(scenario): unknown step \(step.verb)")
        }
    }
}

extension Step {
    fileprivate func isNotify(of name: String) throws -> Bool {
        guard actor == name, verb == "send" else { return false }
        return try phrase().words[0] == "notify"
    }
}

/// The scenarios of the vector file that a peer plays in, step by step as they are written.
@Suite struct ScenarioVectorTests {
    private func scenarios(
        _ isWanted: (_ name: String, _ steps: [Step]) -> Bool
    ) throws -> [(scenario: Vector, steps: [Step])] {
        try vectors("scenarios").compactMap { scenario in
            let name = try scenario.text("name")
            guard !name.hasPrefix("bootstrap-"), name != "connect-udp-dial-back" else { return nil }
            let steps = try scenario.cases("steps").map { try Step($0) }
            return isWanted(name, steps) ? (scenario, steps) : nil
        }
    }

    private static func hasSeveralNodes(_ steps: [Step]) -> Bool {
        steps.contains { $0.verb == "setup" || $0.actor.contains("@") }
    }

    @Test func `a node does what the scenario says`() throws {
        let all = try scenarios { !Self.hasSeveralNodes($1) }
        #expect(all.count >= 9)
        for (scenario, steps) in all {
            var play = try Play(scenario, steps)
            for step in steps { try play.carryOut(step) }
        }
    }

    @Test func `several nodes do what the scenario says`() throws {
        let all = try scenarios { Self.hasSeveralNodes($1) }
        #expect(all.count >= 2)
        for (scenario, steps) in all {
            // `n1,n2,n3 full mesh, one validating subscriber each`: S1, S2, S3; else A here and B@remote there.
            let setup = steps.first { $0.verb == "setup" }
            let list = setup.map { $0.actor.split(separator: " ")[0].split(separator: ",") }
            let count = list?.count ?? 2
            let announced = try #require(
                try steps.lazy.filter { $0.verb == "send" }.map { try $0.phrase().words }.first {
                    $0[0] == "announce"
                })
            let type = try #require(UInt16(announced[2]))
            var mesh = Mesh((0..<count).map { _ in setup == nil ? [] : [type] })
            for node in 1..<count { for other in 0..<node { mesh.join(node, other) } }
            var names: [String: UInt16] = [:]
            for step in steps where step.verb != "setup" {
                let node = try place(of: step.actor)
                switch step.verb {
                case "send": mesh.say(try step.phrase().octets(names), at: node)
                case "expect": try step.phrase().check(mesh.next(at: node), &names, scenario)
                case "expect-nothing":
                    mesh.wait(try step.duration())
                    #expect(mesh.next(at: node) == nil, "\(scenario): \(step.actor)")
                default: Issue.record("\(scenario): unknown step \(step.verb)")
                }
            }
        }
    }

    /// The node at which an actor's program is.
    private func place(of actor: String) throws -> Int {
        if actor.hasPrefix("S") { return try #require(Int(actor.dropFirst())) - 1 }
        return actor.hasSuffix("@remote") ? 1 : 0
    }

    @Test func `an item that is announced again carries salt 1 between peers`() {
        var mesh = Mesh([[], [1337]])
        mesh.join(1, 0)
        for _ in 0..<3 { mesh.say(item("r", ttl: 4, 1337), at: 0) }
        let items = mesh.words.compactMap { if case .item(let item) = $0.message { item } else { nil } }
        #expect(items.map(\.salt) == [0, 1, 2] && mesh.notified(at: 1).count == 3)
    }

    @Test func `the destination of a CONNECT opens the TCP connection to the source endpoint`() throws {
        let scenario = try #require(
            try vectors("scenarios").first { try $0.text("name") == "connect-udp-dial-back" })
        let mesh = Mesh([[], []], losesDatagrams: false) { node, configuration in
            if node == 0 { configuration.peers = [.address(Mesh.address(1))] }
        }
        let actors = ["S": 0, "D": 1]
        let steps = try scenario.cases("steps").map { try Step($0) }
        try #require(mesh.words.count >= steps.count)
        for (step, word) in zip(steps, mesh.words) {
            let phrase = try step.phrase()
            let id = mesh.nodes[try #require(actors[try phrase.value("id")])].id
            #expect(word.from == actors[step.actor], "\(scenario): \(phrase)")
            #expect(word.isDatagram == step.verb.hasPrefix("udp"), "\(scenario): \(phrase)")
            switch (phrase.words[0], word.message) {
            case ("connect", .connect(let told)): #expect(told == id)
            case ("neighbors", .neighbors(let message)):
                let own = PeerAddress(id: id, address: SocketAddress(.anyV6, 6001))
                #expect(message.id == id && message.entries.first == own)
            default: Issue.record("\(scenario): \(phrase), not \(word.message)")
            }
        }
        #expect(mesh.nodes.allSatisfy { $0.neighbours.count == 1 })
    }
}
