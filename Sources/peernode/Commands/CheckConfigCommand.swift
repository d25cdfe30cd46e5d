internal import PeerCore
internal import PeerNode

let checkConfigCommand = Subcommand(
    name: "check-config", synopsis: "[FILE] [--schema | --effective [--json]]",
    summary: "checks the configuration and says all that is wrong with it",
    mostArguments: 1,
    options: [
        Option("schema", nil, nil, "prints the JSON Schema of the file instead"),
        Option("effective", nil, nil, "prints every setting with its value and where that comes from"),
        Option("json", nil, nil, "with --effective: a JSON object on each line"),
    ]
) { options in
    if options.has("schema") {
        write(String(settingsSchema().prettyJSON.dropLast()))
        return .done
    }
    guard options.arguments.count <= 1 else { throw Failure(.usage, "check-config takes one file") }
    var named = options
    if let file = options.arguments.first { named.set("config", file) }
    let configuration = try loadConfiguration(named)
    if options.has("effective") {
        if options.has("json") {
            for record in configuration.records { write(record.json) }
        } else {
            write(String(configuration.text.dropLast()))
        }
    } else {
        write("\(configuration.file): fine")
    }
    return .done
}
