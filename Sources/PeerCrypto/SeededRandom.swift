internal import CSodium
public import PeerCore

/// A cryptographic stream of random numbers: the ChaCha20 key stream (RFC 8439) of a 32-byte seed, nonce 0.
///
/// The node draws the seed from the system, so nonces and IDs cannot be guessed; a test chooses it, so a run can be
/// replayed.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    /// One call of libsodium makes this many blocks of 64 octets: cheap enough, and small in a node with many cores.
    private static let blocksAtOnce = 4

    private let seed: [UInt8]
    private var counter: UInt32 = 0
    private var stream: [UInt8] = []
    private var position = 0

    /// The stream of `seed`.
    public init(seed: Bytes32) {
        self.seed = seed.array
    }

    /// The next eight octets of the stream, first octet least significant.
    public mutating func next() -> UInt64 {
        if position + 8 > stream.count { refill() }
        var value: UInt64 = 0
        for index in (position..<position + 8).reversed() { value = value << 8 | UInt64(stream[index]) }
        position += 8
        return value
    }

    /// The next 32 octets of the stream: a nonce, or the seed of another stream.
    public mutating func nextBytes32() -> Bytes32 {
        let words = (0..<4).map { _ in next().littleEndian }
        return Bytes32(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } })
    }

    /// A duration between the bounds, both included.
    public mutating func duration(in range: ClosedRange<Duration>) -> Duration {
        .nanoseconds(Int64.random(in: range.lowerBound.nanoseconds...range.upperBound.nanoseconds, using: &self))
    }

    private mutating func refill() {
        let size = 64 * Self.blocksAtOnce
        let zeros = [UInt8](repeating: 0, count: size)
        let nonce = [UInt8](repeating: 0, count: 12)
        stream = zeros
        let status = unsafe crypto_stream_chacha20_ietf_xor_ic(&stream, zeros, UInt64(size), nonce, counter, seed)
        precondition(status == 0, "libsodium refused a ChaCha20 stream")
        counter &+= UInt32(Self.blocksAtOnce)
        position = 0
    }
}
