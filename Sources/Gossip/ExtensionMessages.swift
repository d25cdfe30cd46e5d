internal import PeerCore

/// What two nodes that told their capabilities say beside the text (types 515 to 518).
///
/// | offset | length | IHAVE 515 | IWANT 516 | HAVE 517 | PRUNE 518 |
/// |---|---|---|---|---|---|
/// | 0 | 2 | size 8 + 32 k | 8 + 32 k | 8 + 32 k | 8 |
/// | 2 | 2 | type | type | type | type |
/// | 4 | 2 | reserved, 0 | reserved, 0 | reserved, 0 | reserved, 0 |
/// | 6 | 2 | data type | data type | data type | data type |
/// | 8 | 32 k | seen keys | seen keys | seen keys | |
///
/// * IHAVE: "I have these, and shall not send them unasked."
/// * IWANT: "Send them, and from now on all of this data type" (with no key: only the latter).
/// * HAVE: "I have these already; do not send them to me."
/// * PRUNE: "I get this data type from another neighbour; from now on only tell me what you have."
struct ExtensionMessage: Hashable {
    enum Kind: UInt16 {
        case iHave = 515
        case iWant = 516
        case have = 517
        case prune = 518
    }

    /// Octets before the keys.
    static let headBytes = 8
    /// Octets of a key: BLAKE2b-256 over salt, data type, data (gossip section 4.2).
    static let keyBytes = 32
    /// Keys that we put into one message.
    static let maximumKeys = 256

    let kind: Kind
    let dataType: UInt16
    let keys: [Bytes32]

    init(_ kind: Kind, dataType: UInt16, keys: [Bytes32] = []) {
        (self.kind, self.dataType, self.keys) = (kind, dataType, keys)
    }

    /// A whole message; nil when its type is one that we do not know, to be skipped.
    init?(decoding frame: Frame) throws(DecodeError) {
        guard let kind = Kind(rawValue: frame.type) else { return nil }
        guard frame.message.count >= Self.headBytes else { throw .truncated(field: "extension") }
        let octets = frame.message.count - Self.headBytes
        guard octets.isMultiple(of: Self.keyBytes), kind != .prune || octets == 0 else { throw .invalid(field: "size") }
        var reader = ByteReader(frame.message.dropping(6))
        dataType = try reader.read(UInt16.self, "data type")
        var keys: [Bytes32] = []
        while reader.remaining > 0 { keys.append(try reader.readBytes32("key")) }
        self.kind = kind
        self.keys = keys
    }

    var bytes: Bytes {
        let size = Self.headBytes + keys.count * Self.keyBytes
        var writer = ByteWriter(capacity: size)
        writer.write(UInt16(size))
        writer.write(kind.rawValue)
        writer.write(UInt16(0))
        writer.write(dataType)
        for key in keys { writer.write(key) }
        return writer.bytes
    }
}
