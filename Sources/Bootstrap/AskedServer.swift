internal import PeerCore
internal import PeerCrypto

/// How a client stands with one bootstrap server.
struct AskedServer: Sendable {
    /// A POPULATE is taken for so long after an INIT (gossip section 5.3).
    private static let answerTime = Duration.seconds(30)
    /// Attempts without an answer until the operator is told: with the next one, after about 15 s.
    private static let silentAttempts = 4

    let destination: Destination
    /// The ID that it gave.
    var id: UInt16?
    /// Whether we sent that ID back.
    var isEchoed = false
    /// Whether the dialogue is through: ID echoed and the echo answered, or no ID to be had.
    var isSettled = false
    /// Number of INITs since the pace was set back; the pause grows with it.
    var step = 0
    /// Attempts since its last answer.
    private(set) var unanswered = 0
    var lastAsk: Instant?
    var nextAsk = Instant(nanoseconds: .max)
    /// The look-up of its name that is under way.
    var request: RequestID?
    /// Why the last attempt had no answer.
    var problem = "no answer"
    /// Where INITs went in the last 30 s: a name may have several addresses.
    private var asked: [(address: SocketAddress, at: Instant)] = []
    private(set) var answeredFrom: SocketAddress?
    private(set) var lastAnswer: WallClock?
    private(set) var lastEntries: [PeerAddress] = []

    init(_ destination: Destination) {
        self.destination = destination
    }

    /// Counts an attempt. Gives whether the operator should hear that the server is silent.
    mutating func beginAttempt() -> Bool {
        let tellsOperator = unanswered == Self.silentAttempts
        unanswered += 1
        return tellsOperator
    }

    /// Which of the name's addresses to ask: the one that answered last, else one after the other, since it is not
    /// known here which of them our listener's address family can reach.
    func choice(of addresses: [IPAddress]) -> IPAddress {
        if unanswered <= 1, let answeredFrom, addresses.contains(answeredFrom.ip) { return answeredFrom.ip }
        return addresses[max(0, unanswered - 1) % addresses.count]
    }

    /// An INIT went to `address`.
    mutating func sent(to address: SocketAddress, at now: Instant) {
        asked.removeAll { $0.address == address || now - $0.at > Self.answerTime }
        asked.append((address, now))
        problem = "no answer"
    }

    /// Whether a datagram from `source` can answer an INIT.
    func isAnswer(from source: SocketAddress, at now: Instant) -> Bool {
        asked.contains { $0.address == source && now - $0.at <= Self.answerTime }
    }

    /// Takes over an answer. Gives the number of entries that the last one had not.
    mutating func answered(by populate: Populate, from source: SocketAddress, at now: Moment) -> Int {
        // Loopback is only known to who is there, and who is there reaches the server over loopback.
        let usable = populate.entries.filter { $0.isUsable && ($0.address.ip.isLoopback ? source.ip.isLoopback : true) }
        let known = Set(lastEntries.map(\.address))
        let news = usable.lazy.filter { !known.contains($0.address) }.count
        if populate.id == 0 {
            id = nil
        } else if populate.id != id {
            id = populate.id
            isEchoed = false
        }
        unanswered = 0
        answeredFrom = source
        lastAnswer = now.wallClock
        lastEntries = usable
        return news
    }

    var record: Record {
        [
            "server": .text(destination), "id": id.map { .count($0) } ?? .null,
            "address": answeredFrom.map { .text($0) } ?? .null, "entries": .count(lastEntries.count),
            "answered": lastAnswer.map { .time($0) } ?? .null, "unanswered": .count(unanswered),
        ]
    }
}

/// When a client asks (gossip sections 5.2 and 5.3).
enum Pace {
    /// Spread by 20 %.
    private static let jitter = 0.8...1.2
    /// The pauses double from 1 s to 60 s.
    private static let longestPause = Duration.seconds(60)
    /// A peer renews its entry every 60 s; the server keeps it for 180 s.
    private static let renewalPause = Duration.seconds(60)
    /// After ID 0.
    static let afterRefusal = Duration.seconds(30)

    /// The pause before attempt `step` + 1: 1, 2, 4 … 60 s, spread by 20 %.
    static func pause(step: Int, using random: inout SeededRandom) -> Duration {
        // 1 s doubled six times is above the limit.
        min(longestPause, .seconds(1 << min(step, 6))) * Double.random(in: jitter, using: &random)
    }

    /// The pause before a renewal: 60 s, spread by 20 %.
    static func renewal(using random: inout SeededRandom) -> Duration {
        renewalPause * Double.random(in: jitter, using: &random)
    }
}
