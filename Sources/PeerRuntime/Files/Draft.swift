internal import Glibc
public import PeerCore

/// New files get their name only when they are complete and on the disk.
extension Descriptor {
    /// The hidden name of a file that is being written; what a crash leaves behind is known by it.
    static func draftName() -> String {
        let number = String(UInt64.random(in: .min ... .max), radix: 16)
        return ".peernode-" + String(repeating: "0", count: 16 - number.count) + number + ".tmp"
    }

    /// Whether `name` was given by `draftName`.
    static func isDraftName(_ name: String) -> Bool {
        name.utf8.count == 30 && name.hasPrefix(".peernode-") && name.hasSuffix(".tmp")
            && name.dropFirst(10).dropLast(4).allSatisfy(\.isHexDigit)
    }

    /// Writes a file beside its place by `fill`, syncs it, and gives it the name `name` in this folder: over a
    /// regular file when `replacing`, else over nothing. Until then only the owner may use it. When anything fails,
    /// what was there is untouched.
    func makeFile(
        _ name: String, permissions: mode_t, replacing: Bool,
        _ fill: (borrowing Descriptor) throws(SystemError) -> Void
    ) throws(SystemError) {
        let draft = Self.draftName()
        let file = try openFile(draft, .makePrivate)
        do throws(SystemError) {
            try fill(file)
            try file.publish(permissions)
            try rename(draft, to: self, name, replacing: replacing)
        } catch {
            // The first error counts; a draft that cannot be removed is found by its name at the next start.
            try? remove(draft)
            throw error
        }
    }

    /// Ends the privacy of a new file and syncs it.
    func publish(_ permissions: mode_t) throws(SystemError) {
        try setPermissions(permissions)
        try sync()
    }

    /// The permissions that a file called `name` gets: those of the file whose place it takes, or of any new file.
    func permissions(for name: String) throws(SystemError) -> mode_t {
        try statusIfAny(of: name)?.permissions ?? Self.standardPermissions
    }
}

extension Descriptor {
    /// The permissions of a new file: for all to read and write but for what the process's mask takes away.
    static let standardPermissions: mode_t = {
        // The mask can only be read by setting it; for that moment to the strictest, in case another thread makes a
        // file.
        let mask = umask(0o077)
        umask(mask)
        return 0o666 & ~mask
    }()
}

extension Folders {
    /// Removes what a crash left of files that were being written, when it was last changed before `time`: nothing
    /// that another process is writing now. How many there were. It walks all folders: once, at the start.
    public func removeDrafts(changedBefore time: WallClock) throws(SystemError) -> Int {
        var count = 0
        for folder in names {
            var walk = Walk(folder, in: self, hidden: .shown(butNot: "/"))
            while let entry = try walk.next() {
                guard !entry.isFolder, entry.modified < time, Descriptor.isDraftName(entry.path.name) else { continue }
                try openFolder(of: FileName(folder, entry.path)).remove(entry.path.name)
                count += 1
            }
        }
        return count
    }
}
