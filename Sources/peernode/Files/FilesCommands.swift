internal import Glibc
internal import PPlusTwo
internal import PeerCore
internal import PeerRuntime
internal import UV

/// P+2 from the shell.
let filesCommands: [Subcommand] = [filesCommand, searchCommand, downloadCommand, shareCommand]

private let peerOption = Option(
    "peer", nil, "HOST:PORT", "ask this peer, without a node; its port of the peer list. May be repeated")
private let intoOption = Option(
    "into", nil, "FOLDER", "without a node: where files go, made when it is missing; default: the current folder")
private let caseOption = Option(
    "ignore-case", "i", nil, "in any case: all files are asked for (an empty text is sent) and looked through here")

let filesCommand = Subcommand(
    name: "files", synopsis: "[--peer HOST:PORT]… [--into FOLDER] [--sort name|size] [-i]",
    summary: "looks for files of the peers and fetches them, interactively",
    options: [
        peerOption, intoOption,
        Option(
            "sort", nil, "ORDER",
            "show the files when all peers have answered, by name (one name's peers together) or by size"),
        caseOption,
    ],
    details: """
        At query> type a part of a name; it is sent to one peer after the other as you typed it, trimmed at both ends.
        An empty line asks for all files. What stands in double quotes is taken as it is. With -i before the words all
        files are asked for, and those are shown whose names contain all the words, in any case. While peers are asked,
        an empty line or Ctrl-C is enough of it.

        At file (0 = none)> choose by number: 3, or several such as 1 3 5-7. Ctrl-C breaks a download off; the next one
        of the same file goes on from there, if the peer can tell what the file is. There is no word to quit: Ctrl-D
        ends, and Ctrl-C at a prompt.

        The running node asks and saves, into its folder. With --peer or --into this command does both by itself; peers
        that --peer tells of are then asked from the next query on. Where standard input is no terminal, queries and
        choices are read from its lines without prompts.
        """
) { options in
    var manner = FilesSession.Manner(ignoresCase: options.has("ignore-case"))
    if let text = options.value("sort") {
        guard let order = MatchOrder(rawValue: text) else { throw Failure(.usage, "--sort takes name or size") }
        manner.order = order
    }
    return FilesSession(try makeRequester(options), manner).run()
}

let searchCommand = Subcommand(
    name: "search", synopsis: "TEXT… [--peer HOST:PORT]… [--json] [--limit N] [-i]",
    summary: "the files of the peers whose names contain TEXT; exit 1 when there is none",
    mostArguments: .max,
    options: [
        peerOption, Option("json", nil, nil, "a JSON object for each file and for each peer that failed"),
        Option("limit", nil, "N", "show so many at most; default \(mostShown)"), caseOption,
    ],
    details: """
        TEXT is sent to the peers as it is; "" asks for all files, and several TEXTs are one with spaces between them.
        With -i all files are asked for, and those are shown whose names contain all the words, in any case. Without
        --peer the running node asks, and `download N` fetches number N.
        """
) { options in
    guard !options.arguments.isEmpty else { throw Failure(.usage, "search: a TEXT is missing; \"\" finds all files") }
    let wanted = "--limit takes a number from 1 on"
    let limit = try number(options.value("limit") ?? "\(mostShown)", 1...Int.max, wanted: wanted)
    var arguments = Query(options.arguments.joined(separator: " "), ignoresCase: options.has("ignore-case")).arguments
    arguments["limit"] = .count(limit)
    let requester = try makeRequester(options)
    defer { requester.close() }
    var lines = MatchLines()
    var summary: SearchSummary?
    let interruption = try requester.askInterruptibly("search", arguments) { [isJSON = options.has("json")] row in
        summary = SearchSummary(row) ?? summary
        if isJSON { return write(row.json) }
        if let match = Match(row) { write(lines.line(match.number, match)) }
        if let failure = peerFailure(row) { complain(failure) }
    }
    guard !interruption.hasCome, let summary else { throw Failure(.no, "not all peers were asked") }
    if summary.matches == 0 || summary.notShown > 0, !options.has("json") { complain(summary.text) }
    return summary.matches > 0 ? .done : .no
}

let downloadCommand = Subcommand(
    name: "download", synopsis: "N | NAME@HOST:PORT [--peer HOST:PORT] [--into FOLDER] [--quiet] [--json]",
    summary: "fetches a file: number N of the last search, or NAME of a peer",
    mostArguments: 1,
    options: [
        Option("peer", nil, "HOST:PORT", "fetch from this peer, without a node; the argument is then NAME"),
        intoOption, Option("quiet", "q", nil, "say nothing but what went wrong"),
        Option("json", nil, nil, "JSON lines: how far it is, at last the result"),
    ],
    details: """
        A download that was broken off goes on when the same command is given again, if the peer can tell what the file
        is. Nothing is overwritten: a name that is taken gets a number. The running node fetches, into its folder; with
        --peer or --into this command does it by itself.
        """
) { options in
    guard let argument = options.arguments.first else {
        throw Failure(.usage, "download: a number of the last search is missing, or NAME@HOST:PORT")
    }
    let (arguments, title) = try wantedFile(argument, options)
    let requester = try makeRequester(options)
    defer { requester.close() }
    let isJSON = options.has("json")
    var fetch = Fetch(requester: requester, style: isJSON || options.has("quiet") ? .none : .standard)
    if isJSON {
        fetch.onRow = { [isQuiet = options.has("quiet")] row in
            if !isQuiet || row["path"] != nil { write(row.json) }
        }
    }
    switch try fetch.run(arguments, title: title) {
    case .done(let result):
        if !isJSON, !options.has("quiet") { write(Fetch.text(result)) }
        return .done
    case .cancelled: throw Failure(.no, "\(title): broken off; the same command goes on, if the peer can tell where")
    }
}

/// What is to be fetched, and what it is called on the screen.
private func wantedFile(_ argument: String, _ options: Options) throws -> (Record, String) {
    let peers = options.all("peer")
    let at = argument.lastIndex(of: "@").flatMap { at in
        Destination(String(argument[argument.index(after: at)...])) == nil ? nil : at
    }
    var (name, peer) = (argument, peers.first)
    if let at, peers.isEmpty {
        (name, peer) = (String(argument[..<at]), String(argument[argument.index(after: at)...]))
    }
    guard peers.count <= 1 else { throw Failure(.usage, "download: a file is fetched from one peer; give --peer once") }
    let title = RemoteName.shown(Bytes(utf8: name))
    guard let peer else {
        guard let number = Int64(argument), number > 0 else {
            throw Failure(
                .usage, "download: \(title) is neither a number of the last search nor NAME@HOST:PORT")
        }
        guard !isAlone(options) else {
            throw Failure(.usage, "download: numbers are those of the node's last search; give NAME@HOST:PORT")
        }
        return (["number": .int(number)], "file \(number)")
    }
    guard !name.isEmpty else { throw Failure(.usage, "download: a name is missing before @\(peer)") }
    let identity = try LocalRequester.identity(peer, Loop())
    return (["name": .string(name), "peer": .text(identity)], title)
}

/// Whether the command does without a node.
private func isAlone(_ options: Options) -> Bool { options.has("peer") || options.has("into") }

/// Who does it: the node, or this process when peers or a folder are named.
private func makeRequester(_ options: Options) throws -> any Requester {
    guard isAlone(options) else { return try NodeRequester(options) }
    return try LocalRequester(peers: options.all("peer"), folder: options.value("into") ?? ".")
}
