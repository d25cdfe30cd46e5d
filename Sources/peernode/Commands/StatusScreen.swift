internal import PeerCore

/// The screen of `status`.
enum StatusScreen {
    static func text(_ status: Record) -> String {
        var lines = [
            "peernode \(value(status, "version"))  pid \(value(status, "pid"))"
                + "  up \(age(status.int("uptimeSeconds") ?? 0))",
            "peer ID  \(value(status, "peer"))",
            "config   \(value(status, "config"))",
        ]
        for case .record(let section) in status.list("sections") ?? [] { lines += sectionLines(section) }
        lines.append(
            "memory   \((status.int("rssBytes") ?? 0) / 1_048_576) MiB   descriptors \(value(status, "descriptors"))"
                + "   loop lag \(value(status, "lagMaximumSeconds")) s at most   bans \(value(status, "bans"))")
        lines.append(
            "traffic  \(value(status, "receivedBytes")) octets in, \(value(status, "sentBytes")) out,"
                + " last \(value(status, "lastMessageSeconds")) s ago")
        let reasons = status.list("notReady") ?? []
        lines.append(reasons.isEmpty ? "ready" : "not ready: " + reasons.map(\.plain).joined(separator: "; "))
        return lines.joined(separator: "\n")
    }

    private static func sectionLines(_ section: Record) -> [String] {
        let name = value(section, "section")
        let head = name + String(repeating: " ", count: max(1, 9 - name.count))
        if section["want"] != nil {
            return [
                head + "peers \(value(section, "peers")) (\(value(section, "inbound")) in,"
                    + " \(value(section, "outbound")) out), \(value(section, "have")) of"
                    + " \(value(section, "want")) wanted,"
                    + " \(value(section, "known")) addresses known, listening on \(value(section, "listen"))"
            ]
        }
        let fields = section.fields.filter { field in
            switch field.value {
            case .int(0), .null, .record, .list: false
            default: field.name != "section"
            }
        }
        return [head + fields.map { "\($0.name) \($0.value.plain.escapedForTerminal)" }.joined(separator: "  ")]
    }

    private static func value(_ record: Record, _ name: String) -> String {
        record[name].map { $0 == .null ? "-" : $0.plain.escapedForTerminal } ?? "-"
    }

    /// `3d 4h`, `12m 5s`: the two largest units.
    static func age(_ seconds: Int64) -> String {
        let parts = [
            (seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"),
        ]
        let shown = parts.drop { $0.0 == 0 }.prefix(2).map { "\($0.0)\($0.1)" }
        return shown.isEmpty ? "0s" : shown.joined(separator: " ")
    }
}

/// A log line for a person, from the record of `events`.
enum EventLine {
    static func text(_ record: Record) -> String {
        let head = ["ts", "level", "cat", "event"].compactMap { record.string($0)?.escapedForTerminal }
        let rest = record.fields.filter { !["ts", "level", "cat", "event", "msg"].contains($0.name) }
            .map { "\($0.name)=\($0.value.plain.escapedForTerminal)" }
        let message = record.string("msg").map { ["# " + $0.escapedForTerminal] } ?? []
        return (head + rest + message).joined(separator: " ")
    }
}
