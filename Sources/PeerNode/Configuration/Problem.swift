public import PeerCore
public import PeerJSON

/// One thing that is wrong with the configuration, for the operator.
public struct Problem: Hashable, Sendable {
    /// Where something is wrong.
    public enum Place: Hashable, Sendable {
        /// In this file; the position is nil when the text has none for it.
        case file(String, JSONPosition?)
        /// In this variable of the environment.
        case environment(String)
    }

    /// What is wrong.
    public enum Fault: Hashable, Sendable {
        /// The text is not JSON.
        case syntax(JSONError)
        /// A value of another kind, or out of range. `complaint` says more where the setting's own check does.
        case wrong(found: String, expected: String, complaint: String? = nil, suggestion: String? = nil)
        /// A key that must be there.
        case missing(expected: String)
        /// A key that does not exist.
        case unknownKey(known: [String], suggestion: String?)
        /// Right by itself, and wrong beside another setting.
        case contradiction(String)
    }

    /// The value, or the missing or unknown key.
    public let pointer: JSONPointer
    /// Where it is written, or where what should hold it is.
    public let place: Place
    /// What is wrong with it.
    public let fault: Fault

    /// A problem.
    public init(_ pointer: JSONPointer, _ place: Place, _ fault: Fault) {
        self.pointer = pointer
        self.place = place
        self.fault = fault
    }
}

extension Problem.Place: Comparable, CustomStringConvertible {
    /// Those in the file first, in the order of its lines.
    public static func < (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.file(_, let a), .file(_, let b)): a.map { a in b.map { a < $0 } ?? true } ?? false
        case (.environment(let a), .environment(let b)): a < b
        case (.file, .environment): true
        case (.environment, .file): false
        }
    }

    /// `peernode.json:3:14`, as compilers write it; the variable's name.
    public var description: String {
        switch self {
        case .file(let path, nil): path
        case .file(let path, let position?): "\(path):\(position.line):\(position.column)"
        case .environment(let variable): variable
        }
    }
}

extension Problem.Fault: CustomStringConvertible {
    /// `found "loud", expected "error", "warn" or "info"`
    public var description: String {
        switch self {
        case .syntax(let error): error.reason
        case .wrong(let found, let expected, let complaint, let suggestion):
            "found \(found), expected \(expected)" + (complaint.map { " (\($0))" } ?? "") + Self.hint(suggestion)
        case .missing(let expected): "missing, expected \(expected)"
        case .unknownKey(let known, nil): known.isEmpty ? "unknown key" : "unknown key, expected \(alternatives(known))"
        case .unknownKey(_, let suggestion): "unknown key" + Self.hint(suggestion)
        case .contradiction(let message): message
        }
    }

    private static func hint(_ suggestion: String?) -> String {
        suggestion.map { "; did you mean \(quoted($0))?" } ?? ""
    }
}

extension Problem: CustomStringConvertible {
    /// `peernode.json:3:14: /log/level: found "loud", expected "error", "warn" or "info"`
    public var description: String {
        [place.description, pointer.description.escapedForTerminal, fault.description]
            .filter { !$0.isEmpty }.joined(separator: ": ")
    }

    /// The same as fields, for the log.
    public var record: Record {
        ["place": .text(place), "pointer": .text(pointer), "problem": .text(fault)]
    }
}

/// `"a", "b" or "c"`
func alternatives(_ words: [String]) -> String {
    let quotes = words.map(quoted)
    guard quotes.count > 1, let last = quotes.last else { return quotes.joined() }
    return quotes.dropLast().joined(separator: ", ") + " or " + last
}

/// The text in quotes, cut when it is long; safe on a terminal.
func quoted(_ text: String) -> String {
    let limit = 60  // So that a problem stays a line or two.
    return Record.Value.string(text.count > limit ? text.prefix(limit) + "…" : text).json
}
