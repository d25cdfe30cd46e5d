import Foundation
import TestSupport
import Testing

/// BePeer against programs that are not of our making, and real nodes among themselves. What each case does is told in
/// `Peers/bepeer_*.py`; `bepeer_check.py --list` names them all.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct BePeerTests {
    @Test(arguments: [
        "old-joiner", "old-owner", "old-line", "old-deletes", "old-conflicts", "old-single-file", "old-random",
    ])
    func `a peer of four messages and a stock HTTP server joins, is joined, and is kept equal`(_ name: String)
        async throws
    {
        try await Python.replicationCase(name)
    }

    @Test(arguments: [
        "owner", "joiner", "commands", "bare-request", "unknown-folder", "empty-folder", "wrong-content",
        "partial-report", "update", "one-outstanding", "same-content", "manual", "manual-by-command", "receive-only",
        "send-only", "not-replicated", "odd-names", "restarts", "growing-file", "edited-meanwhile", "overtaken-report",
        "delegated", "disk-full", "disk-fills", "single-replaced",
    ])
    func `messages are as the text has them`(_ name: String) async throws {
        try await Python.replicationCase(name)
    }

    @Test(arguments: [
        "redirects", "resumed", "not-resumed", "broken-answers", "odd-lengths", "other-layout", "wrong-hash",
        "disk-full", "killed-in-the-middle",
    ])
    func `whatever a file server answers, a file is whole or it is none`(_ name: String) async throws {
        try await Python.replicationCase(name)
    }

    @Test(arguments: [
        "http-vectors", "range-vectors", "target-vectors", "private-files", "file-headers", "conditions",
        "connections", "broken-requests", "curl", "http-crowds", "changing-files", "layouts", "admission",
        "extension-answers",
    ])
    func `the file server serves the files of the index, and nothing else`(_ name: String) async throws {
        try await Python.replicationCase(name)
    }

    @Test(arguments: [
        "only-the-source", "parse-vectors", "cut-lists", "octet-by-octet", "unsolicited-offer", "unsolicited-report",
        "unsolicited-confirmation", "trust-per-folder", "links-inside", "poisoned", "two-on-one-folder", "no-words",
        "hostile-manifests", "offered-names", "crowds", "floods",
    ])
    func `what nobody asked for costs the one who sends it`(_ name: String) async throws {
        try await Python.replicationCase(name)
    }

    @Test func `what is too much costs the one who sends it, and no memory`() async throws {
        // A twentieth of what is allowed: a program built for tests takes a minute for all of it.
        try await Python.replicationCase(
            "too-much", ["--set", "maxNames=50000", "--set", "messageBytes=\(64 << 20 / 20)"])
    }

    @Test(arguments: [
        "two-nodes", "no-loop", "concurrent-edit", "conflict-of-copy", "edit-beats-delete", "trash", "empty-folders",
        "executable", "unmounted", "mass-delete", "line", "rename", "blocks", "ignore-file", "progress", "all-at-once",
        "disk-vanishes", "left-to-another",
    ])
    func `nodes end up with equal folders, and nothing is lost`(_ name: String) async throws {
        try await Python.replicationCase(name)
    }

    @Test(arguments: ["random-ring", "random-mesh", "random-line", "random-old-owner", "random-old-joiner", "kills"])
    func `whatever is done at several nodes, and whenever they end, nothing is lost and all are equal`(
        _ name: String
    ) async throws {
        try await Python.replicationCase(name, within: .seconds(420))
    }

    private static let isLong = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil
    /// Ten thousand operations with the extension, three thousand each without it at one node, two hundred kills.
    private static let longRuns: [(String, [String])] =
        (1...5).flatMap { seed in
            ["random-ring", "random-mesh"].map { ($0, ["--operations", "1000", "--seed", "\(seed)"]) }
        }
        + (1...3).flatMap { seed in
            ["random-old-owner", "random-old-joiner"].map { ($0, ["--operations", "1000", "--seed", "\(seed)"]) }
        } + [("kills", ["--kills", "200"])]

    @Test(.enabled(if: isLong), arguments: longRuns)
    func `the same for hours`(_ name: String, _ options: [String]) async throws {
        // An hour and a half each, on a machine with other work.
        try await Python.replicationCase(name, options + ["--limit", "5400"], within: .seconds(5500))
    }
}
