internal import Foundation

/// The independent peer of `Tests/InteropTests/Peers`, written in Python.
public enum Python {
    /// Where its programs are.
    public static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "InteropTests/Peers").path

    /// Whether it can run on this machine.
    public static let isThere: Bool = {
        let places = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
        return places.contains { FileManager.default.isExecutableFile(atPath: "\($0)/python3") }
    }()

    /// The checked-in vector file of a test target and, when there is one, that of the folder with other values which
    /// PEERNODE_VECTORS names.
    public static func vectorFiles(_ target: String, _ name: String) -> [String] {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let other = ProcessInfo.processInfo.environment["PEERNODE_VECTORS"].map { "\($0)/\(name)" }
        let checkedIn = tests.appending(path: "\(target)/Vectors/\(name)").path
        return [checkedIn] + [other].compactMap(\.self).filter(FileManager.default.fileExists)
    }

    /// Starts one of its programs.
    public static func start(
        _ program: String, _ arguments: [String], name: String, life: Duration = .seconds(240)
    ) throws -> ChildProcess {
        try ChildProcess("/usr/bin/env", ["python3", "\(folder)/\(program)"] + arguments, name: name, life: life)
    }

    /// Runs a case of P+2, which starts nodes of its own, to its end.
    public static func filesCase(
        _ name: String, _ options: [String] = [], within limit: Duration = .seconds(150)
    ) async throws {
        try await check("files_check.py", name, options, limit)
    }

    private static func check(
        _ script: String, _ name: String, _ options: [String], _ limit: Duration
    ) async throws {
        try await succeeds(script, [name, "--program", Program.path] + options, name: name, within: limit)
    }

    /// Measures a content that goes in datagrams through a narrow line; throws what was measured if that is not right.
    public static func narrowLine(_ options: [String]) async throws {
        let arguments = ["--program", Program.path] + options
        try await succeeds("ppsp_bottleneck.py", arguments, name: "narrow line", within: .seconds(180))
    }

    private static func succeeds(
        _ script: String, _ arguments: [String], name: String, within limit: Duration
    ) async throws {
        let check = try start(script, arguments, name: name, life: limit)
        let exit = try await check.waitForExit(within: limit)
        guard exit != .status(0) else { return }
        let said = check.lines.map(\.text).joined(separator: "\n")
        throw Missing(description: "\(exit): \(said)\n\(check.complaints)")
    }

    /// Plays a case of BePeer to its end; throws what differed.
    public static func replicationCase(
        _ name: String, _ options: [String] = [], within limit: Duration = .seconds(240)
    ) async throws {
        let vectors = folder + "/../../BePeerTests/Vectors/bepeer.json"
        try await check("bepeer_check.py", name, ["--vectors", vectors] + options, limit)
    }

    /// Plays a case of PPSP to its end; throws what differed.
    public static func contentCase(
        _ name: String, _ options: [String] = [], within limit: Duration = .seconds(240)
    ) async throws {
        let vectors = folder + "/../../PPSPTests/Vectors/ppsp.json"
        try await check("ppsp_check.py", name, ["--vectors", vectors] + options, limit)
    }

    /// Starts a DDRP peer, which ends by itself after some minutes.
    public static func peer(_ arguments: String..., name: String = "python peer") throws -> ChildProcess {
        try start("ddrp_peer.py", ["--seconds", "200", "--standard-port", "\(NodeHome.port)"] + arguments, name: name)
    }
}
