import Bootstrap
import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// What the core does with what it should not have got (gossip sections 1, 3.10 and 5.7).
@Suite struct MalformedVectorTests {
    /// A node with two programs and two neighbours.
    private struct Scene {
        var stage = CoreStage.ready()
        let faulty: ConnectionID
        let program: ConnectionID
        let neighbour: ConnectionID
        let peer: ConnectionID

        /// The context of the vectors: the link is identified, and the peer has ID 4711.
        init() {
            faulty = stage.program()
            program = stage.program(1337)
            neighbour = stage.open(direct: Guest(4711)).connection
            peer = stage.open(direct: Guest(2)).connection
            stage.wait(.seconds(2))
        }

        /// All but `connection` still do what they are there for.
        mutating func checkOthers(but connection: ConnectionID, _ vector: Vector) {
            let source = connection == peer ? neighbour : peer
            let asked = stage.say(item("still here", ttl: 3, 1337), on: source)
            #expect(asked.notifications(on: program).count == 1, "\(vector)")
            let target = [neighbour, peer].first { $0 != source && $0 != connection }
            guard let target else { return }
            let spread = stage.approve(asked, on: program)
            #expect(spread.items(on: target).map(\.ttl) == [2], "\(vector)")
        }
    }

    /// Ways in which octets can come: at once, or one by one.
    private func segmentations(_ octets: Bytes) -> [[Bytes]] {
        [[octets], octets.indices.map { octets.slice($0..<$0 + 1) }]
    }

    // MARK: - Local programs

