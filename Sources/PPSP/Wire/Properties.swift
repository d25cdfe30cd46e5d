public import PeerCore

/// What a peer tells of itself: PROPERTY_PROVISION (PPSP section 5). Values are claims, not facts.
///
/// A body is u16 number of items, u16 reserved, and items of u16 code, u16 length, value, in ascending order of codes.
/// Items whose code is not known are kept as they are.
public struct Properties: Hashable, Sendable {
    /// Names and codes.
    public enum Name: UInt16, Hashable, Sendable, CaseIterable {
        /// Octets available for caching.
        case cachingSize = 0x0001
        /// Bits per second available.
        case bandwidth = 0x0002
        /// Links that it will still accept.
        case linkNumber = 0x0003
        /// Proof of who it is (section 10.2).
        case certificate = 0x0004
        /// 1: it believes to be behind a NAT.
        case nat = 0x0005
        /// 1: it offers STUN.
        case stun = 0x0006
        /// 1: it offers TURN.
        case turn = 0x0007
        /// Octets received from the system so far.
        case sumBytes = 0x0008
        /// How it is connected, 0 to 7.
        case accessMode = 0x0009
        /// What it runs on, 0 to 4.
        case endDevice = 0x000a
        /// Percent; 255: mains.
        case availableBattery = 0x000b
        /// Seconds.
        case onlineTime = 0x0101
        /// Bits per second.
        case uploadBandwidth = 0x0102
        /// 32 octets that a certificate must sign (section 10.2).
        case nonce = 0x0103
        /// What it runs.
        case softwareName = 0x0104
        /// Where it accepts connections.
        case listenAddress = 0x0105
    }

    /// Values in order of their codes; those with a name have the form that it has.
    private var items: [UInt16: Bytes] = [:]

    /// Nothing.
    public init() {}

    /// Whether nothing is told.
    public var isEmpty: Bool { items.isEmpty }

    /// The value of a code that has no name, as it is on the wire. To set one of a name is a mistake of the caller.
    public subscript(unknown code: UInt16) -> Bytes? {
        get { Name(rawValue: code) == nil ? items[code] : nil }
        set {
            precondition(Name(rawValue: code) == nil, "\(code) has a name")
            items[code] = newValue
        }
    }

    /// The number that `name` has, if it has one and it was told. To set one that does not fit is a mistake of the
    /// caller.
    public subscript(name: Name) -> UInt64? {
        get {
            guard name.numberBytes != nil, let value = items[name.rawValue] else { return nil }
            return value.reduce(0) { $0 << 8 | UInt64($1) }
        }
        set {
            guard let bytes = name.numberBytes else { preconditionFailure("\(name) is no number") }
            items[name.rawValue] = newValue.map { number in
                precondition(bytes == 8 || number >> UInt64(bytes * 8) == 0, "\(name) \(number)")
                return Bytes((0..<bytes).reversed().map { UInt8(truncatingIfNeeded: number >> UInt64($0 * 8)) })
            }
        }
    }

    /// Proof of who it is.
    public var certificate: Bytes? {
        get { items[Name.certificate.rawValue] }
        set { items[Name.certificate.rawValue] = newValue }
    }

    /// What a certificate for it must sign.
    public var nonce: Bytes32? {
        get { items[Name.nonce.rawValue].map { Bytes32($0) } }
        set { items[Name.nonce.rawValue] = newValue.map { Bytes($0.array) } }
    }

    /// What it runs, at most 64 octets.
    public var softwareName: String? {
        get { items[Name.softwareName.rawValue]?.text }
        set {
            precondition((newValue?.utf8.count ?? 0) <= Self.maximumNameBytes, "a name of more than 64 octets")
            items[Name.softwareName.rawValue] = newValue.map { Bytes(utf8: $0) }
        }
    }

    /// Where it accepts connections.
    public var listenAddress: Endpoint? {
        get { items[Name.listenAddress.rawValue].flatMap { try? Endpoint(decoding: $0) } }
        set {
            items[Name.listenAddress.rawValue] = newValue.map { endpoint in
                var writer = ByteWriter()
                endpoint.encode(into: &writer)
                return writer.bytes
            }
        }
    }

    /// Octets of the longest software name (PPSP section 5).
    static let maximumNameBytes = 64
}

extension Properties {
    init(decoding body: Bytes) throws(DecodeError) {
        var reader = ByteReader(body)
        let count = try reader.read(UInt16.self, "property count")
        _ = try reader.read(UInt16.self, "reserved")
        var last: UInt16?
        for _ in 0..<count {
            let code = try reader.read(UInt16.self, "property code")
            guard last.map({ $0 < code }) ?? true else { throw .invalid(field: "property order") }
            last = code
            let value = try reader.read(count: Int(try reader.read(UInt16.self, "property length")), "property")
            try Name(rawValue: code)?.check(value)
            items[code] = Bytes(Array(value))
        }
        try reader.expectEnd()
    }

    /// The body.
    var bytes: Bytes {
        var writer = ByteWriter()
        writer.write(UInt16(items.count))
        writer.write(UInt16(0))
        for (code, value) in items.sorted(by: { $0.key < $1.key }) {
            writer.write(code)
            writer.write(UInt16(value.count))
            writer.write(value)
        }
        return writer.bytes
    }
}

extension Properties.Name {
    /// Octets of the value; nil when it is no number.
    fileprivate var numberBytes: Int? {
        switch self {
        case .cachingSize, .bandwidth, .sumBytes, .uploadBandwidth: 8
        case .linkNumber, .onlineTime: 4
        case .nat, .stun, .turn, .accessMode, .endDevice, .availableBattery: 1
        case .certificate, .nonce, .softwareName, .listenAddress: nil
        }
    }

    fileprivate func check(_ value: Bytes) throws(DecodeError) {
        switch self {
        case .certificate: break
        case .nonce:
            guard value.count == 32 else { throw .invalid(field: "\(self)") }
        case .softwareName:
            guard value.count <= Properties.maximumNameBytes, value.text != nil else {
                throw .invalid(field: "\(self)")
            }
        case .listenAddress: _ = try Endpoint(decoding: value)
        case .nat, .stun, .turn:
            guard value.count == 1, value[0] <= 1 else { throw .invalid(field: "\(self)") }
        default:
            guard value.count == numberBytes else { throw .invalid(field: "\(self)") }
        }
    }
}
