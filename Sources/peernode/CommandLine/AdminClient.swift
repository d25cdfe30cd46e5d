internal import PeerCore
internal import PeerJSON
internal import UV

/// Speaks to the running node over its admin socket: one JSON object a line.
final class AdminClient {
    private let path: String
    /// What questions run on.
    let loop = Loop()
    private var pipe: Pipe?
    /// How long the first word of an answer may take; a dial takes up to 15 s.
    private static let patience: Duration = .seconds(20)

    /// The node that listens at `path`.
    init(path: String) {
        self.path = path
    }

    /// Asks and calls `row` for each record of the answer. Throws when the node is not running or says no.
    /// Ends early when `row` gives false. `isPatient`: the first word may take as long as it likes.
    func ask(
        _ command: String, _ arguments: Record = [:], isPatient: Bool = false, row: @escaping (Record) -> Bool
    ) throws {
        let request: Record = ["command": .string(command), "arguments": .record(arguments)]
        var failure: Failure?
        var isDone = false
        var lines = LineBuffer(maximumLineBytes: 16 << 20)
        let pipe = try Pipe(loop)
        self.pipe = pipe
        let patience = Timer(loop)
        patience.unreference()
        defer {
            patience.close()
            loop.run()
        }
        patience.start(at: loop.instant + Self.patience) { [path] in
            failure = Failure(
                .unavailable, "the node does not answer at \(path); its process may be stopped or too busy")
            pipe.close()
        }
        pipe.connect(path: path) { [path] error in
            if let error {
                failure = Self.notRunning(path, error.systemError)
                return pipe.close()
            }
            if isPatient { patience.stop() }
            _ = try? pipe.write([Bytes(utf8: request.json + "\n")])
            pipe.startReading { event in
                guard case .received(let bytes) = event else {
                    if !isDone { failure = Failure(.unavailable, "the node closed the connection") }
                    return pipe.close()
                }
                // Whoever has begun to answer may take its time: a follower waits for ever.
                patience.stop()
                lines.append(bytes)
                do {
                    while !isDone, let line = try lines.next() {
                        isDone = try Self.take(line, row)
                    }
                } catch {
                    failure = error as? Failure ?? Failure(.inputOutput, "the node's answer is unreadable: \(error)")
                    isDone = true
                }
                if isDone { pipe.close() }
            }
        }
        loop.run()
        if let failure { throw failure }
    }

    /// Withdraws the question that is being asked, without an error.
    func cancel() {
        // The end of a connection alone looks like that of `echo … | nc`, which waits for its answer.
        _ = try? pipe?.write([Bytes(utf8: "{\"command\":\"cancel\"}\n")])
        pipe?.close()
    }

    /// All records of the answer.
    func ask(_ command: String, _ arguments: Record = [:]) throws -> [Record] {
        var records: [Record] = []
        try ask(command, arguments) { record in
            records.append(record)
            return true
        }
        return records
    }

    /// Whether that was the last line.
    private static func take(_ line: Bytes, _ row: (Record) -> Bool) throws -> Bool {
        guard case .record(var record) = try JSON.parse(line, limit: 16 << 20) else {
            throw Failure(.inputOutput, "the node answered with something that is no object: \(line.text ?? line.hex)")
        }
        if let error = record.string("error") { throw Failure(.no, error) }
        let isLast = record.bool("done") == true
        record["done"] = nil
        if !record.fields.isEmpty, !row(record) { return true }
        return isLast
    }

    private static func notRunning(_ path: String, _ error: SystemError) -> Failure {
        if error == .notPermitted {
            return Failure(.noPermission, "\(path): not permitted. The socket belongs to the user that runs the node.")
        }
        return Failure(
            .unavailable, "no node is listening at \(path) (\(error)). Is it running, and is this its configuration?")
    }
}
