public import PeerCore

/// What peers say of chunks, in TRANSFER frames and in datagrams (PPSP section 9.2, RFC 7574 digest section 4).
///
/// A message is an octet for its type and what follows; `spec` is a chunk specification.
///
/// | type | message | after the type | TRANSFER | datagram |
/// |---|---|---|---|---|
/// | 0 | HANDSHAKE | u32 source channel, options, 255 | | first only |
/// | 1 | DATA | spec of one chunk, u64 time in microseconds, payload | last only | yes |
/// | 2 | ACK | spec, u64 delay in microseconds | ignored | yes |
/// | 3 | HAVE | spec | yes | yes |
/// | 4 | INTEGRITY | spec of a subtree, hash | yes | yes |
/// | 5 | PEX_RESv4 | 4 octets, u16 port | | yes |
/// | 6 | PEX_REQ | | | yes |
/// | 7 | SIGNED_INTEGRITY | spec, u64 NTP time, signature | live only | live only |
/// | 8 | REQUEST | spec | yes | yes |
/// | 9 | CANCEL | spec | yes | yes |
/// | 10 | CHOKE | | yes | yes |
/// | 11 | UNCHOKE | | yes | yes |
/// | 12 | PEX_RESv6 | 16 octets, u16 port | | yes |
/// | 13 | PEX_REScert | u16 length, certificate | | yes |
public enum ChunkMessage: Hashable, Sendable {
    /// A chunk; the payload shares the buffer in which it came.
    case data(chunk: UInt64, time: UInt64, payload: Bytes)
    /// These chunks have come, and the last of them so late after its time.
    case ack(ChunkRange, delay: UInt64)
    /// The sender has verified these chunks.
    case have(ChunkRange)
    /// The hash of a node.
    case integrity(Subtree, hash: Bytes)
    /// A signature over chunks of a live swarm.
    case signedIntegrity(ChunkRange, time: UInt64, signature: Bytes)
    /// These chunks are wanted, in this order.
    case request(ChunkRange)
    /// They are not wanted any more.
    case cancel(ChunkRange)
    /// Requests that are outstanding are void.
    case choke
    /// Requests are welcome again.
    case unchoke
    /// Opens a channel, or closes it.
    case handshake(Handshake)
    /// Which other peers are there?
    case peerExchangeRequest
    /// Another peer.
    case peer(SocketAddress)
    /// Another peer, with a certificate in DER.
    case certifiedPeer(Bytes)

    /// Numbers on the wire.
    enum Code: UInt8 {
        case handshake = 0
        case data = 1
        case ack = 2
        case have = 3
        case integrity = 4
        case peerV4 = 5
        case peerExchangeRequest = 6
        case signedIntegrity = 7
        case request = 8
        case cancel = 9
        case choke = 10
        case unchoke = 11
        case peerV6 = 12
        case certifiedPeer = 13

        /// Whether a TRANSFER may have it.
        var isInTransfers: Bool {
            switch self {
            case .data, .ack, .have, .integrity, .signedIntegrity, .request, .cancel, .choke, .unchoke: true
            case .handshake, .peerV4, .peerExchangeRequest, .peerV6, .certifiedPeer: false
            }
        }
    }
}

/// How chunks are named (RFC 7574 digest, option 6). Ranges of octets (1) are not spoken.
public enum ChunkAddressing: UInt8, Hashable, Sendable, CaseIterable {
    /// One u32 bin.
    case bins32 = 0
    /// u32 first, u32 last.
    case chunks32 = 2
    /// One u64 bin.
    case bins64 = 3
    /// u64 first, u64 last.
    case chunks64 = 4

    /// Whether a range goes as one subtree.
    var isBins: Bool { self == .bins32 || self == .bins64 }
}

/// What is agreed for a transfer or a channel, and needed to read its messages.
public struct ChunkRules: Hashable, Sendable {
    /// What carries the messages.
    public enum Carrier: Hashable, Sendable {
        /// TRANSFER frames over TCP.
        case transfer
        /// Datagrams of RFC 7574.
        case datagram
    }

