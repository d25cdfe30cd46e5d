import Foundation
import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import peernode_fuzz

/// What the fuzzer runs for minutes, for seconds.
@Suite(.oneAtOnce) struct FuzzTests {
    /// The inputs that are kept: one folder for each target.
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "FuzzCorpus")

    private func seeds(of target: FuzzTarget) throws -> [(name: String, input: Bytes)] {
        let folder = Self.corpus.appending(path: target.rawValue)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
            (name, Bytes(try Data(contentsOf: folder.appending(path: name))))
        }
    }

    @Test(arguments: FuzzTarget.allCases)
    func `every input of the corpus keeps the rules`(target: FuzzTarget) throws {
        let seeds = try seeds(of: target)
        var broken: [String] = []
        for (name, input) in seeds {
            do throws(Violation) {
                try target.run(input)
            } catch {
                broken.append("\(name): \(error)")
            }
        }
        #expect(!seeds.isEmpty)
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    /// Few in a debug build: the server's table is made anew for each input.
    @Test(arguments: [
        (FuzzTarget.envelope, 1500), (.ddrp, 300), (.bootstrap, 100), (.gossipAPI, 300), (.gossipLink, 300),
        (.gossipDatagram, 300), (.filesLines, 1500), (.files, 300), (.messages, 1500),
        (.manifest, 1500), (.contentStream, 600), (.contentTransfer, 600), (.contentDatagram, 1500),
        (.contentTree, 300), (.admin, 600), (.configuration, 600),
    ])
    func `random inputs and changed seeds keep the rules`(target: FuzzTarget, count: Int) throws {
        let seeds = try seeds(of: target).map(\.input)
        var random = SeededRandom(seed: .zero)
        var broken: [String] = []
        for number in 0..<count {
            let input = number.isMultiple(of: 3) ? noise(&random) : changed(seeds[number % seeds.count], &random)
            do throws(Violation) {
                try target.run(input)
            } catch {
                broken.append("\(input): \(error)")
            }
        }
        #expect(broken.isEmpty, "\(broken.prefix(5).joined(separator: "\n"))")
    }

    private func noise(_ random: inout SeededRandom) -> Bytes {
        Bytes((0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }

    /// The seed with up to four octets changed, put in or taken out.
    private func changed(_ seed: Bytes, _ random: inout SeededRandom) -> Bytes {
        var octets = seed.array
        for _ in 0...Int.random(in: 0...3, using: &random) where !octets.isEmpty {
            let place = Int.random(in: octets.indices, using: &random)
            switch random.next() % 3 {
            case 0: octets[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: octets.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
            default: octets.remove(at: place)
            }
        }
        return Bytes(octets)
    }
}
