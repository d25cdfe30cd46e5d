import TestSupport
import Testing

/// The independent peer must itself be right before it can judge.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct PythonTests {
    @Test func `the independent peer agrees with the DDRP Vectors`() async throws {
        for file in Python.vectorFiles("DDRPTests", "ddrp.json") {
            let check = try Python.start("ddrp_check.py", [file], name: "ddrp_check.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
            #expect(check.lines.count > 5)
        }
    }

    @Test func `the independent Gossip programs agree with the vectors`() async throws {
        for file in Python.vectorFiles("BootstrapTests", "gossip.json") {
            let check = try Python.start("gossip_check.py", ["vectors", "--vectors", file], name: "gossip_check.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
        }
    }

    @Test func `the independent BePeer programs agree with the vectors, and the old peer with itself`() async throws {
        for file in Python.vectorFiles("BePeerTests", "bepeer.json") {
            let check = try Python.start("bepeer_wire.py", [file], name: "bepeer_wire.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
            #expect(check.lines.count == 1)
        }
        let check = try Python.start("bepeer_old.py", ["self-test"], name: "bepeer_old.py")
        #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
    }

    @Test func `the independent bootstrap client agrees with the Gossip Vectors`() async throws {
        for file in Python.vectorFiles("BootstrapTests", "gossip.json") {
            let check = try Python.start("bootstrap_client.py", ["--check", file], name: "bootstrap_client.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
            #expect(check.lines.count == 2)
        }
    }
}
