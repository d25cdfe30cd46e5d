/// By what the content of a file is known to be the same as before.
public struct FileMark: Hashable, Sendable {
    /// Octets.
    public let size: UInt64
    /// Time of last change.
    public let modified: WallClock
    /// See `FileEntry.stamp`.
    public let stamp: UInt64

    /// A mark.
    public init(size: UInt64, modified: WallClock, stamp: UInt64) {
        self.size = size
        self.modified = modified
        self.stamp = stamp
    }
}

/// What a core wants to know of one file.
public struct FileQuestion: Hashable, Sendable {
    /// The file.
    public let file: FileName
    /// What is known of it: as long as that holds, it is not read.
    public let known: FileMark?

    /// A question.
    public init(_ file: FileName, known: FileMark? = nil) {
        self.file = file
        self.known = known
    }
}

/// The answer to one question about a file.
public enum Finding: Hashable, Sendable {
    /// It is as it was known.
    case unchanged
    /// Its entry and its digest, which belong together: it was looked at before and after it was read.
    case file(FileEntry, digest: Bytes)
    /// It was changed while it was read, or may still be.
    case unsteady
    /// It is a folder.
    case folder(FileEntry)
    /// Nothing is there, or only a link or special file.
    case missing
    /// It cannot be read.
    case failed(SystemError)
}

/// When finished files are on the disk for certain.
public enum Durability: String, Hashable, Sendable, CaseIterable {
    /// Each before it gets its name.
    case full
    /// All of a batch before the first gets its name.
    case batch
    /// When the system likes.
    case off
}

/// A finished file that gets its place.
///
/// Whatever is at that place and is not what the core knows of is left alone (`.exists`): nobody's change is lost.
public struct Installation: Hashable, Sendable {
    /// Where its content is.
    public enum Source: Hashable, Sendable {
        /// Here.
        case bytes(Bytes)
        /// In a file of the same folder, which becomes this one.
        case file(RelativePath)
        /// In a file of the same folder, which stays; what is expected of it.
        case copy(of: RelativePath, FileMark)
        /// There already: only time and permission are set.
        case present
        /// Nowhere: what is there goes aside, and that is all. A folder is removed when it is empty.
        case nothing
    }

    /// Its place.
    public let file: FileName
    /// Where its content is.
    public let source: Source
    /// Time of last change that it gets.
    public let modified: WallClock
    /// Whether its owner may run it.
    public let isExecutable: Bool
    /// What is at its place now; nil: nothing.
    public let expected: FileMark?
    /// Where that goes, never over a file; nil: it is removed.
    public let aside: RelativePath?

    /// A file to install.
    public init(
        _ file: FileName, from source: Source, modified: WallClock, isExecutable: Bool = false,
        expected: FileMark? = nil, aside: RelativePath? = nil
    ) {
        self.file = file
        self.source = source
        self.modified = modified
        self.isExecutable = isExecutable
        self.expected = expected
        self.aside = aside
    }
}
