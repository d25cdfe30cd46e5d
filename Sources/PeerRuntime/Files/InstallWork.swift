internal import Glibc
internal import PeerCore

/// A file that is complete beside its place.
private struct Prepared {
    /// Where it is; nil when nothing is to be moved.
    let name: String?
    /// The folder in which it is.
    let place: RelativePath?
}

extension Folders {
    /// Gives finished files their places: first all are made complete, then all are on the disk, then all get their
    /// names.
    func install(
        _ installations: [Installation], staging: RelativePath, _ durability: Durability, marker: RelativePath? = nil
    ) throws(SystemError) -> [Result<FileEntry, SystemError>] {
        try checkMarker(marker, of: installations)
        var prepared: [Result<Prepared, SystemError>] = []
        for installation in installations {
            prepared.append(
                Result { () throws(SystemError) in try prepare(installation, staging, durability) })
        }
        if durability == .batch, let folder = installations.first?.file.folder {
            do throws(SystemError) {
                // A descriptor that only names the folder cannot be synced.
                let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
                let root = try open(folder)
                try Descriptor(owning: try attempt { [number = root.number] in unsafe openat(number, ".", flags) })
                    .syncFileSystem()
            } catch {
                return installations.map { _ in .failure(error) }
            }
        }
        try checkMarker(marker, of: installations)
        let results = zip(installations, prepared).map { installation, prepared in
            Result { () throws(SystemError) in try place(installation, try prepared.get(), staging) }
        }
        if durability != .off {
            let files = zip(installations, results).compactMap { (try? $1.get()) == nil ? nil : $0.file }
            // The files are there; what cannot be said of their names is said at the next sync.
            try? syncFolders(of: files)
        }
        return results
    }

    private func checkMarker(_ marker: RelativePath?, of installations: [Installation]) throws(SystemError) {
        guard let marker, let folder = installations.first?.file.folder else { return }
        guard try openFolder(of: FileName(folder, marker)).statusIfAny(of: marker.name) != nil else { throw .notFound }
    }

    private func prepare(
        _ installation: Installation, _ staging: RelativePath, _ durability: Durability
    ) throws(SystemError) -> Prepared {
        switch installation.source {
        case .bytes(let octets):
            return try prepare(installation, staging, durability) { (file) throws(SystemError) in
                try file.write(octets, at: 0)
            }
        case .copy(let source, let mark):
            let original = try openFile(FileName(installation.file.folder, source), .read)
            guard FileEntry(path: source, try original.status()).mark == mark else { throw .notFound }
            return try prepare(installation, staging, durability) { (file) throws(SystemError) in
                try original.copy(mark.size, from: 0, to: file, at: 0)
            }
        case .file(let source):
            let folder = try open(installation.file.folder, source.parent)
            let file = try folder.openFile(source.name, .write)
            try finish(file, installation, durability)
            return Prepared(name: source.name, place: source.parent)
        case .present, .nothing: return Prepared(name: nil, place: nil)
        }
    }

    private func prepare(
        _ installation: Installation, _ staging: RelativePath, _ durability: Durability,
        _ fill: (borrowing Descriptor) throws(SystemError) -> Void
    ) throws(SystemError) -> Prepared {
        let folder = try open(installation.file.folder, staging, making: true)
        let name = Descriptor.draftName()
        let file = try folder.openFile(name, .makePrivate)
        do throws(SystemError) {
            try fill(file)
            try finish(file, installation, durability)
        } catch {
            try? folder.remove(name)
            throw error
        }
        return Prepared(name: name, place: staging)
    }

    private func finish(
        _ file: borrowing Descriptor, _ installation: Installation, _ durability: Durability
    ) throws(SystemError) {
        let old = try? openFolder(of: installation.file).statusIfAny(of: installation.file.path.name)
        try file.setPermissions(permissions(old?.permissions, installation.isExecutable))
        try file.setModified(installation.modified)
        if durability == .full { try file.sync() }
    }

    /// Who may read it may run it, or nobody may.
    private func permissions(_ old: mode_t?, _ isExecutable: Bool) -> mode_t {
        let plain = (old ?? Descriptor.standardPermissions) & 0o666
        return isExecutable ? plain | (plain & 0o444) >> 2 : plain
    }

    private func place(
        _ installation: Installation, _ prepared: Prepared, _ staging: RelativePath
    ) throws(SystemError) -> FileEntry {
        let (file, name) = (installation.file, installation.file.path.name)
        let isPlacing = prepared.name != nil
        do throws(SystemError) {
            let folder = try openFolder(of: file, making: isPlacing)
            let found = try folder.statusIfAny(of: name)
            if case .nothing = installation.source, let found, found.kind == .folder {
                try folder.removeFolder(name)
                return FileEntry(path: file.path, found)
            }
            try check(found, installation)
            if case .present = installation.source {
                try folder.openFile(name, .write).setPermissions(
                    permissions(found?.permissions, installation.isExecutable))
                try folder.setModified(name, installation.modified)
            } else {
                if found != nil { try putAside(name, in: folder, installation) }
                if let source = prepared.name {
                    let from = try open(file.folder, prepared.place)
                    try from.rename(source, to: folder, name, replacing: installation.aside == nil && found != nil)
                }
            }
            if case .nothing = installation.source, let found { return FileEntry(path: file.path, found) }
            return FileEntry(path: file.path, try folder.status(of: name))
        } catch {
            // A draft is nobody's; a part file is kept, for whoever made it.
            if case .file = installation.source { throw error }
            if let draft = prepared.name { try? open(file.folder, prepared.place).remove(draft) }
            throw error
        }
    }

    private func check(_ found: FileStatus?, _ installation: Installation) throws(SystemError) {
        guard let found else {
            guard installation.expected == nil else { throw .notFound }
            return
        }
        guard found.kind == .file, let expected = installation.expected,
            FileEntry(path: installation.file.path, found).mark == expected
        else { throw .exists }
    }

    /// Frees a place, unless a rename will do it.
    private func putAside(
        _ name: String, in folder: borrowing Descriptor, _ installation: Installation
    ) throws(SystemError) {
        if let aside = installation.aside {
            let target = try open(installation.file.folder, aside.parent, making: true)
            try folder.rename(name, to: target, aside.name, replacing: false)
        } else if case .nothing = installation.source {
            try folder.remove(name)
        }
    }
}
