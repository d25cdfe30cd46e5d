internal import PeerCore
internal import PeerJSON

/// The small answers of the extension (BePeer section 8).
enum Proof {
    /// Octets of such an answer.
    private static let limit = 4096

    /// `{"h":"<64 hex>"}`
    static func read(_ body: Bytes) -> Bytes32? {
        guard case .record(let record)? = try? JSON.parse(body, limit: limit) else { return nil }
        return record.string("h").flatMap { Bytes32(hex: $0) }
    }

    static func write(_ digest: Bytes) -> Bytes {
        let record: Record = ["h": .string(digest.hex)]
        return Bytes(utf8: record.json)
    }

    /// `{"ip":"…","messagePort":n}`
    static func readHandle(_ body: Bytes) -> SocketAddress? {
        guard case .record(let record)? = try? JSON.parse(body, limit: limit),
            let ip = record.string("ip").flatMap({ IPAddress($0) }),
            let port = record.int("messagePort").flatMap({ UInt16(exactly: $0) }), port > 0
        else { return nil }
        return SocketAddress(ip, port)
    }

    static func writeHandle(_ address: SocketAddress) -> Bytes {
        let record: Record = ["ip": .text(address.ip), "messagePort": .count(address.port)]
        return Bytes(utf8: record.json)
    }
}
