internal import PeerCore
internal import UV

/// What a host has of HTTP: listeners with their connections, requests under way, fetches.
struct HTTPTable {
    /// Open listeners.
    var servers: [ListenerID: HTTPServer] = [:]
    /// Closed listeners whose connections live on.
    var leaving: [HTTPServer] = []
    /// Requests that the core has heard of and that are not over.
    var exchanges: [ExchangeID: HTTPExchange] = [:]
    /// Sockets that wait for the other side's end.
    var lingering: [Int32: LingeringSocket] = [:]
    /// Fetches; made for the first one.
    var client: HTTPClient?
    private var lastExchange: UInt64 = 0

    /// All of them, open or not.
    var all: [HTTPServer] { Array(servers.values) + leaving }

    mutating func nextExchangeID() -> ExchangeID {
        lastExchange += 1
        return ExchangeID(lastExchange)
    }
}
