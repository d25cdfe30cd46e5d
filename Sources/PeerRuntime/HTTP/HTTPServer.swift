internal import CMicrohttpd
internal import Glibc
internal import PeerCore
internal import UV

/// What answers on one HTTP listener: libmicrohttpd, on the loop of its host.
///
/// The host accepts connections, as for all listeners, and hands them over. libmicrohttpd reads requests and writes
/// answers; its set of descriptors is watched by the loop. How long anything may take is watched here, once a second.
@safe final class HTTPServer {
    let listener: ListenerID
    let limits: HTTPLimits
    /// Answers say that no further request is read.
    private(set) var isEnding = false
    unowned let host: Host

    private let loop: Loop
    private var daemon: OpaquePointer?
    private var poll: Poll?
    private var idle: Idle?
    private var connections: [OpaquePointer: HTTPConnection] = unsafe [:]
    private var perAddress: [IPAddress: Int] = [:]
    /// Who is behind the socket that is being handed over.
    private var newcomer: SocketAddress?
    private var isRunning = false

    init(_ listener: ListenerID, _ limits: HTTPLimits, host: Host) throws(UVError) {
        self.listener = listener
        self.limits = limits
        self.host = host
        loop = host.runtime.loop
        // Room for a head of the largest size, for its fields taken apart, and for the head of an answer.
        let memory = 2 * limits.head + (32 << 10)
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        // The limit is ours; those that are gone are counted until they are cleaned up.
        unsafe daemon = peernode_mhd_start(
            context, memory, UInt32(clamping: limits.connections * 2 + 16), handleRequest, beginRequest, endRequest,
            connectionChanged)
        guard let daemon = unsafe daemon else { throw .notSupported }
        idle = Idle(loop) { [unowned self] in run() }
        poll = try unsafe Poll(loop, descriptor: peernode_mhd_epoll(daemon))
        poll?.start(.readable) { [unowned self] _ in run() }
    }

    private var all: [HTTPConnection] { unsafe Array(connections.values) }

    /// Whether nobody is connected.
    var isEmpty: Bool { unsafe connections.isEmpty }

    /// Connections that have something to send.
    var answering: Int { unsafe connections.values.count { $0.isAnswering } }

    /// The limit that a further connection from `address` would break.
    func broken(by address: IPAddress) -> (key: String, value: Int)? {
        if unsafe connections.count >= limits.connections { return ("connections", limits.connections) }
        if perAddress[address, default: 0] >= limits.connectionsPerAddress {
            return ("connections of one address", limits.connectionsPerAddress)
        }
        return nil
    }

    /// Takes an accepted connection over.
    func take(_ client: TCP, from remote: SocketAddress) {
        guard let descriptor = client.release(), let daemon = unsafe daemon else { return }
        newcomer = remote
        // The address is only kept for questions that nobody asks. The socket is closed when this fails.
        _ = unsafe withUnspecifiedAddress { unsafe MHD_add_connection(daemon, descriptor, $0, $1) }
        newcomer = nil
        runSoon()
    }

    /// Lets the library look at what no event tells: a new connection, or one that goes on.
    func runSoon() { idle?.start() }

    private func run() {
        guard !isRunning, let daemon = unsafe daemon else { return }
        isRunning = true
        unsafe MHD_run(daemon)
        isRunning = false
        var wait: UInt64 = 0
        // What is ready but did not get its turn: the loop looks at its other sockets in between.
        if unsafe MHD_get_timeout(daemon, &wait) == .YES, wait == 0 {
            idle?.start()
        } else {
            idle?.stop()
        }
    }

    /// Another second of the loop has gone by.
    func look() {
        for connection in all { connection.look() }
    }

    /// Lets the system send at most `octets` a second over each connection.
    func limitRate(to octets: UInt32) {
        for connection in all {
            PeerRuntime.limitRate(of: connection.descriptor, to: octets)
        }
    }

    /// Nobody new comes; who is here gets the answers that are due, and no more.
    func end() {
        isEnding = true
        for connection in all where connection.exchange == nil { connection.end() }
    }

    /// Ends everything without telling the core.
    func stop() {
        guard let stopped = unsafe daemon else { return }
        precondition(!isRunning, "an HTTP listener is stopped by its own input")
        unsafe daemon = nil
        for connection in all { connection.exchange?.abandon() }
        poll?.close()
        idle?.close()
        unsafe MHD_stop_daemon(stopped)
    }
}

// MARK: - What the library tells

extension HTTPServer {
    fileprivate func opened(_ handle: OpaquePointer) {
        guard let remote = newcomer else { return }
        let connection = unsafe HTTPConnection(handle, peernode_mhd_socket(handle), remote, of: self)
        unsafe connections[handle] = connection
        perAddress[remote.ip, default: 0] += 1
        host.opened(connection)
    }

    fileprivate func closed(_ handle: OpaquePointer) {
        guard let connection = unsafe connections.removeValue(forKey: handle) else { return }
        let ip = connection.remote.ip
        let others = perAddress[ip, default: 1] - 1
        perAddress[ip] = others == 0 ? nil : others
        connection.closed()
    }

    fileprivate func begin(_ target: UnsafePointer<CChar>?, _ handle: OpaquePointer) -> UnsafeMutableRawPointer? {
        guard let connection = unsafe connections[handle] else { return nil }
        let octets = unsafe target.map { unsafe Bytes(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        let exchange = HTTPExchange(octets ?? Bytes(), on: connection)
        connection.exchange = exchange
        return unsafe Unmanaged.passRetained(exchange).toOpaque()
    }
}

private let beginRequest:
    @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, OpaquePointer?) -> UnsafeMutableRawPointer? = {
        context, target, handle in
        guard let context = unsafe context, let handle = unsafe handle else { return nil }
        let server = unsafe Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue()
        return unsafe server.begin(target, handle)
    }

private let handleRequest: MHD_AccessHandlerCallback = { _, handle, target, method, version, data, size, place in
    guard let exchange = unsafe place?.pointee, let size = unsafe size else { return .NO }
    return unsafe Unmanaged<HTTPExchange>.fromOpaque(exchange).takeUnretainedValue()
        .handle(target, method, version, data, size)
}

private let endRequest: MHD_RequestCompletedCallback = { _, _, place, reason in
    guard let exchange = unsafe place?.pointee else { return }
    unsafe place?.pointee = nil
    unsafe Unmanaged<HTTPExchange>.fromOpaque(exchange).takeRetainedValue()
        .ended(isComplete: reason == .REQUEST_TERMINATED_COMPLETED_OK)
}

private let connectionChanged: MHD_NotifyConnectionCallback = { context, handle, _, change in
    guard let context = unsafe context, let handle = unsafe handle else { return }
    let server = unsafe Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue()
    if change == .CONNECTION_NOTIFY_STARTED {
        unsafe server.opened(handle)
    } else {
        unsafe server.closed(handle)
    }
}
