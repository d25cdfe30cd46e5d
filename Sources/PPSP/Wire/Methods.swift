internal import PeerCore

/// The methods of a message, each at most once (PPSP sections 2 to 6).
public struct Methods: Hashable, Sendable {
    /// DATA_AVAILABILITY: which chunks the sender has.
    public var availability: Availability?
    /// DATA_AVAIL_QUERY: which chunks has the receiver?
    public var asksAvailability = false
    /// PROPERTY_PROVISION: what the sender is.
    public var properties: Properties?
    /// PROPERTY_QUERY: what is the receiver?
    public var asksProperties = false
    /// PEERLIST_PROVISION: who else is in the swarm; an empty list goes without a body.
    public var peers: [PeerListEntry]?
    /// PEERLIST_QUERY: who else is in the swarm?
    public var peerQuery: PeerListQuery?
    /// TRANSPORT_PARAMETER or TRANSPORT_MANDATORY, of which a message has one at most.
    public var transport: TransportOffer?

    /// None.
    public init() {}

    /// Which they are, in order of their codes.
    public var list: [Method] {
        let all: [(Method, Bool)] = [
            (.dataAvailability, availability != nil), (.dataAvailQuery, asksAvailability),
            (.propertyProvision, properties != nil), (.propertyQuery, asksProperties),
            (.peerListProvision, peers != nil), (.peerListQuery, peerQuery != nil),
        ]
        return all.filter(\.1).map(\.0) + [transport?.method].compactMap(\.self)
    }
}

/// Why methods are refused.
enum MethodFault: Error {
    /// INVALID SYNTAX.
    case syntax(DecodeError)
    /// MESSAGE NOT SUPPORTED: a code that we do not know, in a REQUEST.
    case unknown(UInt8)
}

/// A method on the wire (PPSP section 3).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 1 | code |
/// | 1 | 1 | flags: 0x80 a body is there |
/// | 2 | 2 | reserved |
/// | 4 | 4 | octets of the body |
/// | 8 | | body |
private struct MethodEntry {
    /// The flag that a body is there.
    static let hasBody: UInt8 = 0x80
    /// Octets before the body.
    static let headBytes = 8

    let code: UInt8
    let body: Bytes

    init(decoding reader: inout ByteReader) throws(DecodeError) {
        code = try reader.readUInt8("method code")
        let flags = try reader.readUInt8("method flags")
        _ = try reader.read(UInt16.self, "reserved")
        let length = try reader.read(UInt32.self, "body length")
        body = try reader.read(count: Int(length), "method body")
        guard (flags & Self.hasBody != 0) == (length > 0) else { throw .invalid(field: "body flag") }
    }
}

extension Methods {
    /// Octets of each method before its body.
    static let headBytes = MethodEntry.headBytes

    /// Reads `count` methods of a message of that type, in the order of checks of section 7.
    init(decoding reader: inout ByteReader, count: Int, in type: MessageType) throws(MethodFault) {
        var seen: Set<Method> = []
        for _ in 0..<count {
            let entry: MethodEntry
            do throws(DecodeError) {
                entry = try MethodEntry(decoding: &reader)
            } catch {
                throw .syntax(error)
            }
            guard let method = Method(rawValue: entry.code) else {
                guard type != .request else { throw .unknown(entry.code) }
                continue
            }
            do throws(DecodeError) {
                guard seen.insert(method).inserted else { throw .invalid(field: "second \(method)") }
                guard method.isPermitted(in: type) else { throw .invalid(field: "\(method) in \(type)") }
                guard entry.body.isEmpty ? method.body.mayBeAbsent : method.body.mayBePresent else {
                    throw .invalid(field: "body of \(method)")
                }
                try take(method, entry.body)
            } catch {
                throw .syntax(error)
            }
        }
    }

    private mutating func take(_ method: Method, _ body: Bytes) throws(DecodeError) {
        switch method {
        case .dataAvailability: availability = try Availability(decoding: body)
        case .dataAvailQuery: asksAvailability = true
        case .propertyProvision: properties = try Properties(decoding: body)
        case .propertyQuery: asksProperties = true
        case .peerListProvision: peers = body.isEmpty ? [] : try PeerListEntry.list(decoding: body)
        case .peerListQuery: peerQuery = try PeerListQuery(decoding: body)
        case .transportParameter, .transportMandatory:
            guard transport == nil else { throw .invalid(field: "two transport methods") }
            if method == .transportMandatory {
                transport = try .mandatory(decoding: body)
            } else {
                transport = body.isEmpty ? .ask : try .list(decoding: body)
            }
        }
    }

    /// The body of a method that is among them.
    private func body(of method: Method) -> Bytes {
        switch method {
        case .dataAvailability: availability?.bytes ?? Bytes()
        case .propertyProvision: properties?.bytes ?? Bytes()
        case .peerListProvision: (peers ?? []).isEmpty ? Bytes() : PeerListEntry.bytes(of: peers ?? [])
        case .peerListQuery: peerQuery?.bytes ?? Bytes()
        case .transportParameter, .transportMandatory: transport?.bytes ?? Bytes()
        case .dataAvailQuery, .propertyQuery: Bytes()
        }
    }

    func encode(into writer: inout ByteWriter) {
        for method in list {
            let body = body(of: method)
            writer.write(method.rawValue)
            writer.write(body.isEmpty ? 0 : MethodEntry.hasBody)
            writer.write(UInt16(0))
            writer.write(UInt32(body.count))
            writer.write(body)
        }
    }
}
