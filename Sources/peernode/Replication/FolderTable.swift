internal import PeerCore

/// Replicated folders and their peers, for people.
enum FolderTable {
    /// A line for each folder.
    static func text(_ rows: [Record]) -> String {
        guard !rows.isEmpty else { return "no folders: add one to replication.folders, or replicate join" }
        var table = Table(["FOLDER", "STATE", "MODE", "FILES", "SIZE", "MISSING", "PEERS", "PATH"])
        for row in rows {
            table.add([
                row.plain("folder"), state(row), row.plain("mode"), row.plain("files"), octets(row, "bytes"),
                row.plain("missing"), row.plain("peers"), row.plain("path"),
            ])
        }
        return table.text()
    }

    /// The folders, and for each a line of what is under way and one for each peer.
    static func details(_ rows: [Record]) -> String {
        var parts: [String] = []
        let peers = Dictionary(grouping: rows.filter { $0["peer"] != nil }) { $0.plain("folder") }
        for row in rows where row["peer"] == nil && row["folder"] != nil {
            parts.append(describe(row, peers[row.plain("folder")] ?? []))
        }
        return parts.isEmpty ? text([]) : parts.joined(separator: "\n\n")
    }

    private static func describe(_ row: Record, _ peers: [Record]) -> String {
        var lines = [
            "\(row.plain("folder").escapedForTerminal)  \(state(row))  \(row.plain("path").escapedForTerminal)",
            "  \(Amount.number(row.int("files") ?? 0, "file")), \(octets(row, "bytes"))"
                + ", missing \(row.plain("missing")), mode \(row.plain("mode"))"
                + (row["lastChange"].map { ", last change \($0.plain)" } ?? ""),
        ]
        if let under = fetching(row) { lines.append("  fetching: \(under)") }
        for peer in peers {
            let seen = peer.double("lastSeenSeconds").map { ", seen \(Int64($0)) s ago" } ?? ""
            lines.append(
                "  \(peer.plain("address")): \(peer.plain("state"))"
                    + (peer.bool("extension") == true ? "" : ", without extension")
                    + (peer.bool("reachable") == false ? ", cannot be reached" : "") + seen
                    + (fetching(peer).map { ", fetching \($0)" } ?? ""))
        }
        if peers.isEmpty { lines.append("  no peers yet") }
        return lines.joined(separator: "\n")
    }

    /// `3 of 12 files, 4.2 MB of 10.0 MB, 1.1 MB/s, 0:05 left`; nil when nothing is under way.
    private static func fetching(_ row: Record) -> String? {
        guard let all = row.int("ofFiles"), all > 0 else { return nil }
        var facts = [
            "\(row.plain("doneFiles")) of \(Amount.number(all, "file"))",
            "\(octets(row, "doneBytes")) of \(octets(row, "ofBytes"))",
        ]
        if let rate = row.int("bytesPerSecond"), rate > 0 { facts.append("\(Amount.octets(UInt64(rate)))/s") }
        if let left = row.int("secondsLeft") { facts.append("\(Amount.time(left)) left") }
        return facts.joined(separator: ", ")
    }

    private static func state(_ row: Record) -> String {
        var state = row.plain("state")
        if let done = row.int("doneBytes"), let all = row.int("ofBytes"), all > 0 {
            state += " \(min(100, Int(100 * Double(done) / Double(all)))) %"
        }
        return state + (row["why"].map { " (\($0.plain))" } ?? "")
    }

    private static func octets(_ row: Record, _ name: String) -> String {
        row.int(name).flatMap { UInt64(exactly: $0) }.map { Amount.octets($0) } ?? "-"
    }
}

/// The end of a `join`.
enum JoinResult {
    static func text(_ row: Record) -> String {
        guard row.bool("trusted") == true else {
            return "\(row.plain("folder").escapedForTerminal): the node is joining; see replicate status"
        }
        let octets = row.int("bytes").flatMap { UInt64(exactly: $0) }.map { Amount.octets($0) } ?? "-"
        let seconds = Double(row.int("ms") ?? 0) / 1000
        return
            "\(row.plain("folder").escapedForTerminal): \(Amount.number(row.int("files") ?? 0, "file")), \(octets),"
            + " equal with \(row.plain("peer")) after \(seconds) s"
    }
}

extension Record {
    /// A value for people, a dash where there is none.
    func plain(_ name: String) -> String {
        guard let value = self[name], value != .null else { return "-" }
        return value.plain
    }
}
