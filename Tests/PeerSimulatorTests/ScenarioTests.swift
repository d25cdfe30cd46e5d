internal import PeerSimulator
import Testing
internal import TestSupport

/// What every host must do, done by the simulator: the same list is played on real sockets and files.
struct ScenarioTests {
    @Test(arguments: Scenario.all)
    func `the simulator does`(_ scenario: Scenario) {
        for seed in 1...2 as ClosedRange<UInt64> {
            let node = SimulatedNode(seed: seed, network: NetworkModel())
            #expect(play(scenario, on: node) == nil, "seed \(seed)")
            #expect(node.failure == nil)
        }
    }

    @Test(arguments: Scenario.all)
    func `the simulator does, with octets in any pieces`(_ scenario: Scenario) {
        for seed in 1...4 as ClosedRange<UInt64> {
            let node = SimulatedNode(seed: seed, network: .hostile)
            #expect(play(scenario, on: node) == nil, "seed \(seed)")
            #expect(node.failure == nil)
        }
    }
}
