import Foundation
import PeerCore
import PeerSimulator
import Testing

@testable import BePeer

/// Whatever people do at five nodes that come and go: nothing that was settled is lost, and all end up equal.
struct SettledTests {
    /// More when PEERNODE_LONG_TESTS is set: as many seeds as it says, when that is a number above 1.
    private static let isLong = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"]
    private static let seeds: ClosedRange<UInt64> = 1...max(1, isLong.map { UInt64($0) ?? 1 } ?? 1)
    private static let steps = isLong == nil ? 50 : 200

    func lab(_ seed: UInt64, old: Int? = nil) -> Lab {
        var network = NetworkModel(delay: .milliseconds(2) ... .milliseconds(80), jitter: .milliseconds(10))
        (network.splitting, network.coalescing) = (0.3, 0.3)
        let lab = Lab(seed: seed, network: network)
        for number in 1...5 {
            lab.node(number, peers: number == 1 ? [] : [number - 1, 1].filter { $0 < number }) {
                $0.smallFileBytes = 1000
                if number == old { $0.extensions = false }
            }
        }
        return lab
    }

    func play(_ lab: Lab, _ hands: Hands, steps: Int) throws {
        try lab.run(.seconds(30))
        var away: Set<Int> = []
        for _ in 0..<steps {
            let index = hands.draw(5)
            let node = lab.nodes[index]
            switch hands.draw(20) {
            case 0 where away.count < 3:
                if hands.draw(2) == 0 { lab.simulator.stop(node) } else { lab.simulator.kill(node) }
                away.insert(index)
            case 1 where away.isEmpty:
                lab.simulator.kill(node, afterEffects: hands.draw(40))
                away.insert(index)
            case 2, 3, 4:
                for index in away.sorted() { lab.simulator.restart(lab.nodes[index]) }
                away = []
            case 5: lab.simulator.partition([Set(lab.nodes.prefix(hands.draw(4) + 1))])
            case 6: lab.simulator.heal()
            default: hands.act(at: index)
            }
            if hands.draw(3) == 0 { try hands.wait(.milliseconds([100, 1000, 4500, 9000][hands.draw(4)])) }
        }
        try hands.wait(.seconds(5))
        for index in away.sorted() { lab.simulator.restart(lab.nodes[index]) }
        lab.simulator.heal()
    }

    func check(_ lab: Lab, _ hands: Hands) throws {
        let settled = try lab.settle(within: .seconds(1800)) { lab.isQuiet && lab.isEqual }
        let trees = lab.nodes.map(lab.content)
        let different = Set(trees.flatMap(\.keys)).sorted().filter { path in Set(trees.map { $0[path] }).count > 1 }
        #expect(settled, "\(different) \(lab.restless) \(hands.trail.suffix(40).joined(separator: "\n"))")
        #expect(lab.isEqual && hands.lost.isEmpty, "\(hands.lost)\n\(hands.trail.suffix(60).joined(separator: "\n"))")
        #expect(lab.events("folder_stopped").isEmpty && lab.events("untrusted").isEmpty)
        let folders = lab.nodes.map { node in lab.files(node).paths.filter { !$0.hasPrefix(".bepeer") } }
        #expect(Set(folders).count == 1, "\(folders)")
    }

    @Test(arguments: seeds)
    func `five nodes lose nothing`(seed: UInt64) throws {
        let lab = lab(seed)
        let hands = Hands(lab, seed: seed)
        try play(lab, hands, steps: Self.steps)
        try check(lab, hands)
        #expect(hands.settled.count > Self.steps / 10)
    }

    @Test(arguments: seeds, [1, 3])
    func `one of five speaks the old protocol only`(seed: UInt64, old: Int) throws {
        let lab = lab(seed, old: old)
        let hands = Hands(lab, seed: seed, deletes: false)
        try play(lab, hands, steps: Self.steps)
        try check(lab, hands)
    }
}
