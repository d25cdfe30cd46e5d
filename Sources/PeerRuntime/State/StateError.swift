public import PeerCore

/// Why the state of the node cannot be used. Each says what, where, and what to do next.
public enum StateError: Error, Hashable, Sendable {
    /// Another process has the data directory; its ID, when it told.
    case inUse(directory: String, process: Int32?)
    /// There is an identity already.
    case identityExists(path: String)
    /// Group or others may use the identity file; its permission bits.
    case identityExposed(path: String, permissions: UInt32)
    /// The file holds something else than the 32 octets of a key.
    case identityDamaged(path: String)
    /// The system refused what was to be done with the path.
    case refused(SystemError, path: String, doing: String)
}

extension StateError: CustomStringConvertible {
    /// A sentence or two for the operator.
    public var description: String {
        switch self {
        case .inUse(let directory, let process):
            """
            the data directory \(directory) is in use by \(process.map { "process \($0)" } ?? "another process"): \
            stop that one, or give this node a dataDirectory of its own
            """
        case .identityExists(let path):
            "there is an identity already in \(path): use it, or replace it for ever with --force"
        case .identityExposed(let path, let permissions):
            """
            the identity in \(path) may be used by others (mode \(octal(permissions))): run chmod 600 on it; if \
            somebody may have read it, make a new one with keygen --force
            """
        case .identityDamaged(let path):
            """
            \(path) is not an identity (32 octets that are a secp256k1 key): put the backup there, or make a new one \
            with keygen --force
            """
        case .refused(let error, let path, let doing):
            "cannot \(doing) \(path): \(error)"
        }
    }
}

/// Permission bits as `chmod` takes them.
private func octal(_ permissions: UInt32) -> String {
    let digits = String(permissions, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
