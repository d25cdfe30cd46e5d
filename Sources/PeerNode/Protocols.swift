internal import BePeer
internal import Bootstrap
internal import DDRP
internal import Gossip
internal import PPSP
internal import PPlusTwo
internal import PeerCore
internal import PeerCrypto
internal import PeerRuntime
internal import UV

/// The protocols of this node. A new one is one entry in `entries`.
public enum Protocols {
    /// In the order of the manual.
    static let entries: [ProtocolEntry] = [
        ProtocolEntry("bootstrapServer", category: "bootstrap", allowsList: true) { configuration, _ in
            BootstrapServer(configuration, seed: systemRandom())
        },
        ProtocolEntry("ddrp", hasPeers: true) { configuration, node in
            DDRP(configuration, identity: node.identity, agent: "peernode/\(Node.version)", seed: systemRandom())
        },
        ProtocolEntry("gossip", hasPeers: true) { configuration, _ in
            Gossip(configuration, seed: systemRandom())
        },
        ProtocolEntry(
            "files", hasPeers: true, folders: { [PPlusTwo.folder: $0.folder] }, uploads: \.maxUploadBytesPerSecond
        ) { configuration, _ in
            PPlusTwo(configuration, seed: systemRandom())
        },
        ProtocolEntry("replication", hasPeers: true) { configuration, node in
            BePeer(configuration, node: node.identity.bePeerID, seed: systemRandom())
        },
        ProtocolEntry("content", hasPeers: true, folders: { [PPSP.store: $0.folder] }) { configuration, node in
            PPSP(
                configuration, key: node.identity.contentSeed, software: "peernode/\(Node.version)",
                seed: systemRandom())
        },
    ]

    /// The sections of the configuration.
    public static let all: [ProtocolSection] = entries.map(\.section)
}

/// A protocol of the node: its section of the configuration, and how its core is made and hosted.
struct ProtocolEntry: Sendable {
    let section: ProtocolSection
    /// Whether the protocol has peers that the operator can list and ban.
    let hasPeers: Bool
    /// Makes the core and its host from a checked section of the configuration.
    let start: @Sendable (String, Record, Node) -> Node.Section

    /// The protocol of the section `name`; `make` makes its core. The category of its log lines is called the same
    /// unless another is given. `folders` are those that the section names, made when they are missing; `uploads` is
    /// what the protocol may send in a second, 0 without a limit of its own.
    init<Core: PeerProtocol & SendableMetatype>(
        _ name: String, category: String? = nil, allowsList: Bool = false, hasPeers: Bool = false,
        folders: @escaping @Sendable (Core.Configuration) -> [FolderID: String] = { _ in [:] },
        uploads: @escaping @Sendable (Core.Configuration) -> Int = { _ in 0 },
        _ make: @escaping @Sendable (Core.Configuration, Node) -> Core
    ) where Core.Configuration: Configurable & SendableMetatype {
        let section = ProtocolSection(name, Core.Configuration.self, category: category, allowsList: allowsList)
        self.section = section
        self.hasPeers = hasPeers
        start = { title, record, node in
            let configuration = Core.Configuration(record)
            let places = Folders(folders(configuration))
            places.makeMissing()
            let core = make(configuration, node)
            let host = Host(core, name: section.category, runtime: node.runtime, folders: places)
            host.uploads = Rate(uploads(configuration))
            return Node.Section(
                title: title, name: name, category: section.category, hasPeers: hasPeers, host: host,
                reconfigure: {
                    let new = Core.Configuration($0)
                    host.uploads.bytesPerSecond = uploads(new)
                    return host.reconfigure(Core.self, new)
                })
        }
    }
}
