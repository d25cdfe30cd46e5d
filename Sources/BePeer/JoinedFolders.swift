internal import PeerCore

// Folders that the operator joined by a command: they are kept as rows, beside those of the configuration.
extension BePeer {
    /// Takes in the folders of an earlier life, opens all, and asks for what is known of them.
    mutating func recalledFolders(_ rows: [Row], more: Bool, into effects: inout Effects) {
        for row in rows where folder(named: row.key) == nil {
            guard let path = row.record.string("path") else { continue }
            let peers = (row.record.string("peer") ?? "").split(separator: " ")
            let settings = FolderSettings(
                name: row.key, path: path, peers: peers.compactMap { Self.destination(String($0)) })
            folders.append(SharedFolder(settings, isJoined: true))
        }
        if more, let last = rows.last {
            return effects.append(.recall(table: Rows.folders, after: last.key, limit: Rows.page))
        }
        for folder in folders { effects.append(.open(folder.id, at: folder.settings.path)) }
        for table in [Rows.peers, Rows.files, Rows.agreed] {
            effects.append(.recall(table: table, after: nil, limit: Rows.page))
        }
    }

    /// A new folder, or words for the operator why it cannot be one.
    mutating func addFolder(
        _ name: String, at path: String, from destination: Destination, at now: Moment, into effects: inout Effects
    ) -> Result<Int, Refusal> {
        guard ShareName.isValid(name) else {
            return .failure(Refusal("\"\(name)\" is no name of a folder: no slash, not .bepeer…"))
        }
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            return .failure(Refusal("the place of \(name) is to be an absolute path"))
        }
        if let other = folders.first(where: { !$0.isLeft && $0.settings.path == path }) {
            return .failure(Refusal("\(path) is the place of \(other.name) already"))
        }
        let settings = FolderSettings(name: name, path: path, peers: [destination])
        let folder: Int
        if let left = folders.firstIndex(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
            // What is known of its files belongs to its old place.
            guard folders[left].settings.path == path else {
                return .failure(Refusal("\(name) was at \(folders[left].settings.path); restart the node to move it"))
            }
            folders[left].settings = settings
            folders[left].isLeft = false
            folders[left].phase = .opening
            folder = left
        } else {
            folders.append(SharedFolder(settings, isJoined: true))
            folder = folders.count - 1
        }
        effects.append(
            .remember(
                table: Rows.folders, key: name, ["path": .string(path), "peer": .string(destination.description)]))
        effects.append(.open(folders[folder].id, at: path))
        effects.log(.info, "folder_added", ["folder": .string(name), "path": .string(path)])
        open(folder, at: now, into: &effects)
        return .success(folder)
    }

    /// Why something that the operator wants is not done.
    struct Refusal: Error {
        let why: String

        init(_ why: String) {
            self.why = why
        }
    }

    /// Equal no longer; the files stay, and so does what is known of them, for the case that it is joined again.
    mutating func leave(_ folder: Int, into effects: inout Effects) {
        let shared = folders[folder]
        effects.append(.forget(table: Rows.folders, key: shared.name))
        _ = effects.store(.unwatch(shared.id))
        folders[folder].isLeft = true
        folders[folder].phase = .stopped("left")
        timers.cancel(.rescan(folder))
        for index in shared.joins.indices { timers.cancel(.join(folder, index)) }
        effects.log(.info, "folder_left", ["folder": .string(shared.name), "path": .string(shared.settings.path)])
    }
}
