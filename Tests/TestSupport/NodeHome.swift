internal import Foundation
public import PeerCore
internal import Glibc

/// A node's place on this machine: a folder with its configuration and its state, and an address of its own.
public final class NodeHome: Sendable {
    /// The port of all nodes: their addresses differ.
    public static let port = 9097

    /// What messages call it.
    public let name: String
    /// The folder of configuration and state; removed with this object.
    public let folder: String
    /// The IP address that is its own.
    public let host: String

    /// A place for a node that is configured with `sections` and with `ddrp`, which is added to what a test needs at
    /// least; nil: without that section.
    public init(_ sections: Record = [:], ddrp: Record? = [:], name: String = "node") throws {
        self.name = name
        host = Loopback.next()
        var template = Array((FileManager.default.temporaryDirectory.path + "/peernode-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw SpawnError(description: "mkdtemp: errno \(errno)") }
        folder = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
        try configure(sections, ddrp: ddrp)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Where it listens.
    public var address: String { "\(host):\(Self.port)" }

    /// The configuration file.
    public var configuration: String { folder + "/peernode.json" }

    /// The path of a file of its state.
    public func state(_ file: String) -> String { folder + "/data/" + file }

    /// Writes the configuration anew.
    public func configure(_ sections: Record = [:], ddrp: Record? = [:]) throws {
        var file: Record = ["dataDirectory": .string(folder + "/data")]
        for section in sections.fields { file[section.name] = section.value }
        if let ddrp {
            var section: Record = ["listen": .string(address), "standardPort": .count(Self.port)]
            for field in ddrp.fields { section[field.name] = field.value }
            file["ddrp"] = .record(section)
        }
        try write(file.json)
    }

    /// Writes the configuration file anew.
    public func write(_ configuration: String) throws {
        try configuration.write(toFile: self.configuration, atomically: true, encoding: .utf8)
    }

    /// Starts the node.
    public func start(environment: [String: String] = [:], life: Duration = .seconds(240)) throws -> ChildProcess {
        try ChildProcess(
            Program.path, ["run", "--config", configuration], name: name, environment: environment, life: life)
    }

    /// Starts the node and waits until it listens.
    public func startListening(environment: [String: String] = [:]) async throws -> ChildProcess {
        let node = try start(environment: environment)
        try await node.waitFor("listening") { $0["cat"] != "admin" }
        return node
    }

    /// Runs a command with this configuration to its end.
    public func command(_ words: [String], within limit: Duration = .seconds(20)) async throws -> CommandResult {
        try await Program.run([words[0], "--config", configuration] + words.dropFirst(), within: limit)
    }
}

/// What a command of the program said and how it ended.
public struct CommandResult: Sendable {
    /// How it ended.
    public let exit: Exit
    /// What it wrote on standard output.
    public let lines: [LogLine]
    /// What it wrote on standard error.
    public let complaints: String

    /// Standard output as one text.
    public var text: String { lines.map(\.text).joined(separator: "\n") }
}

/// The program under test.
public enum Program {
    /// It lies beside the tests that run, whatever they were built as.
    public static let path: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(filePath: tests).deletingLastPathComponent().appending(path: "peernode").path
    }()

    /// Runs a command to its end.
    public static func run(_ words: [String], within limit: Duration = .seconds(20)) async throws -> CommandResult {
        let process = try ChildProcess(path, words, name: words.joined(separator: " "), life: limit)
        let exit = try await process.waitForExit(within: limit)
        return CommandResult(exit: exit, lines: process.lines, complaints: process.complaints)
    }
}
