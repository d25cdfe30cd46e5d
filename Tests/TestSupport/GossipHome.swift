public import PeerCore

/// A node that speaks Gossip, with an address of its own.
public struct GossipHome: Sendable {
    /// Its folder and configuration.
    public let home: NodeHome

    /// The ports of all such nodes: their addresses differ.
    private static let port = 6001
    private static let apiPort = 7001

    /// A place for a node with these settings of the section `gossip`, and these other sections.
    public init(_ gossip: Record = [:], _ sections: Record = [:], name: String = "node") throws {
        home = try NodeHome([:], ddrp: nil, name: name)
        var section: Record = ["p2pAddress": .string(p2p), "apiAddress": .string(api)]
        for field in gossip.fields { section[field.name] = field.value }
        var all = sections
        all["gossip"] = .record(section)
        try home.configure(all, ddrp: nil)
    }

    /// Where peers reach it.
    public var p2p: String { "\(home.host):\(Self.port)" }
    /// Where programs reach it.
    public var api: String { "\(home.host):\(Self.apiPort)" }

    /// Starts it and waits until both can.
    public func startListening() async throws -> ChildProcess {
        let node = try home.start()
        for listener in ["gossip.api", "gossip", "gossip.udp"] {
            try await node.waitFor("listening") { $0["listener"] == listener }
        }
        return node
    }
}
