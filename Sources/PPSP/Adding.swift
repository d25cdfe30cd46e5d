internal import PeerCore

/// A file that becomes a content.
struct Addition {
    let command: CommandID
    let folder: FolderID
    let place: String
    let name: RelativePath
    let function: HashFunction
    /// nil: chosen by the size of the file.
    var chunkSize: UInt32?
    var mark: FileMark?
    var builder: HashTreeBuilder
    /// Octets that are hashed.
    var done: UInt64 = 0

    var file: FileName { FileName(folder, name) }

    /// The smallest chunks of which a content has not too many. Large chunks have few hashes, small ones come from many
    /// peers sooner.
    static func chunkSize(for octets: UInt64) -> UInt32 {
        var size = smallest
        while size < largest, octets / UInt64(size) > (size < common ? fewChunks : manyChunks) { size *= 2 }
        return size
    }

    /// Chunks of TCP (PPSP section 9.4), and the largest of all (PPSP section 6).
    private static let (smallest, largest) = (UInt32(16 << 10), UInt32(1 << 20))
    /// Above this size a chunk is hashed alone, not among many at once, and does not go into a datagram.
    private static let common: UInt32 = 32 << 10
    /// Chunks of a content above which they become larger: the hashes of so many take 256 KiB, and 8 MiB.
    private static let (fewChunks, manyChunks) = (UInt64(4096), UInt64(131_072))
}

extension PPSP {
    /// Octets of a file that are hashed with one answer: so often progress is told.
    private static let step: UInt64 = 256 << 20
    /// Digits at the end of a name that stands there already.
    private static let mostNames = 100

    /// A content from now on; the number of the one that is there already, if it is.
    mutating func add(
        _ id: SwarmID, at place: String, _ name: RelativePath, into effects: inout Effects
    ) -> Int {
        if let number = numbers[id] { return number }
        lastSwarm += 1
        let swarm = Swarm(lastSwarm, id, at: place, name)
        swarms[lastSwarm] = swarm
        numbers[id] = lastSwarm
        effects.append(.open(swarm.folder, at: place))
        return lastSwarm
    }

    // MARK: - From a file

    /// Makes a content of a file.
    mutating func add(
        _ place: String, _ name: RelativePath, _ function: HashFunction, chunkSize: UInt32?, _ command: CommandID,
        into effects: inout Effects
    ) {
        let folder = FolderID("content/add/\(command)")
        effects.append(.open(folder, at: place))
        let addition = Addition(
            command: command, folder: folder, place: place, name: name, function: function, chunkSize: chunkSize,
            builder: HashTreeBuilder(function))
        errands[effects.store(.inspect(addition.file))] = .addLooked(addition)
    }

    mutating func additionLooked(_ addition: Addition, _ result: StoreResult, into effects: inout Effects) {
        let path = "\(addition.place)/\(addition.name)"
        guard case .entries(let entries, _, _) = result, let entry = entries.first else {
            if case .failed(let error) = result {
                return effects.reply(addition.command, [], .refused("\(path): \(error)"))
            }
            return effects.reply(addition.command, [], .refused("\(path): not found"))
        }
        guard !entry.isFolder else {
            return effects.reply(
                addition.command, [], .refused("\(path) is a folder; a content is one file, such as an archive of it"))
        }
        guard entry.size > 0 else {
            return effects.reply(addition.command, [], .refused("\(path) is empty; an empty content has no swarm"))
        }
        var addition = addition
        addition.mark = entry.mark
        let size = addition.chunkSize ?? Addition.chunkSize(for: entry.size)
        addition.chunkSize = size
        guard entry.size / UInt64(size) < HashTree.maximumChunks else {
            return effects.reply(
                addition.command, [],
                .refused("\(path) has more than \(HashTree.maximumChunks) chunks of \(size); ask for larger ones"))
        }
        hashMore(addition, into: &effects)
    }

