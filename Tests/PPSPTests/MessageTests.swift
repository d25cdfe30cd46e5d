import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Methods beyond the vectors (PPSP sections 2, 5 and 6).
@Suite struct MessageTests {
    private let swarmID = SwarmID(repeating: 7, count: 32)
    private let endpoint = Endpoint(.control, SocketAddress(.loopback, 6778))

    private func roundTrip(_ kind: Message.Kind, _ methods: Methods) throws {
        let message = Message(kind, transactionID: 5, peerID: .zero, swarmID: swarmID, methods: methods)
        #expect(try feed(message.bytes, to: firstFrame) == .message(message))
    }

    /// All methods that may go together.
    private var everything: Methods {
        var methods = Methods()
        methods.availability = Availability.map(of: ChunkSet(all: 9), chunkSize: 1024)[0]
        methods.asksAvailability = true
        methods.properties = Properties()
        methods.asksProperties = true
        methods.peers = []
        methods.peerQuery = PeerListQuery()
        methods.transport = .ask
        return methods
    }

    @Test func `every method alone, and all that a kind may have, come back as they were`() throws {
        let single: [WritableKeyPath<Methods, Bool>] = [\.asksAvailability, \.asksProperties]
        for path in single {
            var methods = Methods()
            methods[keyPath: path] = true
            try roundTrip(.request, methods)
        }
        var request = everything
        request.peers = nil
        try roundTrip(.request, request)
        var response = everything
        (response.asksAvailability, response.asksProperties, response.peerQuery) = (false, false, nil)
        response.transport = .mandatory(TransportEntry(TransportID.tcp))
        try roundTrip(.response(.successful), response)
        try roundTrip(.advertise, response)
        let entry = PeerListEntry(
            peerID: .zero, flags: [.complete, .takesPush], age: .max,
            endpoints: [Endpoint](repeating: endpoint, count: 8))
        response.peers = [PeerListEntry](repeating: entry, count: 25)
        try roundTrip(.advertise, response)
    }

    @Test func `properties come back with their types, and wrong ones are refused`() throws {
        var properties = Properties()
        for name in Properties.Name.allCases {
            switch name {
            case .certificate: properties.certificate = Bytes([1, 2])
            case .nonce: properties.nonce = Bytes32([UInt8](repeating: 3, count: 32))
            case .softwareName: properties.softwareName = "peernode/π"
            case .listenAddress: properties.listenAddress = Endpoint(.http, SocketAddress(.anyV6, 80))
            default: properties[name] = 1
            }
        }
        properties[unknown: 0x7777] = Bytes([9])
        let read = try Properties(decoding: properties.bytes)
        #expect(read == properties && read[.bandwidth] == 1 && read[.nonce] == nil)
        #expect(read.softwareName == "peernode/π" && read.listenAddress?.address.port == 80)
        #expect(read[unknown: 0x7777] == Bytes([9]) && read[unknown: 1] == nil)
        for name in Properties.Name.allCases where name != .certificate {
            for value in [Bytes(), Bytes([UInt8](repeating: 0xff, count: 65))]
            where name != .softwareName || value.count > 0 {
                var writer = ByteWriter()
                for number in [1, 0, name.rawValue, UInt16(value.count)] { writer.write(number) }
                writer.write(value)
                #expect(throws: DecodeError.self, "\(name)") { try Properties(decoding: writer.bytes) }
            }
        }
        #expect(throws: DecodeError.invalid(field: "nat")) {
            try Properties(decoding: Bytes([0, 1, 0, 0, 0, 5, 0, 1, 2]))
        }
    }

    @Test func `transports come back with every parameter, and unknown ones are passed over`() throws {
        var entry = TransportEntry(TransportID.http)
        (entry.chunkSize, entry.addressing, entry.integrityMethod, entry.hashFunction) = (512, 4, 1, 240)
        (entry.contentLength, entry.endpoint, entry.url) = (TransportEntry.unknownLength, endpoint, "http://h/ü")
        (entry.requestWindow, entry.liveSignatureAlgorithm, entry.liveDiscardWindow) = (1, 13, .max)
        var methods = Methods()
        methods.transport = .list([entry, TransportEntry(0xffff)])
        try roundTrip(.request, methods)
        var writer = ByteWriter()
        for octet: UInt8 in [1, 0, 0, 0, 0, 2, 0, 8, 2, 1, 2, 77, 0, 200, 1, 9] { writer.write(octet) }
        var expected = TransportEntry(TransportID.datagrams)
        expected.addressing = 2
        #expect(try TransportOffer.list(decoding: writer.bytes) == .list([expected]))
    }

    @Test func `bodies that are cut, longer or full of random octets never do more than be refused`() throws {
        var random = SeededRandom(6)
        let bodies: [(Bytes, (Bytes) throws -> Void)] = [
            (Properties().bytes, { _ = try Properties(decoding: $0) }),
            (PeerListQuery().bytes, { _ = try PeerListQuery(decoding: $0) }),
            (
                PeerListEntry.bytes(of: [PeerListEntry(peerID: .zero, flags: [], age: 0, endpoints: [endpoint])]),
                { _ = try PeerListEntry.list(decoding: $0) }
            ),
            (TransportOffer.list([TransportEntry(2)]).bytes, { _ = try TransportOffer.list(decoding: $0) }),
            (TransportOffer.mandatory(TransportEntry(1)).bytes, { _ = try TransportOffer.mandatory(decoding: $0) }),
        ]
        for (body, decode) in bodies {
            #expect(throws: Never.self) { try decode(body) }
            for count in 0..<body.count { #expect(throws: DecodeError.self) { try decode(body.slice(0..<count)) } }
            #expect(throws: DecodeError.self) { try decode(Bytes(body.array + [0])) }
            for _ in 0..<200 {
                var octets = body.array
                octets[Int.random(in: octets.indices, using: &random)] = UInt8(truncatingIfNeeded: random.next())
                try? decode(Bytes(octets))
                try? decode(random.bytes(40))
            }
        }
        // Counts above what is there reserve nothing.
        #expect(throws: DecodeError.truncated(field: "peers")) {
            try PeerListEntry.list(decoding: Bytes([0xff, 0xff, 0, 0]))
        }
        #expect(throws: DecodeError.invalid(field: "transport ID")) {
            try TransportOffer.list(decoding: Bytes([2, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))
        }
        #expect(throws: DecodeError.invalid(field: "transport count")) {
            try TransportOffer.list(decoding: Bytes([17, 0, 0, 0]))
        }
    }
}
