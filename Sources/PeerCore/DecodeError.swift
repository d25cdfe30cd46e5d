/// What is wrong with bytes that a peer sent. It costs the peer its connection, never more.
public enum DecodeError: Error, Hashable, Sendable {
    /// The bytes end before the field does.
    case truncated(field: String)
    /// A length or count is above what is allowed, and nothing was reserved for it.
    case tooLong(field: String, length: UInt64, limit: UInt64)
    /// A value that the field cannot have.
    case invalid(field: String)
    /// Bytes are left over after the last field.
    case trailing(count: Int)
}

extension DecodeError: CustomStringConvertible {
    /// A phrase for the log.
    public var description: String {
        switch self {
        case .truncated(let field): "\(field) is cut short"
        case .tooLong(let field, let length, let limit): "\(field) of \(length) is above the limit of \(limit)"
        case .invalid(let field): "\(field) has a value that it cannot have"
        case .trailing(let count): "\(count) octets are left over"
        }
    }
}
