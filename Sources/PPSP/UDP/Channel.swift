internal import PeerCore
internal import PeerCrypto

/// One peer in one swarm over datagrams (RFC 7574 digest, section 1). To the rest of the protocol it is a connection
/// with a `Link` and a `Partner` like those over TCP.
struct Channel {
    /// Our number: the other side puts it into its datagrams.
    let number: UInt32
    let connection: ConnectionID
    let swarm: Int
    let remote: SocketAddress
    /// We have opened it.
    let isOurs: Bool
    /// The peer over TCP that has told of it.
    let signalling: Tie?
    /// Their number; nil while our handshake is not answered.
    var theirs: UInt32?
    var rules: ChunkRules
    /// Handshakes that were sent, and when the next one is due.
    var tries = 0
    var triesAgainAt: Instant?
    var out: Outflow
    /// What is to be said when the input at hand is dealt with.
    var words: [ChunkMessage] = []
    /// A datagram goes even when there is nothing to be said.
    var mustSpeak = false
    var heardAt: Instant
    var saidAt: Instant
    /// Datagrams since something was heard.
    var unheard = 0
    /// When its timer goes off.
    var timerAt: Instant?
    /// How long chunks take that are asked for, and how often nothing came in that time.
    var askTime = RoundTrip()
    var unanswered = 0
    /// Since when chunks come without the hashes that would prove them.
    var missingSince: Instant?
    /// When it was told of other peers, when it was asked for some, and how many more it may name.
    var toldPeersAt: Instant?
    var askedPeersAt: Instant?
    var peersLeft = 0

    var tie: Tie { Tie(connection: connection, swarm: swarm) }
}

/// All channels, and those that are not yet any.
struct Channels {
    /// A handshake that was answered, before its sender has shown that it gets our datagrams.
    struct Waiting {
        let remote: SocketAddress
        let theirs: UInt32
        let swarm: Int
        let rules: ChunkRules
        let tellsChunkSize: Bool
        /// What it has said beside the handshake.
        let first: Bytes
    }

    /// Where a channel is looked for when another one comes to take its place.
    struct Place: Hashable {
        let remote: SocketAddress
        let swarm: Int
        let isOurs: Bool
    }

    /// Handshakes that are remembered, some 300 octets each: a flood of them takes no more, and an honest one needs its
    /// place for a round trip only.
    private static let mostWaiting: UInt32 = 4096
    /// Octets of a first datagram that are kept.
    static let keptBytes = 400

    var port: UInt16?
    private(set) var table: [UInt32: Channel] = [:]
    private var places: [Place: UInt32] = [:]
    private var numbers: [ConnectionID: UInt32] = [:]
    private var waiting: [UInt32: Waiting] = [:]
    /// Makes numbers that nobody can guess from the handshakes that ask for them.
    private var secret = Bytes()
    /// What is added to the monotonic clock for timestamps: they look like the wall clock, and never jump.
    private var offset: UInt64?
    /// Channels on which something is to be said or sent.
    var touched: Set<UInt32> = []

    subscript(number: UInt32) -> Channel? {
        _read { yield table[number] }
        _modify { yield &table[number] }
    }

    /// The channel behind a connection; nil: it is one over TCP.
    func number(of connection: ConnectionID) -> UInt32? { numbers[connection] }

    func number(at place: Place) -> UInt32? { places[place] }

    var count: Int { table.count }

    /// Handshakes that were answered and are remembered.
    var waitingCount: Int { waiting.count }

    mutating func begin(using random: inout SeededRandom) {
        secret = Bytes(random.nextBytes32().array)
    }

    mutating func insert(_ channel: Channel) {
        table[channel.number] = channel
        numbers[channel.connection] = channel.number
        places[Place(remote: channel.remote, swarm: channel.swarm, isOurs: channel.isOurs)] = channel.number
    }

    mutating func remove(_ number: UInt32) -> Channel? {
        guard let channel = table.removeValue(forKey: number) else { return nil }
        numbers[channel.connection] = nil
        touched.remove(number)
        let place = Place(remote: channel.remote, swarm: channel.swarm, isOurs: channel.isOurs)
        if places[place] == number { places[place] = nil }
        return channel
    }

    /// Something goes on a channel, even if there is nothing to be said.
    mutating func speak(on number: UInt32) {
        table[number]?.mustSpeak = true
        touched.insert(number)
    }

    mutating func say(_ messages: [ChunkMessage], on number: UInt32) {
        guard table[number] != nil else { return }
        table[number]?.words += messages
        touched.insert(number)
    }

    /// A number that is not used, never 0.
    func free(using random: inout SeededRandom) -> UInt32 {
        while true {
            let number = UInt32(truncatingIfNeeded: random.next() as UInt64)
            if number != 0, table[number] == nil { return number }
        }
    }

    /// The number for a handshake, the same whenever it is repeated: nothing need be remembered to answer it.
    mutating func answer(_ handshake: Waiting) -> UInt32 {
        var writer = ByteWriter(capacity: 32)
        writer.write(handshake.remote.ip.octets)
        writer.write(handshake.remote.port)
        writer.write(handshake.theirs)
        writer.write(UInt64(handshake.swarm))
        var number: UInt32 = 0
        var turn: UInt8 = 0
        repeat {
            var question = writer
            question.write(turn)
            number = UInt32(truncatingIfNeeded: blake2b256(question.bytes, key: secret).word0)
            turn &+= 1
        } while number == 0 || isOthers(number, handshake)
        // The one that had this place before has gone on, or will ask again.
        if table[number] == nil { waiting[number % Self.mostWaiting] = handshake }
        return number
    }

    private func isOthers(_ number: UInt32, _ handshake: Waiting) -> Bool {
        guard let channel = table[number] else { return false }
        return channel.remote != handshake.remote || channel.theirs != handshake.theirs || channel.isOurs
    }

    /// The handshake that was answered with this number, if its sender is there.
    mutating func takeWaiting(_ number: UInt32, from remote: SocketAddress) -> Waiting? {
        let place = number % Self.mostWaiting
        guard let handshake = waiting[place], handshake.remote == remote else { return nil }
        guard answer(handshake) == number else { return nil }
        waiting[place] = nil
        return handshake
    }

    /// The time that goes into DATA, in microseconds.
    mutating func time(_ now: Moment) -> UInt64 {
        let own = UInt64(bitPattern: now.instant.nanoseconds / 1000)
        if let offset { return own &+ offset }
        let offset = UInt64(bitPattern: now.wallClock.milliseconds) &* 1000 &- own
        self.offset = offset
        return own &+ offset
    }
}
