internal import PeerCore

/// The client's side of the module API (gossip, sections 1 and 2): writes ANNOUNCE, NOTIFY and VALIDATION, reads
/// NOTIFICATION out of a stream in pieces of any size.
struct ModuleClient {
    /// An item that came, and the question whether it is well-formed.
    struct Notification {
        /// Names the question; the verdict repeats it.
        let messageID: UInt16
        /// The kind of application data.
        let dataType: UInt16
        /// The item.
        let data: Bytes
    }

    /// The numbers of the messages (gossip, section 1).
    private enum MessageType: UInt16 {
        case announce = 500
        case notify = 501
        case notification = 502
        case validation = 503
    }

    /// Octets of a header: size and type.
    private static let headerBytes = 4
    /// Octets before the data, and of a message without any.
    private static let emptyBytes = 8
    /// Octets of the largest item: the size field counts to 65535, the eight octets before the data included.
    static let maximumDataBytes = 65_535 - emptyBytes

    private var received = ReceiveBuffer()

    /// "Spread this": `ttl` hops far, 0 for no limit. `data` has at most `maximumDataBytes` octets.
    static func announce(ttl: UInt8, dataType: UInt16, data: Bytes) -> Bytes {
        message(.announce, UInt16(ttl) << 8, dataType, data)
    }

    /// "I understand this data type."
    static func notify(dataType: UInt16) -> Bytes {
        message(.notify, 0, dataType)
    }

    /// The verdict: whether the item of that question is well-formed.
    static func validation(messageID: UInt16, isValid: Bool) -> Bytes {
        message(.validation, messageID, isValid ? 1 : 0)
    }

    private static func message(_ type: MessageType, _ first: UInt16, _ second: UInt16, _ data: Bytes = []) -> Bytes {
        var writer = ByteWriter(capacity: emptyBytes + data.count)
        for field in [UInt16(emptyBytes + data.count), type.rawValue, first, second] { writer.write(field) }
        writer.write(data)
        return writer.bytes
    }

    /// Adds what has arrived.
    mutating func append(_ bytes: Bytes) {
        received.append(bytes)
    }

    /// The next complete NOTIFICATION, nil when more must arrive. Throws on anything that a node does not send.
    mutating func next() throws(DecodeError) -> Notification? {
        var reader = ByteReader(received.waiting)
        guard reader.remaining >= Self.headerBytes else { return nil }
        let size = Int(try reader.read(UInt16.self, "size"))
        guard try reader.read(UInt16.self, "type") == MessageType.notification.rawValue else {
            throw .invalid(field: "type")
        }
        guard size >= Self.emptyBytes else { throw .invalid(field: "size") }
        guard received.count >= size else { return nil }
        let messageID = try reader.read(UInt16.self, "message ID")
        let dataType = try reader.read(UInt16.self, "data type")
        let data = try reader.read(count: size - Self.emptyBytes, "data")
        received.consume(size)
        return Notification(messageID: messageID, dataType: dataType, data: data)
    }
}
