import PeerCore
import Testing

@testable import Gossip

/// Gossip section 9: the wire of the authors' own last program.
@Suite struct AuthorsTests {
    private static let server = SocketAddress(IPAddress(10, 9, 9, 9), 6000)
    private static let hello = AuthorsMessage.hello(CoreStage.ownAddress.ip).bytes

    private func ip(_ number: UInt8) -> IPAddress { IPAddress(10, 5, 0, number) }
    /// All peers use one port number.
    private func endpoint(_ number: UInt8) -> SocketAddress { SocketAddress(ip(number), 6001) }

    private func ready(_ change: (inout Gossip.Configuration) -> Void = { _ in }) -> CoreStage {
        CoreStage.ready {
            $0.isAuthors2017 = true
            change(&$0)
        }
    }

    /// A peer of theirs dials us.
    private func neighbour(_ number: UInt8, _ stage: inout CoreStage) -> ConnectionID {
        let (connection, _) = stage.accept(from: SocketAddress(ip(number), 50_000))
        stage.say(AuthorsMessage.hello(ip(number)).bytes, on: connection)
        return connection
    }

    /// Lets time pass in which neighbours send their PEER LIST.
    private func wait(_ seconds: Int, hearing connections: [ConnectionID], _ stage: inout CoreStage) -> [Effect] {
        (0..<seconds).reduce(into: []) { effects, second in
            effects += stage.wait(.seconds(1))
            guard second % 10 == 9 else { return }
            for connection in connections { stage.say(AuthorsMessage.peerList([]).bytes, on: connection) }
        }
    }

    private func lists(_ effects: [Effect], on connection: ConnectionID) -> [[IPAddress]] {
        effects.said(on: connection).compactMap { if case .authors(.peerList(let list)) = $0 { list } else { nil } }
    }

    // MARK: - The server

    @Test func `the server is asked with HELLO by UDP, and its PEER LIST gives peers on our own port`() throws {
        var stage = ready { $0.bootstrap = [.address(Self.server)] }
        #expect(stage.settle().datagrams(to: Self.server) == [Self.hello])
        let list = AuthorsMessage.peerList([ip(1), CoreStage.ownAddress.ip, ip(2)]).bytes
        let dials = stage.datagram(list, from: Self.server).dials.map(\.destination)
        // Ourselves included, who is not dialled; no CONNECT.
        #expect(Set(dials) == [.address(endpoint(1)), .address(endpoint(2))] && dials.count == 2)
        #expect(stage.history.map(\.effect).calls.isEmpty)
    }

    @Test func `a PEER LIST from somebody else is dropped`() {
        var stage = ready { $0.bootstrap = [.address(Self.server)] }
        stage.settle()
        let list = AuthorsMessage.peerList([ip(1)]).bytes
        #expect(stage.datagram(list, from: endpoint(1)).isEmpty)
        #expect(stage.datagram(Self.hello, from: Self.server).isEmpty)
        #expect(stage.datagram(list.slice(0..<8), from: Self.server).isEmpty)
        #expect(stage.core.candidates.count == 0)
    }

    // MARK: - Links

    @Test func `both sides send HELLO at once`() throws {
        var stage = ready()
        let (inbound, effects) = stage.accept(from: SocketAddress(ip(1), 50_000))
        #expect(effects.octets(on: inbound) == Self.hello && stage.neighbours.isEmpty)
        #expect(stage.say(AuthorsMessage.hello(ip(1)).bytes, on: inbound).touched.isEmpty)
        #expect(stage.neighbours == [inbound])
        let dial = try #require(stage.command("connect", ["address": .text(endpoint(2))]).effects.dials.first)
        let greeting = stage(.connected(dial.connection, local: CoreStage.ownAddress, remote: endpoint(2)))
        #expect(greeting.octets(on: dial.connection) == Self.hello)
        stage.say(AuthorsMessage.hello(ip(2)).bytes, on: dial.connection)
        #expect(stage.neighbours == [inbound, dial.connection])
    }

    @Test func `a side that has enough peers closes instead`() {
        var stage = ready { $0.degree = 1 }
        let first = neighbour(1, &stage)
        let (connection, effects) = stage.accept(from: SocketAddress(ip(2), 50_000))
        #expect(effects.finishes(connection) && effects.octets(on: connection).isEmpty)
        #expect(stage.neighbours == [first])
    }

    @Test func `nothing but HELLO may come first, and only the messages of the dialect after it`() {
        let spoils = [
            item("early"), AuthorsMessage.peerList([]).bytes, Guest(2).connect, Guest(2).first,
            Bytes(Self.hello.array + Guest(2).heartbeat.array), Bytes(Self.hello.array + Guest(2).disconnect.array),
            Bytes(Self.hello.array + Notify(dataType: 9).bytes.array),
        ]
        for octets in spoils {
            var stage = ready()
            let (connection, _) = stage.accept(from: SocketAddress(ip(1), 50_000))
            let effects = stage.say(octets, on: connection)
            #expect(effects.finishes(connection) && effects.octets(on: connection).isEmpty, "\(octets)")
            #expect(stage.neighbours.isEmpty && stage.core.pending.isEmpty, "\(octets)")
        }
    }

