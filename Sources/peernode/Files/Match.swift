internal import PPlusTwo
internal import PeerCore

/// A file that a peer has named.
struct Match {
    /// How the searcher numbered it.
    let number: Int64
    /// As the peer calls it; what is no text is U+FFFD.
    let name: String
    /// The name's octets when they are no text.
    private let octets: Bytes?
    /// Who has it.
    let peer: String
    /// Octets, when the peer tells.
    let size: UInt64?

    /// Nil when the row is not about a match.
    init?(_ row: Record) {
        guard let number = row.int("number"), let name = row.string("name"), let peer = row.string("peer") else {
            return nil
        }
        (self.number, self.name, self.peer) = (number, name, peer)
        octets = row.string("octets").flatMap { Bytes(hex: $0) }
        size = row.int("size").flatMap { UInt64(exactly: $0) }
    }

    /// The name for a terminal (P+2 section 6.4).
    var shown: String { RemoteName.shown(octets ?? Bytes(utf8: name)) }

    /// For the command `download`: by name, which no other search can change, where there is a text for it.
    var arguments: Record {
        octets == nil ? ["name": .string(name), "peer": .string(peer)] : ["number": .int(number)]
    }
}

/// How matches are put in order.
enum MatchOrder: String, CaseIterable {
    /// By name; the same name at several peers stands together.
    case name
    /// The largest first; those of which the size is not known last.
    case size

    func sorted(_ matches: [Match]) -> [Match] {
        matches.sorted { a, b in
            if self == .size, a.size != b.size { return (a.size ?? 0) > (b.size ?? 0) }
            let (left, right) = (a.name.lowercased(), b.name.lowercased())
            return (left, a.name, a.number) < (right, b.name, b.number)
        }
    }
}

/// Matches as lines: number, name, size, peer.
struct MatchLines {
    /// Digits of the largest number that is shown (P+2 section 7.1: at most 1,000).
    private static let numberColumns = 4
    /// `999.9 MB`
    private static let sizeColumns = 8
    /// `255.255.255.255:65533`
    private static let peerColumns = 21
    /// Names elsewhere than on a terminal stand in so many columns, or in as many as they need.
    private static let nameColumns = 40

    private let width = Terminal.isTerminal ? Terminal.width : nil
    private var lastName: String?

    /// The line of a match. A name that was just shown is not repeated when `grouping`.
    mutating func line(_ number: Int64, _ match: Match, grouping: Bool = false) -> String {
        let name = grouping && lastName == match.name ? "\"" : match.shown
        lastName = match.name
        let head = Self.padded("\(number)", Self.numberColumns)
        let size = Self.padded(match.size.map { Amount.octets($0) } ?? "", Self.sizeColumns)
        let fixed = Self.numberColumns + Self.sizeColumns + Self.peerColumns + 6
        let shown =
            width.map { Columns.fit(name, max(10, $0 - 1 - fixed)) }
            ?? Columns.fit(name, max(Self.nameColumns, Columns.count(name)))
        return "\(head)  \(shown)  \(size)  \(match.peer)"
    }

    private static func padded(_ text: String, _ columns: Int) -> String {
        String(repeating: " ", count: max(0, columns - text.count)) + text
    }
}

/// What a search came to.
struct SearchSummary {
    let asked: Int64
    let failed: Int64
    let matches: Int64
    let notShown: Int64

    /// Nil when the row is not the last one of a search.
    init?(_ row: Record) {
        guard let asked = row.int("asked"), let matches = row.int("matches") else { return nil }
        (self.asked, self.matches) = (asked, matches)
        (failed, notShown) = (row.int("failed") ?? 0, row.int("notShown") ?? 0)
    }

    /// In words.
    var text: String {
        guard asked + failed > 0 else {
            return "no peer is known: name one with --peer HOST:PORT, or in /files/initialPeers of the node"
        }
        let peers = Amount.number(max(asked, failed), "peer") + " asked"
        let silent = failed > 0 ? ", \(failed) of them failed" : ""
        guard matches > 0 else { return "no such file (\(peers)\(silent))" }
        let hidden = notShown > 0 ? "; \(notShown) more not shown: a longer text finds fewer" : ""
        return "\(Amount.number(matches, "file")) (\(peers)\(silent))\(hidden)"
    }
}

/// Why a peer did not answer, in words; nil when the row tells something else.
func peerFailure(_ row: Record) -> String? {
    guard let peer = row.string("peer"), let reason = row.string("failed") else { return nil }
    let words =
        switch reason {
        case "refused": "nobody listens there"
        case "timeout": "it does not answer in time"
        case "unreachable": "it cannot be reached"
        case "reset", "closed_by_peer": "it broke off"
        default: reason
        }
    return "\(peer) is left out: \(words)"
}
