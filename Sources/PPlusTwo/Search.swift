internal import PeerCore

/// A file that a peer has named.
struct Match {
    let name: Bytes
    let peer: PeerIdentity
    /// Octets and time, when the peer has told them.
    let size: UInt64?
    let modified: Int64?

    init(name: Bytes, peer: PeerIdentity) {
        (self.name, self.peer, size, modified) = (name, peer, nil, nil)
    }

    init(_ file: FoundFile, peer: PeerIdentity) {
        (name, self.peer, size, modified) = (file.name, peer, file.size, file.modified)
    }

    /// A row for the operator. Octets that are no text are shown as U+FFFD, and in full beside the name.
    func row(_ number: Int) -> Record {
        var row: Record = [
            "number": .count(number), "name": .string(String(decoding: name, as: UTF8.self)), "peer": .text(peer),
        ]
        if name.text == nil { row["octets"] = .string(name.hex) }
        if let size { row["size"] = .count(size) }
        if let modified { row["modified"] = .time(WallClock(seconds: modified)) }
        return row
    }
}

/// What of the answers is wanted: names with all of these words. No peer is told of it (P+2 section 7.3).
struct NameFilter {
    private let words: [String]
    private let ignoresCase: Bool

    init(_ arguments: Record) {
        let ignoresCase = arguments.bool("ignoreCase") ?? false
        words = (arguments.list("words") ?? []).map { ignoresCase ? $0.plain.lowercased() : $0.plain }
        self.ignoresCase = ignoresCase
    }

    func accepts(_ name: Bytes) -> Bool {
        guard !words.isEmpty else { return true }
        let text = String(decoding: name, as: UTF8.self)
        let shown = ignoresCase ? text.lowercased() : text
        return words.allSatisfy { $0.isEmpty || shown.contains($0) }
    }
}

/// The operator looks for files: peers are asked one after the other, or some at once (P+2 section 7.1).
struct Search {
    let text: Bytes
    let filter: NameFilter
    let limit: Int
    /// Those that are still to be asked, in the order of the list.
    var waiting: [PeerIdentity]
    /// Those that are being asked.
    var running: Set<PeerIdentity> = []
    var asked = 0
    var failed = 0
    var matches = 0
}

extension PPlusTwo {
    mutating func search(_ arguments: Record, _ id: CommandID, at now: Moment, into effects: inout Effects) {
        let text = Bytes(utf8: arguments.string("text") ?? "")
        guard !text.contains(UInt8(ascii: "\n")) else {
            return effects.reply(id, [], .refused("a text to look for is one line"))
        }
        // Who is looking for something knows best when to try again.
        if peers.list.isEmpty { learnInitialPeers(at: now) }
        var wanted = peers.list.map(\.identity)
        if let name = arguments.string("peer") {
            guard let peer = PeerIdentity(name) else {
                return effects.reply(id, [], .refused("\"\(name)\" is no peer: expected IP:PORT"))
            }
            wanted = [peer]
        }
        let limit = arguments.int("limit").map { Int(clamping: max(0, $0)) } ?? configuration.maxMatches
        matches = [:]
        searches[id] = Search(
            text: text, filter: NameFilter(arguments), limit: min(limit, configuration.maxMatches), waiting: wanted)
        interrogate(for: id, at: now, into: &effects)
    }

    /// Asks the next peers, as many as are asked at once; ends the search when there are none.
    private mutating func interrogate(for id: CommandID, at now: Moment, into effects: inout Effects) {
        while var search = searches[id], search.running.count < configuration.parallelInterrogations {
            guard !search.waiting.isEmpty else {
                if search.running.isEmpty { endSearch(id, into: &effects) }
                return
            }
            let peer = search.waiting.removeFirst()
            // It may have failed, or been taken out, since the search began.
            if let entry = peers[peer], entry.state == .failed {
                search.failed += 1
                searches[id] = search
                let reason = CloseReason.unreachable
                effects.reply(id, [["peer": .text(peer), "failed": .string(reason.rawValue)]], .more)
                continue
            }
            search.running.insert(peer)
            search.asked += 1
            searches[id] = search
            interrogate(peer, for: id, at: now, into: &effects)
        }
    }

    private mutating func interrogate(
        _ peer: PeerIdentity, for id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard let text = searches[id]?.text else { return }
        let (kind, line): (Question.Kind, Bytes) =
            if !configuration.extensions || peers[peer] == nil {
                (.plain, text)
            } else {
                switch peers.isExtended(peer, at: now.instant) {
                case true?: (.find, ExtensionRequest.find(text: text).line)
                case false?: (.plain, text)
                case nil: (.hello, ExtensionRequest.hello.line)
                }
            }
        ask(peer, kind, line, for: .search(id), at: now, into: &effects)
    }

    /// Names have come.
    mutating func found(_ files: [Match], for id: CommandID, into effects: inout Effects) {
        guard let search = searches[id] else { return }
        let files = files.filter { search.filter.accepts($0.name) }
        guard !files.isEmpty else { return }
        let shown = files.prefix(max(0, search.limit - search.matches))
        var rows: [Record] = []
        for (offset, match) in shown.enumerated() {
            let number = search.matches + offset + 1
            matches[number] = match
            rows.append(match.row(number))
        }
        searches[id]?.matches += files.count
        if !rows.isEmpty { effects.reply(id, rows, .more) }
    }

    /// A peer has answered, or not.
    mutating func interrogated(
        _ question: Question, _ reason: CloseReason?, for id: CommandID, at now: Moment, into effects: inout Effects
    ) {
        guard searches[id] != nil else { return }
        if reason == nil, question.kind == .hello || question.kind == .find && question.isExtended != true {
            // Now it is known what it understands.
            return interrogate(question.peer, for: id, at: now, into: &effects)
        }
        searches[id]?.running.remove(question.peer)
        if let reason {
            searches[id]?.failed += 1
            effects.reply(
                id, [["peer": .text(question.peer), "failed": .string(reason.rawValue)]], .more)
        }
        interrogate(for: id, at: now, into: &effects)
    }

    private mutating func endSearch(_ id: CommandID, into effects: inout Effects) {
        guard let search = searches.removeValue(forKey: id) else { return }
        effects.reply(
            id,
            [
                [
                    "asked": .count(search.asked), "failed": .count(search.failed), "matches": .count(search.matches),
                    "notShown": .count(max(0, search.matches - search.limit)),
                ]
            ])
    }

    mutating func cancelSearch(_ id: CommandID, into effects: inout Effects) {
        guard searches.removeValue(forKey: id) != nil else { return }
        for connection in questions.keys.sorted() {
            guard case .search(id) = questions[connection]?.asker else { continue }
            effects.append(.abort(connection, .operatorRequest))
            questions[connection] = nil
            timers.cancel(.answer(connection))
        }
    }
}
