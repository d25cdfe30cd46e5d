public import PeerCore

/// HANDSHAKE: opens a channel of RFC 7574, or closes it (digest sections 2 and 3).
///
/// u32 source channel, options in ascending order of their codes, 255. Options have no length but where it is shown, so
/// one that is not known cannot be passed over.
///
/// | code | option | value |
/// |---|---|---|
/// | 0 | version | u8 |
/// | 1 | lowest version | u8 |
/// | 2 | swarm ID | u16 length, octets |
/// | 3 | integrity method | u8 |
/// | 4 | hash function | u8 |
/// | 5 | live signature algorithm | u8 |
/// | 6 | chunk addressing | u8 |
/// | 7 | live discard window | u32 or u64, as the addressing |
/// | 8 | supported messages | u8 length, bitmap |
/// | 9 | chunk size | u32 |
public struct Handshake: Hashable, Sendable {
    /// The channel on which the sender wants to receive; 0: it closes.
    public var channel: UInt32
    /// Highest version spoken.
    public var version: UInt8?
    /// Lowest version spoken.
    public var lowestVersion: UInt8?
    /// What it is about.
    public var swarmID: SwarmID?
    /// Code of the integrity method.
    public var integrityMethod: UInt8?
    /// Code of the hash function.
    public var hashFunction: UInt8?
    /// DNSSEC number.
    public var liveSignatureAlgorithm: UInt8?
    /// Code of the chunk addressing.
    public var addressing: UInt8?
    /// Chunks; all ones in the width of the addressing: everything is kept. It goes with an addressing only.
    public var liveDiscardWindow: UInt64?
    /// A bit for each type of message that is spoken, type 0 first; nil: all.
    public var supportedMessages: Bytes?
    /// Octets of a chunk; nil where drafts are spoken (digest section 9).
    public var chunkSize: UInt32?

    /// A handshake without options.
    public init(channel: UInt32) {
        self.channel = channel
    }

    /// The version of RFC 7574 (digest section 3).
    public static let currentVersion: UInt8 = 1
    /// The chunk size that says that chunks are of any size (digest section 3).
    public static let variableChunkSize = UInt32.max

    /// Closes the channel.
    public static let close = Handshake(channel: 0)

    /// Whether it closes the channel.
    public var isClose: Bool { channel == 0 }

    /// Whether its sender speaks messages of that type.
    public func supports(_ type: UInt8) -> Bool {
        guard let supportedMessages else { return true }
        guard Int(type) / 8 < supportedMessages.count else { return false }
        return supportedMessages[Int(type) / 8] & (0x80 >> (type % 8)) != 0
    }

    private enum Option: UInt8 {
        case version = 0
        case lowestVersion = 1
        case swarmID = 2
        case integrityMethod = 3
        case hashFunction = 4
        case liveSignatureAlgorithm = 5
        case addressing = 6
        case liveDiscardWindow = 7
        case supportedMessages = 8
        case chunkSize = 9
    }

    /// Ends the options (digest section 3).
    private static let endOfOptions: UInt8 = 255
}

extension Handshake {
    init(decoding reader: inout ByteReader) throws(DecodeError) {
        self.init(channel: try reader.read(UInt32.self, "source channel"))
        var last: UInt8?
        while true {
            let code = try reader.readUInt8("option")
            guard code != Self.endOfOptions else { return }
            guard let option = Option(rawValue: code) else { throw .invalid(field: "option \(code)") }
            guard last.map({ $0 < code }) ?? true else { throw .invalid(field: "option order") }
            last = code
            try take(option, &reader)
        }
    }

    private mutating func take(_ option: Option, _ reader: inout ByteReader) throws(DecodeError) {
        switch option {
        case .version: version = try reader.readUInt8("version")
        case .lowestVersion: lowestVersion = try reader.readUInt8("lowest version")
        case .swarmID:
            let count = try reader.read(UInt16.self, "swarm ID length")
            guard let id = SwarmID(try reader.read(count: Int(count), "swarm ID")) else {
                throw .invalid(field: "swarm ID length")
            }
            swarmID = id
        case .integrityMethod: integrityMethod = try reader.readUInt8("integrity method")
        case .hashFunction: hashFunction = try reader.readUInt8("hash function")
        case .liveSignatureAlgorithm: liveSignatureAlgorithm = try reader.readUInt8("signature algorithm")
        case .addressing: addressing = try reader.readUInt8("chunk addressing")
        case .liveDiscardWindow:
            guard let isWide = hasWideNumbers else { throw .invalid(field: "discard window") }
            liveDiscardWindow =
                isWide
                ? try reader.read(UInt64.self, "discard window")
                : UInt64(try reader.read(UInt32.self, "discard window"))
        case .supportedMessages:
            let count = try reader.readUInt8("supported messages length")
            supportedMessages = Bytes(Array(try reader.read(count: Int(count), "supported messages")))
        case .chunkSize: chunkSize = try reader.read(UInt32.self, "chunk size")
        }
    }

    /// Whether its addressing has numbers of 64 bits; nil when it does not tell.
    private var hasWideNumbers: Bool? {
        switch addressing {
        case 0, 2: false
        case 1, 3, 4: true
        default: nil
        }
    }

    func encode(into writer: inout ByteWriter) {
        func put(_ option: Option, _ value: (some FixedWidthInteger & UnsignedInteger)?) {
            guard let value else { return }
            writer.write(option.rawValue)
            writer.write(value)
        }
        writer.write(channel)
        put(.version, version)
        put(.lowestVersion, lowestVersion)
        if let swarmID {
            put(.swarmID, UInt16(swarmID.octets.count))
            writer.write(swarmID.octets)
        }
        put(.integrityMethod, integrityMethod)
        put(.hashFunction, hashFunction)
        put(.liveSignatureAlgorithm, liveSignatureAlgorithm)
        put(.addressing, addressing)
        if let liveDiscardWindow, let isWide = hasWideNumbers {
            if isWide {
                put(.liveDiscardWindow, liveDiscardWindow)
            } else {
                put(.liveDiscardWindow, UInt32(liveDiscardWindow))
            }
        }
        if let supportedMessages {
            put(.supportedMessages, UInt8(supportedMessages.count))
            writer.write(supportedMessages)
        }
        put(.chunkSize, chunkSize)
        writer.write(Self.endOfOptions)
    }
}
