/// A core's own name for one of its listening sockets.
public struct ListenerID: Hashable, Sendable, CustomStringConvertible {
    /// The name, for the log.
    public let name: String

    /// A listener called `name`.
    public init(_ name: String) {
        self.name = name
    }

    /// The name.
    public var description: String { name }
}

/// One stream connection of one core; never used again.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Counted from 1 in the order of opening.
    public let number: UInt64

    /// Connection `number`.
    public init(_ number: UInt64) {
        self.number = number
    }

    /// Older is less.
    public static func < (a: ConnectionID, b: ConnectionID) -> Bool { a.number < b.number }

    /// `c` and the number.
    public var description: String { "c\(number)" }
}

/// One request of a core to its surroundings (a name to resolve, work on files); its answer carries the same ID.
public struct RequestID: Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let number: UInt64

    /// Request `number`.
    public init(_ number: UInt64) {
        self.number = number
    }

    /// `r` and the number.
    public var description: String { "r\(number)" }
}

/// One command of the operator.
public struct CommandID: Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let number: UInt64

    /// Command `number`.
    public init(_ number: UInt64) {
        self.number = number
    }

    /// `k` and the number.
    public var description: String { "k\(number)" }
}

/// A folder that the configuration hands to a core; the core knows its name, the host its place.
public struct FolderID: Hashable, Sendable, CustomStringConvertible {
    /// The name.
    public let name: String

    /// The folder called `name`.
    public init(_ name: String) {
        self.name = name
    }

    /// The name.
    public var description: String { name }
}
