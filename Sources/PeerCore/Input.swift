/// Something happened. A core hears of the world by nothing else.
///
/// Inputs own their bytes: they can be stored, compared and replayed.
public enum Input: Hashable, Sendable {
    // Life.
    /// The first input.
    case start
    /// The node stops: say goodbye where the protocol has one. What is still open a few seconds later is cut.
    case stop
    /// `nextDeadline` has come.
    case deadline
    /// We were late by `gap` (suspended, stopped, overloaded): peers must get that much longer.
    case resumed(gap: Duration)
    /// The machine's own addresses: after `start`, and whenever they change.
    case interfaces([IPAddress])

    // Listening sockets.
    /// A listener is open, on this address (its port is known now).
    case listening(ListenerID, ListenAddress)
    /// A listener could not be opened, or broke.
    case refused(ListenerID, SystemError)

    // Streams.
    /// A connection came in.
    case accepted(ConnectionID, on: ListenerID, local: SocketAddress, remote: SocketAddress)
    /// A dial succeeded.
    case connected(ConnectionID, local: SocketAddress, remote: SocketAddress)
    /// Octets came.
    case received(Bytes, on: ConnectionID)
    /// The other side does not take what we send: more than the low mark waits. What can wait should, until `drained`.
    case stalled(ConnectionID)
    /// After `stalled`, or when more than the high mark waited: less than the low mark is left, there is room for more.
    case drained(ConnectionID)
    /// The answer to `measure`: octets so far, those of files included.
    case measured(ConnectionID, Traffic)
    /// The other side has sent all that it will send.
    case ended(ConnectionID)
    /// The connection is no more, or the dial failed. The last input for this connection.
    case closed(ConnectionID, CloseReason, Traffic)

    // Datagrams.
    /// A datagram came.
    case datagram(Bytes, on: ListenerID, from: SocketAddress)

    // HTTP.
    /// A client asks.
    case requested(ExchangeID, HTTPRequest, on: ListenerID, from: SocketAddress)
    /// The answer is with the client (`complete`), or the client went away; `octets` of the body were sent.
    case requestClosed(ExchangeID, complete: Bool, octets: UInt64)
    /// So many octets of the content have come; told at most once a second, while they come.
    case fetching(RequestID, octets: UInt64)
    /// A `fetch` ended.
    case fetched(RequestID, Result<HTTPAnswer, HTTPFailure>)

    // Answers.
    /// Addresses of a name; an empty list when there are none or the name service failed.
    case resolved(RequestID, [IPAddress])
    /// Work on files ended.
    case stored(RequestID, StoreResult)
    /// Something changed below a watched folder. An empty list: too much to say, scan again.
    case changed(FolderID, [RelativePath])
    /// A transfer between a file and a connection ended; `closed` may still follow.
    case transferred(ConnectionID, FileName, TransferResult)
    /// Rows of durable state in order of their keys; `more` when the limit cut the list.
    case recalled(table: String, [Row], more: Bool)

    // The operator.
    /// The operator asks.
    case command(CommandID, Command)
    /// The operator does not wait for the answer any more.
    case cancelled(CommandID)
    /// Another core, or the node, answered what this core asked.
    case answered(CommandID, Reply)
}

/// One row of durable state.
public struct Row: Hashable, Sendable {
    /// Its key, unique in its table.
    public let key: String
    /// Its values: texts, numbers, truth values.
    public let record: Record

    /// A row.
    public init(key: String, record: Record) {
        self.key = key
        self.record = record
    }
}
