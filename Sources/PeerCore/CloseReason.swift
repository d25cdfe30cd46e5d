/// Why a connection ended. The list is closed and published: log lines, counters and status use these words.
public enum CloseReason: String, CaseIterable, Hashable, Sendable {
    // What the other side did.
    /// It ended the connection in order.
    case closedByPeer = "closed_by_peer"
    /// It reset the connection.
    case reset
    /// Nothing valid came for the time that the protocol allows.
    case silent
    /// Bytes that do not decode.
    case malformed
    /// A signature that is not the peer's.
    case badSignature = "bad_signature"
    /// Its timestamps are outside the window.
    case clock
    /// A well-formed message that the protocol does not allow here.
    case protocolViolation = "protocol_violation"
    /// A version that we do not speak.
    case version
    /// It does not take what we send.
    case tooSlow = "too_slow"
    /// It sends more than the protocol's limit.
    case flooding

    // Who it is.
    /// It is already connected.
    case duplicate
    /// It is ourselves.
    case selfConnection = "self"
    /// It proved another identity than the one asked for.
    case wrongIdentity = "wrong_identity"
    /// It is banned.
    case banned

    // What we did.
    /// A limit of ours; `limit_hit` names it.
    case limit
    /// The protocol had nothing more to say.
    case finished
    /// Another peer was worth more than this one.
    case replaced
    /// The operator asked for it.
    case operatorRequest = "operator"
    /// The node stops.
    case shutdown

    // How a dial, or the network, failed.
    /// Nobody listens there.
    case refused
    /// No way to that host.
    case unreachable
    /// The other side did not answer in time.
    case timeout
    /// The host name has no address.
    case unresolved
    /// The system failed; the log says how.
    case systemError = "system_error"
}

/// Octets that went over a connection.
public struct Traffic: Hashable, Sendable {
    /// From the peer.
    public var received: UInt64
    /// To the peer.
    public var sent: UInt64

    /// Octets both ways.
    public init(received: UInt64 = 0, sent: UInt64 = 0) {
        self.received = received
        self.sent = sent
    }
}

/// What the machine refused, as an input to a core.
public enum SystemError: Error, Hashable, Sendable {
    /// Another program has the address.
    case addressInUse
    /// The address is none of this machine's.
    case addressNotAvailable
    /// The user may not do that.
    case notPermitted
    /// There is no such file, folder or name.
    case notFound
    /// There is such a file already.
    case exists
    /// The path leads over something that is not a folder, or a link.
    case notAFolder
    /// The disk, or the quota, is full.
    case noSpace
    /// No descriptors are left.
    case tooManyDescriptors
    /// The peer is gone, or the connection is closed already.
    case disconnected
    /// The file ended before the range did.
    case endOfFile
    /// It took too long.
    case timedOut
    /// Anything else, by the system's name for it.
    case other(String)
}

extension SystemError: CustomStringConvertible {
    /// A phrase for the log.
    public var description: String {
        switch self {
        case .addressInUse: "the address is in use"
        case .addressNotAvailable: "the address is not one of this machine"
        case .notPermitted: "not permitted"
        case .notFound: "not found"
        case .exists: "exists already"
        case .notAFolder: "the path leads over something that is not a folder"
        case .noSpace: "no space left"
        case .tooManyDescriptors: "no descriptors left"
        case .disconnected: "disconnected"
        case .endOfFile: "the file ended too early"
        case .timedOut: "timed out"
        case .other(let name): name
        }
    }
}
