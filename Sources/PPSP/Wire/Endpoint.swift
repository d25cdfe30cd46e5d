public import PeerCore

/// Where a peer is reached, and how (PPSP section 5).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 1 | family: 4 or 6 |
/// | 1 | 1 | kind: 0 control TCP, 1 PPSPP UDP, 2 HTTP |
/// | 2 | 2 | port, not 0 |
/// | 4 | 4 or 16 | address |
public struct Endpoint: Hashable, Sendable {
    /// What listens there.
    public enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        /// This protocol over TCP.
        case control = 0
        /// RFC 7574 over UDP.
        case datagrams = 1
        /// An HTTP server.
        case http = 2
    }

    /// What listens there.
    public let kind: Kind
    /// Its address; the port is not 0.
    public let address: SocketAddress

    /// An address that others may be told.
    public init(_ kind: Kind, _ address: SocketAddress) {
        precondition(address.port != 0, "nobody listens at port 0")
        (self.kind, self.address) = (kind, address)
    }

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        let family = try reader.readUInt8("address family")
        guard family == 4 || family == 6 else { throw .invalid(field: "address family") }
        guard let kind = Kind(rawValue: try reader.readUInt8("address kind")) else {
            throw .invalid(field: "address kind")
        }
        let port = try reader.read(UInt16.self, "port")
        guard port != 0 else { throw .invalid(field: "port") }
        let ip =
            family == 4
            ? IPAddress(v4: try reader.read(UInt32.self, "address"))
            : IPAddress(octets: try reader.read(count: 16, "address"))
        self.init(kind, SocketAddress(ip, port))
    }

    /// A value that is one address.
    init(decoding value: Bytes) throws(DecodeError) {
        var reader = ByteReader(value)
        try self.init(decoding: &reader)
        try reader.expectEnd()
    }

    func encode(into writer: inout ByteWriter) {
        let v4 = address.ip.v4
        writer.write(UInt8(v4 == nil ? 6 : 4))
        writer.write(kind.rawValue)
        writer.write(address.port)
        if let v4 { writer.write(v4) } else { writer.write(address.ip.octets) }
    }
}
