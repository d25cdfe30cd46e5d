internal import PeerCore
internal import PeerCrypto

// What is done to many files at once.
extension Folder {
    func makeFolder(at path: RelativePath) throws(SystemError) {
        if let there = entries[path] {
            guard there.kind == .folder else { throw .exists }
            return
        }
        // Whatever lies below it makes it.
        guard let below = RelativePath(components: path.components + ["x"], allowHidden: true) else { return }
        try makeParents(of: below)
    }

    func examine(_ question: FileQuestion, _ algorithm: DigestAlgorithm) -> Finding {
        do throws(SystemError) {
            let found = fileEntry(question.file.path, try entry(question.file.path))
            if found.isFolder { return .folder(found) }
            if found.mark == question.known { return .unchanged }
            let octets = Bytes(try octets(question.file.path))
            return .file(found, digest: PeerCrypto.digest(octets, algorithm))
        } catch .notFound {
            return .missing
        } catch .notAFolder {
            return .missing
        } catch {
            return .failed(error)
        }
    }

    func install(_ installation: Installation) throws(SystemError) -> FileEntry {
        let path = installation.file.path
        try checkExpected(installation)
        switch installation.source {
        case .bytes(let bytes):
            try putAside(installation)
            try write(bytes, to: path, at: 0)
        case .file(let source):
            _ = try octets(source)
            try putAside(installation)
            try Folder.move(source, in: self, to: path, in: self, replacing: true)
        case .copy(let source, let mark):
            guard fileEntry(source, try entry(source)).mark == mark else { throw .notFound }
            let octets = Bytes(try octets(source))
            try putAside(installation)
            try write(octets, to: path, at: 0)
        case .present: break
        case .nothing:
            guard let there = entries[path] else { throw .notFound }
            let entry = fileEntry(path, there)
            if there.kind == .folder {
                guard !entries.keys.contains(where: { isBelow($0, path) }) else { throw .other("ENOTEMPTY") }
                drop(path)
            } else {
                try putAside(installation)
            }
            return entry
        }
        setExecutable(path, installation.isExecutable)
        try setModified(path, installation.modified)
        return fileEntry(path, try entry(path))
    }

    private func isBelow(_ path: RelativePath, _ folder: RelativePath) -> Bool {
        path.components.count > folder.components.count && path.components.starts(with: folder.components)
    }

    private func checkExpected(_ installation: Installation) throws(SystemError) {
        guard let there = entries[installation.file.path] else {
            guard installation.expected == nil else { throw .notFound }
            return
        }
        if case .nothing = installation.source, there.kind == .folder { return }
        guard there.kind == .file, let expected = installation.expected,
            fileEntry(installation.file.path, there).mark == expected
        else { throw .exists }
    }

    /// Frees the place of the file.
    private func putAside(_ installation: Installation) throws(SystemError) {
        let path = installation.file.path
        guard entries[path] != nil else { return }
        guard let aside = installation.aside else {
            drop(path)
            return
        }
        try Folder.move(path, in: self, to: aside, in: self, replacing: false)
    }
}
