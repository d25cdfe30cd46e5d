internal import PeerCore

// What outlives the process: a row for each content, and rows for the chunks of those that are being fetched.

enum Rows {
    /// Key: the swarm ID.
    static let contents = "content"
    /// Key: the swarm ID, `/`, and the number of a run of chunks; the record has a bit for each of them.
    static let maps = "content_maps"
    /// Rows that are asked for at once.
    static let page = 500
    /// Chunks of a run.
    static let run: UInt64 = 4096

    /// The number of a run in a key, as text whose order is that of the numbers.
    static func key(_ swarm: SwarmID, _ run: UInt64) -> String {
        let digits = String(run, radix: 16)
        return "\(swarm)/" + String(repeating: "0", count: max(0, 16 - digits.count)) + digits
    }
}

extension PPSP {
    /// Writes the row of a content.
    mutating func remember(_ number: Int, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        var row: Record = [
            "place": .string(swarm.place), "name": .text(swarm.name), "complete": .bool(swarm.phase == .complete),
        ]
        if let size = swarm.metadata.chunkSize { row["chunkSize"] = .count(size) }
        if let function = swarm.metadata.hashFunction { row["hash"] = .count(function.rawValue) }
        if let length = swarm.length { row["length"] = .count(length) }
        if let mark = swarm.mark {
            row["size"] = .count(mark.size)
            row["modified"] = .int(mark.modified.milliseconds)
        }
        let given = swarm.candidates.filter(\.value.isGiven).keys.map { "\($0)" }.sorted()
        row["peers"] = .string(given.joined(separator: " "))
        effects.append(.remember(table: Rows.contents, key: swarm.id.description, row))
    }

    /// Writes which chunks are durable, as far as that has changed.
    mutating func rememberMap(_ number: Int, _ map: ChunkSet, into effects: inout Effects) {
        guard let swarm = swarms[number], let count = swarm.chunkCount else { return }
        for run in 0...((count - 1) / Rows.run) {
            let words = Self.words(map, run)
            guard words != Self.words(swarm.durable, run) else { continue }
            let text = words.map { word in
                let digits = String(word, radix: 16)
                return String(repeating: "0", count: 16 - digits.count) + digits
            }
            effects.append(
                .remember(table: Rows.maps, key: Rows.key(swarm.id, run), ["chunks": .string(text.joined())]))
        }
        swarms[number]?.durable = map
        remember(number, into: &effects)
    }

    private static func words(_ map: ChunkSet, _ run: UInt64) -> [UInt64] {
        (0..<Rows.run / 64).map { map.word(from: run * Rows.run + $0 * 64) }
    }

    /// Nothing of a content is known any more.
    mutating func forgetRows(_ swarm: Swarm, into effects: inout Effects) {
        effects.append(.forget(table: Rows.contents, key: swarm.id.description))
        forgetMap(swarm, into: &effects)
    }

    mutating func forgetMap(_ swarm: Swarm, into effects: inout Effects) {
        guard let last = swarm.durable.ranges().reversed().first?.last else { return }
        for run in 0...(last / Rows.run) {
            effects.append(.forget(table: Rows.maps, key: Rows.key(swarm.id, run)))
        }
    }

    // MARK: - After a start

    mutating func recalled(
        _ rows: [Row], of table: String, more: Bool, at now: Moment, into effects: inout Effects
    ) {
        for row in rows { table == Rows.contents ? restore(row, into: &effects) : restoreMap(row) }
        if more, let last = rows.last {
            return effects.append(.recall(table: table, after: last.key, limit: Rows.page))
        }
        guard table == Rows.maps else {
            return effects.append(.recall(table: Rows.maps, after: nil, limit: Rows.page))
        }
        life.isComplete = true
        for number in swarms.keys.sorted() { open(number, into: &effects) }
        let early = life.early
        life.early = []
        for (id, command) in early { carryOut(command, id, at: now, into: &effects) }
    }

