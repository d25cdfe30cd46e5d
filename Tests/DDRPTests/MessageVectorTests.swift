import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import DDRP

/// Bodies beyond the vector file: layouts, tolerance, limits; the octets are written here.
@Suite struct MessageVectorTests {
    private static let first = PeerEntry(ip: IPAddress(10, 0, 0, 1), peerID: Bytes32([UInt8](repeating: 1, count: 32)))
    private static let second = PeerEntry(
        ip: IPAddress("2001:db8::2")!, peerID: Bytes32([UInt8](repeating: 2, count: 32)))
    private static let v4 = "00000000000000000000ffff0a000001"
    private static let v6 = "20010db8000000000000000000000002"
    private static let ones = String(repeating: "01", count: 32)
    private static let twos = String(repeating: "02", count: 32)

    @Test func `three layouts of PeerRes are read in both dialects, told apart by their length`() throws {
        let (first, second) = (Self.first, Self.second)
        let withoutPorts = Self.v4 + Self.ones + Self.v6 + Self.twos
        let withPorts = Self.v4 + "2389" + Self.ones + Self.v6 + "0000" + Self.twos
        let plain = [first, second]
        let ported = [
            PeerEntry(ip: first.ip, port: 9097, peerID: first.peerID),
            PeerEntry(ip: second.ip, port: 0, peerID: second.peerID),
        ]
        let table: [(String, [PeerEntry])] = [
            ("02" + withoutPorts, plain), ("8200" + withoutPorts, plain), ("82808000" + withoutPorts, plain),
            ("0202" + withPorts, ported), ("028200" + withPorts, ported), ("02" + withPorts, ported),
            ("00", []), ("0000", []), ("8000", []), ("008000", []),
        ]
        for (hex, peers) in table {
            for dialect in Dialect.allCases {
                #expect(try decode(hex, 10, dialect) == .peerRes(PeerRes(peers: peers)), "\(dialect) \(hex)")
            }
        }
    }

    @Test func `a PeerRes that fits no layout is mal-formed`() throws {
        let plain = Self.v4 + Self.ones
        let ported = Self.v4 + "2389" + Self.ones
        let cut = String(ported.dropLast(2))
        let many = String(repeating: ported, count: 31)
        var table: [String] = ["", "01", "80", "8108", "01\(plain)00", "02\(plain)", "00\(plain)", "ff\(plain)"]
        table += ["0102\(ported)", "0201\(ported)", "0101\(ported)00", "81\(ported)", "010001\(ported)"]
        table += ["01\(plain.dropLast(2))", "ffffffffffffffffffff\(plain)"]
        // With the count twice and one octet lost it is as long as with the count once.
        table += [
            "0101\(cut)", "0101\(Self.v6)2389\(Self.ones.dropLast(2))", "0202\(ported)\(cut)", "2020\(many)\(cut)",
        ]
        for hex in table {
            for dialect in Dialect.allCases {
                #expect(throws: DecodeError.self, "\(dialect) \(hex)") { try decode(hex, 10, dialect) }
            }
        }
    }

    @Test func `of a PeerRes with up to 1024 peers 255 are used, of more none`() throws {
        func body(_ count: Int) -> Bytes {
            var writer = ByteWriter()
            writer.writeUvarint(UInt64(count))
            for _ in 0..<count {
                writer.write(Self.first.ip.octets)
                writer.write(Self.first.peerID)
            }
            return writer.bytes
        }
        for (count, used) in [(254, 254), (255, 255), (256, 255), (1024, 255)] {
            let message = try Message(decoding: body(count), code: 10, dialect: .reference)
            let peers = [PeerEntry](repeating: Self.first, count: used)
            #expect(message == .peerRes(PeerRes(peers: peers)), "\(count)")
        }
        #expect(throws: DecodeError.self) { try Message(decoding: body(1025), code: 10, dialect: .reference) }
    }

    @Test func `T gives an entry without port the standard port`() {
        let body = Message.peerRes(PeerRes(peers: [Self.first])).body(in: .text)
        #expect(body.hex == "0101" + Self.v4 + "2389" + Self.ones)
    }

