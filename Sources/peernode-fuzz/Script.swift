import PeerCore

/// Octets read as decisions. After their end every decision is 0.
struct Script {
    private var rest: Bytes

    init(_ input: Bytes) {
        rest = input
    }

    /// Whether nothing is left to decide.
    var isOver: Bool { rest.isEmpty }

    /// The next octet.
    mutating func octet() -> UInt8 {
        guard let first = rest.first else { return 0 }
        rest = rest.dropping(1)
        return first
    }

    /// A number of 16 bits.
    mutating func word() -> UInt16 { UInt16(octet()) << 8 | UInt16(octet()) }

    /// A number below `count`.
    mutating func number(below count: Int) -> Int { Int(octet()) % max(count, 1) }

    /// One of these; nil when there is none.
    mutating func choice<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[number(below: elements.count)]
    }

    /// Up to 255 octets.
    mutating func octets() -> Bytes {
        let count = min(Int(octet()), rest.count)
        defer { rest = rest.dropping(count) }
        return rest.slice(0..<count)
    }

    /// A text of up to 255 octets.
    mutating func text() -> String { String(decoding: octets(), as: UTF8.self) }

    /// From a millisecond to two hours, in steps of the factor 2.
    mutating func duration() -> Duration { .milliseconds(min(1 << number(below: 24), 7_200_000)) }

    /// One of a few hosts of every kind: loopback, private, public, IPv6, and what no host has.
    mutating func ip() -> IPAddress {
        let last = octet()
        let group = last >> 4 & 1
        return switch last >> 5 {
        case 0, 1: IPAddress(127, 0, 0, last & 15)
        case 2: IPAddress(10, 0, group, last & 15)
        case 3, 4: IPAddress(203, 0, 113 + group, last & 15)
        case 5: IPAddress(high: 0x2001_0db8_0000_0000 | UInt64(group), low: UInt64(last & 15))
        case 6: IPAddress(8, 8, group, last & 15)
        default: [.anyV4, .anyV6, IPAddress(v4: .max), IPAddress(224, 0, 0, 1)][Int(last & 3)]
        }
    }

    /// A value of a record.
    mutating func value() -> Record.Value {
        switch octet() % 8 {
        case 0: .null
        case 1: .bool(octet() & 1 == 1)
        case 2: .int(Int64(octet()))
        case 3: .int(Int64(bitPattern: UInt64(word()) << 48 | UInt64(word())))
        case 4: .double(Double(bitPattern: UInt64(word()) << 48 | UInt64(word())))
        case 5: .text(SocketAddress(ip(), word()))
        case 6: .string(text())
        default: .list([.string(text())])
        }
    }
}
