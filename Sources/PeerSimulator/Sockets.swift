internal import PeerCore

/// An open listening socket.
final class Socket {
    let listener: ListenerID
    let seat: Seat
    let address: ListenAddress
    let kind: Effect.ListenerKind
    var isOpen = true
    /// Its core accepts nobody at the moment.
    var isPaused = false
    /// Connections that the system has accepted and the process has not.
    var pending: [StreamEnd] = []
    /// Octets of datagrams that came while the process did not read.
    var waitingOctets = 0

    init(_ listener: ListenerID, _ seat: Seat, _ address: ListenAddress, _ kind: Effect.ListenerKind) {
        self.listener = listener
        self.seat = seat
        self.address = address
        self.kind = kind
    }

    /// Who has the use of a connection to here.
    var owner: any StreamOwner {
        if case .http(let limits) = kind { HTTPExchange(limits, self) } else { seat }
    }

    var port: UInt16? {
        if case .ip(let address) = address { address.port } else { nil }
    }
}

/// The listening sockets of one machine. Streams and datagrams have ports of their own.
struct Sockets {
    /// Ports that the system chooses from (Linux, `ip_local_port_range`).
    static let ephemeralPorts: ClosedRange<UInt16> = 32_768...60_999

    private var streams: [SocketAddress: Socket] = [:]
    private var datagrams: [SocketAddress: Socket] = [:]
    private var paths: [String: Socket] = [:]
    /// In the order of opening.
    private var all: [Socket] = []
    private var lastPort: UInt16

    init(firstPort: UInt16) {
        lastPort = firstPort
    }

    /// A port that no listener has.
    mutating func freePort() -> UInt16 {
        repeat {
            lastPort = lastPort < Self.ephemeralPorts.upperBound ? lastPort + 1 : Self.ephemeralPorts.lowerBound
        } while all.contains { $0.port == lastPort }
        return lastPort
    }

    /// Binds `seat`'s listener; port 0 is replaced by a free one.
    mutating func open(
        _ listener: ListenerID, _ seat: Seat, _ address: ListenAddress, _ kind: Effect.ListenerKind
    ) throws(SystemError) -> Socket {
        var address = address
        switch address {
        case .unix(let path):
            guard paths[path] == nil else { throw .addressInUse }
        case .ip(var ip):
            if ip.port == 0 { ip.port = freePort() }
            let taken = kind == .datagram ? datagrams : streams
            guard !taken.keys.contains(where: { Self.overlap($0, ip) }) else { throw .addressInUse }
            address = .ip(ip)
        }
        let socket = Socket(listener, seat, address, kind)
        set(address, kind, socket)
        all.append(socket)
        return socket
    }

    /// Closes a listener; connections that its process has not accepted go with it.
    mutating func close(_ socket: Socket, _ death: Death = .process) {
        set(socket.address, socket.kind, nil)
        all.removeAll { $0 === socket }
        socket.isOpen = false
        for end in socket.pending { end.vanish(death) }
        socket.pending.removeAll()
    }

    mutating func closeAll(_ death: Death) {
        for socket in all { close(socket, death) }
    }

    func stream(at address: SocketAddress) -> Socket? { Self.find(address, in: streams) }

    func datagram(at address: SocketAddress) -> Socket? { Self.find(address, in: datagrams) }

    func stream(atPath path: String) -> Socket? { paths[path] }

    private mutating func set(_ address: ListenAddress, _ kind: Effect.ListenerKind, _ socket: Socket?) {
        switch (address, kind) {
        case (.unix(let path), _): paths[path] = socket
        case (.ip(let ip), .stream), (.ip(let ip), .http): streams[ip] = socket
        case (.ip(let ip), .datagram): datagrams[ip] = socket
        }
    }

    private static func find(_ address: SocketAddress, in table: [SocketAddress: Socket]) -> Socket? {
        if let socket = table[address] { return socket }
        if address.ip.v4 != nil, let socket = table[SocketAddress(.anyV4, address.port)] { return socket }
        return table[SocketAddress(.anyV6, address.port)]
    }

    /// `::` takes IPv4 too, as Linux has it unless asked otherwise.
    private static func overlap(_ a: SocketAddress, _ b: SocketAddress) -> Bool {
        func covers(_ a: IPAddress, _ b: IPAddress) -> Bool {
            a == b || a == .anyV6 || (a == .anyV4 && b.v4 != nil)
        }
        return a.port == b.port && (covers(a.ip, b.ip) || covers(b.ip, a.ip))
    }
}
