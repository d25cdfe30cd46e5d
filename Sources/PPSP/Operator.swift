internal import PeerCore

/// A command that is told how far a content is until it is there.
struct Watcher {
    let swarm: Int
    let since: Instant
    /// It reads what is there meanwhile: told of every chunk, not once a second.
    let isReading: Bool
}

// MARK: - Commands (program.md section 1)

extension PPSP {
    /// How often progress is told.
    private static let progressPause: Duration = .seconds(1)

    /// | command  | arguments                                  | answer                                     |
    /// |----------|--------------------------------------------|--------------------------------------------|
    /// | `add`    | `path`, `chunkBytes`, `hash`               | rows of progress, then the row of the content |
    /// | `fetch`  | `swarm`, `from`, `into`, `wait`, `ordered` | rows of progress, then the row of the content |
    /// | `list`   |                                            | a row for each content                     |
    /// | `status` | `swarm`                                    | its row, and one for each of its peers     |
    /// | `push`   | `swarm`, `to`                              | the row of the content                     |
    /// | `remove` | `swarm`                                    | what was its row; the file stays           |
    /// | `peers`  | `all`                                      | a row for each peer of each content        |
    ///
    /// `from` is `host:port`, `udp:address:port` of somebody who speaks RFC 7574 only, or the ID of a peer that this
    /// node knows. `hash` is `sha256`, `sha1` or `blake2b256`.
    mutating func carryOut(_ command: Command, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let arguments = command.arguments
        guard !life.isStopping else { return effects.reply(id, [], .refused("the node stops")) }
        guard life.isComplete else { return life.early.append((id, command)) }
        switch command.name {
        case "add": add(arguments, id, into: &effects)
        case "fetch": fetch(arguments, id, at: now, into: &effects)
        case "list": effects.reply(id, swarms.keys.sorted().compactMap { swarms[$0].map { row(of: $0) } })
        case "peers": effects.reply(id, swarms.keys.sorted().flatMap { peerRows($0, at: now.instant) })
        case "status":
            guard let number = swarm(arguments, id, into: &effects) else { return }
            effects.reply(id, (swarms[number].map { [row(of: $0)] } ?? []) + peerRows(number, at: now.instant))
        case "push": push(arguments, id, at: now, into: &effects)
        case "remove":
            guard let number = swarm(arguments, id, into: &effects), let swarm = swarms[number] else { return }
            let row = row(of: swarm)
            endWatching(number, "it was removed", into: &effects)
            forget(number, into: &effects)
            effects.log(.info, "content_removed", ["swarm": .text(swarm.id)])
            effects.reply(id, [row])
        case "readmit":
            conduct = [:]
            effects.reply(id, [])
        default: effects.reply(id, [], .refused("content has no command \(command.name)"))
        }
    }

    mutating func forgetCommand(_ id: CommandID) {
        watchers[id] = nil
        life.early.removeAll { $0.id == id }
    }

    /// The content that a command names, by its whole ID or the beginning of it.
    private func swarm(_ arguments: Record, _ id: CommandID, into effects: inout Effects) -> Int? {
        let text = (arguments.string("swarm") ?? "").lowercased()
        let found = swarms.values.filter { !text.isEmpty && "\($0.id)".hasPrefix(text) }
        guard found.count == 1 else {
            let why =
                found.isEmpty ? "there is no content \"\(text)\" here" : "\"\(text)\" begins several IDs; say more"
            effects.reply(id, [], .refused(why))
            return nil
        }
        return found[0].number
    }

    private mutating func add(_ arguments: Record, _ id: CommandID, into effects: inout Effects) {
        guard let (place, name) = Self.split(arguments.string("path") ?? "") else {
            return effects.reply(id, [], .refused("expected the absolute path of a file"))
        }
        let functions: [String: HashFunction] = ["sha256": .sha256, "sha1": .sha1, "blake2b256": .blake2b256]
        guard let function = functions[arguments.string("hash") ?? "sha256"] else {
            return effects.reply(id, [], .refused("the hash is sha256, sha1 or blake2b256"))
        }
        var chunkSize: UInt32?
        if let asked = arguments.int("chunkBytes") {
            guard let size = UInt32(exactly: asked), SwarmMetadata.isChunkSize(size) else {
                return effects.reply(
                    id, [], .refused("a chunk has 512 to 1048576 octets, a power of two, not \(asked)"))
            }
            chunkSize = size
        }
        add(place, name, function, chunkSize: chunkSize, id, into: &effects)
    }

