internal import PeerNode

/// One subcommand of the program.
struct Subcommand: Sendable {
    /// Its name.
    let name: String
    /// What follows the name, for the help.
    let synopsis: String
    /// What it does, in a few words.
    let summary: String
    /// Words that may follow the name, options left out.
    var mostArguments = 0
    /// Options beside `--config` and `--help`.
    var options: [Option] = []
    /// More about it, for its own help.
    var details = ""
    /// Does it.
    let run: @Sendable (Options) throws -> ExitCode
}

/// The program: one executable with subcommands.
enum Program {
    static let standardOptions = [
        Option(
            "config", "c", "FILE",
            "the configuration; else ./peernode.json, config/peernode.json, /etc/peernode/peernode.json"),
        Option("help", "h", nil, "this text"),
    ]

    static let commands: [Subcommand] =
        [runCommand, checkConfigCommand, keygenCommand, idCommand] + operatorCommands + gossipCommands
        + filesCommands + [replicateCommand, contentCommand, testbedCommand, versionCommand]

    static func run(_ words: [String]) -> ExitCode {
        let name = words.dropFirst().first ?? ""
        if ["", "help", "--help", "-h"].contains(name) {
            write(overview)
            return name.isEmpty ? .usage : .done
        }
        if name == "--version" { return run([words[0], "version"]) }
        guard let command = commands.first(where: { $0.name == name }) else {
            complain(
                name.hasPrefix("-")
                    ? "the command comes first, then \(name)" : "there is no command \(name). Try: peernode help")
            return .usage
        }
        do {
            let options = try Options(
                Array(words.dropFirst(2)), command: name, accepts: standardOptions + command.options)
            if options.has("help") {
                write(help(command))
                return .done
            }
            if let surplus = options.arguments.dropFirst(command.mostArguments).first {
                complain("\(name) takes no \(surplus). Try: peernode \(name) --help")
                return .usage
            }
            return try command.run(options)
        } catch let failure as Failure {
            complain(failure.message)
            return failure.code
        } catch {
            complain("\(error)")
            return .inputOutput
        }
    }

    private static var overview: String {
        let width = commands.map { $0.name.count + $0.synopsis.count }.max() ?? 0
        let lines = commands.map { command in
            let head = "\(command.name) \(command.synopsis)"
            return "  \(head)\(String(repeating: " ", count: width + 3 - head.count))\(command.summary)"
        }
        return
            "peernode \(Node.version): one network node for several peer protocols\n\n"
            + "usage: peernode COMMAND [OPTION]…\n\n"
            + lines.joined(separator: "\n") + "\n\npeernode COMMAND --help tells more."
    }

    private static func help(_ command: Subcommand) -> String {
        let rows = (command.options + standardOptions).map { option in
            (
                (option.letter.map { "-\($0), " } ?? "    ") + "--\(option.name)"
                    + (option.argument.map { " \($0)" } ?? ""), option.help
            )
        }
        let width = rows.map(\.0.count).max() ?? 0
        let lines = rows.map { "  \($0)\(String(repeating: " ", count: width + 2 - $0.count))\($1)" }
        return "usage: peernode \(command.name) \(command.synopsis)\n\(command.summary)\n\n"
            + lines.joined(separator: "\n") + (command.details.isEmpty ? "" : "\n\n" + command.details)
    }
}

let versionCommand = Subcommand(name: "version", synopsis: "", summary: "prints the version") { _ in
    write("peernode \(Node.version)")
    return .done
}
