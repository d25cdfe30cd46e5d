internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// Who searches and fetches: the running node, or this process by itself.
protocol Requester: AnyObject {
    /// What requests run on.
    var loop: Loop { get }
    /// Where downloads go.
    var folder: String { get }
    /// Carries out a command of P+2 and calls `row` for each record of the answer. Returns when that is whole, or after
    /// `cancel()`. Throws when the answer is no.
    func ask(_ name: String, _ arguments: Record, row: @escaping (Record) -> Void) throws
    /// Withdraws the command that is being carried out.
    func cancel()
    /// Ends it all.
    func close()
}

/// The running node, by its admin socket.
final class NodeRequester: Requester {
    private let client: AdminClient
    let folder: String

    var loop: Loop { client.loop }

    /// The node of the configuration; throws when it does not run, or without P+2.
    init(_ options: Options) throws {
        let configuration = try loadConfiguration(options)
        client = AdminClient(path: configuration.node.adminSocket)
        folder = configuration.values.record("files")?.string("folder") ?? "."
        do {
            _ = try client.ask("files.status")
        } catch let failure as Failure {
            let advice = " Without a node: --peer HOST:PORT."
            throw Failure(failure.code, failure.message + (failure.code == .unavailable ? advice : ""))
        }
    }

    func ask(_ name: String, _ arguments: Record, row: @escaping (Record) -> Void) throws {
        // A peer may take its time before there is anything to tell.
        try client.ask("files.\(name)", arguments, isPatient: true) { record in
            row(record)
            return true
        }
    }

    func cancel() { client.cancel() }

    func close() {}
}
