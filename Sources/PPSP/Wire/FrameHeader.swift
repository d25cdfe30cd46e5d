internal import PeerCore

/// What every message begins with (PPSP section 3).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 1 | version, tenths: 1 |
/// | 1 | 1 | message type |
/// | 2 | 1 | number of methods, or of chunk messages |
/// | 3 | 1 | response code |
/// | 4 | 4 | content length: octets after these 20 |
/// | 8 | 8 | transaction ID, or transfer ID |
/// | 16 | 1 | P, octets of the peer ID |
/// | 17 | 1 | flags, 0 |
/// | 18 | 2 | S, octets of the swarm ID |
/// | 20 | P | peer ID of the sender |
/// | 20 + P | S | swarm ID |
struct FrameHeader: Hashable, Sendable {
    /// Octets before the content.
    static let octets = 20
    /// This protocol: 0.1 (PPSP section 3).
    static let version: UInt8 = 1
    /// Octets of a peer ID (PPSP section 3).
    static let peerIDBytes = 32

    let version: UInt8
    let type: UInt8
    let count: UInt8
    let code: UInt8
    let contentLength: UInt32
    let transactionID: UInt64
    let peerIDBytes: UInt8
    let swarmIDBytes: UInt16

    /// The header that `waiting` begins with; nil: wait for more.
    init?(in waiting: Bytes) {
        var reader = ByteReader(waiting)
        guard waiting.count >= Self.octets, let start = try? reader.read(UInt64.self, "start"),
            let transactionID = try? reader.read(UInt64.self, "transaction ID"),
            let end = try? reader.read(UInt32.self, "end")
        else { return nil }
        version = UInt8(truncatingIfNeeded: start >> 56)
        type = UInt8(truncatingIfNeeded: start >> 48)
        count = UInt8(truncatingIfNeeded: start >> 40)
        code = UInt8(truncatingIfNeeded: start >> 32)
        contentLength = UInt32(truncatingIfNeeded: start)
        self.transactionID = transactionID
        peerIDBytes = UInt8(truncatingIfNeeded: end >> 24)
        swarmIDBytes = UInt16(truncatingIfNeeded: end)
    }

    init(
        _ type: MessageType, count: Int, code: ResponseCode = .successful, contentLength: Int, transactionID: UInt64,
        peerIDBytes: Int, swarmIDBytes: Int
    ) {
        version = Self.version
        self.type = type.rawValue
        self.count = UInt8(count)
        self.code = code.rawValue
        self.contentLength = UInt32(contentLength)
        self.transactionID = transactionID
        self.peerIDBytes = UInt8(peerIDBytes)
        self.swarmIDBytes = UInt16(swarmIDBytes)
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(version)
        writer.write(type)
        writer.write(count)
        writer.write(code)
        writer.write(contentLength)
        writer.write(transactionID)
        writer.write(peerIDBytes)
        writer.write(UInt8(0))
        writer.write(swarmIDBytes)
    }

    /// Octets of the header and of what it announces.
    var wholeLength: UInt64 { UInt64(Self.octets) + UInt64(contentLength) }

    /// Octets of the two identifiers.
    var identifierBytes: Int { Int(peerIDBytes) + Int(swarmIDBytes) }
}

/// The identifiers behind a header.
struct Identifiers {
    let peerID: Bytes32?
    let swarmID: SwarmID?

    /// Reads them with the rules of section 3: a message has both, but for the swarm of a keep-alive and of an error;
    /// TRANSFER may leave them out.
    init(_ header: FrameHeader, _ type: MessageType, _ reader: inout ByteReader) throws(DecodeError) {
        let isTransfer = type == .transfer
        guard header.peerIDBytes == FrameHeader.peerIDBytes || (isTransfer && header.peerIDBytes == 0) else {
            throw .invalid(field: "peer ID length")
        }
        guard header.swarmIDBytes <= SwarmID.maximumBytes else {
            throw .tooLong(
                field: "swarm ID", length: UInt64(header.swarmIDBytes), limit: UInt64(SwarmID.maximumBytes))
        }
        let isKeepAlive = type == .advertise && header.count == 0
        let isError = type == .response && header.code != 0
        guard header.swarmIDBytes > 0 || isTransfer || isKeepAlive || isError else {
            throw .invalid(field: "swarm ID length")
        }
        peerID = header.peerIDBytes == 0 ? nil : try reader.readBytes32("peer ID")
        swarmID = SwarmID(try reader.read(count: Int(header.swarmIDBytes), "swarm ID"))
    }

    /// The swarm ID of a message whose methods are not understood, if it can be read.
    static func swarmID(of header: FrameHeader, in frame: Bytes) -> SwarmID? {
        guard header.peerIDBytes == FrameHeader.peerIDBytes,
            header.identifierBytes <= header.contentLength, frame.count >= FrameHeader.octets + header.identifierBytes
        else { return nil }
        let start = FrameHeader.octets + Int(header.peerIDBytes)
        return SwarmID(frame.slice(start..<start + Int(header.swarmIDBytes)))
    }
}
