import Bootstrap
import PeerCore
import TestSupport
import Testing

/// The scenarios of the vector file that a bootstrap server plays in, step by step as they are written.
@Suite struct ScenarioVectorTests {
    private struct Play {
        var stage = ServerStage()
        var peer = BootstrapTests.peer(60_000)
        var answers: [Populate] = []
        var id: UInt16 = 0

        /// `init degree=3 reserved=I`
        mutating func say(_ words: [Substring]) throws {
            var (degree, reserved) = (UInt16(0), UInt16(0))
            for word in words.dropFirst() {
                let parts = word.split(separator: "=")
                let value = parts[1] == "I" ? id : try #require(UInt16(parts[1]))
                if parts[0] == "degree" { degree = value } else { reserved = value }
            }
            answers.append(try stage.answer(peer, degree: degree, id: reserved))
        }

        /// `populate id=I with at most 3 peers`, `populate without own endpoint`
        mutating func check(_ text: String) throws {
            let words = text.split(separator: " ")
            guard let answer = answers.popLast() else { throw NoAnswer(source: peer) }
            if words.contains("id=I") {
                if id == 0 { id = answer.id }
                #expect(answer.id == id && id != 0)
            }
            if let count = words.lazy.compactMap({ Int($0) }).first {
                let isRight = text.contains("at most") ? answer.entries.count <= count : answer.entries.count == count
                #expect(isRight, "\(text): \(answer.entries.count)")
            }
            if text.contains("without own endpoint") {
                #expect(!answer.entries.contains { $0.address == peer || $0.id == answer.id })
            }
        }
    }

    @Test(arguments: [0, 20])
    func `the server does what the scenario says`(listed: Int) throws {
        var played = 0
        for scenario in try Vector.cases("gossip", "scenarios") where try scenario.text("name").hasPrefix("bootstrap-")
        {
            played += 1
            var play = Play()
            play.stage.fill(listed)
            for step in try scenario.cases("steps") {
                let parts = try step.elements()
                let (actor, verb) = (try parts[0].text(), try parts[1].text())
                switch verb {
                case "setup":
                    let count = try #require(actor.split(separator: " ").lazy.compactMap { Int($0) }.first)
                    play.stage.fill(count)
                case "udp": try play.say(try parts[2].text().split(separator: " "))
                case "expect": try play.check(try parts[2].text())
                default: Issue.record("\(scenario): unknown step \(verb)")
                }
            }
        }
        #expect(played >= 3)
    }
}
