import PeerCore
import TestSupport
import Testing

@testable import PPSP

/// Chunk messages as vectors tell them.
extension Vector {
    /// How the messages of a vector are read.
    func rules(_ carrier: ChunkRules.Carrier, addressing: UInt8) throws -> ChunkRules {
        let bytes = try number("hash_len")
        let function = try #require(HashFunction.allCases.first { $0.octets == bytes }, "\(self)")
        return ChunkRules(carrier, try #require(ChunkAddressing(rawValue: addressing), "\(self)"), function)
    }

    /// The message, with `payload` where the vector shows only its digest.
    func chunkMessage(payload: Bytes) throws -> ChunkMessage {
        switch try text("type") {
        case "DATA":
            let data = has("data") ? try octets("data") : payload
            if has("data_len") {
                #expect(payload.count == (try number("data_len")), "\(self)")
                #expect(HashFunction.sha1(payload) == (try octets("data_sha1")), "\(self)")
            }
            let range = try chunks()
            #expect(range.isSingle, "\(self)")
            return .data(chunk: range.first, time: try uint64("timestamp"), payload: data)
        case "ACK": return .ack(try chunks(), delay: try uint64("owd"))
        case "HAVE": return .have(try chunks())
        case "INTEGRITY": return .integrity(try #require(Subtree(try chunks())), hash: try octets("hash"))
        case "REQUEST": return .request(try chunks())
        case "CANCEL": return .cancel(try chunks())
        case "CHOKE": return .choke
        case "UNCHOKE": return .unchoke
        case "PEX_REQ": return .peerExchangeRequest
        case "HANDSHAKE": return .handshake(try handshake())
        case let other: throw VectorError("\(description): message \(other)")
        }
    }

    /// `start` and `end`, or `bin`.
    private func chunks() throws -> ChunkRange {
        guard has("bin") else { return try range() }
        return try #require(Subtree(bin: try uint64("bin")), "\(self)").range
    }

    private func handshake() throws -> Handshake {
        var handshake = Handshake(channel: try uint32("src_channel"))
        for option in try cases("options") {
            let parts = try option.elements()
            func code() throws -> UInt8 { UInt8(try parts[1].number()) }
            switch try parts[0].text() {
            case "version": handshake.version = try code()
            case "min_version": handshake.lowestVersion = try code()
            case "swarm_id": handshake.swarmID = SwarmID(try parts[1].octets())
            case "cipm": handshake.integrityMethod = try code()
            case "mhf": handshake.hashFunction = try code()
            case "lsa": handshake.liveSignatureAlgorithm = try code()
            case "cam": handshake.addressing = try code()
            case "ldw": handshake.liveDiscardWindow = try parts[1].octets().reduce(0) { $0 << 8 | UInt64($1) }
            case "supported": handshake.supportedMessages = try parts[1].octets()
            case "chunk_size": handshake.chunkSize = UInt32(try parts[1].number())
            case "end": break
            case let other: throw VectorError("\(option): option \(other)")
            }
        }
        return handshake
    }
}
