import PeerCore
import TestSupport
import Testing

@testable import PPSP

/// One round of offer and answer (PPSP section 6).
@Suite struct NegotiationTests {
    private let swarmID = SwarmID(repeating: 1, count: 32)
    private var swarm: SwarmMetadata { SwarmMetadata(swarmID, chunkSize: 16_384, hashFunction: .sha256) }

    private func entries(_ ids: [UInt16], chunkSize: UInt32? = 16_384) -> [TransportEntry] {
        ids.map { id in
            var entry = TransportEntry(id)
            entry.chunkSize = chunkSize
            return entry
        }
    }

    private func transports(_ ids: [UInt16]) -> Transports {
        Transports(
            ids.map { id in
                var entry = TransportEntry(id)
                if id == TransportID.datagrams {
                    entry.endpoint = Endpoint(.datagrams, SocketAddress(.loopback, 6778))
                }
                if id == TransportID.http { entry.url = "http://127.0.0.1:8080/" }
                return entry
            })
    }

    /// Name and IDs as vectors tell them.
    private func told(_ answer: TransportAnswer) -> (method: String, ids: [UInt16]) {
        switch answer {
        case .transports(.list(let entries)): ("TRANSPORT_PARAMETER", entries.map(\.id))
        case .transports(.mandatory(let entry)): ("TRANSPORT_MANDATORY", [entry.id])
        case .transports(.ask): ("TRANSPORT_PARAMETER", [])
        case .objectNotFound: ("OBJECT_NOT_FOUND", [])
        }
    }

    @Test func `every offer of the vectors gets their answer, from which the asker takes the first`() throws {
        for vector in try vectors("negotiation") {
            let ids = try vector.elements("answerer_supports_in_preference_order").map { UInt16(try $0.number()) }
            let offered = try vector.value("offer")
            let offer: TransportOffer =
                offered.isNull
                ? .mandatory(entries([1])[0]) : .list(entries(try offered.elements().map { UInt16(try $0.number()) }))
            let answer = transports(ids).answer(to: offer, about: swarm)
            let expected = try vector.value("expect")
            #expect(told(answer).method == (try expected.text("method")), "\(vector)")
            let expectedIDs = try expected.elements("ids").map { UInt16(try $0.number()) }
            #expect(told(answer).ids == expectedIDs, "\(vector)")
            guard case .transports(let transports) = answer else { continue }
            let chosen = self.transports([1, 2, 3]).choose(from: transports, to: offer, about: SwarmMetadata(swarmID))
            #expect(chosen?.id == expectedIDs.first && chosen?.swarm == swarm, "\(vector)")
        }
    }

    @Test func `who asks gets the whole list, with all that defines the swarm`() {
        var known = swarm
        known.contentLength = 5
        guard case .transports(.list(let list)) = transports([2, 3, 1]).answer(to: .ask, about: known) else { return }
        #expect(list.map(\.id) == [2, 3, 1] && list.map(\.addressing) == [2, nil, 4])
        for entry in list {
            #expect(entry.chunkSize == 16_384 && entry.hashFunction == 2 && entry.integrityMethod == 1)
            #expect(entry.contentLength == 5)
        }
        #expect(Transports([]).list(for: swarm).map(\.id) == [1])
    }

    @Test func `an offer about another content is answered with OBJECT NOT FOUND`() {
        let changes: [(inout TransportEntry) -> Void] = [
            { $0.chunkSize = 1024 }, { $0.chunkSize = 16_385 }, { $0.hashFunction = 240 }, { $0.hashFunction = 0 },
            { $0.hashFunction = 3 }, { $0.integrityMethod = 0 }, { $0.integrityMethod = 3 },
        ]
        for change in changes {
            var entry = entries([1])[0]
            change(&entry)
            #expect(transports([1]).answer(to: .mandatory(entry), about: swarm) == .objectNotFound, "\(entry)")
            #expect(transports([1]).answer(to: .list([entry]), about: swarm) == .objectNotFound, "\(entry)")
            // Of transports that are not spoken here nothing is judged; one that fits is enough.
            entry.id = 2
            #expect(told(transports([1]).answer(to: .list([entry]), about: swarm)) == ("TRANSPORT_MANDATORY", [1]))
            let both = TransportOffer.list([entry] + entries([1]))
            #expect(told(transports([2, 1]).answer(to: both, about: swarm)) == ("TRANSPORT_PARAMETER", [1]))
        }
        // What is left out has its default, and the chunk size has none.
        #expect(told(transports([1]).answer(to: .list(entries([1], chunkSize: nil)), about: swarm)).ids == [1])
        let private240 = SwarmMetadata(swarmID, chunkSize: 1024, hashFunction: .blake2b256)
        #expect(transports([1]).answer(to: .list([TransportEntry(1)]), about: private240) == .objectNotFound)
    }

