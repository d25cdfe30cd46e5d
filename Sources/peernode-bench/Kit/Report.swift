internal import Glibc
internal import PeerCore

/// Where figures go: lines on standard output, JSON lines in a file.
final class Report {
    private let json: Int32?
    private(set) var hasFailures = false
    private var hasMisses = false

    init(json path: String?) throws {
        json = try path.map { path in
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw BenchFailure("\(path) cannot be written") }
            return descriptor
        }
    }

    var isGood: Bool { !hasFailures && !hasMisses }

    func say(_ line: String) {
        write(line, to: 1)
        if let json { write(Record([("text", .string(line))]).json, to: json) }
    }

    func add(_ figure: Figure) {
        guard figure.ratio.count > 0 else {
            return failed(figure.job, BenchFailure("no round of \(figure.metric) ended"))
        }
        hasMisses = hasMisses || !figure.isMet
        write(figure.line, to: 1)
        if let json { write(figure.record.json, to: json) }
    }

    /// A run that failed is a failure, never a fast run.
    func failed(_ job: String, _ error: any Error) {
        hasFailures = true
        say("FAILED job=\(job) \(error)")
    }
}

/// Writes a line at once.
func write(_ line: String, to descriptor: Int32) {
    var octets = Array((line + "\n").utf8)[...]
    while !octets.isEmpty {
        let written = Glibc.write(descriptor, Array(octets), octets.count)
        guard written > 0 else { return }
        octets = octets.dropFirst(written)
    }
}
