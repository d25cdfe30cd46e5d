internal import PeerCore
internal import PeerNode

/// Commands that ask the running node.
let operatorCommands: [Subcommand] = [
    statusCommand, peersCommand, pingCommand, connectCommand, disconnectCommand, banCommand, unbanCommand, bansCommand,
    eventsCommand, logLevelCommand,
]

private let jsonOption = Option("json", nil, nil, "JSON lines instead of a table")

/// The client of the node that the configuration describes.
func client(_ options: Options) throws -> AdminClient {
    AdminClient(path: try loadConfiguration(options).node.adminSocket)
}

/// The one argument of a command.
private func argument(_ options: Options, _ what: String) throws -> String {
    guard options.arguments.count == 1 else { throw Failure(.usage, "\(what) expected, once") }
    return options.arguments[0]
}

let statusCommand = Subcommand(
    name: "status", synopsis: "[--json] [--check]", summary: "one screen of the running node",
    options: [
        jsonOption,
        Option("check", nil, nil, "say nothing but why it is not ready; exit 0 ready, 1 not ready, 69 not running"),
    ]
) { options in
    guard let status = try client(options).ask("node.status").first else { return .inputOutput }
    let isReady = status.bool("ready") == true
    if options.has("check") {
        for reason in status.list("notReady") ?? [] { complain(reason.plain) }
        return isReady ? .done : .no
    }
    write(options.has("json") ? status.json : StatusScreen.text(status))
    return .done
}

let peersCommand = Subcommand(
    name: "peers", synopsis: "[--json] [--protocol NAME] [--all]", summary: "the connected peers",
    options: [
        jsonOption, Option("protocol", nil, "NAME", "only those of one protocol"),
        Option("all", nil, nil, "the whole address book"),
    ]
) { options in
    let names = try options.value("protocol").map { [$0] } ?? protocolsWithPeers(options)
    let records = try names.flatMap { name in
        try client(options).ask("\(name).peers", ["all": .bool(options.has("all"))]).map { record in
            record["protocol"] == nil ? record.appending(["protocol": .string(name)]) : record
        }
    }
    guard !options.has("json") else {
        for record in records { write(record.json) }
        return .done
    }
    write(records.isEmpty ? "no peers" : peersTable(records).text())
    return .done
}

/// Digits of a peer ID of DDRP, of which the first ones do.
private let peerIDDigits = 64

private let protocolOption = Option("protocol", nil, "NAME", "of this protocol; else of the first that has peers")

/// The running protocols that have peers.
private func protocolsWithPeers(_ options: Options) throws -> [String] {
    let sections = try client(options).ask("node.status").first?.list("sections") ?? []
    return sections.compactMap { section in
        guard case .record(let record) = section, record["want"] != nil else { return nil }
        return record.string("section")
    }
}

/// The protocol whose peer is meant.
private func peerProtocol(_ options: Options) throws -> String {
    if let name = options.value("protocol") { return name }
    guard let first = try protocolsWithPeers(options).first else {
        throw Failure(.no, "this node runs no protocol with peers")
    }
    return first
}

/// What an operator looks for first; `--json` has the rest.
private func peersTable(_ records: [Record]) -> Table {
    var table = Table(["PROTOCOL", "PEER", "ADDRESS", "DIRECTION", "AGENT", "UP", "LAST", "RECEIVED", "SENT"])
    for record in records {
        func text(_ name: String) -> String { record[name].map { $0 == .null ? "-" : $0.plain } ?? "-" }
        table.add([
            text("protocol"), text("peer").count == peerIDDigits ? String(text("peer").prefix(12)) : text("peer"),
            text("address"), text("direction"), text("agent"),
            record.double("seconds").map { StatusScreen.age(Int64($0)) } ?? "-",
            (record.double("lastEnvelopeSeconds") ?? record.double("lastMessageSeconds")).map { "\(Int64($0))s ago" }
                ?? "-", text("received"), text("sent"),
        ])
    }
    return table
}

let pingCommand = Subcommand(
    name: "ping", synopsis: "PEER [--protocol NAME]",
    summary: "age of the last message of a peer, and its handshake's round trip",
    mostArguments: 1, options: [jsonOption, protocolOption]
) { options in
    let peer = try argument(options, "a peer ID or address")
    return try show("\(peerProtocol(options)).ping", ["peer": .string(peer)], options)
}

let connectCommand = Subcommand(
    name: "connect", synopsis: "ADDRESS [--protocol NAME]", summary: "dials an address now", mostArguments: 1,
    options: [jsonOption, protocolOption]
) { options in
    let address = try argument(options, "an address")
    return try show("\(peerProtocol(options)).connect", ["address": .string(address)], options)
}