    @Test func `no DISCONNECT; closing is enough`() {
        var stage = ready { $0.bootstrap = [.address(Self.server)] }
        stage.settle()
        let connection = neighbour(1, &stage)
        stage.wait(.seconds(1))
        let effects = stage(.stop)
        #expect(effects.finishes(connection) && effects.octets(on: connection).isEmpty)
        #expect(effects.datagrams(to: Self.server).isEmpty && stage.core.nextDeadline == nil)
    }

    @Test func `PEER LIST goes out every 10 s: neighbours and everything heard from them, receiver included`() {
        var stage = ready { $0.degree = 2 }
        let links = [neighbour(1, &stage), neighbour(2, &stage)]
        stage.say(AuthorsMessage.peerList([ip(7), ip(1)]).bytes, on: links[0])
        let effects = wait(120, hearing: links, &stage)
        for link in links {
            let told = lists(effects, on: link)
            #expect(told.count >= 10 && told.count <= 13)
            #expect(told.allSatisfy { Set($0) == [ip(1), ip(2), ip(7)] && $0.count == 3 })
        }
        let times = stage.timeline(on: links[0]).map(\.at).dropFirst()
        let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(pauses.allSatisfy { $0 >= .seconds(8.9) && $0 <= .seconds(11.1) } && pauses.count >= 9)
    }

    // MARK: - Items

    @Test func `an item is ANNOUNCE 500 verbatim, delivered, judged and forwarded as everywhere`() {
        var stage = ready()
        let links = [neighbour(1, &stage), neighbour(2, &stage)]
        let program = stage.program(9)
        stage.wait(.seconds(1))
        let asked = stage.say(item("theirs", ttl: 5), on: links[0])
        #expect(asked.notifications(on: program).map(\.data) == [Bytes(utf8: "theirs")])
        let spread = stage.approve(asked, on: program) + stage.wait(.milliseconds(100))
        #expect(spread.items(on: links[1]).map(\.message) == [item("theirs", ttl: 4)])
        #expect(spread.items(on: links[0]).isEmpty)
        // They have no duplicate check: ours stops the loop.
        let again = stage.say(item("theirs", ttl: 3), on: links[1]) + stage.wait(.seconds(1))
        #expect(again.notifications(on: program).isEmpty && again.items(on: links[0]).isEmpty)
    }

    @Test func `one message per write, and at least 50 ms between writes`() {
        var stage = ready()
        let links = [neighbour(1, &stage), neighbour(2, &stage)]
        let program = stage.program()
        let burst = (0..<30).map { item("\($0)", ttl: 4).array }
        stage.say(Bytes(Array(burst.joined())), on: program)
        _ = wait(30, hearing: links, &stage)
        stage.announce("later", on: program)
        stage.wait(.seconds(1))
        for link in links {
            let told = stage.timeline(on: link)
            let writes = stage.history.filter { if case .send(_, link) = $0.effect { true } else { false } }
            #expect(told.count >= 33 && writes.count == told.count)
            #expect(zip(told, told.dropFirst()).allSatisfy { $1.at - $0.at >= .milliseconds(50) })
            let items = told.compactMap { if case .item(let item) = $0.message { item.data.text } else { nil } }
            #expect(items == (0..<30).map { "\($0)" } + ["later"])
        }
    }

    @Test func `TTL is at most 127`() {
        var stage = ready()
        let link = neighbour(1, &stage)
        let program = stage.program()
        let cases: [(UInt8, UInt8)] = [(0, 0), (1, 1), (127, 127), (128, 127), (255, 127)]
        for (ttl, _) in cases { stage.announce("TTL \(ttl)", ttl: ttl, on: program) }
        #expect(stage.wait(.seconds(1)).items(on: link).map(\.ttl) == cases.map(\.1))
    }

    @Test func `a message has at most 32767 octets; larger items are not sent, and counted`() {
        var stage = ready()
        let link = neighbour(1, &stage)
        let program = stage.program()
        for octets in [32_759, 32_760, 65_527] { stage.say(item(octets: octets), on: program) }
        let items = stage.wait(.seconds(1)).items(on: link)
        #expect(items.map(\.message.count) == [32_767] && stage.core.counters.unsentDrops == 2)
    }

    @Test func `the salt octet is 0 on this wire`() {
        var stage = ready()
        let link = neighbour(1, &stage)
        let program = stage.program()
        for _ in 0..<3 { stage.announce("again", ttl: 4, on: program) }
        #expect(stage.wait(.seconds(1)).items(on: link).map(\.salt) == [0, 0, 0])
    }

    @Test func `only IPv4 can be told, and a listener needs a port`() {
        let v6 = AuthorsMessage.peerList([IPAddress(high: 0x2001_0db8 << 32, low: 1), ip(1)])
        #expect(v6.bytes == AuthorsMessage.peerList([ip(1)]).bytes)
        var values = Record()
        for setting in Gossip.Configuration.settings { values[setting.key] = setting.standard ?? .null }
        values["compat"] = "authors-2017"
        #expect(Gossip.Configuration.contradictions(in: values).isEmpty)
        for address in ["[::]:6001", "0.0.0.0:0"] {
            values["p2pAddress"] = .string(address)
            #expect(Gossip.Configuration.contradictions(in: values).count == 1, "\(address)")
        }
    }
}
