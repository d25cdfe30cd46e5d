internal import PeerCore

/// What a user looks for (P+2 sections 7.1 and 7.3).
///
/// What is sent to the peers is the text as it was typed, trimmed at both ends, or what stands in double quotes.
/// Only `-i` sends something else: the empty text, which means all files. Then the names are looked through here, and
/// must contain all the words, in any case.
struct Query {
    /// What the peers are told.
    let text: String
    /// What the names must contain, when they are looked through here.
    let words: [String]
    /// Whether they may contain it in another case.
    var ignoresCase: Bool { !words.isEmpty }

    /// Of a text as it is.
    init(_ text: String, ignoresCase: Bool) {
        let words = ignoresCase ? text.split(whereSeparator: \.isWhitespace).map(String.init) : []
        self.words = words
        self.text = ignoresCase ? "" : text
    }

    /// Of a line. `-i` may come first.
    init(line: String, ignoresCase: Bool) {
        var text = Self.trimmed(line[...])
        var ignoresCase = ignoresCase
        if text.hasPrefix("-i"), text.dropFirst(2).first?.isWhitespace ?? true {
            ignoresCase = true
            text = Self.trimmed(text.dropFirst(2))
        }
        if text.count >= 2, text.first == "\"", text.last == "\"" { text = text.dropFirst().dropLast() }
        self.init(String(text), ignoresCase: ignoresCase)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let end = text.lastIndex { !$0.isWhitespace }.map(text.index(after:)) ?? text.startIndex
        return text[..<end].drop(while: \.isWhitespace)
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
