import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// Digests of files, compared with those of the same octets in memory.
@Suite struct FilesDigestTests {
    let sandbox = Sandbox()

    /// Octets without a period that a block could hide.
    private func octets(_ count: Int) -> Bytes {
        var random = SeededRandom(seed: Bytes32(repeatElement(UInt8(7), count: 32).map { $0 }))
        return Bytes(
            (0..<(count + 7) / 8).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }.prefix(count))
    }

    @Test func `each block of a file has the digest of its octets`() {
        let content = octets(9_000_001)
        let name = file("a/file")
        #expect(sandbox.run(.save(name, content)) == .done)
        let ranges: [(Int, Int, Int)] = [
            (0, 9_000_001, 9_000_001), (0, 9_000_001, 4 << 20), (1, 9_000_000, 1 << 20), (5, 300_000, 1_000),
            (9_000_000, 1, 7), (0, 1, 1), (0, 262_145, 262_144), (0, 0, 5), (0, 0, 0), (9_000_001, 0, 1),
        ]
        for algorithm in DigestAlgorithm.allCases {
            for key in [nil, Bytes(), bytes("a key")] {
                for (offset, count, block) in ranges {
                    let expected = stride(from: offset, to: offset + count, by: max(block, 1)).map {
                        digest(content.slice($0..<min($0 + block, offset + count)), algorithm, key: key)
                    }
                    let source = DigestSource.blocks(
                        name, offset: UInt64(offset), count: UInt64(count), block: UInt64(block))
                    #expect(sandbox.run(.digest(source, algorithm, key: key)) == .digests(expected), "\(source)")
                }
            }
        }
    }

    @Test func `pieces of a file are hashed where they are`() {
        let content = octets(9_000_001)
        let name = file("a/file")
        #expect(sandbox.run(.save(name, content)) == .done)
        for places in [[0, 3, 5_000_000, 8_999_999], [8_000_000], [9_000_000], []] {
            let expected = places.map {
                digest(content.slice($0..<min(content.count, $0 + 1_500_000)), .sha256, key: bytes("a key"))
            }
            let source = DigestSource.pieces(name, at: places.map { UInt64($0) }, count: 1_500_000)
            #expect(sandbox.run(.digest(source, .sha256, key: bytes("a key"))) == .digests(expected), "\(places)")
        }
        let behind = DigestSource.pieces(name, at: [0, 9_000_001], count: 1)
        #expect(sandbox.run(.digest(behind, .sha256, key: nil)) == .failed(.endOfFile))
    }

    @Test func `octets in memory have one digest, also when there are none`() {
        for content in [Bytes(), bytes("abc"), octets(5_000_000)] {
            for algorithm in DigestAlgorithm.allCases {
                let expected = digest(content, algorithm, key: nil)
                #expect(sandbox.run(.digest(.bytes(content), algorithm, key: nil)) == .digests([expected]))
            }
        }
    }

    @Test func `no job hashes more than 4 MiB`() {
        let content = octets(9_000_001)
        let name = file("a/file")
        #expect(sandbox.run(.save(name, content)) == .done)
        let whole = UInt64(content.count)
        let sources: [(DigestSource, Int)] = [
            (.bytes(content), 3), (.blocks(name, offset: 0, count: whole, block: whole), 3),
            (.blocks(name, offset: 0, count: whole, block: 1 << 20), 3), (.bytes(Bytes()), 1),
            (.blocks(name, offset: 0, count: 4 << 20, block: .max), 1),
        ]
        for (source, jobs) in sources {
            let work = DigestWork(source, .sha256, key: nil, in: sandbox.folders)
            for _ in 1..<jobs { #expect(work.advance() == nil) }
            #expect(work.advance() == sandbox.run(.digest(source, .sha256, key: nil)))
        }
    }

    @Test func `a file that is shorter than the range fails, also when it shrinks on the way`() {
        let name = file("a/file")
        #expect(sandbox.run(.save(name, octets(6 << 20))) == .done)
        let failures: [(UInt64, UInt64, UInt64, SystemError)] = [
            (0, 6 << 20 + 1, 1, .endOfFile), (6 << 20, 1, 1, .endOfFile), (.max, 1, 1, .endOfFile),
            (1, .max, 1, .endOfFile), (0, 1, 0, .other("EINVAL")),
        ]
        for (offset, count, block, error) in failures {
            let source = DigestSource.blocks(name, offset: offset, count: count, block: block)
            #expect(sandbox.run(.digest(source, .sha256, key: nil)) == .failed(error), "\(source)")
        }
        let long = Bytes([UInt8](repeating: 1, count: 65))
        #expect(sandbox.run(.digest(.bytes(long), .blake2b256, key: long)) == .failed(.other("EINVAL")))
        let source = DigestSource.blocks(name, offset: 0, count: 6 << 20, block: 6 << 20)
        let work = DigestWork(source, .sha256, key: nil, in: sandbox.folders)
        #expect(work.advance() == nil)
        #expect(sandbox.run(.truncate(name, size: 5 << 20)) == .done)
        #expect(work.advance() == .failed(.endOfFile))
    }
}
