internal import PeerCore

/// What the log has been told.
struct Reports {
    /// Files and octets that are shared.
    var shared: [Int] = []
}

/// Things that happened, for the operator (P+2 section 11).
struct Counters {
    var listsAnswered = 0
    var listsAsked = 0
    var queriesAnswered = 0
    var queriesAsked = 0
    var extensionsAnswered = 0
    var uploadsStarted = 0
    var uploadsDone = 0
    var uploadsAborted = 0
    var downloadsStarted = 0
    var downloadsDone = 0
    var downloadsFailed = 0
    /// Callers and lines that were refused, by reason.
    var rejected: [String: Int] = [:]

    var record: Record {
        var rejects = Record()
        for (reason, count) in rejected.sorted(by: { $0.key < $1.key }) { rejects[reason] = .count(count) }
        return [
            "listsAnswered": .count(listsAnswered), "listsAsked": .count(listsAsked),
            "queriesAnswered": .count(queriesAnswered), "queriesAsked": .count(queriesAsked),
            "extensionsAnswered": .count(extensionsAnswered), "uploadsStarted": .count(uploadsStarted),
            "uploadsDone": .count(uploadsDone), "uploadsAborted": .count(uploadsAborted),
            "downloadsStarted": .count(downloadsStarted), "downloadsDone": .count(downloadsDone),
            "downloadsFailed": .count(downloadsFailed), "rejected": .record(rejects),
        ]
    }
}
