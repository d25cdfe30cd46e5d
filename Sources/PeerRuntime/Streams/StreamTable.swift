internal import PeerCore
internal import UV

/// The UDP sockets of one host. There are one or two, which are found faster in a row than by a hash of their names.
struct DatagramSockets {
    private var sockets: [(listener: ListenerID, socket: UDP)] = []

    /// All of them.
    var all: [UDP] { sockets.map(\.socket) }

    subscript(listener: ListenerID) -> UDP? {
        get { sockets.first { $0.listener == listener }?.socket }
        set {
            sockets.removeAll { $0.listener == listener }
            if let newValue { sockets.append((listener, newValue)) }
        }
    }
}

/// The listeners, dials and connections of one host.
struct StreamTable {
    /// A dial that has not ended yet.
    struct Dial {
        /// The socket; nil while the name is looked up.
        var socket: TCP?
        let timer: Timer
    }

    /// A dial that waits for the next second.
    struct WaitingDial {
        let id: ConnectionID
        let destination: Destination
        let local: IPAddress?
    }

    /// What the system would choose for all connections.
    var systemCongestionControl: String?
    /// Open listeners.
    var listeners: [ListenerID: Stream] = [:]
    /// Paths of those that are Unix sockets.
    var unixPaths: [ListenerID: String] = [:]
    /// Dials under way.
    var dials: [ConnectionID: Dial] = [:]
    /// Dials that have to wait for the next second, in order.
    var waitingDials: [WaitingDial] = []
    /// Listeners at which somebody waits for the next second.
    var waitingListeners: [ListenerID] = []
    /// Listeners that accept nobody at the moment, and whether somebody waits there.
    var pausedListeners: [ListenerID: Bool] = [:]
    /// Connections that have something to send at the end of this turn.
    var waitingForFlush: [Connection] = []
    /// Connections that wait for the next slice of a limited rate.
    var waitingForRate: [Connection] = []
    private var connections: [ConnectionID: Connection] = [:]

    /// Open connections.
    var open: [Connection] { Array(connections.values) }

    subscript(id: ConnectionID) -> Connection? {
        get { connections[id] }
        set { connections[id] = newValue }
    }
}
