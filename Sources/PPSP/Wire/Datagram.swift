public import PeerCore

/// A datagram of RFC 7574: the receiver's channel and messages, in order (digest section 1).
public struct Datagram: Hashable, Sendable {
    /// Octets of the channel; a datagram of no more is the keep-alive.
    static let headBytes = 4

    /// The receiver's channel; 0 opens one.
    public let channel: UInt32
    /// What it says.
    public let messages: [ChunkMessage]

    /// A datagram with these messages: a HANDSHAKE only first, DATA of less than the chunk size only last.
    public init(channel: UInt32, _ messages: [ChunkMessage] = []) {
        (self.channel, self.messages) = (channel, messages)
    }

    /// The channel of a datagram, which tells how to read the rest; nil when it is too short to have one.
    public static func channel(of octets: Bytes) -> UInt32? {
        var reader = ByteReader(octets)
        return try? reader.read(UInt32.self, "channel")
    }

    /// The octets to send.
    public func bytes(_ rules: ChunkRules) -> Bytes {
        var (writer, rules) = (ByteWriter(capacity: 64), rules)
        writer.write(channel)
        for message in messages {
            message.encode(into: &writer, rules)
            if case .handshake(let handshake) = message { _ = rules.adopt(handshake) }
        }
        return writer.bytes
    }
}

/// What a datagram was read as.
public enum DatagramReading: Hashable, Sendable {
    /// A datagram of RFC 7574.
    case datagram(Datagram)
    /// A datagram that cannot be read to its end: what came before holds, the rest is discarded (digest section 1).
    case broken(Datagram, DecodeError)
    /// The opening of the dialect before the RFC, with the root that it asks for: to be ignored (digest section 9).
    case oldDialect(root: Bytes)
    /// Nothing.
    case noise(DecodeError)

    /// Reads a datagram by the rules of its channel. What follows a HANDSHAKE in it is read as that says.
    public init(_ octets: Bytes, _ rules: ChunkRules) {
        var reader = ByteReader(octets)
        guard let channel = Datagram.channel(of: octets) else {
            self = .noise(.truncated(field: "channel"))
            return
        }
        if let root = Self.oldRoot(octets) {
            self = .oldDialect(root: root)
            return
        }
        var (messages, rules): ([ChunkMessage], ChunkRules) = ([], rules)
        do throws(DecodeError) {
            _ = try reader.read(count: Datagram.headBytes, "channel")
            while reader.remaining > 0 {
                let message = try ChunkMessage(decoding: &reader, rules)
                if case .handshake(let handshake) = message {
                    guard messages.isEmpty else { throw .invalid(field: "second handshake") }
                    messages.append(message)
                    guard rules.adopt(handshake) || reader.remaining == 0 else {
                        throw .invalid(field: "chunk addressing")
                    }
                } else {
                    messages.append(message)
                }
            }
            self = .datagram(Datagram(channel: channel, messages))
        } catch {
            self = .broken(Datagram(channel: channel, messages), error)
        }
    }

    /// INTEGRITY with the bin of everything, which no HANDSHAKE precedes (digest section 9).
    private static func oldRoot(_ octets: Bytes) -> Bytes? {
        let mark: [UInt8] = [0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]
        let end = mark.count + HashFunction.sha1.octets
        guard octets.count >= end, octets.slice(0..<mark.count).elementsEqual(mark) else { return nil }
        return octets.slice(mark.count..<end)
    }
}

extension ChunkRules {
    /// Goes over to what a handshake says. False: it names chunks in a way that is not spoken.
    mutating func adopt(_ handshake: Handshake) -> Bool {
        if let code = handshake.hashFunction, let octets = Self.hashBytes(code) { hashBytes = octets }
        if let size = handshake.chunkSize { chunkSize = size == Handshake.variableChunkSize ? nil : size }
        switch handshake.liveSignatureAlgorithm {
        case 13: signatureBytes = 64
        case 14: signatureBytes = 96
        default: break
        }
        guard let code = handshake.addressing else { return true }
        guard let known = ChunkAddressing(rawValue: code) else { return false }
        addressing = known
        return true
    }

    /// Octets of a hash by the code of its function, also of those that we do not compute (digest, option 4).
    private static func hashBytes(_ code: UInt8) -> Int? {
        switch code {
        case 0: 20
        case 1: 28
        case 2: 32
        case 3: 48
        case 4: 64
        default: nil
        }
    }
}
