internal import Foundation
public import PeerCore
internal import Synchronization

/// A node that speaks P+2, with an address and a folder of its own.
public final class FilesHome: Sendable {
    private static let handedOut = Atomic<Int>(0)

    /// Its folder and configuration.
    public let home: NodeHome
    /// The identity that peers know: on loopback the port tells nodes apart.
    public let identity: String

    /// A place for a node that shares `files` and knows `peers`, with these other sections.
    public init(_ files: [String: String] = [:], peers: [String] = [], _ sections: Record = [:], name: String) throws {
        home = try NodeHome([:], ddrp: nil, name: name)
        let port = 17_000 + 3 * Self.handedOut.wrappingAdd(1, ordering: .relaxed).newValue
        identity = "\(home.host):\(port)"
        var all = sections
        all["files"] = .record([
            "listen": .string(identity), "folder": .string(home.folder + "/files"),
            "initialPeers": .list(peers.map { .string($0) }),
        ])
        try home.configure(all, ddrp: nil)
        try FileManager.default.createDirectory(atPath: home.folder + "/files", withIntermediateDirectories: true)
        for (name, text) in files { try text.write(toFile: path(name), atomically: false, encoding: .utf8) }
    }

    /// The path of a file in the shared folder.
    public func path(_ file: String) -> String { "\(home.folder)/files/\(file)" }

    /// Starts it and waits until it shares what is there.
    public func startSharing(environment: [String: String] = [:]) async throws -> ChildProcess {
        let node = try home.start(environment: environment)
        try await node.waitFor("share_indexed")
        return node
    }
}
