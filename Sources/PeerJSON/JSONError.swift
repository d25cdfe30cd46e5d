internal import PeerCore

/// What is wrong with a text that should be JSON.
public enum JSONError: Error, Hashable, Sendable {
    /// The text is longer than allowed, and nothing of it was read.
    case tooLong(octets: Int, limit: Int)
    /// The octets there are no UTF-8.
    case notUTF8(JSONPosition)
    /// Objects and lists lie in each other more often than `limit`.
    case tooDeep(JSONPosition, limit: Int)
    /// The grammar wants something else there.
    case unexpected(found: String, expected: String, JSONPosition)
    /// The key is in the object already.
    case duplicateKey(String, JSONPosition)
    /// It follows the grammar, and no value of ours can hold it: a number above 1.8e308, half a surrogate pair.
    case unrepresentable(String, JSONPosition)

    /// Where it is; nil when that says nothing.
    public var position: JSONPosition? {
        switch self {
        case .tooLong: nil
        case .notUTF8(let position), .tooDeep(let position, _), .unexpected(_, _, let position),
            .duplicateKey(_, let position), .unrepresentable(_, let position):
            position
        }
    }

    /// What it is, without the place.
    public var reason: String {
        switch self {
        case .tooLong(let octets, let limit): "a text of \(octets) octets is above the limit of \(limit)"
        case .notUTF8: "these octets are no UTF-8"
        case .tooDeep(_, let limit): "objects and lists lie in each other more than \(limit) deep"
        case .unexpected(let found, let expected, _): "found \(found), expected \(expected)"
        case .duplicateKey(let key, _): "the key \(Record.Value.string(key).json) is there twice"
        case .unrepresentable(let what, _): what
        }
    }
}

extension JSONError: CustomStringConvertible {
    /// `line 3, column 14: found "}", expected a key in quotes`
    public var description: String { position.map { "\($0): \(reason)" } ?? reason }
}
