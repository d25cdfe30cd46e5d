import PeerCore
import PeerCrypto
import Testing

/// The stream of a seed is ChaCha20's.
@Suite struct SeededRandomVectorTests {
    /// RFC 8439, appendix A.1, the cases with nonce 0: seed, number of the block of 64 octets, the block.
    private static let blocks: [(seed: String, number: Int, block: String)] = [
        (
            String(repeating: "0", count: 64), 0,
            """
            76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
            da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586
            """
        ),
        (
            String(repeating: "0", count: 64), 1,
            """
            9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
            29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f
            """
        ),
        (
            String(repeating: "0", count: 63) + "1", 1,
            """
            3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a\
            8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0
            """
        ),
        (
            "00ff" + String(repeating: "0", count: 60), 2,
            """
            72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca\
            13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096
            """
        ),
    ]

    @Test func `the numbers are the key stream of RFC 8439`() throws {
        for (seed, number, block) in Self.blocks {
            var random = SeededRandom(seed: try octets32(seed))
            var stream: [UInt8] = []
            while stream.count < 64 * (number + 1) {
                let value = random.next()
                stream += (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
            }
            #expect(hexadecimal(stream.suffix(64)) == block, "\(seed) \(number)")
        }
    }

    @Test func `nonces are 32 octets of the stream in order`() throws {
        for (seed, number, block) in Self.blocks {
            var random = SeededRandom(seed: try octets32(seed))
            let nonces = (0...2 * number + 1).map { _ in random.nextBytes32().hex }
            #expect(nonces.suffix(2).joined() == block, "\(seed) \(number)")
        }
    }

    @Test func `a duration lies between its bounds and depends on the seed alone`() {
        let range = Duration.milliseconds(-20)...Duration.milliseconds(20)
        func durations(_ seed: UInt8) -> [Duration] {
            var random = SeededRandom(seed: Bytes32([UInt8](repeating: seed, count: 32)))
            return (0..<500).map { _ in random.duration(in: range) }
        }
        let drawn = durations(1)
        #expect(drawn.allSatisfy(range.contains) && Set(drawn).count > 450)
        #expect(drawn == durations(1) && drawn != durations(2))
    }
}
