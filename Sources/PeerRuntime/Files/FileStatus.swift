internal import Glibc
internal import PeerCore

/// What the system says about a name or an open descriptor.
struct FileStatus {
    /// What a name can stand for.
    enum Kind {
        /// A regular file.
        case file
        /// A folder.
        case folder
        /// A symbolic link; never followed.
        case link
        /// A FIFO, socket or device; never opened for work.
        case special
    }

    /// What it is.
    let kind: Kind
    /// Octets.
    let size: UInt64
    /// Time of last change.
    let modified: WallClock
    /// Permission bits.
    let permissions: mode_t
    /// User ID of the owner.
    let owner: uid_t
    /// Number of names that the file has.
    let names: UInt64
    /// See `FileEntry.stamp`: file system, file number, and when the system noted the last change of any kind.
    let stamp: UInt64
    private let device: UInt64
    private let number: UInt64

    /// The status in Swift's terms.
    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            default: .special
            }
        size = UInt64(clamping: status.st_size)
        // A file system may hold any number of seconds.
        let seconds = WallClock(seconds: Int64(status.st_mtim.tv_sec)).milliseconds
        modified = WallClock(milliseconds: seconds &+ Int64(status.st_mtim.tv_nsec / 1_000_000))
        permissions = status.st_mode & 0o777
        owner = status.st_uid
        names = UInt64(status.st_nlink)
        device = UInt64(status.st_dev)
        number = UInt64(status.st_ino)
        let noted = UInt64(bitPattern: Int64(status.st_ctim.tv_sec)) &* 1_000_000_000 &+ UInt64(status.st_ctim.tv_nsec)
        stamp = [device, number, noted].reduce(0) { ($0 ^ $1) &* Self.spread }
    }

    /// 2^64 divided by the golden ratio: values that are near each other become far apart.
    private static let spread: UInt64 = 0x9e37_79b9_7f4a_7c15

    /// Whether both speak of the same file on the disk.
    func isSame(as other: FileStatus) -> Bool {
        device == other.device && number == other.number
    }

    /// Passes for a regular file only.
    func requireFile() throws(SystemError) {
        switch kind {
        case .file: break
        case .folder: throw .isAFolder
        case .link: throw .notAFolder
        case .special: throw .isSpecial
        }
    }

    /// Passes for a regular file or a folder.
    func requireFileOrFolder() throws(SystemError) {
        if kind != .folder { try requireFile() }
    }
}