    /// The folder of an absolute path, and the name in it.
    static func split(_ path: String) -> (place: String, name: RelativePath)? {
        guard path.hasPrefix("/"), !path.utf8.contains(0), let slash = path.lastIndex(of: "/"),
            let name = RelativePath(String(path[path.index(after: slash)...]), allowHidden: true)
        else { return nil }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
    }

    /// Digits of a swarm's name that name its file when nobody has given it a name.
    private static let nameDigits = 40

    /// Where a content goes for which no place is named: the folder of the configuration, which may be relative.
    func standardPlace(of swarm: SwarmID) -> (place: String, name: RelativePath)? {
        RelativePath(String(swarm.description.prefix(Self.nameDigits))).map { (configuration.folder, $0) }
    }

    private mutating func fetch(
        _ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard let swarmID = arguments.string("swarm").flatMap({ SwarmID(hex: $0.lowercased()) }),
            [20, 32].contains(swarmID.octets.count)
        else { return effects.reply(id, [], .refused("a swarm ID has 40 or 64 hexadecimal digits")) }
        var (sources, callees): ([Destination], [SocketAddress]) = ([], [])
        for text in arguments.texts(orEmpty: "from") {
            if let address = Self.datagramAddress(text) {
                callees.append(address)
                continue
            }
            guard let destination = destination(text) else {
                return effects.reply(id, [], .refused("\(text) is neither host:port nor the ID of a peer known here"))
            }
            sources.append(destination)
        }
        let number: Int
        if let known = numbers[swarmID] {
            number = known
        } else {
            let into = arguments.string("into")
            guard let (place, name) = into.map({ Self.split($0) }) ?? standardPlace(of: swarmID) else {
                return effects.reply(id, [], .refused("\(into ?? "") is no absolute path of a file"))
            }
            number = add(swarmID, at: place, name, into: &effects)
            begin(number, at: now, into: &effects)
        }
        if case .broken = swarms[number]?.phase {
            swarms[number]?.phase = .opening
            begin(number, at: now, into: &effects)
        }
        let isReading = arguments.bool("ordered") ?? false
        if isReading { swarms[number]?.isOrdered = true }
        if let size = arguments.int("chunkBytes").flatMap({ UInt32(exactly: $0) }), SwarmMetadata.isChunkSize(size),
            swarms[number]?.tree == nil
        {
            swarms[number]?.metadata.chunkSize = size
        }
        for callee in callees { addCallee(callee, number, at: now) }
        for source in sources { addCandidate(source, number, isGiven: true, at: now, into: &effects) }
        remember(number, into: &effects)
        guard let swarm = swarms[number] else { return }
        var row = row(of: swarm)
        if let problem = problem(with: swarm, arguments) { row["problem"] = .string(problem) }
        guard swarm.phase != .complete, arguments.bool("wait") != false else {
            return effects.reply(id, [row])
        }
        watchers[id] = Watcher(swarm: number, since: now.instant, isReading: isReading)
        effects.reply(id, [row], .more)
        timers.set(.progress, at: now.instant + Self.progressPause)
    }

    /// What whoever asks for a content should know at once.
    private func problem(with swarm: Swarm, _ arguments: Record) -> String? {
        if let into = arguments.string("into").flatMap({ Self.split($0) }), into != (swarm.place, swarm.name) {
            return "it goes to \(swarm.place)/\(swarm.name), where it was asked for first"
        }
        let isKnown = !swarm.candidates.isEmpty || !swarm.callees.isEmpty || !swarm.peers.isEmpty
        let isConfigured = !configuration.peers.isEmpty || !configuration.udpPeers.isEmpty
        guard swarm.phase != .complete, !isKnown, !isConfigured else { return nil }
        return "nobody is known who may have it: name a peer (SWARM@HOST:PORT), or one in /content/peers"
    }

