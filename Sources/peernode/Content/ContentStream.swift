internal import Glibc
internal import PeerCore
internal import PeerRuntime

/// A content that goes to standard output as it comes, in order: what is verified and has no gap before it is read
/// from where the node stores it.
struct ContentStream {
    /// Octets that are copied at once.
    private static let piece = 1 << 20

    private(set) var failure: Failure?
    private var written: UInt64 = 0

    /// Writes what a row says is there; false when it cannot.
    mutating func take(_ row: Record) -> Bool {
        let isComplete = row.string("state") == "complete"
        let ready = (isComplete ? row.int("bytes") : row.int("prefixBytes")).flatMap { UInt64(exactly: $0) } ?? 0
        guard let path = row.string(isComplete ? "path" : "part"), ready > written else { return true }
        guard let file = Self.file(path) else { return fail("\(path.escapedForTerminal) is no path of a file") }
        while written < ready {
            let count = min(Self.piece, Int(ready - written))
            guard
                case .bytes(let octets) = carryOut(.readAt(file.name, offset: written, count: count), in: file.folders),
                octets.count > 0
            else {
                // It has just got its final name: the next row tells it.
                if !isComplete { return true }
                return fail("\(path.escapedForTerminal) cannot be read")
            }
            if let error = writeAll(octets.array, to: STDOUT_FILENO) {
                // Whoever reads has enough.
                return error == .disconnected ? false : fail("standard output: \(error)")
            }
            written += UInt64(octets.count)
        }
        return true
    }

    private mutating func fail(_ why: String) -> Bool {
        failure = Failure(.inputOutput, "content fetch: \(why)")
        return false
    }

    /// An absolute path as a folder and a name in it.
    private static func file(_ path: String) -> (folders: Folders, name: FileName)? {
        let folder = FolderID("content")
        guard let slash = path.lastIndex(of: "/"),
            let name = RelativePath(String(path[path.index(after: slash)...]), allowHidden: true)
        else { return nil }
        return (Folders([folder: String(path[...slash])]), FileName(folder, name))
    }
}
