internal import PeerCore

/// The operator fetches a file (P+2 sections 6.2 and 8). One download goes through these steps:
///
///     hello → stat → free space → [part of an earlier life] → dial → octets → [stat again] → name → done
///
/// Octets go into `.peernode/partial/<token>.part`, which becomes `<token>.whole` when all have come; only when that is
/// verified, as far as it can be, it gets a name that nobody else has.
struct Download {
    /// What an answer of the files is for.
    enum Errand {
        case space
        case part
        case emptied
        case name(Int)
        case sync(String)
        /// Free space, while octets come.
        case spaceAgain
    }

    /// Why a download has failed; a closed list.
    enum Failure: String {
        case emptyOrMissing = "empty_or_missing"
        case notThere = "not_there"
        case diskFull = "disk_full"
        case tooLarge = "too_large"
        case truncated
        case stalled
        case verification = "verification_failed"
        case noFreeName = "no_free_name"
        case writeError = "write_error"
        case cancelled
        case refused
        case unreachable
        case timeout
        case reset
        case closedByPeer = "closed_by_peer"
        case shutdown
        case limit
        case systemError = "system_error"

        init(_ reason: CloseReason) {
            self = Self(rawValue: reason.rawValue) ?? .systemError
        }

        /// What it means for the operator.
        var explanation: String {
            switch self {
            case .emptyOrMissing: "the file is empty or not there; this peer cannot tell which"
            case .notThere: "the peer does not share a file of that name"
            case .diskFull: "there is too little free space (/files/minFreeBytes is left free)"
            case .tooLarge: "the file is larger than /files/maxDownloadBytes"
            case .truncated: "the peer ended before all octets had come; the same command goes on from here"
            case .stalled: "no octet came for too long"
            case .verification: "the file that came is not the one that the peer announced, twice"
            case .noFreeName: "all names from NAME to NAME (999) are taken"
            case .writeError: "the file could not be written"
            case .cancelled: "nobody waits for it any more"
            case .refused: "nobody listens there"
            case .unreachable: "there is no way to that host"
            case .timeout: "the peer did not answer in time"
            case .reset: "the peer broke off"
            case .closedByPeer: "the peer ended the connection"
            case .shutdown: "the node stops"
            case .limit: "a limit of this node does not allow it"
            case .systemError: "the system failed"
            }
        }
    }

    let command: CommandID
    let peer: PeerIdentity
    /// As the peer calls it, octet by octet.
    let name: Bytes
    /// What it is to be called here.
    let localName: String
    let began: Instant
    var token: String
    /// The first try, or the one more after a failed verification.
    var attempt = 1
    var isExtended: Bool?
    var stat: FileStat?
    /// Octets that were there already.
    var offset: UInt64 = 0
    var connection: ConnectionID?
    /// Octets over this connection.
    var received: UInt64 = 0
    var lastMove: Instant
    /// `received` when free space was looked at.
    var spaceChecked: UInt64 = 0
    /// What may come at most, when the size is not known, and whether that is for want of space.
    var room: UInt64 = 0
    var isRoomFree = false
    /// The file is whole; its size and digest.
    var whole: (octets: UInt64, digest: Bytes32?)?
    /// How often a pending digest was asked for again.
    var restats = 0

    /// Progress is told at most so often.
    static let progressPause: Duration = .milliseconds(200)
    /// Free space is looked at before so many octets more (P+2 section 6.2).
    static let spaceStep: UInt64 = 16 << 20
    /// A digest that is pending is asked for again after this time, so often.
    static let restatPause: Duration = .seconds(2)
    /// See `restatPause`.
    static let mostRestats = 15
    /// Tries, the first one included (P+2 section 8).
    static let mostAttempts = 2
    /// Numbers of names that are tried (P+2 section 6.2).
    static let mostNames = 999
}
