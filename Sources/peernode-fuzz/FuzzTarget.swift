import PeerCore

/// What may be fed with any octets.
enum FuzzTarget: String, CaseIterable {
    /// Envelopes and bodies of messages of both dialects.
    case envelope
    /// A script for a whole DDRP core in virtual time.
    case ddrp
    /// A script for the bootstrap server and for the bootstrap client.
    case bootstrap
    /// A script for a whole Gossip core in virtual time, most of it local programs.
    case gossipAPI = "gossip-api"
    /// The same, most of it peers.
    case gossipLink = "gossip-link"
    /// The same, most of it datagrams.
    case gossipDatagram = "gossip-datagram"
    /// Lines, names and identities of P+2.
    case filesLines = "files-lines"
    /// A script for a whole P+2 core in virtual time.
    case files
    /// Messages of BePeer, as they come over a connection.
    case messages = "replication-messages"
    /// A manifest of BePeer/1.
    case manifest = "replication-manifest"
    /// A stream of PPSP: control messages and transfers.
    case contentStream = "content-stream"
    /// Chunk messages of a PPSP transfer.
    case contentTransfer = "content-transfer"
    /// A datagram of RFC 7574.
    case contentDatagram = "content-datagram"
    /// A file of a hash tree, and a script of what a fetcher is told.
    case contentTree = "content-tree"
    /// A script for the operator's interface.
    case admin
    /// A configuration file, and after an octet 0 the lines of an environment.
    case configuration

    /// The names, a line each.
    static var names: String { allCases.map(\.rawValue).joined(separator: "\n") }

    /// Feeds `input`; throws when a rule that holds for every input is broken.
    func run(_ input: Bytes) throws(Violation) {
        switch self {
        case .envelope: try checkEnvelopes(input)
        case .ddrp: try DDRPScript.run(input)
        case .bootstrap: try checkBootstrap(input)
        case .gossipAPI: try GossipScript.run(input, .api)
        case .gossipLink: try GossipScript.run(input, .link)
        case .gossipDatagram: try GossipScript.run(input, .datagram)
        case .filesLines: try checkFilesLines(input)
        case .files: try FilesScript.run(input)
        case .messages: try checkMessages(input)
        case .manifest: try checkManifest(input)
        case .contentStream: try checkContentStream(input)
        case .contentTransfer: try checkContentTransfer(input)
        case .contentDatagram: try checkContentDatagram(input)
        case .contentTree: try ContentTreeScript.run(input)
        case .admin: try AdminScript.run(input)
        case .configuration: try checkConfiguration(input)
        }
    }
}

/// A rule that an input broke.
struct Violation: Error, CustomStringConvertible {
    /// The rule, and what was found.
    let description: String
}

/// Throws unless the rule holds.
func require(_ holds: Bool, _ rule: @autoclosure () -> String) throws(Violation) {
    if !holds { throw Violation(description: rule()) }
}