    @Test func `an empty message 2 or 3 is a Ping in both dialects, and what is sent is strict`() throws {
        for dialect in Dialect.allCases {
            for code in [2, 3] as [UInt16] { #expect(try decode("", code, dialect) == .ping) }
        }
        #expect(Message.ping.code(in: .reference) == 2 && Message.ping.code(in: .text) == 3)
        #expect(try decode("00", 2, .reference) == .ping && decode("00", 3, .text) == .ping)
        #expect(try decode("00", 2, .text) == .unknown(code: 2))
        #expect(throws: DecodeError.self) { try decode("00", 3, .reference) }
    }

    @Test func `numbers that a dialect has no message for are unknown`() throws {
        for (dialect, last) in [(Dialect.reference, UInt16.max), (.text, 255)] {
            for code in [12, 13, 255, last] {
                let message = try decode("ff", code, dialect)
                #expect(message == .unknown(code: code) && message.code(in: dialect) == code)
                #expect(message.name == "Unknown" && message.body(in: dialect).isEmpty)
            }
        }
        #expect(Message.unknown(code: 256).code(in: .text) == nil)
        #expect(Message.nilUpdate(NilUpdate(name: try name("a"))).code(in: .text) == nil)
    }

    @Test func `lengths beyond their limits are refused before anything is reserved`() throws {
        let digest = String(repeating: "00", count: 32)
        let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        let hello = "00000001" + digest + digest + key
        let table: [(String, UInt16, DecodeError)] = [
            ("00", 4, .invalid(field: "name")), ("", 4, .truncated(field: "name")),
            ("40" + String(repeating: "61", count: 64), 4, .tooLong(field: "name", length: 64, limit: 63)),
            ("ffffffffffffffffff01", 4, .tooLong(field: "name", length: .max, limit: 63)),
            ("ffffffffffffffffff02", 4, .invalid(field: "name")), ("0261", 4, .truncated(field: "name")),
            (hello + "818010", 0, .tooLong(field: "user_agent", length: 262_145, limit: 262_144)),
            (hello + "808010", 0, .truncated(field: "user_agent")),
            ("0161" + String(repeating: "00", count: 8191), 6, .truncated(field: "merkle_base")),
            ("016100" + String(repeating: "00", count: 65535), 8, .truncated(field: "sector")),
            (String(digest.dropLast(2)), 1, .truncated(field: "nonce")),
        ]
        for (hex, code, error) in table {
            #expect(throws: error, "\(code) \(hex.prefix(80))") { try decode(hex, code, .reference) }
        }
        #expect(throws: DecodeError.invalid(field: "sector_id")) { try decode("01610100", 7, .text) }
    }

    @Test func `octets after the last field are ignored, as the reference does`() throws {
        let table: [(String, UInt16, Dialect, Message)] = [
            ("0161", 4, .reference, .nilUpdate(NilUpdate(name: try name("a")))),
            ("016100000007", 11, .reference, .updateReq(UpdateReq(name: try name("a"), timestamp: 7))),
            ("0161", 11, .text, .updateReq(UpdateReq(name: try name("a")))),
            ("0161ff", 7, .reference, .sectorReq(SectorReq(name: try name("a"), sectorID: 255))),
            ("016100ff", 7, .text, .sectorReq(SectorReq(name: try name("a"), sectorID: 255))),
            (Self.ones, 1, .text, .helloAck(HelloAck(nonce: Self.first.peerID))), ("", 9, .reference, .peerReq),
        ]
        for (hex, code, dialect, message) in table {
            #expect(try decode(hex, code, dialect) == message, "\(hex)")
            #expect(try decode(hex + "00ff", code, dialect) == message, "\(hex)")
            #expect(message.body(in: dialect).hex == hex)
        }
    }

    private func name(_ text: String) throws -> BlobName {
        try #require(BlobName(Bytes(utf8: text)))
    }

    private func decode(_ hex: String, _ code: UInt16, _ dialect: Dialect) throws -> Message {
        try Message(decoding: try #require(Bytes(hex: hex), "\(hex)"), code: code, dialect: dialect)
    }
}
