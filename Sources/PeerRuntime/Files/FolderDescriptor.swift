internal import CLinux
internal import Glibc
internal import PeerCore

/// Work on the names in an open folder. A name is one component of a path; links are never followed.
extension Descriptor {
    /// How a file is opened.
    enum Access {
        /// For reading.
        case read
        /// For writing, when it is there.
        case write
        /// For writing; made when it is missing.
        case writeOrMake
        /// For reading and writing; when it is missing, made so that nobody else can read it yet.
        case updateOrMakePrivate
        /// A new file that nobody else can read yet; fails with `.exists` when the name is taken.
        case makePrivate

        fileprivate var flags: Int32 {
            switch self {
            case .read: O_RDONLY
            case .write: O_WRONLY
            case .writeOrMake: O_WRONLY | O_CREAT
            case .updateOrMakePrivate: O_RDWR | O_CREAT
            case .makePrivate: O_RDWR | O_CREAT | O_EXCL
            }
        }

        fileprivate var permissions: mode_t { self == .writeOrMake ? 0o666 : 0o600 }
    }

    /// A folder of the configuration; it may be a link, and what leads to it may be.
    static func folder(at path: String) throws(SystemError) -> Descriptor {
        let flags = peernode_open_path | O_DIRECTORY | O_CLOEXEC
        return Descriptor(owning: try attempt { unsafe Glibc.open(path, flags) })
    }

    /// The folder `name` in this one.
    func openFolder(_ name: String) throws(SystemError) -> Descriptor {
        let flags = peernode_open_path | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        return Descriptor(owning: try attempt { unsafe openat(number, name, flags) })
    }

    /// The regular file `name` in this folder; nothing else is opened, and nothing blocks.
    func openFile(_ name: String, _ access: Access) throws(SystemError) -> Descriptor {
        let flags = access.flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let file = Descriptor(owning: try attempt { unsafe openat(number, name, flags, access.permissions) })
        let status = try file.status()
        try status.requireFile()
        // What is written in place shows under every name of the file, also under one outside the folder.
        if access != .read, status.names > 1 { throw .notPermitted }
        return file
    }

    /// What lies at `path` below this folder, when the system knows that without asking a disk; no link is followed.
    func openRemembered(_ path: String, _ flags: Int32) -> Descriptor? {
        let file = unsafe peernode_open_remembered(number, path, flags | O_CLOEXEC)
        return file < 0 ? nil : Descriptor(owning: file)
    }

    /// The regular file `name`, wherever links lead: for a file that the operator put there.
    func openFollowing(_ name: String) throws(SystemError) -> Descriptor {
        let flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let file = Descriptor(owning: try attempt { unsafe openat(number, name, flags) })
        try file.status().requireFile()
        return file
    }

    /// Makes the folder `name`; one that is there already is as good.
    func makeFolder(_ name: String, permissions: mode_t = 0o777) throws(SystemError) {
        do throws(SystemError) {
            _ = try attempt { unsafe mkdirat(number, name, permissions) }
        } catch .exists {
            // Somebody else was faster.
        }
    }

    /// What `name` stands for.
    func status(of name: String) throws(SystemError) -> FileStatus {
        var result = stat()
        _ = try attempt { unsafe fstatat(number, name, &result, AT_SYMLINK_NOFOLLOW) }
        return FileStatus(result)
    }

    /// What `name` stands for, nil when it is free.
    func statusIfAny(of name: String) throws(SystemError) -> FileStatus? {
        do throws(SystemError) {
            return try status(of: name)
        } catch .notFound {
            return nil
        }
    }

    /// Gives `name` another name in `target`, in place of a regular file when `replacing`, else never over anything.
    func rename(
        _ name: String, to target: borrowing Descriptor, _ newName: String, replacing: Bool
    ) throws(SystemError) {
        if replacing {
            try target.statusIfAny(of: newName)?.requireFile()
            _ = try attempt { [into = target.number] in unsafe renameat(number, name, into, newName) }
            return
        }
        do throws(SystemError) {
            _ = try attempt { [into = target.number] in
                unsafe renameat2(number, name, into, newName, peernode_rename_noreplace)
            }
        } catch  where error == .invalidArgument || error == .other("ENOSYS") {
            guard try status(of: name).kind == .file else { throw error }
            try renameByLink(name, to: target, newName)
        }
    }

    /// The same for file systems that cannot keep a rename from replacing.
    func renameByLink(_ name: String, to target: borrowing Descriptor, _ newName: String) throws(SystemError) {
        _ = try attempt { [into = target.number] in unsafe linkat(number, name, into, newName, 0) }
        try remove(name)
    }

    /// Removes the file `name`.
    func remove(_ name: String) throws(SystemError) {
        _ = try attempt { unsafe unlinkat(number, name, 0) }
    }

    /// Removes the empty folder `name`.
    func removeFolder(_ name: String) throws(SystemError) {
        _ = try attempt { unsafe unlinkat(number, name, AT_REMOVEDIR) }
    }

    /// Sets the time of last change of `name`, of a link's own if it is one.
    func setModified(_ name: String, _ modified: WallClock) throws(SystemError) {
        _ = try attempt { unsafe utimensat(number, name, fileTimes(modified), AT_SYMLINK_NOFOLLOW) }
    }

    /// Makes sure that the names in this folder are on the disk.
    func syncFolder() throws(SystemError) {
        // A descriptor that only names the folder cannot be synced.
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        try Descriptor(owning: try attempt { unsafe openat(number, ".", flags) }).sync()
    }
}
