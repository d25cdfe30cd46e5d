internal import PeerCore

/// The numbers of the messages (gossip section 1).
enum MessageType {
    // Between programs and nodes (gossip section 2).
    static let announce: UInt16 = 500
    static let notify: UInt16 = 501
    static let notification: UInt16 = 502
    static let validation: UInt16 = 503
    /// Of the dialect `authors-2017` (gossip section 9).
    static let hello: UInt16 = 504
    static let peerList: UInt16 = 505
    static let connect: UInt16 = 512
    static let disconnect: UInt16 = 513
    static let neighbors: UInt16 = 514
    /// Kept for extensions: skipped by size when unknown.
    static let extensions: ClosedRange<UInt16> = 515...519
}

/// One message in the octets of a connection (gossip section 1).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 2 | size: octets of the whole message, 4 to 65535 |
/// | 2 | 2 | type |
/// | 4 | size − 4 | body |
struct Frame {
    /// Octets of the header.
    static let headerBytes = 4

    let type: UInt16
    /// The whole message, header included, where it lies in the read buffer.
    let message: Bytes

    /// The message that begins at `offset`; nil when it is not complete yet. The type is judged as soon as four octets
    /// are there, so that nobody waits for the 18,245 octets of a browser's `GET /`.
    @inline(__always)
    static func next(
        in bytes: Bytes, at offset: Int, _ isAllowed: (_ type: UInt16, _ size: Int) -> Bool
    ) throws(DecodeError) -> Frame? {
        guard bytes.count - offset >= headerBytes else { return nil }
        let size = Int(bytes.uint16(at: offset))
        let type = bytes.uint16(at: offset + 2)
        guard size >= headerBytes else { throw .invalid(field: "size") }
        guard isAllowed(type, size) else { throw .invalid(field: "type") }
        guard bytes.count - offset >= size else { return nil }
        return Frame(type: type, message: bytes.slice(offset..<offset + size))
    }
}

extension Bytes {
    /// Two octets, most significant first.
    @inline(__always)
    func uint16(at offset: Int) -> UInt16 {
        UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }
}
