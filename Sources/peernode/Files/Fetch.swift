internal import Glibc
internal import PeerCore
internal import PeerRuntime
internal import UV

/// One download, from the first word to the result.
struct Fetch {
    /// How it ended.
    enum Result {
        /// The file is there; the last row of the answer.
        case done(Record)
        /// The user broke it off; `isEnd`: and the program.
        case cancelled(isEnd: Bool)
    }

    let requester: any Requester
    let style: Progress.Style
    /// Told each row, when set.
    var onRow: ((Record) -> Void)?

    /// Fetches what `arguments` name and people call `title`.
    func run(_ arguments: Record, title: String) throws -> Result {
        let loop = requester.loop
        var progress = Progress(title, style, at: loop.instant)
        var result: Record?
        defer { progress.finish() }
        do {
            let folder = requester.folder == "." ? "" : requester.folder + "/"
            let interruption = try requester.askInterruptibly("download", arguments) { row in
                if let path = row.string("path") {
                    let whole = row.appending(["file": .string(folder + path)])
                    result = whole
                    onRow?(whole)
                } else {
                    onRow?(row)
                    if let done = row.int("bytes").flatMap({ UInt64(exactly: $0) }) {
                        let total = row.int("total").flatMap { UInt64(exactly: $0) }
                        progress.update(done, of: total, at: loop.instant)
                    }
                }
            }
            if let result { return .done(result) }
            guard interruption.hasCome else { throw Failure(.inputOutput, "\(title): the answer has no end") }
            return .cancelled(isEnd: interruption.isEnd)
        } catch let failure as Failure where failure.code == .no {
            throw Self.explained(failure, title)
        }
    }

    /// The core's refusal, `reason: words`, for the user; what this machine could not do has a code of its own.
    private static func explained(_ failure: Failure, _ title: String) -> Failure {
        let parts = failure.message.split(separator: ":", maxSplits: 1)
        let isOurs = ["disk_full", "write_error", "system_error", "no_free_name"].contains(parts[0])
        let words = parts.count == 2 ? parts[1].drop { $0 == " " } : parts[0]
        return Failure(isOurs ? .inputOutput : .no, "\(title): \(words)")
    }

    /// The result for people.
    static func text(_ result: Record) -> String {
        let size = result.int("bytes").flatMap { UInt64(exactly: $0) }.map { Amount.octets($0) } ?? ""
        let trust =
            result.string("complete") == "verified"
            ? "verified: size and SHA-256 are those that the peer announced"
            : "unverified: the peer ended in order, but this protocol cannot prove that the file is whole"
        let file = (result.string("file") ?? "").escapedForTerminal
        return "\(file)  \(size)  \(trust)"
    }
}