    private mutating func hashMore(_ addition: Addition, into effects: inout Effects) {
        guard let size = addition.mark?.size, let chunkSize = addition.chunkSize else { return }
        let source = DigestSource.blocks(
            addition.file, offset: addition.done, count: min(Self.step, size - addition.done),
            block: UInt64(chunkSize))
        errands[effects.store(.digest(source, addition.function.algorithm, key: nil))] = .addHashed(addition)
    }

    mutating func additionHashed(
        _ addition: Addition, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        var addition = addition
        guard case .digests(let digests) = result, let size = addition.mark?.size else {
            return effects.reply(
                addition.command, [], .refused("\(addition.place)/\(addition.name) changed while it was read"))
        }
        for digest in digests { addition.builder.append(digest) }
        addition.done += min(Self.step, size - addition.done)
        guard addition.done == size else {
            effects.reply(
                addition.command, [["state": "hashing", "bytes": .count(addition.done), "ofBytes": .count(size)]], .more
            )
            return hashMore(addition, into: &effects)
        }
        guard let tree = addition.builder.finish(), let id = SwarmID(tree.root) else { return }
        let number = add(id, at: addition.place, addition.name, into: &effects)
        let isNew = swarms[number]?.tree == nil
        guard isNew || swarms[number]?.phase != .complete else {
            return effects.reply(addition.command, swarms[number].map { [row(of: $0)] } ?? [])
        }
        // What was being fetched is here.
        if !isNew { replace(number, at: addition.place, addition.name, at: now, into: &effects) }
        swarms[number]?.tree = tree
        swarms[number]?.mark = addition.mark
        swarms[number]?.length = size
        swarms[number]?.metadata = SwarmMetadata(
            id, chunkSize: addition.chunkSize, hashFunction: addition.function, contentLength: size)
        guard let hashes = swarms[number]?.hashes else { return }
        errands[effects.store(.save(hashes, tree.encoded))] = .addKept(number, addition)
    }

    /// A content is at another place from now on.
    private mutating func replace(
        _ number: Int, at place: String, _ name: RelativePath, at now: Moment, into effects: inout Effects
    ) {
        guard let swarm = swarms[number] else { return }
        errands[effects.store(.remove(swarm.part))] = .nothing
        swarms[number]?.place = place
        swarms[number]?.name = name
        effects.append(.open(swarm.folder, at: place))
    }

    mutating func additionKept(
        _ number: Int, _ addition: Addition, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        guard let swarm = swarms[number], let count = swarm.chunkCount else { return }
        if case .failed(let error) = result {
            effects.reply(
                addition.command, [], .refused("\(configuration.folder): \(error); the hashes cannot be kept there"))
            return forget(number, into: &effects)
        }
        swarms[number]?.counted(count)
        swarms[number]?.holds(ChunkSet(all: count))
        swarms[number]?.phase = .complete
        remember(number, into: &effects)
        effects.log(
            .info, "content_added",
            [
                "swarm": .text(swarm.id), "path": .string("\(swarm.place)/\(swarm.name)"),
                "bytes": .count(swarm.length ?? 0), "chunks": .count(count),
                "chunkBytes": .count(swarm.chunkSize),
            ])
        effects.reply(addition.command, swarms[number].map { [row(of: $0)] } ?? [])
        ended(number, into: &effects)
    }

    // MARK: - From peers

    /// Chunks are asked for from now on.
    mutating func begin(_ number: Int, at now: Moment, into effects: inout Effects) {
        guard swarms[number]?.phase == .opening else { return }
        swarms[number]?.phase = .fetching
        if swarms[number]?.have.isComplete ?? false, swarms[number]?.tree != nil {
            return finish(number, attempt: 0, into: &effects)
        }
        remember(number, into: &effects)
        addConfigured(number, at: now, into: &effects)
        timers.set(.meet(number), at: now.instant)
        effects.log(
            .info, "fetch_begins",
            [
                "swarm": .string(name(of: number)), "path": .string(path(of: number)),
                "bytesHere": .count(swarms[number]?.haveOctets ?? 0),
            ])
    }

