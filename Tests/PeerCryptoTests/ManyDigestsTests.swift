import PeerCore
import PeerCrypto
import Testing

/// Digests that are computed side by side are those that are computed one after the other.
@Suite struct ManyDigestsTests {
    private func octets(_ count: Int, _ random: inout SeededRandom) -> Bytes {
        Bytes((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
    }

    /// Around the ends of blocks of 64 octets, of the padding, and of what lanes can count.
    @Test(arguments: DigestAlgorithm.allCases)
    func `messages of all lengths have their own digests, in order`(algorithm: DigestAlgorithm) {
        var random = SeededRandom(seed: Bytes32(repeatElement(UInt8(3), count: 32).map { $0 }))
        let short = (1...200).map { octets($0, &random) }
        let long = [65_471, 65_472, 65_473, 65_526, 65_527, 65_533, 65_534].map { octets($0, &random) }
        let whole = octets(40 * 1024, &random)
        let slices = (0..<40).map { whole.slice($0 * 1024..<($0 + 1) * 1024) }
        let tooLong = [octets(65_535, &random), octets(65_536, &random), octets(200_000, &random)]
        let lists = [short, long, slices, short + long, short + tooLong, short + [Bytes()], Array(short.prefix(3)), []]
        for list in lists {
            #expect(digests(of: list, algorithm) == list.map { digest($0, algorithm) }, "\(list.map(\.count))")
        }
        #expect(digests(of: short[7..<90].shuffled(using: &random), algorithm).count == 83)
    }

    @Test func `threads do not disturb each other`() async {
        await withTaskGroup(of: Bool.self) { group in
            for seed in 0..<8 as Range<UInt8> {
                group.addTask {
                    let list = (0..<64).map { Bytes([UInt8](repeating: seed, count: 500 + $0 * 37)) }
                    return (0..<20).allSatisfy { _ in
                        digests(of: list, .sha256) == list.map { digest($0, .sha256) }
                    }
                }
            }
            for await isEqual in group { #expect(isEqual) }
        }
    }
}
