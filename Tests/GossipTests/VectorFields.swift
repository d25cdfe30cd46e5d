import Bootstrap
import PeerCore
import TestSupport
import Testing

@testable import Gossip

/// The vector file lies beside the tests of the bootstrap server, which share it.
private let neighbouringTest = "\(#filePath)".replacingLast("GossipTests/VectorFields.swift", "BootstrapTests/x.swift")

extension String {
    fileprivate func replacingLast(_ end: String, _ other: String) -> String {
        hasSuffix(end) ? String(dropLast(end.count)) + other : self
    }
}

/// The cases of a group, those of the given channel.
func vectors(_ group: String, channel: String? = nil) throws -> [Vector] {
    try Vector.cases("gossip", group, besides: neighbouringTest).filter { vector in
        guard let channel else { return true }
        return try vector.text("channel") == channel
    }
}

extension Vector {
    /// The octets of a message: `hex`, or `hex_head` and one octet many times.
    func message() throws -> Bytes {
        guard has("hex_head") else { return try text("hex").isEmpty ? Bytes() : octets("hex") }
        return Bytes(try octets("hex_head").array + value("fill").filling().array)
    }

    /// `{"octet": "4c", "count": 65527}`
    private func filling() throws -> Bytes {
        Bytes(Array(repeating: try octets("octet")[0], count: try number("count")))
    }

    /// Data: hexadecimal digits, or one octet many times.
    func data() throws -> Bytes {
        let data = try value("data")
        if data.has("octet") { return try data.filling() }
        return try data.text().isEmpty ? Bytes() : data.octets()
    }

    func uint16(_ key: String) throws -> UInt16 { try #require(UInt16(exactly: try number(key))) }

    func uint8(_ key: String) throws -> UInt8 { try #require(UInt8(exactly: try number(key))) }

    /// Address entries.
    func peers() throws -> [PeerAddress] {
        try elements("peers").map { peer in
            let ip = try #require(IPAddress(try peer.text("address")), "\(peer)")
            return PeerAddress(id: try peer.uint16("id"), address: SocketAddress(ip, try peer.uint16("port")))
        }
    }
}
