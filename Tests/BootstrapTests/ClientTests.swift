import Bootstrap
import PeerCore
import Testing

/// How a peer asks bootstrap servers (gossip sections 5.2 to 5.4, decision 22).
@Suite struct ClientTests {
    private let server = address("10.0.0.1:6000")
    private let others = (1...3).map { PeerAddress(id: UInt16($0), address: peer($0)) }

    private func started(wanting: Bool = true) -> ClientStage {
        var stage = ClientStage(["10.0.0.1:6000"])
        stage.want(wanting)
        stage.start()
        return stage
    }

    /// A client that has its ID and its list.
    private func settled(wanting: Bool) -> ClientStage {
        var stage = started(wanting: wanting)
        stage.populate(77, from: server)
        stage.populate(77, others, from: server)
        return stage
    }

    private func check(_ pauses: [Double], against expected: [Double], _ what: String) {
        #expect(pauses.count >= expected.count, "\(what): \(pauses)")
        for (pause, expected) in zip(pauses, expected) {
            #expect(pause >= expected * 0.8 && pause <= expected * 1.2, "\(what): \(pauses)")
        }
    }

    @Test func `INIT, POPULATE with the ID, INIT with that ID at once, POPULATE with the full list`() {
        var stage = started()
        #expect(stage.questions == [Init(degree: 30)] && stage.sent.allSatisfy { $0.to == server })
        #expect(stage.populate(77, [others[0]], from: server) == [others[0]])
        #expect(stage.questions == [Init(degree: 30), Init(degree: 30, id: 77)])
        #expect(stage.populate(77, others, from: server) == others)
        #expect(stage.questions.count == 2 && stage.client.id == 77)
    }

    @Test func `without an answer it asks again after 1, 2, 4 … 60 s, spread by 20 %`() {
        var spread: Set<Double> = []
        for seed in 1...10 {
            var stage = ClientStage(["10.0.0.1:6000"], seed: UInt8(seed))
            stage.start()
            stage.advance(.seconds(400))
            check(stage.pauses, against: [1, 2, 4, 8, 16, 32, 60, 60, 60], "seed \(seed)")
            spread.insert(stage.pauses[8])
        }
        #expect(spread.count == 10)
    }

    @Test func `with enough peers it renews every 60 s with its ID`() {
        var stage = settled(wanting: false)
        stage.forget()
        for _ in 0..<20 {
            let before = stage.sent.count
            while stage.sent.count == before { stage.advance(.seconds(1)) }
            stage.populate(77, others, from: server)
        }
        check(stage.pauses, against: Array(repeating: 60, count: 19), "renewals")
        #expect(stage.questions.allSatisfy { $0 == Init(degree: 30, id: 77) })
    }

    @Test func `a renewal without an answer is repeated after 1, 2, 4 … s`() {
        var stage = settled(wanting: false)
        stage.forget()
        stage.advance(.seconds(200))
        check(stage.pauses, against: [1, 2, 4, 8, 16, 32, 60], "repetitions")
    }

    @Test func `below its wanted number of peers it asks again though it was answered, after 1, 2, 4 … s`() {
        var stage = started()
        var asked = 0
        for _ in 0..<4000 {
            if stage.sent.count > asked { stage.populate(77, others, from: server) }
            asked = stage.sent.count
            stage.advance(.milliseconds(50))
        }
        check(Array(stage.pauses.dropFirst()), against: [1, 2, 4, 8, 16, 32, 60], "after the echo")
    }

    @Test func `it asks soon when peers are wanted again, and rests when there are enough`() {
        var stage = settled(wanting: false)
        stage.advance(.seconds(20))
        stage.forget()
        stage.want(true)
        stage.advance(.seconds(1))
        #expect(stage.sent.count == 1)
        stage.populate(77, others, from: server)
        stage.want(true)
        stage.want(false)
        stage.forget()
        stage.advance(.seconds(40))
        #expect(stage.sent.isEmpty)
    }

    @Test func `an echo without an answer is repeated`() {
        var stage = started(wanting: false)
        stage.populate(77, from: server)
        stage.forget()
        stage.advance(.seconds(4))
        #expect(stage.questions.count >= 2 && stage.questions.allSatisfy { $0.id == 77 })
    }

    @Test func `POPULATE counts from the configured address only, and within 30 s of an INIT`() {
        var stage = settled(wanting: false)
        let octets = Populate(id: 5, entries: others).bytes
        for source in ["10.0.0.1:6001", "10.0.0.2:6000", "[::1]:6000"] {
            #expect(stage.receive(octets, from: address(source)) == nil, "\(source)")
        }
        stage.advance(.seconds(29.9))
        #expect(stage.receive(Populate(id: 77, entries: others).bytes, from: server) == others)
        stage.advance(.seconds(0.2))
        #expect(stage.receive(octets, from: server) == nil)
        #expect(stage.client.id == 77)
    }

