internal import Glibc
public import PeerCore

/// The folder that a command saves into by itself. One process at a time does: two would write to one part file.
public final class SavingFolder {
    private let path: String
    private let folder: Descriptor

    /// Opens the folder, made when it is missing, and waits until nobody else saves into it; `waiting` is called when
    /// that is not at once.
    public init(_ path: String, waiting: () -> Void = {}) throws(SystemError) {
        self.path = path
        _ = try Descriptor.makeFolders(path, permissions: 0o777)
        // A descriptor that only names the folder cannot be locked.
        folder = Descriptor(owning: try attempt { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
        guard try !folder.lock() else { return }
        waiting()
        _ = try attempt { [number = folder.number] in flock(number, LOCK_EX) }
    }

    /// Removes what was made for part files, as far as none is left.
    public func tidy() {
        for place in [".peernode/partial", ".peernode"] {
            guard unsafe unlinkat(folder.number, place, AT_REMOVEDIR) == 0 else { return }
        }
    }
}

/// How a file came into a folder.
public enum Placing: String, Sendable {
    /// It has a second name there now.
    case linked
    /// There is a copy: another file system cannot have a second name of it.
    case copied
    /// It was there before.
    case there
}

/// Puts the file at `path` into `folder` by its own name: as a second name of the same file, or as a copy where that
/// cannot be. Never over anything: then it fails with `.exists`.
public func place(_ path: String, as name: String, in folder: String) throws(SystemError) -> Placing {
    let target = try Descriptor.folder(at: folder)
    let source = Descriptor(owning: try attempt { unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) })
    let status = try source.status()
    try status.requireFile()
    if let taken = try target.statusIfAny(of: name) {
        guard taken.isSame(as: status) else { throw .exists }
        return .there
    }
    do throws(SystemError) {
        _ = try attempt { [number = target.number] in
            unsafe linkat(AT_FDCWD, path, number, name, AT_SYMLINK_FOLLOW)
        }
        return .linked
    } catch .exists {
        throw .exists
    } catch {
        // Another file system, one without links, or a file of somebody else: a copy does as well.
    }
    let permissions = status.permissions
    try target.makeFile(name, permissions: permissions, replacing: false) { (draft) throws(SystemError) in
        var place = source.copyInKernel(status.size, from: 0, to: draft, at: 0)
        while case let piece = try source.read(count: copiedOctets, at: place), piece.count > 0 {
            try draft.write(piece, at: place)
            place += UInt64(piece.count)
        }
    }
    return .copied
}

/// Octets copied at a time where the kernel does not do it: few system calls, little memory.
private let copiedOctets = 1 << 20
