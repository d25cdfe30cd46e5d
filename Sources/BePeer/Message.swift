public import PeerCore

/// One of the four messages (BePeer section 2.1). Files never travel in them.
public enum Message: Hashable, Sendable {
    /// `BePeerRequest`: let me become a peer of this folder.
    case request(folder: String)
    /// `FilesToGet`, `FilesUpdated` or `TrustedPeerConfirm`, which have one layout.
    case list(FileList)

    /// The octets of the message: LF only, names as they are.
    public var encoded: Bytes {
        var writer = ByteWriter()
        switch self {
        case .request(let folder):
            writer.write("BePeerRequest\n\(folder)\n\n".utf8)
        case .list(let list):
            writer.write("\(list.kind.rawValue)\n\(list.folder)\n\(list.port)\n\(list.protocolName)\n".utf8)
            for name in list.names {
                writer.write(name.text.utf8)
                writer.write(CollectionOfOne(UInt8(ascii: "\n")))
            }
            writer.write(CollectionOfOne(UInt8(ascii: "\n")))
        }
        return writer.bytes
    }

    /// The folder or file that it is about.
    public var folder: String {
        switch self {
        case .request(let folder): folder
        case .list(let list): list.folder
        }
    }
}

/// A message with names (BePeer section 2.1).
public struct FileList: Hashable, Sendable {
    /// What the names are.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Those to fetch.
        case filesToGet = "FilesToGet"
        /// Those that the sender now holds.
        case filesUpdated = "FilesUpdated"
        /// Those that the sender has checked.
        case trustedPeerConfirm = "TrustedPeerConfirm"
    }

    /// What the names are.
    public let kind: Kind
    /// The folder or file.
    public let folder: String
    /// The port of the sender's file server.
    public let port: UInt16
    /// How it serves them.
    public let protocolName: String
    /// The names, each once.
    public let names: [Path]
    /// What was wrong with names that were left out.
    public let refused: [PathRefusal]

    /// A message of that kind.
    public init(
        _ kind: Kind, folder: String, port: UInt16, protocolName: String = "HTTP", names: [Path],
        refused: [PathRefusal] = []
    ) {
        self.kind = kind
        self.folder = folder
        self.port = port
        self.protocolName = protocolName
        self.names = names
        self.refused = refused
    }

    /// Whether the files can be fetched by HTTP.
    public var isHTTP: Bool { protocolName.lowercased() == "http" }
}