    /// What carries them.
    public let carrier: Carrier
    /// How chunks are named.
    public var addressing: ChunkAddressing
    /// Octets of a hash.
    public var hashBytes: Int
    /// Octets of a chunk, where they end the payload of one DATA before the next in a datagram; nil: not known.
    public var chunkSize: UInt32?
    /// Octets of a signature; nil: static content, which has none.
    public var signatureBytes: Int?

    /// Rules for a static content.
    public init(_ carrier: Carrier, _ addressing: ChunkAddressing, _ function: HashFunction, chunkSize: UInt32? = nil) {
        self.carrier = carrier
        self.addressing = addressing
        hashBytes = function.octets
        self.chunkSize = chunkSize
    }

    /// The defaults of RFC 7574 (digest section 8), for datagrams that open a channel.
    public static let opening = ChunkRules(.datagram, .chunks32, .sha256)
}

// MARK: - Reading

extension ChunkMessage {
    /// Reads the next message.
    init(decoding reader: inout ByteReader, _ rules: ChunkRules) throws(DecodeError) {
        let type = try reader.readUInt8("message type")
        guard let code = Code(rawValue: type), rules.carrier == .datagram || code.isInTransfers else {
            throw .invalid(field: "message type \(type)")
        }
        switch code {
        case .data: self = try Self.data(&reader, rules)
        case .ack: self = .ack(try rules.readRange(&reader), delay: try reader.read(UInt64.self, "delay"))
        case .have: self = .have(try rules.readRange(&reader))
        case .integrity:
            guard let node = Subtree(try rules.readRange(&reader)) else { throw .invalid(field: "subtree") }
            self = .integrity(node, hash: try reader.read(count: rules.hashBytes, "hash"))
        case .signedIntegrity:
            guard let signatureBytes = rules.signatureBytes else { throw .invalid(field: "message type \(type)") }
            self = .signedIntegrity(
                try rules.readRange(&reader), time: try reader.read(UInt64.self, "time"),
                signature: try reader.read(count: signatureBytes, "signature"))
        case .request: self = .request(try rules.readRange(&reader))
        case .cancel: self = .cancel(try rules.readRange(&reader))
        case .choke: self = .choke
        case .unchoke: self = .unchoke
        case .handshake: self = .handshake(try Handshake(decoding: &reader))
        case .peerExchangeRequest: self = .peerExchangeRequest
        case .peerV4:
            let ip = IPAddress(v4: try reader.read(UInt32.self, "peer"))
            self = .peer(SocketAddress(ip, try reader.read(UInt16.self, "port")))
        case .peerV6:
            let ip = IPAddress(octets: try reader.read(count: 16, "peer"))
            self = .peer(SocketAddress(ip, try reader.read(UInt16.self, "port")))
        case .certifiedPeer:
            let count = try reader.read(UInt16.self, "certificate length")
            self = .certifiedPeer(try reader.read(count: Int(count), "certificate"))
        }
    }

    private static func data(_ reader: inout ByteReader, _ rules: ChunkRules) throws(DecodeError) -> ChunkMessage {
        let range = try rules.readRange(&reader)
        guard range.isSingle else { throw .invalid(field: "chunk") }
        let time = try reader.read(UInt64.self, "time")
        var count = reader.remaining
        if rules.carrier == .datagram, let chunkSize = rules.chunkSize { count = min(count, Int(chunkSize)) }
        guard count > 0 else { throw .truncated(field: "payload") }
        return .data(chunk: range.first, time: time, payload: try reader.read(count: count, "payload"))
    }
}

