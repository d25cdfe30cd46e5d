internal import PeerCore
internal import PeerCrypto

/// One computer: what outlives the process of its node, and what its system does by itself.
final class Machine {
    struct Ban {
        let prefix: IPPrefix
        let until: WallClock
    }

    let id: NodeID
    let world: World
    var addresses: [IPAddress]
    let blueprints: [CoreBlueprint]
    /// Nanoseconds by which the wall clock is ahead of true time.
    var clockAhead: Int64 = 0
    var isOn = true
    /// Its addresses were changed: connections may be stranded.
    var hasMoved = false
    var process: Process?
    var rows = RowStore()
    var bans: [Ban] = []
    var folders: [FolderID: Folder] = [:]
    /// Folders by the path at which a core has opened them: two names of one path are one folder.
    private var places: [String: Folder] = [:]
    var sockets: Sockets
    /// What the node itself answers to `ask`.
    var answer: ((Command) -> Reply)?
    /// When all that was sent before has left, where bandwidth is limited.
    var uplinkIsFree = Instant(nanoseconds: 0)
    private var starts = 0

    init(_ id: NodeID, _ world: World, _ addresses: [IPAddress], _ blueprints: [CoreBlueprint]) {
        self.id = id
        self.world = world
        self.addresses = addresses
        self.blueprints = blueprints
        sockets = Sockets(firstPort: UInt16.random(in: Sockets.ephemeralPorts, using: &world.random))
    }

    var wallClock: WallClock {
        let ahead = world.now.nanoseconds &+ clockAhead
        return WallClock(milliseconds: World.epoch.milliseconds &+ ahead / 1_000_000)
    }

    var moment: Moment { Moment(instant: world.now, wallClock: wallClock) }

    func start() {
        isOn = true
        starts += 1
        let process = Process(self)
        self.process = process
        for (index, blueprint) in blueprints.enumerated() {
            // A stream of its own, so that another node or core does not change what this one draws.
            let seed = blake2b256(Bytes(utf8: "\(world.seed) \(id.name) \(blueprint.name) \(starts)"))
            process.seats.append(Seat(blueprint.name, index, blueprint.make(seed), process, world.logLevel))
        }
        process.start()
    }

    func die(_ death: Death) {
        if death == .power {
            isOn = false
            world.waysChanged()
        }
        guard let process else { return }
        self.process = nil
        process.die(death)
        sockets.closeAll(death)
        for folder in folders.values { folder.watches.removeAll() }
    }

    /// Lets go of everything, so that nothing refers to itself any more.
    func dissolve() {
        for folder in folders.values { folder.watches.removeAll() }
        for seat in process?.seats ?? [] {
            for end in seat.allEnds { end.unlink() }
        }
        process?.dissolve()
        process = nil
        sockets.closeAll(.power)
    }

    func folder(_ id: FolderID, quota: UInt64) -> Folder {
        if let folder = folders[id] { return folder }
        let folder = Folder(quota: quota) { [unowned self] in wallClock }
        folders[id] = folder
        return folder
    }

    /// The folder at `path` has that name from now on.
    func open(_ id: FolderID, at path: String) {
        if let there = places[path] {
            folders[id] = there
        } else {
            places[path] = folder(id, quota: .max)
        }
    }

    /// The folder at a path.
    func folder(at path: String, quota: UInt64) -> Folder {
        if let there = places[path] { return there }
        let folder = Folder(quota: quota) { [unowned self] in wallClock }
        places[path] = folder
        return folder
    }
}

// Bans.
extension Machine {
    var liveBans: [Ban] { bans.filter { $0.until > wallClock } }

    func isBanned(_ address: IPAddress) -> Bool {
        !bans.isEmpty && liveBans.contains { $0.prefix.contains(address) }
    }

    func ban(_ prefix: IPPrefix, until: WallClock) {
        unban(prefix)
        bans.append(Ban(prefix: prefix, until: until))
    }

    func unban(_ prefix: IPPrefix) {
        bans.removeAll { $0.prefix == prefix }
    }
}

// Files.
extension Machine {
    /// The answer to an operation; watching is the process's work.
    func answer(_ operation: StoreOperation) -> StoreResult {
        do throws(SystemError) {
            return try carryOut(operation)
        } catch {
            return .failed(error)
        }
    }

    private func carryOut(_ operation: StoreOperation) throws(SystemError) -> StoreResult {
        switch operation {
        case .digest(.bytes(let bytes), let algorithm, let key):
            return .digests([PeerCrypto.digest(bytes, algorithm, key: key)])
        case .digest(.each(let list), let algorithm, let key):
            return .digests(list.map { PeerCrypto.digest($0, algorithm, key: key) })
        case .copyRange(let source, let offset, let count, let target, let position):
            try Folder.copy(
                source.path, in: existing(source.folder), offset: offset, count: count, to: target.path,
                in: existing(target.folder), at: position)
        case .move(let source, let target):
            try Folder.move(
                source.path, in: existing(source.folder), to: target.path, in: existing(target.folder),
                replacing: false)
        case .sync(let files):
            for file in files { _ = try existing(file.folder).entry(file.path) }
        default:
            return try existing(operation.folder).answer(operation)
        }
        return .done
    }

    func existing(_ id: FolderID?) throws(SystemError) -> Folder {
        guard let id, let folder = folders[id] else { throw .notFound }
        return folder
    }
}

extension StoreOperation {
    /// The files on which the operation keeps its place behind earlier ones.
    var filesInOrder: [FileName] {
        if case .digest = self { [] } else { files }
    }

    private var files: [FileName] {
        switch self {
        case .inspect(let file), .readAt(let file, _, _), .write(let file, _), .allocate(let file, _),
            .truncate(let file, _), .save(let file, _), .remove(let file), .setTimes(let file, _),
            .digest(.blocks(let file, _, _, _), _, _), .digest(.pieces(let file, _, _), _, _):
            [file]
        case .rename(let file, let name, _): [file, FileName(file.folder, name)]
        case .copyRange(let source, _, _, let target, _), .move(let source, let target): [source, target]
        case .sync(let files): files
        case .makeFolder(let file), .lock(let file): [file]
        case .examine(let questions, _): questions.map(\.file)
        case .install(let installations, _, _, _): installations.map(\.file)
        case .scan, .watch, .unwatch, .freeSpace, .digest(.bytes, _, _), .digest(.each, _, _): []
        }
    }

    /// The folder that the operation is about.
    var folder: FolderID? {
        switch self {
        case .scan(let folder, _, _, _, _, _), .watch(let folder, _), .unwatch(let folder), .freeSpace(let folder):
            folder
        default: files.first?.folder
        }
    }
}
