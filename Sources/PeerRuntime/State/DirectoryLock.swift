internal import Glibc
internal import PeerCore

extension DataDirectory {
    private static let lockName = "lock"

    /// Takes the folder for this process until the lock goes; `.inUse` when another process has it.
    ///
    /// The lock is of the open file (flock(2)), so it ends with the process, however that ends. The file holds the
    /// process ID in decimal and a line feed, for the second taker and for people; it stays when the lock goes.
    public func lock() throws(StateError) -> DirectoryLock {
        let path = path(of: Self.lockName)
        let file = try refusing(path, "open the lock") { () throws(SystemError) -> Descriptor in
            try open().openFile(Self.lockName, .updateOrMakePrivate)
        }
        guard try refusing(path, "take the lock", { () throws(SystemError) in try file.lock() }) else {
            let text = try refusing(path, "read the lock") { () throws(SystemError) in
                // A process ID has at most ten digits.
                try file.read(count: 11, at: 0).text
            }
            throw .inUse(directory: self.path, process: text?.split(separator: "\n").first.flatMap { Int32($0) })
        }
        // The lock is what counts: on a full disk the node starts without the text.
        try? file.tell(process: getpid())
        return DirectoryLock(file)
    }
}

/// The lock on a data directory; it ends with this object.
public final class DirectoryLock: Sendable {
    private let file: Descriptor

    fileprivate init(_ file: consuming Descriptor) {
        self.file = file
    }
}

extension Descriptor {
    /// Makes the process ID the content; what is there is overwritten first, which a full disk still allows.
    fileprivate func tell(process: Int32) throws(SystemError) {
        let text = Bytes(utf8: "\(process)\n")
        try write(text, at: 0)
        try truncate(to: UInt64(text.count))
    }
}