    private mutating func restore(_ row: Row, into effects: inout Effects) {
        guard let id = SwarmID(hex: row.key), let place = row.record.string("place"),
            let name = row.record.string("name").flatMap({ RelativePath($0, allowHidden: true) })
        else { return }
        let number = add(id, at: place, name, into: &effects)
        let size = row.record.int("chunkSize").flatMap { UInt32(exactly: $0) }
        if let size, SwarmMetadata.isChunkSize(size) { swarms[number]?.metadata.chunkSize = size }
        swarms[number]?.metadata.hashFunction = row.record.int("hash").flatMap { UInt8(exactly: $0) }
            .flatMap { HashFunction(rawValue: $0) }
        swarms[number]?.length = row.record.int("length").flatMap { UInt64(exactly: $0) }
        if let length = swarms[number]?.length { swarms[number]?.metadata.contentLength = length }
        swarms[number]?.wasComplete = row.record.bool("complete") ?? false
        if let size = row.record.int("size").flatMap({ UInt64(exactly: $0) }), let time = row.record.int("modified") {
            swarms[number]?.mark = FileMark(size: size, modified: WallClock(milliseconds: time), stamp: 0)
        }
        for peer in (row.record.string("peers") ?? "").split(separator: " ") {
            guard let destination = Destination(String(peer)) else { continue }
            swarms[number]?.candidates[destination] = Candidate(isGiven: true)
        }
    }

    private mutating func restoreMap(_ row: Row) {
        let parts = row.key.split(separator: "/")
        guard parts.count == 2, let id = SwarmID(hex: String(parts[0])), let number = numbers[id],
            let run = UInt64(parts[1], radix: 16), let text = row.record.string("chunks")
        else { return }
        let digits = Array(text.utf8)
        for (index, digit) in digits.enumerated() {
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return }
            for bit in 0..<4 where value & (8 >> bit) != 0 {
                swarms[number]?.durable.insert(run * Rows.run + UInt64(4 * index + bit))
            }
        }
    }

    /// A content that was there before: its hashes are read, and its file looked at.
    private mutating func open(_ number: Int, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        guard swarm.metadata.chunkSize != nil else { return begin(number, at: clock, into: &effects) }
        // One more octet than the largest tree has.
        let most = HashTree.headBytes + Int(HashTree.maximumChunks) * 64 + 1
        errands[effects.store(.readAt(swarm.hashes, offset: 0, count: most))] = .openTree(number)
    }

    mutating func treeCame(_ number: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        if case .bytes(let octets) = result, let tree = try? HashTree(decoding: octets), tree.root == swarm.id.octets,
            let count = tree.chunkCount
        {
            swarms[number]?.tree = tree
            swarms[number]?.counted(count)
            swarms[number]?.holds(ChunkSet(swarm.durable, limit: count))
        } else {
            swarms[number]?.durable = ChunkSet()
            swarms[number]?.length = nil
            if swarm.wasComplete { return fail(number, "its hashes are lost; add it again", into: &effects) }
        }
        let file = swarm.wasComplete ? swarm.file : swarm.part
        errands[effects.store(.inspect(file))] = .openContent(number)
    }

    mutating func contentFound(_ number: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        guard case .entries(let entries, _, _) = result, let entry = entries.first else {
            if swarm.wasComplete { return fail(number, "\(swarm.place)/\(swarm.name) is gone", into: &effects) }
            // Nothing is here yet, or no longer.
            if let count = swarm.chunkCount { swarms[number]?.holds(ChunkSet(limit: count)) }
            return begin(number, at: now, into: &effects)
        }
        guard swarm.wasComplete else { return begin(number, at: now, into: &effects) }
        guard entry.size == swarm.mark?.size, entry.modified == swarm.mark?.modified, let count = swarm.chunkCount
        else {
            return fail(number, "\(swarm.place)/\(swarm.name) has changed; add it again", into: &effects)
        }
        swarms[number]?.have = ChunkSet(all: count)
        swarms[number]?.phase = .complete
        effects.log(
            .info, "content_ready",
            ["swarm": .text(swarm.id), "path": .string("\(swarm.place)/\(swarm.name)"), "bytes": .count(entry.size)])
    }
}
