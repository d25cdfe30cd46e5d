internal import PPlusTwo
internal import PeerCore
internal import PeerNode
internal import PeerRuntime

let shareCommand = Subcommand(
    name: "share", synopsis: "[TEXT] [--json] | --add PATH…",
    summary: "lists the files that the node shares, or adds some",
    mostArguments: .max,
    options: [
        Option("add", nil, nil, "put the files PATH… into the shared folder"),
        Option("json", nil, nil, "a JSON object for each file"),
    ],
    details: """
        The running node lists what it shares now; TEXT is a part of the name. Exit 1 when there is none.

        --add works without a node too, and a node notices by itself. A file gets a second name in the shared folder
        (a hard link): it takes no space, and later changes of it are shared too. On another file system it is copied,
        and has its name only when it is whole. Nothing is overwritten, and nothing is shared whose name begins with a
        dot. To stop sharing a file, remove it from the folder.
        """
) { options in
    if options.has("add") { return try addFiles(options) }
    guard options.arguments.count <= 1 else { throw Failure(.usage, "share: one TEXT at most; files go with --add") }
    var arguments = Record()
    if let text = options.arguments.first { arguments["text"] = .string(text) }
    let requester = try NodeRequester(options)
    var table = Table(["NAME", "SIZE", "MODIFIED"])
    var count = 0
    try requester.ask("share", arguments) { row in
        count += 1
        if options.has("json") { return write(row.json) }
        let size = row.int("size").flatMap { UInt64(exactly: $0) }.map { Amount.octets($0) } ?? "-"
        table.add([row.string("name") ?? "", size, row.string("modified") ?? "-"])
    }
    if count > 0, !options.has("json") { write(table.text()) }
    guard count == 0 else { return .done }
    if !options.has("json") {
        complain("nothing is shared" + (arguments.fields.isEmpty ? ": try peernode share --add PATH" : " of that name"))
    }
    return .no
}

private func addFiles(_ options: Options) throws -> ExitCode {
    guard !options.arguments.isEmpty else { throw Failure(.usage, "share --add: a PATH is missing") }
    let configuration = try loadConfiguration(options)
    guard let folder = configuration.values.record("files")?.string("folder") else {
        throw Failure(.configuration, "\(configuration.file) has no section files, so nothing is shared")
    }
    var worst = ExitCode.done
    for path in options.arguments {
        do throws(Failure) {
            let (name, placing) = try add(path, to: folder)
            let row: Record = [
                "path": .string(path), "name": .string(name), "folder": .string(folder),
                "how": .string(placing.rawValue),
            ]
            let words = ["linked": "shared", "copied": "shared (a copy)", "there": "shared already"]
            write(
                options.has("json")
                    ? row.json
                    : "\(words[placing.rawValue] ?? "") \(RemoteName.shown(Bytes(utf8: name)))")
        } catch {
            complain(error.message)
            worst = worst == .done ? error.code : worst
        }
    }
    return worst
}

private func add(_ path: String, to folder: String) throws(Failure) -> (name: String, Placing) {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let shown = RemoteName.shown(Bytes(utf8: path))
    guard !name.isEmpty, !name.hasPrefix("."), !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
        throw Failure(.no, "\(shown): hidden names, and those with control characters, are not shared; rename it first")
    }
    do throws(SystemError) {
        return (name, try place(path, as: name, in: folder))
    } catch {
        switch error {
        case .exists:
            throw Failure(.no, "\(shown): the shared folder has another file of that name; rename one of them")
        case .notPermitted: throw Failure(.noPermission, "\(shown): not permitted, here or in \(folder)")
        case .notFound: throw Failure(.inputOutput, "\(shown): there is no such file, or no folder \(folder)")
        case .other("EISDIR"): throw Failure(.no, "\(shown): it is a folder; name the files in it")
        default: throw Failure(.inputOutput, "\(shown): \(error)")
        }
    }
}
