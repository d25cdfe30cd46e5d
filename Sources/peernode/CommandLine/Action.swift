internal import PeerRuntime

/// One of the things that a subcommand does: its first word says which.
struct Action: Sendable {
    /// Words that follow.
    let words: ClosedRange<Int>
    /// What these are, for whoever gives others.
    let expected: String
    /// Does it with these words.
    let run: @Sendable ([String], Options) throws -> ExitCode
}

extension [String: Action] {
    /// Does what the words after `command` say.
    func run(_ command: String, _ options: Options) throws -> ExitCode {
        let (verb, words) = (options.arguments.first ?? "", Array<String>(options.arguments.dropFirst()))
        guard let action = self[verb] else {
            throw Failure(
                .usage, "\(command): \(verb.isEmpty ? "what? Try: " : "no \(verb). Try: ")peernode \(command) --help")
        }
        guard action.words.contains(words.count) else {
            throw Failure(.usage, "\(command) \(verb): \(action.expected)")
        }
        return try action.run(words, options)
    }
}

/// A path of the shell's folder as one that the node understands, which may run in another.
func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : currentFolder() + "/" + path
}
