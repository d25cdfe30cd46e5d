public import PeerCore

/// The name of a swarm: for static content the root of its hash tree, 20 or 32 octets (PPSP section 1).
public struct SwarmID: Hashable, Sendable {
    /// Octets of the longest name (PPSP section 3).
    public static let maximumBytes = 1024

    /// 1 to 1,024 octets.
    public let octets: Bytes

    /// The swarm of that name, or nil when its length is none. The octets are copied, so that a name may be kept.
    public init?(_ octets: Bytes) {
        guard !octets.isEmpty, octets.count <= Self.maximumBytes else { return nil }
        self.octets = Bytes(Array(octets))
    }

    /// The swarm of that name in hexadecimal digits, or nil when `hex` is anything else.
    public init?(hex: String) {
        guard let octets = Bytes(hex: hex) else { return nil }
        self.init(octets)
    }
}

extension SwarmID: CustomStringConvertible {
    /// Lower-case hexadecimal digits.
    public var description: String { octets.hex }
}