    @Test func `a private hash function does not go over datagrams`() {
        let swarm = SwarmMetadata(swarmID, chunkSize: 1024, hashFunction: .blake2b256)
        #expect(transports([2, 1]).list(for: swarm).map(\.id) == [1])
        var offered = entries([2, 1], chunkSize: 1024)
        for index in offered.indices { offered[index].hashFunction = 240 }
        #expect(told(transports([2, 1]).answer(to: .list(offered), about: swarm)).ids == [1])
        #expect(told(transports([2, 1]).answer(to: .list(offered), about: SwarmMetadata(swarmID))).ids == [1])
    }

    @Test func `the addressing is the one offered, where it can name all chunks`() {
        func addressing(_ code: UInt8?, _ length: UInt64?) -> [UInt8?] {
            var entry = entries([1])[0]
            entry.addressing = code
            var swarm = swarm
            swarm.contentLength = length
            let answer = transports([1]).answer(to: .list([entry]), about: swarm)
            guard case .transports(.list(let list)) = answer else { return [] }
            return list.map(\.addressing)
        }
        #expect(addressing(nil, nil) == [4] && addressing(4, 1 << 60) == [4] && addressing(2, nil) == [2])
        #expect(addressing(2, 16_384 << 32) == [2] && addressing(2, 16_384 << 32 + 1) == [])
        #expect(addressing(0, nil) == [] && addressing(1, nil) == [] && addressing(3, nil) == [])
    }

    @Test func `a receiver that knows the root alone takes what a pusher says, when the root can be of that`() {
        let unknown = SwarmMetadata(swarmID)
        var offered = entries([1], chunkSize: 512)[0]
        offered.contentLength = 77
        guard case .transports(.list(let list)) = transports([1]).answer(to: .list([offered]), about: unknown) else {
            Issue.record("refused")
            return
        }
        #expect(list[0].chunkSize == 512 && list[0].hashFunction == 2 && list[0].contentLength == 77)
        offered.hashFunction = 0
        #expect(transports([1]).answer(to: .list([offered]), about: unknown) == .objectNotFound)
    }

    @Test func `an asker passes over what it cannot use`() {
        let offer = TransportOffer.list(entries([3, 2, 1]))
        func chosen(_ own: [UInt16], _ answer: TransportOffer, to offer: TransportOffer = offer) -> UInt16? {
            transports(own).choose(from: answer, to: offer, about: SwarmMetadata(swarmID))?.id
        }
        var (datagrams, http) = (entries([2])[0], entries([3])[0])
        #expect(chosen([1, 2, 3], .list([datagrams, http])) == nil)
        datagrams.endpoint = Endpoint(.datagrams, SocketAddress(.loopback, 1))
        http.url = "http://h/"
        #expect(chosen([1, 2, 3], .list([datagrams, http])) == 2 && chosen([3], .list([datagrams, http])) == 3)
        #expect(chosen([1], .list([datagrams, http])) == nil && chosen([1], .ask) == nil)
        #expect(chosen([1, 2], .list([datagrams]), to: .list(entries([1]))) == nil)
        #expect(chosen([1, 2], .list([datagrams]), to: .mandatory(entries([1])[0])) == nil)
        #expect(chosen([1, 2], .list([datagrams]), to: .ask) == 2)
        #expect(chosen([1, 2], .mandatory(entries([1])[0])) == 1)
        #expect(chosen([1], .mandatory(entries([1], chunkSize: nil)[0])) == nil)
        let known = transports([1]).choose(from: .mandatory(TransportEntry(1)), to: offer, about: swarm)
        #expect(known?.swarm == swarm && known?.requestWindow == 1 << 20 && known?.addressing == .chunks64)
        var other = entries([1])[0]
        (other.addressing, other.requestWindow) = (0, 7)
        #expect(chosen([1], .mandatory(other)) == nil)
        other.addressing = 2
        #expect(transports([1]).choose(from: .mandatory(other), to: offer, about: swarm)?.requestWindow == 7)
    }
}
