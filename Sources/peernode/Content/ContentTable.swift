internal import PeerCore

/// Contents and their peers, for people.
enum ContentTable {
    /// Digits of an ID that tell it from others at a glance.
    private static let digits = 16

    /// A line for each content.
    static func text(_ rows: [Record]) -> String {
        guard !rows.isEmpty else {
            return "no contents: peernode content add FILE, or peernode content fetch SWARM@PEER"
        }
        var table = Table(["SWARM", "STATE", "DONE", "SIZE", "PEERS", "PATH"])
        for row in rows {
            table.add([
                String(row.plain("swarm").prefix(digits)), state(row), percent(row), octets(row, "ofBytes"),
                row.plain("peers"), row.plain("path"),
            ])
        }
        return table.text()
    }

    /// One content: what it is, how far it is, its map, its peers.
    static func details(_ rows: [Record]) -> String {
        guard let row = rows.first else { return text([]) }
        var lines = [
            row.plain("swarm"),
            "  \(state(row))  \(row.plain("path").escapedForTerminal)",
            "  \(octets(row, "bytes")) of \(octets(row, "ofBytes")), \(row.plain("chunks")) of \(row.plain("ofChunks"))"
                + " chunks of \(row.plain("chunkBytes")), \(row.plain("hash"))",
        ]
        if let map = row.string("map"), !map.isEmpty { lines.append("  [\(map)]") }
        if let rate = row.int("bytesPerSecond") {
            let left = row.int("secondsLeft").map { ", \(Amount.time($0)) left" } ?? ""
            lines.append("  \(Amount.octets(UInt64(max(0, rate))))/s\(left)")
        }
        for peer in rows.dropFirst() { lines.append("  \(describe(peer))") }
        if rows.count == 1 { lines.append("  no peers now") }
        return lines.joined(separator: "\n")
    }

    private static func describe(_ peer: Record) -> String {
        var facts = ["\(peer.plain("chunks")) chunks"]
        if let came = peer.int("receivedBytes"), came > 0 { facts.append("\(Amount.octets(UInt64(came))) from it") }
        if let went = peer.int("sentBytes"), went > 0 { facts.append("\(Amount.octets(UInt64(went))) to it") }
        if peer.bool("choked") == true { facts.append("lets us wait") }
        if peer.bool("proved") == true { facts.append("proved") }
        return "\(peer.plain("address"))  \(peer.plain("peer").prefix(digits))  \(facts.joined(separator: ", "))"
    }

    /// The end of a fetch.
    static func result(_ row: Record) -> String {
        let time = row.int("ms").map { " after \(Double($0) / 1000) s" } ?? ""
        return "\(row.plain("path").escapedForTerminal): \(octets(row, "bytes")), \(state(row))\(time)"
    }

    private static func state(_ row: Record) -> String {
        row.plain("state") + (row["why"].map { " (\($0.plain))" } ?? "")
    }

    private static func percent(_ row: Record) -> String {
        guard let all = row.int("ofBytes"), all > 0, let done = row.int("bytes") else { return "-" }
        return "\(done * 100 / all)%"
    }

    private static func octets(_ row: Record, _ name: String) -> String {
        row.int(name).flatMap { UInt64(exactly: $0) }.map { Amount.octets($0) } ?? "-"
    }
}