    /// Where somebody is who speaks RFC 7574 and nothing else: `udp:address:port`, or without the port.
    private static func datagramAddress(_ text: String) -> SocketAddress? {
        let mark = "udp:"
        guard text.hasPrefix(mark) else { return nil }
        let rest = text.dropFirst(mark.count)
        return SocketAddress(rest) ?? IPAddress(rest).map { SocketAddress($0, standardPort) }
    }

    /// Where a peer is: `host:port`, a host alone, or the ID of one that is known.
    private func destination(_ text: String) -> Destination? {
        if let peer = Bytes32(hex: text) {
            return book[peer].map { .address($0) }
        }
        if let ip = IPAddress(text) { return .address(SocketAddress(ip, Self.standardPort)) }
        return Destination(text) ?? Destination("\(text):\(Self.standardPort)")
    }

    private mutating func push(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        guard let number = swarm(arguments, id, into: &effects), let swarm = swarms[number] else { return }
        guard let to = arguments.string("to").flatMap({ destination($0) }) else {
            return effects.reply(id, [], .refused("expected host:port of the peer"))
        }
        guard swarm.isServed, swarm.have.count > 0 else {
            return effects.reply(id, [], .refused("nothing of it is here yet"))
        }
        let connection = effects.connect(to: to, from: source, timeout: configuration.connectTimeout)
        let remote = if case .address(let address) = to { address } else { SocketAddress(.loopback, 0) }
        let link = Link(remote, dialled: to, contentLimit: configuration.maxMessageBytes, at: now.instant)
        link.pushes = [number]
        links[connection] = link
        effects.reply(id, [row(of: swarm)])
    }

    // MARK: - Progress

    /// All watchers hear how far it is.
    mutating func tellProgress(at now: Moment, into effects: inout Effects) {
        guard !watchers.isEmpty else { return }
        timers.set(.progress, at: now.instant + Self.progressPause)
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number }) {
            guard let swarm = swarms[watcher.swarm] else { continue }
            swarms[watcher.swarm]?.meter.add(swarm.stored, at: now.instant)
            effects.reply(id, [row(of: swarms[watcher.swarm] ?? swarm)], .more)
        }
    }

    /// Those who read a content hear that there is more to read.
    mutating func tellProgress(of number: Int, at now: Moment, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number })
        where watcher.swarm == number && watcher.isReading {
            effects.reply(id, [row(of: swarm)], .more)
        }
    }

    /// A content is complete, or will never be.
    mutating func ended(_ number: Int, into effects: inout Effects) {
        guard let swarm = swarms[number] else { return }
        if case .broken(let why) = swarm.phase { return endWatching(number, why, into: &effects) }
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number }) where watcher.swarm == number {
            watchers[id] = nil
            var row = row(of: swarm)
            row["ms"] = .count((clock.instant - watcher.since).nanoseconds / 1_000_000)
            effects.reply(id, [row])
        }
    }

    private mutating func endWatching(_ number: Int, _ why: String, into effects: inout Effects) {
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number }) where watcher.swarm == number {
            watchers[id] = nil
            effects.reply(id, [], .refused(why))
        }
    }

    /// The only source that was named cannot be reached: who waits hears why nothing comes, and it goes on.
    mutating func refusedWatchers(
        _ number: Int, _ destination: Destination, _ reason: CloseReason, into effects: inout Effects
    ) {
        guard let swarm = swarms[number], swarm.peers.isEmpty else { return }
        for (id, watcher) in watchers.sorted(by: { $0.key.number < $1.key.number }) where watcher.swarm == number {
            var row = row(of: swarm)
            row["problem"] = .string("\(destination) cannot be reached: \(reason.rawValue)")
            effects.reply(id, [row], .more)
        }
    }
}

extension Record {
    /// The texts of a list, or the one text; none when it is not there.
    fileprivate func texts(orEmpty name: String) -> [String] {
        if let text = string(name) { return [text] }
        return (list(name) ?? []).compactMap { if case .string(let text) = $0 { text } else { nil } }
    }
}
