import Foundation

/// The checkout that this file is part of.
struct SourceTree {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// One file of Swift source.
    struct Source {
        /// Path below the root, such as `Sources/DDRP/Envelope.swift`.
        let path: String
        let lines: [String]

        /// The target that the file belongs to.
        var target: String { String(path.split(separator: "/")[1]) }

        /// Lines without comments and the content of string literals, so that rules see code only.
        var code: [String] {
            lines.map { line in
                guard !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") else { return "" }
                return line.replacing(/"(?:[^"\\]|\\.)*"/, with: "\"\"").replacing(/\/\/.*$/, with: "")
            }
        }
    }

    /// All Swift files below `folder`, in order.
    func sources(_ folder: String) -> [Source] {
        files(folder).filter { $0.hasSuffix(".swift") }.map { path in
            Source(path: path, lines: text(path).components(separatedBy: "\n"))
        }
    }

    /// All files below `folder`, hidden ones left out.
    func files(_ folder: String) -> [String] {
        let base = root.appendingPathComponent(folder)
        let found = FileManager.default.enumerator(atPath: base.path)?.compactMap { $0 as? String } ?? []
        return found.filter { name in
            let path = base.appendingPathComponent(name).path
            let type = try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
            return type == .typeRegular && !name.contains("__pycache__")
        }.map { "\(folder)/\($0)" }.sorted()
    }

    func text(_ path: String) -> String {
        (try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)) ?? ""
    }
}

/// A place that breaks a rule, as the test prints it.
func place(_ source: SourceTree.Source, _ index: Int, _ what: String) -> String {
    "\(source.path):\(index + 1): \(what)"
}
