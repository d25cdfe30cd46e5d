internal import PeerCore

/// Limits for all protocols of a node together, and what they count.
public final class Limits {
    /// The settings, section `limits`.
    public struct Values: Sendable, Hashable {
        /// Connections of all protocols.
        public var maxConnections = 10_000
        /// Connections from one address; loopback is exempt.
        public var maxConnectionsPerAddress = 64
        /// Connections from one IPv4 /24 or IPv6 /48; loopback and private ranges are exempt.
        public var maxConnectionsPerPrefix = 256
        /// Accepted connections a second, above which callers wait to be accepted; 0: no limit.
        public var acceptsPerSecond = 10_000
        /// Dials a second, above which dials wait; 0: no limit.
        public var dialsPerSecond = 1_000
        /// Octets received a second; 0: no limit.
        public var downloadBytesPerSecond = 0
        /// Octets sent a second; 0: no limit.
        public var uploadBytesPerSecond = 0
        /// Octets that wait in all send queues together (decision 6: 256 MiB).
        public var maxBufferedBytes = 256 << 20
        /// Congestion controls to try, in order, when the other end is on loopback; empty: the system's own.
        public var loopbackCongestionControl = ["reno", "cubic"]

        /// The defaults.
        public init() {}
    }

    /// What may be.
    public var values: Values {
        didSet {
            downloads.bytesPerSecond = values.downloadBytesPerSecond
            uploads.bytesPerSecond = values.uploadBytesPerSecond
            refill()
        }
    }
    /// Connections now.
    private(set) var connections = 0
    /// Octets in all send queues now.
    public internal(set) var bufferedBytes = 0
    /// What all protocols together receive and send.
    var downloads: Rate
    var uploads: Rate
    private var perAddress: [IPAddress: Int] = [:]
    private var perPrefix: [IPPrefix: Int] = [:]
    private var accepts: Int
    private var dials: Int

    /// Limits with these values.
    public init(_ values: Values = Values()) {
        self.values = values
        downloads = Rate(values.downloadBytesPerSecond)
        uploads = Rate(values.uploadBytesPerSecond)
        accepts = 0
        dials = 0
        refill()
    }

    /// The limit that a further connection from `address` would break: its key and value.
    func broken(by address: IPAddress) -> (key: String, value: Int)? {
        if !hasRoom { return ("maxConnections", values.maxConnections) }
        guard !address.isLoopback else { return nil }
        if perAddress[address, default: 0] >= values.maxConnectionsPerAddress {
            return ("maxConnectionsPerAddress", values.maxConnectionsPerAddress)
        }
        if !address.isPrivate, perPrefix[prefix(address), default: 0] >= values.maxConnectionsPerPrefix {
            return ("maxConnectionsPerPrefix", values.maxConnectionsPerPrefix)
        }
        return nil
    }

    /// Whether a further connection may be dialled at all.
    var hasRoom: Bool { connections < values.maxConnections }

    /// Whether another connection may be accepted in this second.
    var mayAccept: Bool { accepts > 0 }

    /// Whether another dial may begin in this second.
    func takeDial() -> Bool {
        guard dials > 0 else { return false }
        dials -= 1
        return true
    }

    func opened(_ address: IPAddress, isAccepted: Bool) {
        connections += 1
        if isAccepted { accepts -= 1 }
        guard !address.isLoopback else { return }
        perAddress[address, default: 0] += 1
        perPrefix[prefix(address), default: 0] += 1
    }

    func closed(_ address: IPAddress) {
        connections -= 1
        guard !address.isLoopback else { return }
        Self.decrement(&perAddress, address)
        Self.decrement(&perPrefix, prefix(address))
    }

    /// A new second begins.
    func refill() {
        accepts = values.acceptsPerSecond == 0 ? .max : values.acceptsPerSecond
        dials = values.dialsPerSecond == 0 ? .max : values.dialsPerSecond
    }

    private func prefix(_ address: IPAddress) -> IPPrefix { IPPrefix(of: address, v4: 24, v6: 48) }

    private static func decrement<Key>(_ table: inout [Key: Int], _ key: Key) {
        guard let count = table[key] else { return }
        table[key] = count == 1 ? nil : count - 1
    }
}
