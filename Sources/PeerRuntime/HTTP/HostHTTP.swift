internal import Glibc
internal import PeerCore
internal import UV

// MARK: - Serving

extension Host {
    /// Answers on an HTTP listener, whose socket is opened by `open`.
    func listenHTTP(
        _ listener: ListenerID, _ limits: HTTPLimits, open: () throws(UVError) -> Void
    ) throws(UVError) {
        let server = try HTTPServer(listener, limits, host: self)
        http.servers[listener] = server
        do throws(UVError) {
            try open()
        } catch {
            http.servers[listener] = nil
            server.stop()
            throw error
        }
    }

    /// Nobody new is accepted; who is here gets the answers that are due.
    func unlistenHTTP(_ listener: ListenerID) {
        guard let server = http.servers.removeValue(forKey: listener) else { return }
        http.leaving.append(server)
        server.end()
    }

    /// The core hears of a request.
    func add(_ exchange: HTTPExchange) -> ExchangeID {
        let id = http.nextExchangeID()
        http.exchanges[id] = exchange
        return id
    }

    /// A request is over.
    func remove(_ id: ExchangeID) {
        http.exchanges[id] = nil
    }

    /// A connection of an HTTP listener was opened.
    func opened(_ connection: HTTPConnection) {
        runtime.limits.opened(connection.remote.ip, isAccepted: true)
        countConnections(1)
    }

    /// It is no more.
    func closed(_ connection: HTTPConnection) {
        runtime.limits.closed(connection.remote.ip)
        countConnections(-1)
    }

    /// Waits a moment for the other side's end on a connection whose descriptor will be closed.
    func linger(_ descriptor: Int32) {
        guard !isClosing, let copy = copyDescriptor(descriptor) else { return }
        let socket = LingeringSocket(copy, runtime.loop) { [weak self] in self?.http.lingering[copy] = nil }
        guard let socket else { return _ = Glibc.close(copy) }
        http.lingering[copy] = socket
    }

    /// Another second of the loop has gone by.
    func lookAtHTTP() {
        let servers = http.all
        for server in servers { server.look() }
        http.leaving.removeAll { server in
            guard server.isEmpty else { return false }
            server.stop()
            return true
        }
        http.client?.look()
        shareUploadRate()
    }

    /// The library writes by itself; the system is asked to share the node's rate among the connections that have
    /// something to send.
    func shareUploadRate() {
        let servers = http.all
        let rate = runtime.limits.values.uploadBytesPerSecond
        guard rate > 0 else { return }
        let answering = max(1, servers.reduce(0) { $0 + $1.answering })
        for server in servers { server.limitRate(to: UInt32(clamping: max(1, rate / answering))) }
    }

    /// Ends all of it without telling the core.
    func closeHTTP() {
        for server in http.all { server.stop() }
        for socket in Array(http.lingering.values) { socket.close() }
        http.client?.close()
        http = HTTPTable()
    }
}

// MARK: - Fetching

extension Host {
    /// Whether somebody may still wait for something from here, connections that HTTP only keeps not counted.
    public var isBusy: Bool {
        !streams.open.isEmpty || !streams.dials.isEmpty || !http.exchanges.isEmpty || http.client?.isEmpty == false
    }

    func fetch(_ request: RequestID, _ fetch: HTTPFetch) {
        if runtime.isBanned(fetch.server.ip) {
            return deliver(.fetched(request, .failure(.connection(.banned))))
        }
        guard let client = http.client ?? HTTPClient(self) else {
            return deliver(.fetched(request, .failure(.missing("libcurl.so.4"))))
        }
        http.client = client
        client.start(request, fetch)
    }
}
