import Foundation
import PeerCore
import PeerRuntime

/// Two configured folders `a` and `b` in a temporary folder of their own, and a folder `outside` that nobody was
/// handed; all removed with this object.
final class Sandbox: Sendable {
    let path: String
    let folders: Folders

    init(below base: String = NSTemporaryDirectory(), other: String? = nil) {
        var template = Array((base + "/peernode-test-XXXXXX").utf8CString)
        precondition(mkdtemp(&template) != nil, "no temporary folder in \(base)")
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for name in ["a", "b", "outside"] { precondition(mkdir(path + "/" + name, 0o755) == 0) }
        folders = Folders([FolderID("a"): path + "/a", FolderID("b"): other ?? path + "/b"])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func run(_ operation: StoreOperation) -> StoreResult { carryOut(operation, in: folders) }

    /// Writes a file directly, with its folders; `place` begins with `a/`, `b/` or `outside/`.
    func put(_ place: String, _ text: String = "") {
        func write() -> Bool {
            let file = open(path + "/" + place, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644)
            defer { close(file) }
            return file >= 0 && Foundation.write(file, text, text.utf8.count) == text.utf8.count
        }
        if write() { return }
        makeFolder((place as NSString).deletingLastPathComponent)
        precondition(write(), "cannot write \(place)")
    }

    func makeFolder(_ place: String) {
        try? FileManager.default.createDirectory(atPath: path + "/" + place, withIntermediateDirectories: true)
    }

    func link(_ place: String, to target: String) {
        precondition(symlink(target, path + "/" + place) == 0)
    }

    /// The content of a file, nil when there is none.
    func content(_ place: String) -> String? {
        FileManager.default.contents(atPath: path + "/" + place).map { String(decoding: $0, as: UTF8.self) }
    }

    /// All names directly in a folder, hidden ones too.
    func names(_ place: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + place)) ?? []).sorted()
    }

    /// Everything in the sandbox: path, kind, and content of files.
    func everything() -> [String] {
        let all = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
        return all.map { "\($0) \(status($0).st_mode & S_IFMT) \(status($0).st_size)" }.sorted()
    }

    func status(_ place: String) -> stat {
        var result = stat()
        lstat(path + "/" + place, &result)
        return result
    }
}

/// `a/sub/x` as the file `sub/x` in folder `a`.
func file(_ place: String) -> FileName {
    let parts = place.split(separator: "/", maxSplits: 1)
    guard let path = RelativePath(String(parts[1]), allowHidden: true) else { preconditionFailure("no path: \(place)") }
    return FileName(FolderID(String(parts[0])), path)
}

func path(_ text: String) -> RelativePath {
    guard let path = RelativePath(text, allowHidden: true) else { preconditionFailure("no path: \(text)") }
    return path
}

func bytes(_ text: String) -> Bytes { Bytes(utf8: text) }

extension StoreResult {
    var paths: [String]? {
        if case .entries(let entries, _, _) = self { entries.map(\.path.description) } else { nil }
    }

    /// The same without the system's own marks, which no test can foresee.
    var withoutStamps: StoreResult {
        guard case .entries(let entries, let more, _) = self else { return self }
        let plain = entries.map {
            FileEntry(path: $0.path, isFolder: $0.isFolder, size: $0.size, modified: $0.modified)
        }
        return .entries(plain, more: more)
    }

    /// The stamp of the one file that was inspected.
    var stamp: UInt64? {
        if case .entries(let entries, _, _) = self { entries.first?.stamp } else { nil }
    }
}