    /// All is here: the file gets its name, or one like it when that is taken.
    mutating func finish(_ number: Int, attempt: Int, into effects: inout Effects) {
        guard let swarm = swarms[number], swarm.phase == .fetching else { return }
        let name = attempt == 0 ? swarm.name : Self.other(swarm.name, attempt + 1)
        errands[effects.store(.rename(swarm.part, to: name, replacing: false))] = .named(number, attempt: attempt)
    }

    /// `name (2).ending`
    private static func other(_ name: RelativePath, _ number: Int) -> RelativePath {
        let text = "\(name)"
        let slash = text.lastIndex(of: "/") ?? text.startIndex
        let dot =
            text[slash...].lastIndex(of: ".").flatMap { $0 > text.index(after: slash) ? $0 : nil } ?? text.endIndex
        return RelativePath("\(text[..<dot]) (\(number))\(text[dot...])", allowHidden: true) ?? name
    }

    mutating func named(
        _ number: Int, _ attempt: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects
    ) {
        guard let swarm = swarms[number] else { return }
        switch result {
        case .failed(.exists) where attempt < Self.mostNames:
            return finish(number, attempt: attempt + 1, into: &effects)
        case .failed(let error): return fail(number, "\(error)", into: &effects)
        default: break
        }
        if attempt > 0 { swarms[number]?.name = Self.other(swarm.name, attempt + 1) }
        swarms[number]?.phase = .complete
        effects.log(
            .info, "content_complete",
            [
                "swarm": .text(swarm.id), "path": .string(path(of: number)), "bytes": .count(swarm.length ?? 0),
            ])
        forgetMap(swarm, into: &effects)
        swarms[number]?.durable = ChunkSet()
        if let file = swarms[number]?.file { errands[effects.store(.inspect(file))] = .marked(number) }
        for partner in swarm.peers {
            let tie = partner.tie
            if let take = partner.take { abandon(take, tie) }
            // Two who have all have nothing to say to each other.
            if partner.has.isComplete, links[tie.connection]?.dialled != nil {
                part(tie, at: now, into: &effects)
                let isUsed = partners.keys.contains { $0.connection == tie.connection }
                if !isUsed { leave(tie.connection, into: &effects) }
            }
        }
        ended(number, into: &effects)
    }

    /// How the complete file is known again after a restart.
    mutating func marked(_ number: Int, _ result: StoreResult, into effects: inout Effects) {
        if case .entries(let entries, _, _) = result { swarms[number]?.mark = entries.first?.mark }
        remember(number, into: &effects)
    }

    // MARK: - The end

    /// It cannot go on.
    mutating func fail(_ number: Int, _ why: String, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        if case .broken = swarm.phase { return }
        swarms[number]?.phase = .broken(why)
        effects.log(.error, "content_stopped", ["swarm": .text(swarm.id), "path": .string(path(of: number))], why)
        ended(number, into: &effects)
    }

    /// A content is no more this node's; its file stays when it is complete.
    mutating func forget(_ number: Int, into effects: inout Effects) {
        guard let swarm = swarms.removeValue(forKey: number) else { return }
        numbers[swarm.id] = nil
        forgetRows(swarm, into: &effects)
        errands[effects.store(.remove(swarm.hashes))] = .nothing
        if swarm.phase != .complete, !swarm.wasComplete { errands[effects.store(.remove(swarm.part))] = .nothing }
        for timer in [Timer.meet(number), .news(number), .check(number), .keep(number)] { timers.cancel(timer) }
        for tie in swarm.ties {
            guard let partner = partners.removeValue(forKey: tie) else { continue }
            timers.cancel(.chunks(tie))
            timers.cancel(.askAgain(tie))
            timers.cancel(.askPeers(tie))
            if let take = partner.take { end(take, tie) }
            if let give = partner.give { end(give, tie) }
            if !partners.keys.contains(where: { $0.connection == tie.connection }) {
                leave(tie.connection, into: &effects)
            }
        }
    }

    /// Where a content is or will be.
    func path(of number: Int) -> String { swarms[number].map { "\($0.place)/\($0.name)" } ?? "" }
}
