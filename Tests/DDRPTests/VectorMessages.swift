import DDRP
import PeerCore
import PeerCrypto
import TestSupport
import Testing

extension Dialect {
    /// The dialect by its name in the vectors, which call T `pip`.
    init(named name: String) throws {
        let names: [String: Dialect] = ["reference": .reference, "pip": .text, "text": .text]
        self = try #require(names[name], "dialect \(name)")
    }
}

/// Content of a test sector: octet i is (seed + 31 i + 7 ⌊i / 256⌋) mod 256.
func patternSector(_ seed: Int) -> Bytes {
    Bytes((0..<Blob.sectorBytes).map { UInt8(truncatingIfNeeded: seed + 31 * $0 + 7 * ($0 / 256)) })
}

extension Vector {
    /// The blob's name called `key`.
    func blobName(_ key: String) throws -> BlobName {
        try #require(BlobName(Bytes(utf8: try text(key))), "\(self)")
    }

    /// The private key called `key`.
    func privateKey(_ key: String) throws -> Secp256k1.PrivateKey {
        try #require(Secp256k1.PrivateKey(try octets32(key)), "\(self)")
    }

    /// The seconds since 1970 called `key`.
    func seconds(_ key: String) throws -> UInt32 {
        try #require(UInt32(exactly: try number(key)), "\(self)")
    }

    /// The address called `key`.
    func address(_ key: String) throws -> IPAddress {
        try #require(IPAddress(try text(key)), "\(self)")
    }

    /// The port called `key`.
    func port(_ key: String) throws -> UInt16 {
        try #require(UInt16(exactly: try number(key)), "\(self)")
    }

    /// The message whose fields these are.
    func message(_ typeName: String, _ dialect: Dialect) throws -> Message {
        switch typeName {
        case "Hello": return .hello(try hello(dialect))
        case "HelloAck": return .helloAck(HelloAck(nonce: try octets32("nonce")))
        case "Ping": return .ping
        case "PeerReq": return .peerReq
        case "PeerRes": return .peerRes(PeerRes(peers: try elements("peers").map { try $0.peerEntry(dialect) }))
        default: return try blobMessage(typeName, dialect)
        }
    }

    private func hello(_ dialect: Dialect) throws -> Hello {
        var external: SocketAddress?
        if dialect == .text {
            let address = SocketAddress(try address("external_ip"), try port("external_port"))
            // Nothing else says in T that a peer cannot be dialled.
            external = address == SocketAddress(.anyV4, 0) ? nil : address
        }
        return Hello(
            protocolVersion: try seconds("protocol_version"), localNonce: try octets32("local_nonce"),
            remoteNonce: try octets32("remote_nonce"), publicKey: try octets("public_key"), external: external,
            userAgent: Bytes(utf8: try text("user_agent")))
    }

    private func peerEntry(_ dialect: Dialect) throws -> PeerEntry {
        PeerEntry(
            ip: try address("ip"), port: dialect == .text ? try port("port") : nil, peerID: try octets32("peer_id"))
    }

    private func blobMessage(_ typeName: String, _ dialect: Dialect) throws -> Message {
        let name = try blobName("name")
        switch typeName {
        case "Update":
            return .update(
                Update(
                    name: name, timestamp: try seconds("timestamp"), merkleRoot: try octets32("merkle_root"),
                    reservedRoot: try octets32("reserved_root"), signature: try octets("signature")))
        case "NilUpdate": return .nilUpdate(NilUpdate(name: name))
        case "UpdateReq":
            let timestamp = dialect == .reference ? try seconds("timestamp") : 0
            return .updateReq(UpdateReq(name: name, timestamp: timestamp))
        case "TreeBaseReq": return .treeBaseReq(TreeBaseReq(name: name))
        case "TreeBaseRes": return .treeBaseRes(TreeBaseRes(name: name, treeBase: try treeBase("merkle_base")))
        case "SectorReq": return .sectorReq(SectorReq(name: name, sectorID: UInt8(try number("sector_id"))))
        case "SectorRes":
            let sector = has("sector") ? try octets("sector") : patternSector(try number("sector_seed"))
            return .sectorRes(SectorRes(name: name, sectorID: UInt8(try number("sector_id")), sector: sector))
        default: throw VectorError("\(self): unknown message \(typeName)")
        }
    }

    private func treeBase(_ key: String) throws -> TreeBase {
        let octets = try octets(key)
        let hashes = stride(from: 0, to: octets.count, by: 32).map { Bytes32(octets.slice($0..<$0 + 32)) }
        return try #require(TreeBase(hashes), "\(self)")
    }
}