    @Test func `what is no POPULATE, or gives ID 65535, is dropped`() {
        var stage = started()
        let wrong = [
            Init(degree: 3).bytes, Disconnect(id: 3).bytes, Bytes(), Populate(id: .max, entries: others).bytes,
            Populate(id: 3, entries: others).bytes.dropping(1),
        ]
        for octets in wrong { #expect(stage.receive(octets, from: server) == nil, "\(octets)") }
        #expect(stage.lines("bootstrap_malformed").count == wrong.count)
    }

    @Test func `with ID 0 the list is used, an ID of our own is taken, and it asks again after 30 s`() {
        var stage = started()
        #expect(stage.populate(0, others, from: server) == others)
        #expect((1...65_534).contains(stage.client.id))
        #expect(stage.questions.count == 1, "there is nothing to echo")
        stage.advance(.seconds(29))
        #expect(stage.questions.count == 1)
        stage.advance(.seconds(2))
        #expect(stage.questions == [Init(degree: 30), Init(degree: 30)])
        stage.populate(9, others, from: server)
        #expect(stage.client.id == 9 && stage.questions.last?.id == 9)
    }

    @Test func `a changed ID is taken over and echoed`() {
        var stage = settled(wanting: false)
        stage.advance(.seconds(75))
        stage.forget()
        stage.populate(88, from: server)
        #expect(stage.client.id == 88 && stage.questions == [Init(degree: 30, id: 88)])
    }

    @Test func `entries that nobody can be at are left out`() {
        var stage = started()
        let texts = [
            "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "169.254.1.1:1", "127.0.0.1:1", "8.8.8.8:0", "[::]:1",
            "[ff02::1]:1", "[fe80::1]:1", "[::1]:1",
        ]
        let useless =
            texts.map { PeerAddress(id: 5, address: address($0)) }
            + [0, .max].map { PeerAddress(id: $0, address: peer(9)) }
        #expect(stage.populate(77, useless + others, from: server) == others)
    }

    @Test func `loopback entries are used by a node that is on loopback itself`() {
        var stage = ClientStage(["127.0.0.1:6000"])
        stage.start()
        let entry = PeerAddress(id: 5, address: address("127.0.0.2:6001"))
        #expect(stage.populate(77, [entry], from: address("127.0.0.1:6000")) == [entry])
    }

    @Test func `several servers are asked, each at its own pace, and the first one that gave an ID gives ours`() {
        var stage = ClientStage(["10.0.0.1:6000", "10.0.0.2:6000", "10.0.0.3:6000"])
        stage.want(false)
        stage.start()
        #expect(Set(stage.sent.map(\.to)).count == 3)
        stage.populate(5, from: address("10.0.0.3:6000"))
        stage.populate(5, from: address("10.0.0.3:6000"))
        #expect(stage.client.id == 5)
        stage.populate(4, from: address("10.0.0.2:6000"))
        stage.populate(4, from: address("10.0.0.2:6000"))
        #expect(stage.client.id == 4)
        stage.forget()
        stage.advance(.seconds(40))
        #expect(Set(stage.sent.map(\.to)) == [address("10.0.0.1:6000")])
        #expect(stage.client.status().map { $0.int("id") } == [nil, 4, 5])
    }

    @Test func `a name is looked up at each attempt; its addresses are tried one after the other`() {
        var stage = ClientStage(["boot.example:6000"])
        stage.start()
        #expect(stage.sent.isEmpty && stage.lookups.count == 1)
        stage.names["boot.example"] = [IPAddress(9, 9, 9, 1), IPAddress(9, 9, 9, 2)]
        stage.advance(.seconds(9))
        #expect(stage.lookups.count == 4)
        #expect(Set(stage.sent.map(\.to)) == [address("9.9.9.1:6000"), address("9.9.9.2:6000")])
        stage.populate(77, from: address("9.9.9.2:6000"))
        stage.populate(77, from: address("9.9.9.2:6000"))
        stage.want(false)
        stage.forget()
        stage.advance(.seconds(73))
        #expect(stage.sent.first?.to == address("9.9.9.2:6000"), "the one that answered")
        stage.names["boot.example"] = [IPAddress(9, 9, 9, 3)]
        stage.advance(.seconds(60))
        #expect(stage.sent.last?.to == address("9.9.9.3:6000"))
    }

    @Test func `after a gap in time it asks at once`() {
        var stage = settled(wanting: false)
        stage.forget()
        stage.resume()
        #expect(stage.questions == [Init(degree: 30, id: 77)])
    }

    @Test func `at the end it says goodbye to the servers that gave an ID, and is silent`() {
        var stage = ClientStage(["10.0.0.1:6000", "10.0.0.2:6000"])
        stage.start()
        stage.populate(77, from: server)
        stage.forget()
        stage.stop()
        #expect(stage.sent.map(\.message) == [.disconnect(Disconnect(id: 77))] && stage.sent.map(\.to) == [server])
        #expect(stage.client.nextDeadline == nil)
        #expect(stage.populate(77, from: server) == nil)
    }

    @Test func `a server that stays silent is told once, until it answers`() {
        var stage = started()
        stage.advance(.seconds(600))
        let line = stage.lines("bootstrap_silent").first
        #expect(stage.lines("bootstrap_silent").count == 1)
        #expect(line?.level == .warn && line?.fields.string("server") == "10.0.0.1:6000")
        stage.resume()
        stage.populate(77, from: server)
        stage.advance(.seconds(600))
        #expect(stage.lines("bootstrap_silent").count == 2)
    }

    @Test func `answers are told with ID and numbers; renewals at debug only`() throws {
        var stage = settled(wanting: false)
        stage.advance(.seconds(75))
        stage.populate(77, others, from: server)
        let lines = stage.lines("bootstrap_populated")
        #expect(lines.map(\.level) == [.info, .info, .debug])
        #expect(lines.map { $0.fields.int("new") } == [0, 3, 0] && lines.map { $0.fields.int("id") } == [77, 77, 77])
        #expect(stage.lines("bootstrap_asked").allSatisfy { $0.level == .debug })
    }

    @Test func `without servers there is nothing to do`() {
        var stage = ClientStage([])
        stage.start()
        #expect(stage.client.nextDeadline == nil && stage.client.status().isEmpty && stage.sent.isEmpty)
    }
}
