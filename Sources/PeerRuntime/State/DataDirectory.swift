internal import Glibc
internal import PeerCore

/// The folder with the state of one node: identity, rows, admin socket, lock.
public struct DataDirectory: Sendable {
    /// How the folder was found.
    public struct Facts: Hashable, Sendable {
        /// It was made now.
        public let isNew: Bool
        /// Permission bits.
        public let permissions: UInt32
        /// User ID of the owner.
        public let owner: UInt32
        /// It belongs to the user who runs this process.
        public let isOwn: Bool
        /// Group and others can do nothing with it.
        public var isPrivate: Bool { permissions & 0o077 == 0 }
    }

    /// Where it is.
    public let path: String
    /// How it was found; something to warn of when it is not private or not ours.
    public let facts: Facts

    /// Opens the folder at `path`; makes it with mode 0700, and what leads to it, when it is missing. One that is
    /// there keeps its mode.
    public init(_ path: String) throws(StateError) {
        self.path = path
        facts = try refusing(path, "make the data directory") { () throws(SystemError) in
            // Ours alone.
            let isNew = try Descriptor.makeFolders(path, permissions: 0o700)
            let status = try Descriptor.folder(at: path).status()
            return Facts(
                isNew: isNew, permissions: UInt32(status.permissions), owner: UInt32(status.owner),
                isOwn: status.owner == geteuid())
        }
    }

    /// The path of `name` in the folder.
    public func path(of name: String) -> String {
        path.hasSuffix("/") ? path + name : path + "/" + name
    }

    func open() throws(SystemError) -> Descriptor {
        try .folder(at: path)
    }
}

/// Does `body`; what the system refuses becomes a `StateError` about `path`.
func refusing<Value: ~Copyable>(
    _ path: String, _ doing: String, _ body: () throws(SystemError) -> Value
) throws(StateError) -> Value {
    do throws(SystemError) {
        return try body()
    } catch {
        throw .refused(error, path: path, doing: doing)
    }
}
