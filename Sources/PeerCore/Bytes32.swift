/// Exactly 32 octets: a hash, a nonce, a key, a peer ID. Four words, so that it is a cheap dictionary key.
public struct Bytes32: Hashable, Sendable {
    /// The octets as four numbers, most significant octet first.
    public let word0, word1, word2, word3: UInt64

    @inlinable init(words word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
        (self.word0, self.word1, self.word2, self.word3) = (word0, word1, word2, word3)
    }

    /// 32 zero octets.
    public static let zero = Bytes32(words: 0, 0, 0, 0)

    /// The 32 octets of `octets`; anything else is a mistake of the caller.
    @inlinable public init(_ octets: some RandomAccessCollection<UInt8>) {
        precondition(octets.count == 32, "32 octets expected, not \(octets.count)")
        func word(_ number: Int) -> UInt64 {
            var value: UInt64 = 0
            for offset in 0..<8 {
                value = value << 8 | UInt64(octets[octets.index(octets.startIndex, offsetBy: number * 8 + offset)])
            }
            return value
        }
        self.init(words: word(0), word(1), word(2), word(3))
    }

    /// 64 hexadecimal digits, or nil when `hex` is anything else.
    public init?(hex: String) {
        guard let octets = octets(ofHexadecimal: hex), octets.count == 32 else { return nil }
        self.init(octets)
    }

    /// The octets in order.
    public var array: [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.write(self)
        return writer.array
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String { hexadecimal(array) }
}

extension Bytes32: Comparable, CustomStringConvertible {
    /// Order of the octets, first octet first.
    public static func < (a: Bytes32, b: Bytes32) -> Bool {
        (a.word0, a.word1, a.word2, a.word3) < (b.word0, b.word1, b.word2, b.word3)
    }

    /// 64 lower-case hexadecimal digits.
    public var description: String { hex }
}
