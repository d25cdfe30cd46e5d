internal import Glibc
internal import PPlusTwo
internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// The very same core as in a node, in this process: it does not listen, shares nothing and keeps no state but the part
/// files of downloads that were broken off.
final class LocalRequester: Requester {
    /// Matches that are numbered; more than anybody looks at.
    private static let mostMatches = 1_000_000

    let loop = Loop()
    let folder: String
    private let peers: [PeerIdentity]
    private let runtime: Runtime
    private let host: Host
    private var running: CommandID?

    /// With these peers to begin with; files go into `folder`.
    init(peers names: [String], folder: String) throws {
        self.folder = folder
        peers = try names.map { [loop] name in try Self.identity(name, loop) }
        let log = Log(level: .error)
        do throws(SystemError) {
            try log.open(file: "/dev/null")
        } catch {
            throw Failure(.inputOutput, "/dev/null: \(error)")
        }
        raiseDescriptorLimit()
        runtime = Runtime(loop: loop, log: log, rows: nil, limits: Limits())
        var configuration = PPlusTwo.Configuration(listen: nil, folder: folder)
        configuration.initialPeers = peers
        configuration.maxMatches = Self.mostMatches
        configuration.hasRows = false
        host = Host(
            PPlusTwo(configuration, seed: systemRandom()), name: "files", runtime: runtime,
            folders: Folders([PPlusTwo.folder: folder]))
        host.start()
    }

    /// The peer that is called `name`, which may be a host name.
    static func identity(_ name: String, _ loop: Loop) throws -> PeerIdentity {
        let wanted = "write HOST:PORT, with the port of its peer list, such as 192.0.2.7:17000"
        if let identity = PeerIdentity(name) { return identity }
        guard case .name(let host, let port)? = Destination(name) else {
            throw Failure(.usage, "\(name) is no peer; \(wanted)")
        }
        var found: [IPAddress]?
        loop.resolve(host) { found = $0 }
        while found == nil, loop.runOnce() {}
        guard let identity = found?.lazy.compactMap({ PeerIdentity($0, port) }).first else {
            throw Failure(.no, "\(name): no IPv4 address is known for that name; \(wanted)")
        }
        return identity
    }

    func ask(_ name: String, _ arguments: Record, row: @escaping (Record) -> Void) throws {
        guard name == "download" else { return try carryOut(name, arguments, row) }
        let saving: SavingFolder
        do throws(SystemError) {
            saving = try SavingFolder(folder) {
                complain("another peernode saves into \(folder.escapedForTerminal); waiting until it is done")
            }
        } catch {
            throw Failure(
                error == .notPermitted ? .noPermission : .inputOutput,
                "cannot save into \(folder): \(error). Name another folder with --into.")
        }
        defer { saving.tidy() }
        try carryOut(name, arguments, row)
    }

    private func carryOut(_ name: String, _ arguments: Record, _ row: @escaping (Record) -> Void) throws {
        // Whoever failed earlier is asked again.
        for peer in peers { _ = host.command(Command("connect", ["address": .text(peer)])) { _ in } }
        var outcome = Reply.Outcome.more
        running = host.command(Command(name, arguments)) { reply in
            for record in reply.records { row(record) }
            outcome = reply.outcome
        }
        while outcome == .more, running != nil { loop.runOnce() }
        running = nil
        if case .refused(let reason) = outcome { throw Failure(.no, reason) }
    }

    func cancel() {
        guard let id = running else { return }
        running = nil
        host.cancel(id)
    }

    func close() {
        host.close()
        runtime.close()
        loop.run()
    }
}
