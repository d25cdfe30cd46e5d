import Foundation
import TestSupport
import Testing

/// The independent peer must itself be right before it can judge.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct PythonTests {
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    /// The checked-in file and, when there is one, that of the folder with other values.
    private func vectorFiles(_ target: String, _ name: String) -> [String] {
        let other = ProcessInfo.processInfo.environment["PEERNODE_VECTORS"].map { "\($0)/\(name)" }
        let checkedIn = Self.tests.appending(path: "\(target)/Vectors/\(name)").path
        return [checkedIn] + [other].compactMap(\.self).filter(FileManager.default.fileExists)
    }

    @Test func `the independent peer agrees with the DDRP Vectors`() async throws {
        for file in vectorFiles("DDRPTests", "ddrp.json") {
            let check = try Python.start("ddrp_check.py", [file], name: "ddrp_check.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
            #expect(check.lines.count > 5)
        }
    }

    @Test func `the independent bootstrap client agrees with the Gossip Vectors`() async throws {
        for file in vectorFiles("BootstrapTests", "gossip.json") {
            let check = try Python.start("bootstrap_client.py", ["--check", file], name: "bootstrap_client.py")
            #expect(try await check.waitForExit(within: .seconds(60)) == .status(0), "\(check.lines.map(\.text))")
            #expect(check.lines.count == 2)
        }
    }
}
