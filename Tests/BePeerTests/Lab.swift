import PeerCore
import PeerSimulator

@testable import BePeer

/// Nodes in virtual time with one folder each.
final class Lab {
    static let folder = "00-MainDocuments"

    let simulator: Simulator
    private(set) var nodes: [NodeID] = []
    private var seen: [NodeID: (edition: UInt64, contents: [String: Bytes])] = [:]

    init(seed: UInt64 = 1, network: NetworkModel = NetworkModel(delay: .milliseconds(5) ... .milliseconds(5))) {
        simulator = Simulator(seed: seed, network: network)
        simulator.logLevel = .debug
    }

    /// The address of the node with this number.
    static func ip(_ number: Int) -> IPAddress { IPAddress(10, 0, 0, UInt8(number)) }

    /// Adds a node that begins with these peers and files.
    @discardableResult
    func node(
        _ number: Int, peers: [Int] = [], files: [String: String] = [:],
        _ change: (inout Configuration) -> Void = { _ in }
    ) -> NodeID {
        var settings = BePeer.FolderSettings(name: Self.folder, path: "/data")
        settings.peers = peers.map { .address(SocketAddress(Self.ip($0), 7009)) }
        var configuration = Configuration(
            messageAddress: SocketAddress(Self.ip(number), 7009),
            httpAddress: SocketAddress(Self.ip(number), 7010), folders: [settings])
        configuration.minFreeBytes = 0
        change(&configuration)
        let name = NodeNumber.text(UInt64(number))
        let node = simulator.addNode("n\(number)", at: Self.ip(number), "replication") { [configuration] seed in
            BePeer(configuration, node: name, seed: seed)
        }
        nodes.append(node)
        let folder = simulator.folder(Self.folder, of: node)
        for (name, text) in files.sorted(by: { $0.key < $1.key }) { folder[name] = Bytes(utf8: text) }
        return node
    }

    func run(_ duration: Duration) throws { try simulator.run(for: duration) }

    func files(_ node: NodeID) -> PeerSimulator.Folder { simulator.folder(Self.folder, of: node) }

    func core(_ node: NodeID) -> BePeer? { simulator.core(BePeer.self, "replication", of: node) }

    /// The shared files of a node and what is in them.
    func content(_ node: NodeID) -> [String: Bytes] { contents(node).filter { !$0.key.hasPrefix(".bepeer") } }

    /// Those that were overwritten or deleted by others.
    func trash(_ node: NodeID) -> [String: Bytes] { contents(node).filter { $0.key.hasPrefix(".bepeer/trash/") } }

    private func contents(_ node: NodeID) -> [String: Bytes] {
        let folder = files(node)
        if let seen = seen[node], seen.edition == folder.edition { return seen.contents }
        let contents = folder.contents
        seen[node] = (folder.edition, contents)
        return contents
    }

    /// Whether all nodes have the same files.
    var isEqual: Bool {
        let contents = nodes.map(content)
        return contents.dropFirst().allSatisfy { $0 == contents[0] }
    }

    /// Whether nobody has anything to do.
    var isQuiet: Bool { restless.isEmpty }

    /// What is still to be done, and by whom.
    var restless: [String] {
        nodes.flatMap { node -> [String] in
            guard let shared = core(node)?.folders[0] else { return ["\(node) is down"] }
            var busy = shared.isReady && shared.dirty.isEmpty && shared.unexamined.isEmpty ? [] : ["\(node) looks"]
            for partner in shared.partners.values where partner.state == .trusted {
                let work = [
                    partner.intake.map { "takes in \($0.phase) \($0.running) of \($0.files.count)" },
                    partner.verification.map { "reads back \($0.running) of \($0.items.count)" },
                    partner.pending.isEmpty ? nil : "owes \(partner.pending.count)",
                    partner.isOutstanding ? "has offered \(partner.offered.count)" : nil,
                ]
                busy += work.compactMap(\.self).map { "\(node) \($0): \(partner.ip)" }
            }
            return busy
        }
    }

    /// Runs until the condition holds, for `duration` at most; tells whether it does. It is looked at now and then:
    /// to look at all files of many nodes takes longer than a step.
    func settle(within duration: Duration, _ condition: () -> Bool) throws -> Bool {
        let end = simulator.now + duration
        while !condition() {
            guard simulator.now < end else { return false }
            try run(min(.milliseconds(500), end - simulator.now))
        }
        return true
    }

    /// Runs until all are trusted by as many peers as told.
    func meet(_ peers: Int, within duration: Duration = .seconds(120)) throws {
        let met = try settle(within: duration) {
            nodes.allSatisfy { (core($0)?.folders[0].trusted.count ?? 0) >= peers } && isQuiet
        }
        try simulator.require(met, "not all have met: \(nodes.map { core($0)?.folders[0].trusted.count ?? -1 })")
    }

    /// Octets of files that a node has read from others.
    func moved(_ node: NodeID) -> UInt64 {
        core(node).map { $0.counters.bytesFetched + $0.counters.bytesVerified } ?? 0
    }

    /// Messages that begin with this line, by sender and receiver.
    func messages(_ kind: String, from start: Int = 0) -> [Record] {
        simulator.logs.dropFirst(start).filter { $0.record.event == kind }.map(\.record.fields)
    }

    /// The fields of all lines of that event.
    func events(_ event: String, of node: NodeID? = nil) -> [Record] {
        simulator.logs.filter { $0.record.event == event && (node == nil || $0.node == node) }.map(\.record.fields)
    }
}
