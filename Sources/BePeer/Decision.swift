internal import PeerCore

/// What to do about a file that a peer has told of (BePeer sections 4.1 to 4.4).
enum Decision: Equatable {
    /// We have it in that version already.
    case same
    /// We have that content, by other changes: those of both count.
    case merge
    /// We have that content; its time and permission are to be as the peer has them.
    case touch
    /// Ours is the better one: the peer is to hear of it. `merging`: its changes count as seen. Where its content has
    /// lost against ours they do not yet, else it would not notice that its own has to stay beside ours.
    case behind(merging: Bool)
    /// Ours has won against that of a peer that tells no versions, and keeps nothing beside its files: we do.
    case beside
    /// It is to be fetched. `keepsLoser`: our content stays beside it.
    case fetch(keepsLoser: Bool)
    /// It is to be deleted.
    case delete
    /// It was deleted before we had it.
    case note
    /// A folder is to be made.
    case makeFolder

    /// For a peer that tells versions.
    init(local: FileRecord?, remote: RemoteFile) {
        guard let local else {
            self = remote.isDeleted ? .note : remote.isFolder ? .makeFolder : .fetch(keepsLoser: false)
            return
        }
        let order = local.version.compared(to: remote.version)
        if local.isDiverged {
            self = Self.diverged(local, remote, order)
        } else if local.isDeleted, remote.isDeleted {
            self = order == .equal || order == .newer ? .same : .merge
        } else if local.isFile, !remote.isDeleted, !remote.isFolder, local.hash == remote.hash {
            let isOther = local.modified != remote.modified || local.isExecutable != remote.isExecutable
            self = order == .equal || order == .newer ? .same : order == .older && isOther ? .touch : .merge
        } else if local.isFolder, !local.isDeleted, remote.isFolder, !remote.isDeleted {
            self = order == .equal || order == .newer ? .same : .merge
        } else {
            self = Self.different(local, remote, order)
        }
    }

    private static func different(
        _ local: FileRecord, _ remote: RemoteFile, _ order: VersionVector.Order
    ) -> Decision {
        switch order {
        case .newer: return .behind(merging: true)
        case .older:
            if remote.isDeleted { return .delete }
            return remote.isFolder ? .makeFolder : .fetch(keepsLoser: false)
        case .equal, .concurrent:
            // An edit wins over a delete, and a file over a folder.
            if remote.isDeleted { return .behind(merging: true) }
            if local.isDeleted { return remote.isFolder ? .makeFolder : .fetch(keepsLoser: false) }
            if remote.isFolder || local.isFolder {
                return remote.isFolder ? .behind(merging: true) : .fetch(keepsLoser: false)
            }
            let winner = Conflict.winner(
                local: (local.modified.milliseconds, Bytes(local.hash.array)),
                remote: (remote.modified.milliseconds, Bytes((remote.hash ?? .zero).array)))
            return winner == .local ? .behind(merging: false) : .fetch(keepsLoser: !Conflict.isCopy(local.path))
        }
    }

    /// Changes made here in a folder that only receives: they stay until the peer has something new, then beside it.
    private static func diverged(
        _ local: FileRecord, _ remote: RemoteFile, _ order: VersionVector.Order
    ) -> Decision {
        if local.isFile, !remote.isDeleted, local.hash == remote.hash { return .merge }
        guard order == .older || order == .concurrent else { return .behind(merging: false) }
        if remote.isDeleted { return local.isDeleted ? .merge : .behind(merging: false) }
        return remote.isFolder ? .makeFolder : .fetch(keepsLoser: local.isFile)
    }

    /// For a peer that tells none: `agreed` is the content that was agreed on with it last.
    init(local: FileRecord?, hash: Bytes32, modified: WallClock, agreed: Bytes32?) {
        guard let local, local.isFile else {
            // A deleted file does not come back by an offer of what was deleted.
            self = local?.isDeleted == true && local?.hash == hash ? .same : .fetch(keepsLoser: false)
            return
        }
        if local.hash == hash {
            self = .same
        } else if agreed == local.hash, !local.isDiverged {
            self = .fetch(keepsLoser: false)
        } else if agreed == hash {
            // It still offers what we have changed since.
            self = .behind(merging: false)
        } else {
            // It is told of our times in whole seconds too: only by these do both sides find the same winner.
            let winner = Conflict.winner(
                local: (local.modified.seconds, Bytes(local.hash.array)),
                remote: (modified.seconds, Bytes(hash.array)))
            let isCopy = Conflict.isCopy(local.path)
            self =
                winner == .remote || local.isDiverged
                ? .fetch(keepsLoser: !isCopy) : isCopy ? .behind(merging: false) : .beside
        }
    }
}