    @Test func `what is not for the API closes the connection without an answer, with one log line`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "api") where try vector.text("expect") == "close" {
            found += 1
            for pieces in segmentations(try vector.message()) {
                var scene = Scene()
                let effects = pieces.reduce(into: []) { $0 += scene.stage.say($1, on: scene.faulty) }
                #expect(effects.finishes(scene.faulty), "\(vector)")
                #expect(effects.octets(on: scene.faulty).isEmpty, "\(vector)")
                #expect(effects.touched == [scene.faulty], "\(vector)")
                let lines = effects.logs.filter { $0.level >= .info }
                #expect(lines.map(\.event) == ["client_refused"], "\(vector)")
                #expect(lines.first?.fields.string("reason") == "malformed", "\(vector)")
                // It is gone: what else comes has no effect.
                #expect(scene.stage.announce("late", 1337, on: scene.faulty).isEmpty, "\(vector)")
                #expect(scene.stage.core.clientPlaces.count == 1, "\(vector)")
                scene.checkOthers(but: scene.faulty, vector)
            }
        }
        #expect(found >= 18)
    }

    @Test func `a connection is closed as soon as its header is wrong`() throws {
        for vector in try vectors("malformed", channel: "api") where try vector.text("expect") == "close" {
            let octets = try vector.message()
            var scene = Scene()
            #expect(scene.stage.say(octets.slice(0..<3), on: scene.faulty).isEmpty, "\(vector)")
            #expect(scene.stage.say(octets.slice(3..<4), on: scene.faulty).finishes(scene.faulty), "\(vector)")
        }
    }

    @Test func `what is only out of place is ignored and counted, and the connection stays`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "api") where try vector.text("expect") == "ignore" {
            found += 1
            for pieces in segmentations(try vector.message()) {
                var scene = Scene()
                let effects = pieces.reduce(into: []) { $0 += scene.stage.say($1, on: scene.faulty) }
                #expect(effects.isEmpty, "\(vector)")
                #expect(scene.stage.core.counters.unknownVerdicts == 1, "\(vector)")
                #expect(scene.stage.announce("stays", 1337, on: scene.faulty).items(on: scene.peer).count == 1)
                scene.checkOthers(but: scene.faulty, vector)
            }
        }
        #expect(found >= 1)
    }

    @Test func `a partial message at the end of the stream is dropped without effect`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "api") where try vector.text("expect") == "discard" {
            found += 1
            for pieces in segmentations(try vector.message()) {
                var scene = Scene()
                let before = pieces.reduce(into: []) { $0 += scene.stage.say($1, on: scene.faulty) }
                #expect(before.isEmpty, "\(vector)")
                let effects = scene.stage(.ended(scene.faulty))
                #expect(effects.touched == [scene.faulty] && effects.finishes(scene.faulty), "\(vector)")
                #expect(effects.logs.allSatisfy { $0.level < .info }, "\(vector)")
                #expect(scene.stage.core.topics.subscriptions.map(\.dataType) == [1337], "\(vector)")
                scene.checkOthers(but: scene.faulty, vector)
            }
        }
        #expect(found >= 1)
    }

    // MARK: - Neighbours

    @Test func `what breaks the rules of a link closes it without DISCONNECT, with the reason malformed`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "p2p-tcp") where try vector.text("expect") == "close" {
            found += 1
            for pieces in segmentations(try vector.message()) {
                var scene = Scene()
                let effects = pieces.reduce(into: []) { $0 += scene.stage.say($1, on: scene.neighbour) }
                #expect(effects.finishes(scene.neighbour), "\(vector)")
                #expect(effects.octets(on: scene.neighbour).isEmpty, "\(vector)")
                #expect(effects.touched == [scene.neighbour], "\(vector)")
                #expect(effects.logs.filter { $0.level >= .warn }.map(\.event) == ["peer_refused"], "\(vector)")
                #expect(effects.lines("peer_down").map { $0.string("reason") } == ["malformed"], "\(vector)")
                #expect(scene.stage.neighbours == [scene.peer], "\(vector)")
                scene.checkOthers(but: scene.neighbour, vector)
            }
        }
        #expect(found >= 6)
    }

    @Test func `entries at which nobody can be are ignored, and the message stays valid`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "p2p-tcp") where try vector.text("expect") == "ignore-entry" {
            found += 1
            for pieces in segmentations(try vector.message()) {
                var scene = Scene()
                let known = Set(scene.stage.core.candidates.table.keys)
                let effects = pieces.reduce(into: []) { $0 += scene.stage.say($1, on: scene.neighbour) }
                #expect(effects.isEmpty, "\(vector)")
                #expect(scene.stage.wait(.seconds(20)).calls.isEmpty, "\(vector)")
                #expect(Set(scene.stage.core.candidates.table.keys) == known, "\(vector)")
                #expect(scene.stage.neighbours == [scene.neighbour, scene.peer], "\(vector)")
                scene.checkOthers(but: ConnectionID(0), vector)
            }
        }
        #expect(found >= 5)
    }

    @Test func `an entry that cannot be used does not spoil its neighbours in the message`() throws {
        for vector in try vectors("malformed", channel: "p2p-tcp") where try vector.text("expect") == "ignore-entry" {
            var scene = Scene()
            let good = [Guest(20), Guest(21)].map(\.entry)
            var octets = Neighbors(id: 4711, entries: [good[0], good[0], good[1]]).bytes.array
            octets.replaceSubrange(28..<48, with: try vector.message().dropping(8).array)
            let effects = scene.stage.say(Bytes(octets), on: scene.neighbour)
            #expect(Set(effects.calls) == Set(good.map(\.address)), "\(vector)")
        }
    }

    @Test func `a peer that does not begin with its own entry is kept, but its endpoint is not passed on`() throws {
        for vector in try vectors("malformed", channel: "p2p-tcp") where try vector.text("expect") == "accept" {
            for way in 0..<3 {
                var stage = CoreStage.ready { if way == 2 { $0.peers = [.address(Guest(4711).endpoint)] } }
                let guest = Guest(4711)
                var connection = ConnectionID(0)
                switch way {
                case 0:
                    connection = stage.accept(from: guest.dialling).0
                    stage.say(guest.connect, on: connection)
                case 1:
                    let dial = try #require(stage.datagram(guest.connect, from: guest.endpoint).dials.first)
                    connection = dial.connection
                    stage(.connected(connection, local: CoreStage.ownAddress, remote: guest.endpoint))
                default: connection = stage.accept(from: guest.dialling).0
                }
                stage.say(try vector.message(), on: connection)
                #expect(stage.neighbours == [connection], "\(vector) way \(way)")
                let other = stage.open(direct: Guest(2))
                let told = other.effects.neighbors(on: other.connection).first?.entries.dropFirst().map(\.id)
                #expect(told == [], "\(vector) way \(way)")
            }
        }
    }

    // MARK: - Datagrams

    @Test func `datagrams that are no message for a peer have no effect and no answer`() throws {
        var found = 0
        for vector in try vectors("malformed", channel: "p2p-udp") {
            found += 1
            #expect(try vector.text("expect") == "drop", "\(vector)")
            var scene = Scene()
            for source in [Guest(4711).endpoint, Guest(30).endpoint] {
                #expect(scene.stage.datagram(try vector.message(), from: source).isEmpty, "\(vector)")
            }
            #expect(scene.stage.wait(.seconds(1)).dials.isEmpty && scene.stage.core.pending.isEmpty, "\(vector)")
            scene.checkOthers(but: ConnectionID(0), vector)
        }
        #expect(found >= 4)
    }

    @Test func `a POPULATE that nobody asked for is dropped, wherever it claims to come from`() throws {
        let server = SocketAddress(IPAddress(10, 9, 9, 9), 6000)
        let entries = [Guest(20).entry]
        var stage = CoreStage.ready { $0.bootstrap = [.address(server)] }
        let id = stage.id
        for source in [Guest(1).endpoint, SocketAddress(server.ip, 6001)] {
            #expect(stage.datagram(Populate(id: 77, entries: entries).bytes, from: source).isEmpty)
        }
        #expect(stage.id == id && stage.core.candidates.count == 0)
        // The same from the server is an answer.
        #expect(stage.datagram(Populate(id: 77, entries: entries).bytes, from: server).calls == entries.map(\.address))
        #expect(stage.id == 77)
    }

    @Test func `the length of a datagram equals its size`() {
        var scene = Scene()
        let connect = Guest(30).connect
        for octets in (0..<8).map({ connect.slice(0..<$0) }) + [Bytes(connect.array + [0]), Bytes(connect.array * 2)] {
            #expect(scene.stage.datagram(octets, from: Guest(30).endpoint).isEmpty)
        }
        #expect(scene.stage.datagram(connect, from: Guest(30).endpoint).dials.count == 1)
    }
}

extension [UInt8] {
    fileprivate static func * (octets: Self, times: Int) -> Self {
        Array(Array<Self>(repeating: octets, count: times).joined())
    }
}
