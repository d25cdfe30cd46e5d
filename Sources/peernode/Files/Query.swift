internal import PeerCore

/// What a user looks for (P+2 sections 7.1 and 7.3).
///
/// What is sent to the peers is the text as it was typed, trimmed at both ends. Only two forms send something else, and
/// look through the answers here: several words send the first one, `-i` sends the empty text, which means all files.
struct Query {
    /// What the peers are told.
    let text: String
    /// What the names must contain beside that.
    let words: [String]
    /// Whether they may contain it in another case.
    let ignoresCase: Bool

    /// Of several words; without any, all files.
    init(_ words: [String], ignoresCase: Bool) {
        self.ignoresCase = ignoresCase
        text = ignoresCase ? "" : words.first ?? ""
        self.words = ignoresCase ? words : Array(words.dropFirst())
    }

    /// Of a line: words between spaces, or between double quotes and then as they are. `-i` may come first.
    init(line: String, ignoresCase: Bool) {
        var rest = line[...].drop(while: \.isWhitespace)
        var ignoresCase = ignoresCase
        if rest.hasPrefix("-i"), rest.dropFirst(2).first?.isWhitespace ?? true {
            ignoresCase = true
            rest = rest.dropFirst(2)
        }
        var words: [String] = []
        while case let start = rest.drop(while: \.isWhitespace), !start.isEmpty {
            let (word, end) = Self.quoted(start) ?? Self.plain(start)
            words.append(String(word))
            rest = end
        }
        self.init(words, ignoresCase: ignoresCase)
    }

    private static func plain(_ text: Substring) -> (word: Substring, rest: Substring) {
        let word = text.prefix { !$0.isWhitespace }
        return (word, text[word.endIndex...])
    }

    /// What stands between a quote and the next one that ends a word; nil when there is none.
    private static func quoted(_ text: Substring) -> (word: Substring, rest: Substring)? {
        guard text.first == "\"" else { return nil }
        let inside = text.dropFirst()
        let end = inside.indices.first { index in
            inside[index] == "\"" && (inside[inside.index(after: index)...].first?.isWhitespace ?? true)
        }
        return end.map { (inside[..<$0], inside[inside.index(after: $0)...]) }
    }

    /// For the command `search`.
    var arguments: Record {
        var arguments: Record = ["text": .string(text)]
        if !words.isEmpty { arguments["words"] = .list(words.map { .string($0) }) }
        if ignoresCase { arguments["ignoreCase"] = true }
        return arguments
    }
}

/// Which of the numbered files are wanted: `3`, `1 3 5-7`, or `0` for none.
struct Choice {
    /// In the order given, each once.
    let numbers: [Int]

    /// Nil when that is no choice among `count` files: it is asked again.
    init?(_ line: String, of count: Int) {
        var numbers: [Int] = []
        let parts = line.split { $0.isWhitespace || $0 == "," }
        guard !parts.isEmpty else { return nil }
        if parts == ["0"] {
            self.numbers = []
            return
        }
        for part in parts {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends[0], let last = ends[ends.count - 1], 1 <= first, first <= last, last <= count else {
                return nil
            }
            numbers += (first...last).filter { !numbers.contains($0) }
        }
        self.numbers = numbers
    }
}
