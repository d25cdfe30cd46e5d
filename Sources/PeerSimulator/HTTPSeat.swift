internal import PeerCore

// HTTP in virtual time. Each fetch has a stream of its own over the simulated network: its octets are those of the
// content, and stand-ins for the heads; what the heads say is handed over beside it.

/// The requests and fetches of one core.
struct HTTPSeat {
    /// Requests that the core has heard of and that are not over.
    var exchanges: [ExchangeID: HTTPExchange] = [:]
    var fetches: [RequestID: HTTPFetching] = [:]
    /// The streams of both, in the order of opening.
    var ends: [UInt64: StreamEnd] = [:]
    /// Connections to each listener.
    var callers: [ListenerID: [IPAddress]] = [:]
    private var lastExchange: UInt64 = 0
    private var lastEnd: UInt64 = 0

    mutating func nextExchangeID() -> ExchangeID {
        lastExchange += 1
        return ExchangeID(lastExchange)
    }

    mutating func add(_ end: StreamEnd) -> UInt64 {
        lastEnd += 1
        ends[lastEnd] = end
        return lastEnd
    }
}

/// One side of an HTTP stream: what the host does between the stream and the core.
class HTTPEnd: StreamOwner {
    let seat: Seat
    /// The stream; kept by the seat.
    weak var end: StreamEnd?
    private var number: UInt64?

    init(_ seat: Seat) {
        self.seat = seat
    }

    /// Something happened to the stream.
    func happened(_ input: Input) {
        preconditionFailure("neither side of HTTP")
    }

    final func adopt(_ end: StreamEnd) {
        self.end = end
        number = seat.http.add(end)
    }

    final var machine: Machine { seat.machine }
    final var isAlive: Bool { seat.isAlive }

    /// What waits for the other side is bounded by the core's own answer.
    final var limits: StreamLimits {
        var limits = seat.limits
        limits.high = .max
        limits.hard = .max
        // BePeer 5.2.
        limits.stall = .seconds(60)
        return limits
    }

    final func perform(_ action: @escaping () -> Void) { seat.perform(action) }

    final func enqueue(_ input: Input, about end: StreamEnd?) { happened(input) }

    final func wake(_ end: StreamEnd) { seat.wake(end) }

    final func sendLater(_ end: StreamEnd) { seat.sendLater(end) }

    final func admit(_ end: StreamEnd) -> ConnectionID {
        adopt(end)
        return ConnectionID(0)
    }

    final func forget(_ end: StreamEnd) {
        if let number { seat.http.ends[number] = nil }
    }

    /// Octets of the stand-in for a head.
    static func headOctets(_ first: Int, _ fields: [HTTPField]) -> Int {
        // Each line has four octets of its own, the first words like `GET HTTP/1.1`, the rest `Host` or `Date`.
        fields.reduce(first + 64) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    /// The stand-in.
    static func head(_ octets: Int) -> Bytes { Bytes([UInt8](repeating: UInt8(ascii: "h"), count: octets)) }
}
