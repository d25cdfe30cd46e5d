internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// PPSP from the shell: the first word says what is to be done.
let contentCommand = Subcommand(
    name: "content",
    synopsis: "add FILE | fetch SWARM[@PEER] [INTO] | list | status SWARM | push SWARM PEER | remove SWARM",
    summary: "large content from and for many peers at once",
    mostArguments: 3,
    options: [
        Option("json", nil, nil, "JSON lines instead of text"),
        Option("quiet", "q", nil, "add, fetch: say nothing but what went wrong, and the result"),
        Option("no-wait", nil, nil, "fetch: do not wait until the content is here"),
        Option("chunk-size", nil, "OCTETS", "octets of a chunk, a power of two from 512 to 1048576"),
        Option("hash", nil, "NAME", "add: sha256 (default), sha1 (for libswift) or blake2b256"),
    ],
    details: """
        add FILE                   gives FILE to others, where it is; prints the ID of its swarm
        fetch SWARM[@PEER] [INTO]  gets a content into INTO (default: the folder of the configuration), or to standard
                                   output, in order, when INTO is -. PEER is HOST:PORT or the ID of a known peer,
                                   or udp:ADDRESS:PORT of a program that speaks RFC 7574 only, such as libswift.
                                   Breaking the waiting off (Ctrl-C) does not break off the fetch.
        list                       the contents of this node
        status SWARM               one content, with its map and its peers
        push SWARM PEER            gives a content to PEER without being asked, when PEER takes that
        remove SWARM               gives it to nobody any more; a complete file stays

        Where a swarm is named that is here, the first digits of its ID are enough.
        """
) { options in
    try actions.run("content", options)
}

private let actions: [String: Action] = [
    "add": Action(words: 1...1, expected: "expected one file") { try add($0[0], $1) },
    "fetch": Action(words: 1...2, expected: "expected SWARM[@PEER], and where it goes") { try fetch($0, $1) },
    "list": Action(words: 0...0, expected: "takes nothing more") { _, options in
        try show("list", [:], options) { ContentTable.text($0) }
    },
    "status": Action(words: 1...1, expected: "expected a swarm") { words, options in
        try show("status", ["swarm": .string(words[0])], options) { ContentTable.details($0) }
    },
    "push": Action(words: 2...2, expected: "expected a swarm and a peer") { words, options in
        try show("push", ["swarm": .string(words[0]), "to": .string(words[1])], options) { ContentTable.text($0) }
    },
    "remove": Action(words: 1...1, expected: "expected a swarm") { words, options in
        try show("remove", ["swarm": .string(words[0])], options) { ContentTable.text($0) }
    },
]

private func show(
    _ command: String, _ arguments: Record, _ options: Options, _ text: ([Record]) -> String
) throws -> ExitCode {
    let rows = try client(options).ask("content.\(command)", arguments)
    if options.has("json") {
        for row in rows { write(row.json) }
    } else {
        write(text(rows))
    }
    return .done
}

private func add(_ file: String, _ options: Options) throws -> ExitCode {
    var arguments: Record = ["path": .string(absolutePath(file))]
    arguments["chunkBytes"] = try chunkBytes(options)
    if let hash = options.value("hash") { arguments["hash"] = .string(hash) }
    let client = try client(options)
    var progress = Progress(file.escapedForTerminal, style(options), at: client.loop.instant)
    var last: Record?
    do {
        defer { progress.finish() }
        try client.ask("content.add", arguments, isPatient: true) { row in
            progress.update(row, at: client.loop.instant)
            if options.has("json") { write(row.json) }
            last = row
            return true
        }
    }
    if !options.has("json"), let swarm = last?.string("swarm") { write(swarm) }
    return .done
}

private func chunkBytes(_ options: Options) throws -> Record.Value? {
    guard let size = options.value("chunk-size") else { return nil }
    guard let octets = Int64(size) else {
        throw Failure(.usage, "content: --chunk-size expects a number of octets, not \(size)")
    }
    return .int(octets)
}

private func fetch(_ words: [String], _ options: Options) throws -> ExitCode {
    let parts = words[0].split(separator: "@", maxSplits: 1).map(String.init)
    guard let swarm = parts.first, !swarm.isEmpty else {
        throw Failure(.usage, "content fetch: expected SWARM or SWARM@PEER")
    }
    let isStream = words.count > 1 && words[1] == "-"
    var arguments: Record = ["swarm": .string(swarm), "ordered": .bool(isStream)]
    if parts.count > 1 { arguments["from"] = .list([.string(parts[1])]) }
    if words.count > 1, !isStream { arguments["into"] = .string(absolutePath(words[1])) }
    if options.has("no-wait") { arguments["wait"] = false }
    if let size = try chunkBytes(options) { arguments["chunkBytes"] = size }
    let client = try client(options)
    let title = String(swarm.prefix(12))
    var progress = Progress(title, isStream ? .none : style(options), at: client.loop.instant)
    let interruption = try Interruption(client.loop, watchesInput: false) { client.cancel() }
    defer { interruption.close() }
    var stream = ContentStream()
    var problem: String?
    var last: Record?
    do {
        defer { progress.finish() }
        try client.ask("content.fetch", arguments, isPatient: true) { row in
            if isStream { return stream.take(row) }
            if options.has("json") { write(row.json) }
            if let text = row.string("problem"), text != problem { complain("\(title): \(text)") }
            problem = row.string("problem")
            progress.update(row, at: client.loop.instant)
            last = row
            return true
        }
    }
    if interruption.hasCome {
        complain("\(title): not waited for any longer; the node goes on")
        return .no
    }
    if let failure = stream.failure { throw failure }
    if !isStream, !options.has("json"), !options.has("quiet"), let last { write(ContentTable.result(last)) }
    return .done
}

private func style(_ options: Options) -> Progress.Style {
    options.has("json") || options.has("quiet") ? .none : .standard
}

extension Progress {
    fileprivate mutating func update(_ row: Record, at now: Instant) {
        guard let done = row.int("bytes").flatMap({ UInt64(exactly: $0) }) else { return }
        update(done, of: row.int("ofBytes").flatMap { UInt64(exactly: $0) }, at: now)
    }
}
