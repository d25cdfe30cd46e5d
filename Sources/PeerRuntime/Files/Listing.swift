internal import Glibc
internal import PeerCore

/// A file or folder in a listing.
struct ListedFile {
    /// Its name.
    let name: String
    /// What the system said about it: a file or a folder.
    let status: FileStatus
}

/// A part of what is in a folder, in the order of the octets of the names.
struct Listing {
    /// Files and folders.
    let files: [ListedFile]
    /// After which name to go on; nil when this was all.
    let next: String?
}

extension Descriptor {
    /// At most `limit` files and folders of this folder, those after `last`. Left out: hidden names, names that are
    /// not UTF-8, links and special files. Memory is bounded by `limit`, whatever the folder holds.
    func list(after last: String?, limit: Int, withHidden: Bool = false) throws(SystemError) -> Listing {
        var first = FirstNames(limit: limit)
        try forEachName { name in
            guard withHidden || !name.utf8.starts(with: [UInt8(ascii: ".")]), name != ".", name != ".." else { return }
            if let last, !last.precedes(name) { return }
            first.insert(name)
        }
        let names = first.sorted()
        var files: [ListedFile] = []
        for name in names {
            // What is gone by now is left out.
            guard let status = try statusIfAny(of: name), status.kind == .file || status.kind == .folder else {
                continue
            }
            files.append(ListedFile(name: name, status: status))
        }
        return Listing(files: files, next: first.isCut ? names.last : nil)
    }

    /// The names in this folder that are UTF-8, in no order, without those known to be links or special files.
    func forEachName(_ body: (String) -> Void) throws(SystemError) {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        let copy = try attempt { unsafe openat(number, ".", flags) }
        guard let stream = unsafe fdopendir(copy) else {
            let code = errno
            close(copy)
            throw SystemError(code: code)
        }
        defer { unsafe closedir(stream) }
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            // File systems that do not tell the kind are asked later.
            let kinds = [DT_REG, DT_DIR, DT_UNKNOWN]
            guard unsafe kinds.contains(Int(entry.pointee.d_type)) else { continue }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { octets in
                unsafe String(validating: octets.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let name { body(name) }
        }
        if errno != 0 { throw SystemError(code: errno) }
    }
}

/// The first names of many, in the order of their octets.
private struct FirstNames {
    private let limit: Int
    private var names: [String] = []
    private var ceiling: String?
    /// Whether there were more.
    private(set) var isCut = false

    init(limit: Int) {
        self.limit = limit
    }

    mutating func insert(_ name: String) {
        if let ceiling, !name.precedes(ceiling) {
            isCut = true
            return
        }
        names.append(name)
        // Twice the limit, so that the cost of sorting is shared by as many names as stay.
        if names.count >= 2 * limit { cut() }
    }

    mutating func sorted() -> [String] {
        cut()
        return names
    }

    private mutating func cut() {
        names.sort { $0.precedes($1) }
        guard names.count > limit else { return }
        names.removeLast(names.count - limit)
        ceiling = names.last
        isCut = true
    }
}

extension String {
    /// The order of the octets, which is that of `RelativePath`.
    func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
