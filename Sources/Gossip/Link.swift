internal import PeerCore

/// A neighbour: an open connection to a peer whose first NEIGHBORS has come.
struct Link {
    let connection: ConnectionID
    /// The peer's ID; 0 in the dialect `authors-2017`, which has none.
    let peerID: UInt16
    /// The ID by which it knows us.
    let ourID: UInt16
    let remote: SocketAddress
    /// Where it listens; nil when that is not known.
    let endpoint: SocketAddress?
    /// Whether it has said so itself: only then others are told (gossip section 5.5).
    let isEndpointTold: Bool
    /// Whether we have opened the TCP connection.
    let isDialled: Bool
    /// What both sides can do.
    let capabilities: Capabilities
    /// Whether it told no capability at all.
    let isPlain: Bool
    let opened: Instant
    /// When the last complete message came.
    var heard: Instant

    var buffer = ReceiveBuffer()
    var outbox = Outbox()
    /// It does not take what we send; local programs do not wait for it any more.
    var isLagging = false
    /// Messages go one by one with a pause (gossip section 9).
    var isPaced = false
    var paced = Fifo<Bytes>()
    /// Names of items that it will be told of, all of one data type.
    var untold: [Bytes32] = []
    var untoldType: UInt16 = 0
    /// Items that it was the first to tell us of, and that have not come.
    var wanted = 0

    /// How many neighbours it has told of at last.
    var neighbours = 0
    /// Addresses that were taken from it (gossip section 5.7).
    var taken = 0
    /// The second in which items are counted for `itemRate`, and how many came in it.
    var second: Int64 = 0
    var inSecond = 0

    // Counters.
    var firsts = 0
    var duplicates = 0
    var invalid = 0
    var sent = 0
    var lost = 0
    var receivedOctets = 0
    /// Octets sent before it was a link.
    var greetingOctets = 0
    /// Octets sent when patience began.
    var sentAtPatience = 0

    /// What it is worth: what it brings first, less what it spoils. Below zero it may be replaced.
    var score: Int { firsts - Self.priceOfInvalid * invalid - Self.priceOfLoss * lost }

    /// An invalid item wastes the time of all programs here.
    private static let priceOfInvalid = 20
    /// It does not take what others could have had.
    private static let priceOfLoss = 2

    var sentOctets: Int { greetingOctets + outbox.sent }

    /// How it is called in the log.
    var name: String { peerID == 0 ? remote.ip.description : "\(peerID)@\(endpoint ?? remote)" }
}
