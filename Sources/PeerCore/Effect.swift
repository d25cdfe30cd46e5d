/// Something must be done. A core changes the world by nothing else.
public enum Effect: Hashable, Sendable {
    /// What a listener takes.
    public enum ListenerKind: Hashable, Sendable {
        /// Connections.
        case stream
        /// Datagrams.
        case datagram
        /// HTTP requests.
        case http(HTTPLimits)
    }

    // Listening sockets.
    /// Open a listening socket under the core's own name for it.
    case listen(ListenerID, on: ListenAddress, ListenerKind)
    /// Close it. Connections that it accepted live on.
    case unlisten(ListenerID)
    /// Accept nobody until `resume`: those who dial wait in the system's queue.
    case pause(ListenerID)
    /// Accept again.
    case resume(ListenerID)

    // Streams.
    /// Dial, from a certain local address if given, for at most `timeout`.
    case connect(ConnectionID, to: Destination, from: IPAddress?, timeout: Duration)
    /// Send in order. All sends of one turn for one connection become one write.
    case send(Bytes, on: ConnectionID)
    /// Send a part of a file, moved by the system.
    case sendFile(FileName, offset: UInt64, count: UInt64, on: ConnectionID)
    /// Let the next octets of the connection become a file.
    case receiveFile(FileReception, from: ConnectionID)
    /// Do not read it until `release`: the other side is slowed, for the sake of others that do not keep up.
    case hold(ConnectionID)
    /// Read it again.
    case release(ConnectionID)
    /// How much has gone over it? `measured` answers; nothing does when the connection is no more.
    case measure(ConnectionID)
    /// After everything queued: end our side, wait a short time for the other side's end, close.
    case finish(ConnectionID)
    /// Close now, with a reset. `closed` follows with this reason.
    case abort(ConnectionID, CloseReason)

    // Datagrams.
    /// One datagram.
    case sendDatagram(Bytes, from: ListenerID, to: SocketAddress)
    /// Several to one address, in order.
    case sendDatagrams([DatagramParts], from: ListenerID, to: SocketAddress)

    // HTTP.
    /// Answer a request.
    case respond(ExchangeID, HTTPResponse)
    /// More of a streamed answer.
    case stream(ExchangeID, Bytes)
    /// The end of a streamed answer.
    case endStream(ExchangeID)
    /// Ask an HTTP server. `fetched` answers.
    case fetch(RequestID, HTTPFetch)
    /// Break that off; `fetched` tells of it.
    case cancelFetch(RequestID)

    // Names, files, rows.
    /// Look up the addresses of a name.
    case resolve(RequestID, name: String)
    /// Call the folder at this path of the machine by that name from now on. It is made when it is missing.
    case open(FolderID, at: String)
    /// Work on files.
    case store(RequestID, StoreOperation)
    /// Write one row of durable state. All rows of a turn are committed together.
    case remember(table: String, key: String, Record)
    /// Remove one row.
    case forget(table: String, key: String)
    /// Read rows with keys after `after` in order, `limit` at most.
    case recall(table: String, after: String?, limit: Int)
    /// Keep a block of addresses away from all protocols until then: accepts, dials, datagrams.
    case ban(IPPrefix, until: WallClock, reason: String)
    /// Lift a ban.
    case unban(IPPrefix)

    // The operator.
    /// Answer a command.
    case reply(CommandID, Reply)
    /// Ask another core (by the name of its section), or the node itself (`node`).
    case ask(CommandID, of: String, Command)
    /// The asker went away: the command need not be answered any more.
    case withdraw(CommandID)
    /// One line of the log.
    case log(LogRecord)
}
