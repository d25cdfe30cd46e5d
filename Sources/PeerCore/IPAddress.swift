/// An IPv4 or IPv6 address in its 16-octet form; an IPv4 address is always the v4-mapped form, so equal hosts are
/// equal.
public struct IPAddress: Hashable, Sendable {
    /// The first eight octets, most significant first; 0 for IPv4.
    public let high: UInt64
    /// The last eight octets, most significant first; for IPv4 `ffff` and the four octets of the address.
    public let low: UInt64

    /// The last 16 bits before an IPv4 address (RFC 4291, section 2.5.5.2).
    private static let mappedPrefix: UInt64 = 0xffff

    /// The address of 16 octets in two halves.
    @inlinable public init(high: UInt64, low: UInt64) {
        (self.high, self.low) = (high, low)
    }

    /// The IPv4 address `a.b.c.d` of the four octets in `value`, most significant first.
    public init(v4 value: UInt32) {
        self.init(high: 0, low: Self.mappedPrefix << 32 | UInt64(value))
    }

    /// The IPv4 address `a.b.c.d`.
    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    /// The address of 16 octets, as DDRP and POPULATE carry it.
    @inlinable public init(octets: some RandomAccessCollection<UInt8>) {
        precondition(octets.count == 16, "16 octets expected, not \(octets.count)")
        self.init(
            high: octets.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
            low: octets.suffix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// The 16 octets, as DDRP and POPULATE carry them.
    public var octets: [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.write(high)
        writer.write(low)
        return writer.array
    }

    /// The four octets of an IPv4 address, most significant first; nil for IPv6.
    public var v4: UInt32? {
        high == 0 && low >> 32 == Self.mappedPrefix ? UInt32(truncatingIfNeeded: low) : nil
    }

    /// `0.0.0.0`
    public static let anyV4 = IPAddress(v4: 0)
    /// `::`
    public static let anyV6 = IPAddress(high: 0, low: 0)
    /// `127.0.0.1`
    public static let loopback = IPAddress(127, 0, 0, 1)
}

extension IPAddress {
    /// 127.0.0.0/8 or `::1`.
    public var isLoopback: Bool {
        if let v4 { return v4 >> 24 == 127 }
        return high == 0 && low == 1
    }

    /// All zeros: no address at all.
    public var isUnspecified: Bool { self == .anyV4 || self == .anyV6 }

    /// 224.0.0.0/4 or `ff00::/8`.
    public var isMulticast: Bool {
        if let v4 { return v4 >> 28 == 0xe }
        return high >> 56 == 0xff
    }

    /// 255.255.255.255.
    public var isBroadcast: Bool { v4 == .max }

    /// 169.254.0.0/16 or `fe80::/10`.
    public var isLinkLocal: Bool {
        if let v4 { return v4 >> 16 == 0xa9fe }
        return high >> 54 == 0xfe80 >> 6
    }

    /// Ranges of private networks: RFC 1918, RFC 6598 (100.64.0.0/10), RFC 4193 (`fc00::/7`).
    public var isPrivate: Bool {
        if let v4 {
            return v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8 || v4 >> 22 == 0x6440 >> 6
        }
        return high >> 57 == 0xfc >> 1
    }

    /// Addresses that no host on the Internet has (RFC 6890): this network, documentation, benchmarks, class E, and
    /// what the other properties name, but for loopback and private ranges.
    public var isReserved: Bool {
        if isUnspecified || isMulticast || isBroadcast || isLinkLocal { return true }
        if let v4 {
            return v4 >> 24 == 0 || v4 >> 28 == 0xf || v4 >> 17 == 0xc612 >> 1 || v4 >> 8 == 0xc00000
                || [0xc00002, 0xc63364, 0xcb0071].contains(v4 >> 8)
        }
        return high >> 32 == 0x2001_0db8 || high == 0 && !isLoopback
    }
}

extension IPAddress: Comparable {
    /// Order of the 16 octets.
    public static func < (a: IPAddress, b: IPAddress) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted decimal for IPv4, the canonical form of RFC 5952 for IPv6.
    public var description: String {
        if let v4 { return "\(v4 >> 24).\(v4 >> 16 & 255).\(v4 >> 8 & 255).\(v4 & 255)" }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64((3 - $0 % 4) * 16)) }
        let zeros = Self.longestZeros(groups)
        func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return zeros.count < 2
            ? text(groups[...]) : text(groups[..<zeros.lowerBound]) + "::" + text(groups[zeros.upperBound...])
    }

    private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for index in 0...groups.count where index == groups.count || groups[index] != 0 {
            if index - start > best.count { best = start..<index }
            start = index + 1
        }
        return best
    }

    /// An address in text form, without brackets, port or zone; nil when `text` is anything else.
    public init?(_ text: some StringProtocol) {
        if let v4 = Self.parseV4(text) {
            self.init(v4: v4)
            return
        }
        var head: [UInt16]
        var tail: [UInt16] = []
        if let gap = Self.splitAtGap(text) {
            guard let before = Self.groups(gap.before), let after = Self.groups(gap.after),
                before.count + after.count < 8
            else { return nil }
            (head, tail) = (before, after)
        } else {
            guard let groups = Self.groups(text), groups.count == 8 else { return nil }
            head = groups
        }
        head += Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        self.init(
            high: head[..<4].reduce(0) { $0 << 16 | UInt64($1) }, low: head[4...].reduce(0) { $0 << 16 | UInt64($1) })
    }

    private static func parseV4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard part.utf8.count <= 3, part.utf8.allSatisfy({ (48...57).contains($0) }), let octet = UInt8(part),
                part.utf8.count == 1 || part.utf8.first != 48
            else { return nil }
            value = value << 8 | UInt32(octet)
        }
        return value
    }

    /// The texts before and after the first `::`.
    private static func splitAtGap(_ text: some StringProtocol) -> (before: String, after: String)? {
        let octets = Array(text.utf8)
        guard octets.count >= 2,
            let gap = (0..<octets.count - 1).first(where: { octets[$0] == 58 && octets[$0 + 1] == 58 })
        else { return nil }
        return (String(decoding: octets[..<gap], as: UTF8.self), String(decoding: octets[(gap + 2)...], as: UTF8.self))
    }

    private static func groups(_ text: some StringProtocol) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, let v4 = parseV4(part) {
                groups += [UInt16(v4 >> 16), UInt16(truncatingIfNeeded: v4)]
            } else {
                guard (1...4).contains(part.utf8.count), part.utf8.first != 43, part.utf8.first != 45,
                    let group = UInt16(part, radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        return groups
    }
}
