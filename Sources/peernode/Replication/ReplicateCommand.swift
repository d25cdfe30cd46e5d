internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// BePeer from the shell: the first word says what is to be done.
let replicateCommand = Subcommand(
    name: "replicate", synopsis: "join FOLDER@HOST[:PORT] [INTO] | list | status [FOLDER] | confirm [FOLDER] | …",
    summary: "keeps folders equal on many machines",
    mostArguments: 3,
    options: [
        Option("json", nil, nil, "JSON lines instead of text"),
        Option("quiet", "q", nil, "join: say nothing but what went wrong"),
        Option("no-wait", nil, nil, "join: do not wait until the folder is here and verified"),
    ],
    details: """
        join FOLDER@HOST[:PORT] [INTO]  becomes a peer of HOST for FOLDER, which is kept at INTO from now on (default:
                                        ./FOLDER). A folder of the configuration has its place there already. Breaking
                                        the waiting off (Ctrl-C) does not break off the replication.
        list                            the folders
        status [FOLDER]                 the folders and their peers: files, octets, what is missing, rate, time left
        confirm [FOLDER]                files that had to be got by hand are there; or: that most of the files are gone
                                        was meant
        rescan [FOLDER]                 looks through the folder now
        leave FOLDER                    no longer keeps equal a folder that was joined by this command; its files stay

        FOLDER may be left out where there is only one.
        """
) { options in
    try actions.run("replicate", options)
}

private let actions: [String: Action] = [
    "join": Action(words: 1...2, expected: "expected FOLDER@HOST[:PORT], and where it goes") { words, options in
        try join(words, options)
    },
    "list": Action(words: 0...0, expected: "takes nothing more") { _, options in
        try show("list", [:], options) { FolderTable.text($0) }
    },
    "status": Action(words: 0...1, expected: "expected one folder at most") { words, options in
        try show("status", folder(words), options) { FolderTable.details($0) }
    },
    "confirm": Action(words: 0...1, expected: "expected one folder at most") { words, options in
        try show("confirm", folder(words), options) { FolderTable.text($0) }
    },
    "rescan": Action(words: 0...1, expected: "expected one folder at most") { words, options in
        try show("rescan", folder(words), options) { FolderTable.text($0) }
    },
    "leave": Action(words: 1...1, expected: "expected a folder") { words, options in
        try show("leave", folder(words), options) { FolderTable.text($0) }
    },
]

private func folder(_ words: [String]) -> Record { words.first.map { ["folder": .string($0)] } ?? [:] }

private func show(
    _ command: String, _ arguments: Record, _ options: Options, _ text: ([Record]) -> String
) throws -> ExitCode {
    let rows = try client(options).ask("replication.\(command)", arguments)
    if options.has("json") {
        for row in rows { write(row.json) }
    } else {
        write(text(rows))
    }
    return .done
}

/// Asks for a folder, and waits until it is here and both sides have seen that.
private func join(_ words: [String], _ options: Options) throws -> ExitCode {
    guard let at = words[0].lastIndex(of: "@"), at > words[0].startIndex else {
        throw Failure(.usage, "replicate join: expected FOLDER@HOST[:PORT], not \(words[0].escapedForTerminal)")
    }
    let name = String(words[0][..<at])
    var arguments: Record = [
        "folder": .string(name), "host": .string(String(words[0][words[0].index(after: at)...])),
        // Where the folder goes that the node does not know yet.
        "into": .string(absolutePath(words.count > 1 ? words[1] : name)),
        "isPlaceMeant": .bool(words.count > 1),
    ]
    if options.has("no-wait") { arguments["wait"] = false }
    let client = try client(options)
    var progress = Progress(
        name.escapedForTerminal, options.has("json") || options.has("quiet") ? .none : .standard,
        at: client.loop.instant)
    let interruption = try Interruption(client.loop, watchesInput: false) { client.cancel() }
    var last: Record?
    defer { interruption.close() }
    do {
        defer { progress.finish() }
        try client.ask("replication.join", arguments, isPatient: true) { row in
            if options.has("json") { write(row.json) }
            if let done = row.int("doneBytes").flatMap({ UInt64(exactly: $0) }), let total = row.int("ofBytes") {
                progress.update(done, of: UInt64(exactly: total), at: client.loop.instant)
            }
            last = row
            return true
        }
    }
    if interruption.hasCome {
        complain("\(name.escapedForTerminal): not waited for any longer; the node goes on")
        return .no
    }
    if !options.has("json"), !options.has("quiet"), let last { write(JoinResult.text(last)) }
    return .done
}
