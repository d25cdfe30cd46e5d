/// Work on the files of a folder that the configuration handed to a core. Carried out off the loop.
public enum StoreOperation: Hashable, Sendable {
    /// Lists files and folders below `under` (nil: the whole folder) in order of their paths, `limit` at most, those
    /// after `after`. Links and special files are left out. Answer: `.entries`.
    /// Not `deep`: only what lies in that folder itself; what is below is not even looked into.
    case scan(
        FolderID, under: RelativePath?, after: RelativePath?, limit: Int, deep: Bool = true,
        hidden: HiddenNames = .leftOut)
    /// From now on `changed` tells what changes in the folder. Answer: `.done`.
    case watch(FolderID, hidden: HiddenNames = .leftOut)
    /// No more of that, and no lock in this folder any more. Answer: `.done`.
    case unwatch(FolderID)
    /// Size, time and kind of one file. Answer: `.entries` with one.
    case inspect(FileName)
    /// At most `count` octets from `offset`; fewer at the end of the file. Answer: `.bytes`.
    case readAt(FileName, offset: UInt64, count: Int)
    /// Writes pieces, making the file and its folders when they are missing. Answer: `.done`.
    case write(FileName, [FilePiece])
    /// Reserves space so that later writes cannot fail for want of it; the file grows to `size`. Answer: `.done`.
    case allocate(FileName, size: UInt64)
    /// Cuts or extends the file. Answer: `.done`.
    case truncate(FileName, size: UInt64)
    /// Replaces the whole file at once: temporary file, fsync, rename, fsync of the folder. Answer: `.done`.
    case save(FileName, Bytes)
    /// Gives a file another name in its folder; fails with `.exists` unless `replacing`. Answer: `.done`.
    case rename(FileName, to: RelativePath, replacing: Bool)
    /// Copies `count` octets between files, within the file system where it can. Answer: `.done`.
    case copyRange(FileName, offset: UInt64, count: UInt64, to: FileName, at: UInt64)
    /// Moves a file to another folder, by copying when that is another file system; never over a file. Answer: `.done`.
    case move(FileName, to: FileName)
    /// Removes a file, or a folder that is empty. Answer: `.done`.
    case remove(FileName)
    /// Sets the time of last change. Answer: `.done`.
    case setTimes(FileName, modified: WallClock)
    /// Makes sure that the files are on the disk. Answer: `.done`.
    case sync([FileName])
    /// Makes an empty folder, and those on the way to it; one that is there is as good. Answer: `.done`.
    case makeFolder(FileName)
    /// Keeps other processes from the folder in which this file is, for as long as ours lives; the file is made when
    /// it is missing. `.exists` when another one has it. Answer: `.done`.
    case lock(FileName)
    /// Looks at files and hashes those that are not as they were known. Answer: `.examined`, in the same order.
    case examine([FileQuestion], DigestAlgorithm)
    /// Gives finished files their places, as one batch. Answer: `.installed`, in the same order.
    /// Until then they lie in the folder `staging`, which is made when it is missing. While the file `marker` is
    /// missing, nothing is done (`.notFound`): the disk of the folder is not there.
    case install([Installation], staging: RelativePath, Durability, marker: RelativePath? = nil)
    /// Octets that may still be written. Answer: `.space`.
    case freeSpace(FolderID)
    /// Hashes bytes or blocks of a file, in jobs of at most 4 MiB, so that nothing else starves. Answer: `.digests`.
    case digest(DigestSource, DigestAlgorithm, key: Bytes?)
}

extension StoreOperation {
    /// Writes one piece, at `offset`.
    public static func writeAt(_ file: FileName, offset: UInt64, _ octets: Bytes) -> StoreOperation {
        .write(file, [FilePiece(at: offset, octets)])
    }
}

/// What a scan or watch does with names that begin with a dot, and with what is below them.
public enum HiddenNames: Hashable, Sendable {
    /// They are as if they were not there.
    case leftOut
    /// They are like others, but for what has this name at the top of the folder.
    case shown(butNot: String)

    /// Whether a path, told by its components below the folder, is left out.
    public func leavesOut(_ components: some Sequence<String>) -> Bool {
        switch self {
        case .leftOut: components.contains { $0.utf8.first == UInt8(ascii: ".") }
        case .shown(let name): components.first { _ in true }.map { $0.utf8.elementsEqual(name.utf8) } ?? false
        }
    }
}

/// Octets that have a place in a file.
public struct FilePiece: Hashable, Sendable {
    /// Where they begin.
    public let offset: UInt64
    /// The octets.
    public let octets: Bytes

    /// `octets` at `offset`.
    public init(at offset: UInt64, _ octets: Bytes) {
        self.offset = offset
        self.octets = octets
    }
}