let disconnectCommand = Subcommand(
    name: "disconnect", synopsis: "PEER [--protocol NAME]", summary: "ends the connection to a peer", mostArguments: 1,
    options: [jsonOption, protocolOption]
) { options in
    let arguments: Record = ["peer": .string(try argument(options, "a peer ID or address"))]
    let command = "\(try peerProtocol(options)).disconnect"
    if options.has("json") { return try show(command, arguments, options) }
    for row in try client(options).ask(command, arguments) {
        write("disconnected \(row.string("peer") ?? "") at \(row.string("address") ?? "")")
    }
    return .done
}

let banCommand = Subcommand(
    name: "ban", synopsis: "PEER-OR-CIDR [--for TIME] [--reason TEXT]",
    summary: "keeps a peer or a block of addresses away",
    mostArguments: 1,
    options: [
        jsonOption, Option("for", nil, "TIME", "how long, such as 90s, 10m, 1h, 7d; default 24h"),
        Option("reason", nil, "TEXT", "words for the list of bans"),
    ]
) { options in
    var arguments: Record = ["peer": .string(try argument(options, "a peer ID, an address or a block"))]
    if let text = options.value("for") { arguments["seconds"] = .int(try seconds(text)) }
    if let reason = options.value("reason") { arguments["reason"] = .string(reason) }
    return try show("node.ban", arguments, options)
}

let unbanCommand = Subcommand(
    name: "unban", synopsis: "ADDRESS-OR-CIDR", summary: "lifts a ban", mostArguments: 1, options: [jsonOption]
) { options in
    try show("node.unban", ["peer": .string(try argument(options, "an address or a block"))], options)
}

let bansCommand = Subcommand(
    name: "bans", synopsis: "[--json]", summary: "the bans in force", options: [jsonOption]
) { options in
    try show("node.bans", [:], options, none: "no bans")
}

let eventsCommand = Subcommand(
    name: "events", synopsis: "[--follow] [--json] [--event NAME]…",
    summary: "the last log lines of the node, then live",
    options: [
        jsonOption, Option("follow", "f", nil, "go on with new ones until interrupted"),
        Option("event", nil, "NAME", "only this event; may be repeated"),
    ]
) { options in
    let arguments: Record = [
        "follow": .bool(options.has("follow")), "events": .list(options.all("event").map { .string($0) }),
    ]
    try client(options).ask("node.events", arguments) { record in
        write(options.has("json") ? record.json : EventLine.text(record))
        return true
    }
    return .done
}

let logLevelCommand = Subcommand(
    name: "log-level", synopsis: "CATEGORY LEVEL [--for TIME]", summary: "changes a level of the running node's log",
    mostArguments: 2, options: [Option("for", nil, "TIME", "go back by itself after this time, such as 10m")]
) { options in
    guard options.arguments.count == 2 else { throw Failure(.usage, "log-level: a category and a level expected") }
    var arguments: Record = ["category": .string(options.arguments[0]), "level": .string(options.arguments[1])]
    if let text = options.value("for") { arguments["seconds"] = .int(try seconds(text)) }
    return try show("node.log-level", arguments, options)
}

/// Asks and prints the answer: a table, or JSON lines.
private func show(_ command: String, _ arguments: Record, _ options: Options, none: String = "done") throws -> ExitCode
{
    let records = try client(options).ask(command, arguments)
    if options.has("json") {
        for record in records { write(record.json) }
    } else {
        write(records.isEmpty ? none : table(of: records).text())
    }
    return .done
}

/// A table of records that have the same fields.
func table(of records: [Record]) -> Table {
    let names = records.reduce(into: [String]()) { names, record in
        for field in record.fields where !names.contains(field.name) { names.append(field.name) }
    }
    var table = Table(names)
    for record in records {
        table.add(names.map { record[$0].map { $0 == .null ? "-" : $0.plain } ?? "-" })
    }
    return table
}

/// Seconds of a time such as `90`, `90s`, `10m`, `1h`, `7d`.
func seconds(_ text: String) throws(Failure) -> Int64 {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    let unit = text.last.flatMap { units[$0] }
    guard let number = Int64(unit == nil ? text[...] : text.dropLast()), number > 0,
        !number.multipliedReportingOverflow(by: unit ?? 1).overflow
    else { throw Failure(.usage, "\(text) is no time; write 90s, 10m, 1h or 7d") }
    return number * (unit ?? 1)
}
