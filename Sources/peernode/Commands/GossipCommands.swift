internal import Glibc
internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// Gossip from the shell: clients of the node's module API.
let gossipCommands: [Subcommand] = [publishCommand, subscribeCommand]

private let apiOption = Option(
    "api", nil, "HOST:PORT", "the module API of the node; else gossip.apiAddress of the configuration")

let publishCommand = Subcommand(
    name: "publish", synopsis: "TYPE [--ttl N] [--lines] [DATA or -]", summary: "spreads an item by Gossip",
    // TYPE and DATA.
    mostArguments: 2,
    options: [
        Option("ttl", nil, "N", "hops to spread, 1 to 255; 0, the default, is without limit"),
        Option("lines", nil, nil, "each line of standard input is an item, sent as it comes"),
        apiOption,
    ]
) { try Publication($0).run() }

let subscribeCommand = Subcommand(
    name: "subscribe", synopsis: "TYPE… [--validate COMMAND]", summary: "prints the items that come by Gossip",
    mostArguments: .max,
    options: [
        Option("validate", nil, "COMMAND", "sh judges each item with it, from standard input: exit 0 is valid"),
        Option("count", nil, "N", "end after so many valid items"),
        Option("json", nil, nil, "a JSON object for each item"),
        Option("quiet", "q", nil, "say nothing but the items: no notes, no word on those that are not valid"),
        apiOption,
    ]
) { try Subscription($0).run() }

/// A number of the command line; `wanted` tells what it may be.
func number(_ text: String, _ range: ClosedRange<Int>, wanted: String) throws(Failure) -> Int {
    guard let value = Int(text), range.contains(value) else { throw Failure(.usage, "\(wanted), not \(text)") }
    return value
}

/// The data types of the command line, of which there must be one.
func dataTypes(_ words: some Sequence<String>) throws(Failure) -> [UInt16] {
    var types: [UInt16] = []
    let wanted = "TYPE is a number from 0 to 65535"
    for word in words { types.append(UInt16(try number(word, 0...65_535, wanted: wanted))) }
    guard !types.isEmpty else { throw Failure(.usage, "a TYPE is missing; \(wanted)") }
    return types
}

/// Where the node's module API is.
func apiDestination(_ options: Options) throws(Failure) -> Destination {
    if let text = options.value("api") {
        guard let destination = Destination(text) else {
            throw Failure(.usage, "\(text) is no address; write --api HOST:PORT, such as 127.0.0.1:7001")
        }
        return destination
    }
    let configuration = try loadConfiguration(options)
    let section = configuration.values.record("gossip") ?? ["enabled": false]
    if section.bool("enabled") != false, let destination = section.string("apiAddress").flatMap({ Destination($0) }) {
        return destination
    }
    throw Failure(
        .configuration,
        "\(configuration.file) has no section gossip that is on and has an apiAddress, so its node has no module API."
            + " Change that, or name another node's: --api HOST:PORT")
}