/// What to hash.
public enum DigestSource: Hashable, Sendable {
    /// These octets: one digest.
    case bytes(Bytes)
    /// A digest for each of these.
    case each([Bytes])
    /// `count` octets of a file from `offset`, a digest for each `block` octets (the last may be shorter).
    case blocks(FileName, offset: UInt64, count: UInt64, block: UInt64)
    /// A digest for each piece of a file that begins at one of these offsets, in their order, and has `count` octets;
    /// a piece that the end of the file cuts is shorter.
    case pieces(FileName, at: [UInt64], count: UInt64)
}

/// A hash function; with a key it is HMAC, or BLAKE2b's own keyed form.
public enum DigestAlgorithm: String, Hashable, Sendable, CaseIterable {
    /// 20 octets (libcrypto).
    case sha1
    /// 32 octets (libcrypto).
    case sha256
    /// 32 octets (libsodium).
    case blake2b256

    /// Octets of a digest.
    public var octets: Int { self == .sha1 ? 20 : 32 }
}

/// A file or folder that a scan found.
public struct FileEntry: Hashable, Sendable {
    /// Its place.
    public let path: RelativePath
    /// Whether it is a folder.
    public let isFolder: Bool
    /// Octets; 0 for a folder.
    public let size: UInt64
    /// Time of last change.
    public let modified: WallClock
    /// Another one whenever the place holds another file, or its content or times were set: made of the file's number
    /// and what the system itself notes of changes. Equal size, time and stamp: the same octets as before.
    public let stamp: UInt64
    /// Whether its owner may run it.
    public let isExecutable: Bool

    /// An entry.
    public init(
        path: RelativePath, isFolder: Bool, size: UInt64, modified: WallClock, stamp: UInt64 = 0,
        isExecutable: Bool = false
    ) {
        self.path = path
        self.isFolder = isFolder
        self.size = size
        self.modified = modified
        self.stamp = stamp
        self.isExecutable = isExecutable
    }

    /// By what it is known again.
    public var mark: FileMark { FileMark(size: size, modified: modified, stamp: stamp) }
}

/// A name that a scan met and left out.
public struct LeftOut: Hashable, Sendable {
    /// Why a name is left out.
    public enum Reason: String, Hashable, Sendable, CaseIterable {
        /// It begins with a dot.
        case hidden
        /// It is a symbolic link.
        case link
        /// It is a FIFO, socket or device.
        case special
        /// It is a folder that may not be read: what is in it is neither there nor gone.
        case unreadable
        /// It is not UTF-8.
        case notText = "not_utf8"
    }

    /// Its place below the folder; what is not UTF-8 is repaired.
    public let name: String
    /// Why it is left out.
    public let why: Reason

    /// A name.
    public init(_ name: String, _ why: Reason) {
        self.name = name
        self.why = why
    }
}

/// The answer to a store operation.
public enum StoreResult: Hashable, Sendable {
    /// Carried out.
    case done
    /// Files and folders; `more` when the limit cut the list. What a scan met and left out is named, some hundred at
    /// most.
    case entries([FileEntry], more: Bool, leftOut: [LeftOut] = [])
    /// Octets of a file.
    case bytes(Bytes)
    /// Octets that may still be written.
    case space(UInt64)
    /// A digest for each block.
    case digests([Bytes])
    /// What was found for each question.
    case examined([Finding])
    /// What became of each file.
    case installed([Result<FileEntry, SystemError>])
    /// Not carried out.
    case failed(SystemError)
}

/// How the octets of a connection become a file.
public struct FileReception: Hashable, Sendable {
    /// How many octets belong to the file.
    public enum Length: Hashable, Sendable {
        /// This many, from the connection.
        case exactly(UInt64)
        /// All until the other side ends; above the limit it fails.
        case toEnd(limit: UInt64)
    }

    /// The name that the complete file gets.
    public let file: FileName
    /// Where the octets go until then; never another file's place. Hidden names are allowed.
    public let part: RelativePath
    /// Go on at the end of the part file instead of beginning anew; the digest covers what was there.
    public let appends: Bool
    /// Octets that the core has received already and that belong to the file.
    public let first: Bytes
    /// How much is to come after `first`.
    public let length: Length
    /// The digest to compute on the way; nil for none.
    public let digest: DigestAlgorithm?
    /// Whether the complete file may take the place of another.
    public let replacing: Bool
    /// Whether the part file stays when the transfer fails.
    public let keepsPart: Bool

    /// A reception.
    public init(
        file: FileName, part: RelativePath, appends: Bool = false, first: Bytes = Bytes(), length: Length,
        digest: DigestAlgorithm? = nil, replacing: Bool = false, keepsPart: Bool = false
    ) {
        self.file = file
        self.part = part
        self.appends = appends
        self.first = first
        self.length = length
        self.digest = digest
        self.replacing = replacing
        self.keepsPart = keepsPart
    }
}

/// How a transfer between a file and a connection ended.
public enum TransferResult: Hashable, Sendable {
    /// All octets of `sendFile` are with the system.
    case sent(octets: UInt64)
    /// The file has its name; `octets` of it came over this connection.
    case received(octets: UInt64, digest: Bytes?)
    /// It failed; `octets` were moved.
    case failed(SystemError, octets: UInt64)
}