extension ChunkRules {
    /// Reads a chunk specification.
    func readRange(_ reader: inout ByteReader) throws(DecodeError) -> ChunkRange {
        switch addressing {
        case .chunks32:
            let (first, last) = (try reader.read(UInt32.self, "chunk"), try reader.read(UInt32.self, "chunk"))
            guard let range = ChunkRange(checking: UInt64(first), UInt64(last)) else { throw .invalid(field: "chunks") }
            return range
        case .chunks64:
            let (first, last) = (try reader.read(UInt64.self, "chunk"), try reader.read(UInt64.self, "chunk"))
            guard let range = ChunkRange(checking: first, last) else { throw .invalid(field: "chunks") }
            return range
        case .bins32:
            let bin = try reader.read(UInt32.self, "bin")
            guard bin != .max, let node = Subtree(bin: UInt64(bin)) else { throw .invalid(field: "bin") }
            return node.range
        case .bins64:
            guard let node = Subtree(bin: try reader.read(UInt64.self, "bin")) else { throw .invalid(field: "bin") }
            return node.range
        }
    }
}

// MARK: - Writing

extension ChunkMessage {
    /// Its number on the wire.
    var code: Code {
        switch self {
        case .data: .data
        case .ack: .ack
        case .have: .have
        case .integrity: .integrity
        case .signedIntegrity: .signedIntegrity
        case .request: .request
        case .cancel: .cancel
        case .choke: .choke
        case .unchoke: .unchoke
        case .handshake: .handshake
        case .peerExchangeRequest: .peerExchangeRequest
        case .peer(let address): address.ip.v4 == nil ? .peerV6 : .peerV4
        case .certifiedPeer: .certifiedPeer
        }
    }

    /// Writes the message; where chunks are named by bins, one for each subtree of its range.
    func encode(into writer: inout ByteWriter, _ rules: ChunkRules) {
        switch self {
        case .have(let range), .request(let range), .cancel(let range):
            for part in rules.parts(of: range) { rules.write(code, part, into: &writer) }
        case .ack(let range, let delay):
            for part in rules.parts(of: range) {
                rules.write(code, part, into: &writer)
                writer.write(delay)
            }
        case .data(let chunk, let time, let payload):
            encodeHead(ofData: chunk, time, into: &writer, rules)
            writer.write(payload)
        case .integrity(let node, let hash):
            precondition(hash.count == rules.hashBytes, "a hash of \(hash.count) octets")
            rules.write(code, node.range, into: &writer)
            writer.write(hash)
        case .signedIntegrity(let range, let time, let signature):
            precondition(signature.count == rules.signatureBytes, "a signature of \(signature.count) octets")
            rules.write(code, range, into: &writer)
            writer.write(time)
            writer.write(signature)
        case .choke, .unchoke, .peerExchangeRequest: writer.write(code.rawValue)
        case .handshake(let handshake):
            writer.write(code.rawValue)
            handshake.encode(into: &writer)
        case .peer(let address):
            writer.write(code.rawValue)
            if let v4 = address.ip.v4 { writer.write(v4) } else { writer.write(address.ip.octets) }
            writer.write(address.port)
        case .certifiedPeer(let certificate):
            writer.write(code.rawValue)
            writer.write(UInt16(certificate.count))
            writer.write(certificate)
        }
    }

    /// What stands before the payload of a DATA message.
    func encodeHead(ofData chunk: UInt64, _ time: UInt64, into writer: inout ByteWriter, _ rules: ChunkRules) {
        rules.write(.data, ChunkRange(chunk), into: &writer)
        writer.write(time)
    }
}

extension ChunkRules {
    /// The ranges that name `range`, one message each.
    fileprivate func parts(of range: ChunkRange) -> [ChunkRange] {
        addressing.isBins ? range.subtrees.map(\.range) : [range]
    }

    /// A type and a chunk specification. A number that the addressing does not have is a mistake of the caller.
    fileprivate func write(_ code: ChunkMessage.Code, _ range: ChunkRange, into writer: inout ByteWriter) {
        writer.write(code.rawValue)
        switch addressing {
        case .chunks32:
            writer.write(UInt32(range.first))
            writer.write(UInt32(range.last))
        case .chunks64:
            writer.write(range.first)
            writer.write(range.last)
        case .bins32, .bins64:
            guard let node = Subtree(range) else { preconditionFailure("\(range) is no bin") }
            if addressing == .bins32 { writer.write(UInt32(node.bin)) } else { writer.write(node.bin) }
        }
    }
}
