/// A block of addresses in CIDR notation.
public struct IPPrefix: Hashable, Sendable {
    /// The first address of the block.
    public let base: IPAddress
    /// Fixed bits of the 16-octet form: 96 more than an IPv4 prefix says.
    private let bits: Int

    private init(_ address: IPAddress, bits: Int) {
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits)) }
        self.base = IPAddress(high: address.high & mask(bits), low: address.low & mask(bits - 64))
        self.bits = bits
    }

    /// The block of `address` with `length` fixed bits of its own family (at most 32 or 128).
    public init(_ address: IPAddress, length: Int) {
        let isV4 = address.v4 != nil
        precondition((0...(isV4 ? 32 : 128)).contains(length), "/\(length) of \(address)")
        self.init(address, bits: isV4 ? 96 + length : length)
    }

    /// The block that holds `address` alone.
    public init(_ address: IPAddress) {
        self.init(address, bits: 128)
    }

    /// The block of one operator for limits: `v4` bits of an IPv4 address, `v6` bits of an IPv6 one.
    public init(of address: IPAddress, v4: Int, v6: Int) {
        self.init(address, length: address.v4 == nil ? v6 : v4)
    }

    /// Whether `address` is in the block.
    public func contains(_ address: IPAddress) -> Bool { IPPrefix(address, bits: bits) == self }

    /// Fixed bits of the block's own family.
    public var length: Int { base.v4 != nil && bits >= 96 ? bits - 96 : bits }
}

extension IPPrefix: CustomStringConvertible {
    /// `address/length`; a single address without its length.
    public var description: String { bits == 128 ? base.description : "\(base)/\(length)" }

    /// `address` or `address/length`; nil when `text` is anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        guard parts.count > 1 else {
            self.init(address)
            return
        }
        guard parts.count == 2, parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let length = Int(parts[1]),
            (0...(address.v4 == nil ? 128 : 32)).contains(length)
        else { return nil }
        self.init(address, length: length)
    }
}
