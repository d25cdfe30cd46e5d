public import PeerCore

/// ANNOUNCE 500: "spread this" (gossip section 2.1), from a local program, and between peers.
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 4 | size 8 + n, type 500 |
/// | 4 | 1 | TTL: hops to spread; 0: no limit |
/// | 5 | 1 | reserved; between peers the salt (gossip section 4.2) |
/// | 6 | 2 | data type |
/// | 8 | n | data |
public struct Announce: Hashable, Sendable {
    /// Octets before the data.
    public static let headBytes = 8
    /// Most octets of data: what the size field can tell.
    public static let maximumDataBytes = Int(UInt16.max) - headBytes

    /// The whole message.
    public let message: Bytes

    /// A whole message, its size already checked against the header.
    public init(decoding message: Bytes) throws(DecodeError) {
        guard message.count >= Self.headBytes else { throw .truncated(field: "announce") }
        self.message = message
    }

    /// A message whose size is known to be enough.
    @inline(__always)
    init(checked message: Bytes) {
        self.message = message
    }

    /// An announcement of at most `maximumDataBytes` octets of data.
    public init(ttl: UInt8, salt: UInt8 = 0, dataType: UInt16, data: Bytes) {
        precondition(data.count <= Self.maximumDataBytes, "\(data.count) octets do not fit one message")
        var writer = ByteWriter(capacity: Self.headBytes + data.count)
        writer.write(UInt16(Self.headBytes + data.count))
        writer.write(MessageType.announce)
        writer.write(ttl)
        writer.write(salt)
        writer.write(dataType)
        writer.write(data)
        message = writer.bytes
    }

    /// Hops to spread; 0: no limit.
    @inline(__always) public var ttl: UInt8 { message[4] }
    /// Which repetition of equal contents this is; what a local program writes here is ignored.
    @inline(__always) public var salt: UInt8 { message[5] }
    /// The kind of application data.
    @inline(__always) public var dataType: UInt16 { message.uint16(at: 6) }
    /// The data, in place.
    @inline(__always) public var data: Bytes { message.dropping(Self.headBytes) }
    /// What the seen key is made of: salt, data type, data, as they lie in the message.
    @inline(__always) var identity: Bytes { message.dropping(5) }
}

/// NOTIFY 501: "I understand this data type" (gossip section 2.2).
public struct Notify: Hashable, Sendable {
    /// Octets of the message.
    public static let octets = 8
    /// The data type.
    public let dataType: UInt16

    /// A subscription.
    public init(dataType: UInt16) {
        self.dataType = dataType
    }

    /// A whole message.
    public init(decoding message: Bytes) throws(DecodeError) {
        guard message.count == Self.octets else { throw .invalid(field: "size") }
        dataType = message.uint16(at: 6)
    }

    /// The message.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: Self.octets)
        writer.write(UInt16(Self.octets))
        writer.write(MessageType.notify)
        writer.write(UInt16(0))
        writer.write(dataType)
        return writer.bytes
    }
}

/// NOTIFICATION 502: "here is one; tell me whether it is sound" (gossip section 2.3).
public struct Notification: Hashable, Sendable {
    /// The random number that names this question.
    public let messageID: UInt16
    /// The kind of application data.
    public let dataType: UInt16
    /// The data.
    public let data: Bytes

    /// A question.
    public init(messageID: UInt16, dataType: UInt16, data: Bytes) {
        (self.messageID, self.dataType, self.data) = (messageID, dataType, data)
    }

    /// A whole message.
    public init(decoding message: Bytes) throws(DecodeError) {
        guard message.count >= Announce.headBytes else { throw .truncated(field: "notification") }
        self.init(
            messageID: message.uint16(at: 4), dataType: message.uint16(at: 6),
            data: message.dropping(Announce.headBytes))
    }

    /// The message.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: Announce.headBytes + data.count)
        writer.write(UInt16(Announce.headBytes + data.count))
        writer.write(MessageType.notification)
        writer.write(messageID)
        writer.write(dataType)
        writer.write(data)
        return writer.bytes
    }
}

/// VALIDATION 503: the local program's verdict (gossip section 2.4).
public struct Validation: Hashable, Sendable {
    /// Octets of the message.
    public static let octets = 8
    /// Copied from the notification.
    public let messageID: UInt16
    /// Whether the data is well-formed: the lowest bit of the last two octets.
    public let isValid: Bool

    /// A verdict.
    public init(messageID: UInt16, isValid: Bool) {
        (self.messageID, self.isValid) = (messageID, isValid)
    }

    /// A whole message.
    @inline(__always)
    public init(decoding message: Bytes) throws(DecodeError) {
        guard message.count == Self.octets else { throw .invalid(field: "size") }
        messageID = message.uint16(at: 4)
        isValid = message[7] & 1 == 1
    }

    /// The verdict at `offset`; nil when something else is there, or not all of it.
    @inline(__always)
    static func next(in bytes: Bytes, at offset: Int) -> Validation? {
        guard bytes.count - offset >= octets, bytes.uint16(at: offset + 2) == MessageType.validation,
            bytes.uint16(at: offset) == octets
        else { return nil }
        return Validation(messageID: bytes.uint16(at: offset + 4), isValid: bytes[offset + 7] & 1 == 1)
    }

    /// The message.
    public var bytes: Bytes {
        var writer = ByteWriter(capacity: Self.octets)
        writer.write(UInt16(Self.octets))
        writer.write(MessageType.validation)
        writer.write(messageID)
        writer.write(UInt16(isValid ? 1 : 0))
        return writer.bytes
    }
}

/// A message between the node and a local program, for programs that speak to a node (gossip section 2).
public enum APIMessage: Hashable, Sendable {
    /// To the node.
    case announce(Announce)
    /// To the node.
    case notify(Notify)
    /// To the program.
    case notification(Notification)
    /// To the node.
    case validation(Validation)

    /// The message at the beginning of `bytes` and its octets; nil when it is not complete yet.
    public static func next(in bytes: Bytes) throws(DecodeError) -> (message: APIMessage, octets: Int)? {
        let types = MessageType.announce...MessageType.validation
        guard let frame = try Frame.next(in: bytes, at: 0, { type, _ in types.contains(type) }) else { return nil }
        let message: APIMessage
        switch frame.type {
        case MessageType.announce: message = .announce(try Announce(decoding: frame.message))
        case MessageType.notify: message = .notify(try Notify(decoding: frame.message))
        case MessageType.notification: message = .notification(try Notification(decoding: frame.message))
        default: message = .validation(try Validation(decoding: frame.message))
        }
        return (message, frame.message.count)
    }

    /// The message.
    public var bytes: Bytes {
        switch self {
        case .announce(let message): message.message
        case .notify(let message): message.bytes
        case .notification(let message): message.bytes
        case .validation(let message): message.bytes
        }
    }
}
