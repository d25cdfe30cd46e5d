import Testing
import TestSupport

/// What every host must do, done on libuv with real sockets and files: the list that the simulator plays too.
@Suite(.oneAtOnce) struct HostScenarioTests {
    @Test(arguments: Scenario.all)
    func `the host does`(_ scenario: Scenario) throws {
        let node = try HostedNode()
        #expect(play(scenario, on: node) == nil)
        #expect(node.end(), "handles are left over")
    }
}
