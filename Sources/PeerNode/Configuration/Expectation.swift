internal import PeerCore

extension Setting.Kind {
    /// What a value may be, as the end of the sentence "expected …".
    var phrase: String {
        switch self {
        case .bool: "true or false"
        case .int(let range): "a whole number" + bounds(range, all: Int64.min...Int64.max) { "\($0)" }
        case .number(let range):
            "a number" + bounds(range, all: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude, plain)
        case .string: "a text"
        case .word(let words): alternatives(words)
        case .address: #""host:port" or "[v6]:port" with a numeric host"#
        case .destination: #""host:port", "[v6]:port" or "name:port""#
        case .form(let words, _): words
        case .list(let kind): "a list, each of it \(kind.phrase)"
        case .section, .map: "an object"
        case .optional(let kind): "\(kind.phrase) or null"
        case .oneOrMore(let kind): "\(kind.phrase), or a list of such"
        }
    }

    private func bounds<Number: Comparable>(
        _ range: ClosedRange<Number>, all: ClosedRange<Number>, _ text: (Number) -> String
    ) -> String {
        switch (range.lowerBound <= all.lowerBound, range.upperBound >= all.upperBound) {
        case (true, true): ""
        case (false, true): ", at least \(text(range.lowerBound))"
        case (true, false): ", at most \(text(range.upperBound))"
        case (false, false): " from \(text(range.lowerBound)) to \(text(range.upperBound))"
        }
    }

    private func plain(_ number: Double) -> String { Int64(exactly: number).map { "\($0)" } ?? "\(number)" }

    /// Whether values hold settings of their own, each with an origin of its own.
    var holdsSettings: Bool {
        switch self {
        case .section: true
        case .list(let kind), .optional(let kind), .oneOrMore(let kind), .map(let kind, _): kind.holdsSettings
        default: false
        }
    }
}

extension Record.Value {
    /// The value in a few words, as the end of the sentence "found …".
    var phrase: String {
        switch self {
        case .string(let text): quoted(text)
        case .list(let values): values.isEmpty ? "an empty list" : "a list"
        case .record: "an object"
        default: json
        }
    }
}
